//! `tests/configurations/nginx.conf` in a real nginx in front of two real servers, seen through curl.

use crate::proxies::Proxy;
use crate::support::{
    Folder, PATIENCE, Server, free_addresses, lines_of, run_program, shell, start_program,
    wait_until,
};
use std::fs;
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The name that the configuration and the certificate are for.
const NAME: &str = "sse.example.com";

/// How long an event that the server has sent may take to the client. Less than the time after
/// which nginx gives up on a silent server and hands on what it holds.
const DELIVERY: Duration = Duration::from_secs(20);

const VERSIONS: [(&str, &str); 2] = [("--http1.1", "HTTP/1.1 200 OK"), ("--http2", "HTTP/2 200 ")];

/// nginx and its two backends.
struct Nginx {
    proxy: Proxy,
    http: SocketAddr,
    backends: [Server; 2],
}

impl Nginx {
    /// Starts two servers with these options, and nginx in front of them.
    fn start(options: &[&str]) -> Nginx {
        let folder = Folder::create();
        // A key and a certificate for it, signed by itself.
        let names = format!("-subj /CN={NAME} -addext subjectAltName=DNS:{NAME}");
        let openssl = "req -x509 -newkey ec -nodes -days 2 -pkeyopt ec_paramgen_curve:prime256v1";
        let openssl = format!("{openssl} {names} -keyout key.pem -out certificate.pem");
        let mut command = Command::new("openssl");
        run_program(command.args(openssl.split(' ')).current_dir(&folder.0));

        let backends = [Server::start(options), Server::start(options)];
        let [http] = free_addresses();
        // The configuration with other addresses, ports and paths, and nothing else changed.
        let mut configuration = include_str!("../configurations/nginx.conf").to_string();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = paths.map(|what| format!("{what}_temp_path {{folder}}/{what};\n"));
        for (from, to) in [
            ("10.0.0.1:3000 ", &*format!("{} ", backends[0].address)),
            ("10.0.0.2:3000 ", &*format!("{} ", backends[1].address)),
            ("listen 80;", &*format!("listen {http};")),
            ("        listen 443 ", "listen 127.0.0.1:{port} "),
            ("/run/nginx.pid", "{folder}/nginx.pid"),
            ("/var/log/nginx/error.log", "{folder}/error.log"),
            ("/var/log/nginx/access.log", "{folder}/access.log"),
            (
                "/etc/ssl/certs/sse.example.com.pem",
                "{folder}/certificate.pem",
            ),
            ("/etc/ssl/private/sse.example.com.key", "{folder}/key.pem"),
            // Paths that the file leaves as nginx was built with them.
            ("\nhttp {\n", &*format!("\nhttp {{\n{}", paths.concat())),
            ("\nevents {", "\ndaemon off;\nevents {"),
        ] {
            assert_eq!(configuration.matches(from).count(), 1, "{from:?}");
            configuration = configuration.replace(from, to);
        }
        let command = "nginx -p {folder} -e {folder}/error.log -c {folder}/configuration";
        Nginx {
            proxy: Proxy::start_in(folder, command, &configuration, backends[0].address),
            http,
            backends,
        }
    }

    /// What nginx has written to its error log.
    fn errors(&self) -> String {
        fs::read_to_string(self.proxy.folder.join("error.log")).unwrap_or_default()
    }

    /// curl for this path, so that it takes nginx and its certificate for those of the name. It shows the
    /// head, and each byte as it comes.
    fn curl(&self, path: &str, options: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        // No settings of this machine's.
        curl.args(["--disable", "--noproxy", "*", "--silent", "--show-error"]);
        curl.args(["--include", "--no-buffer", "--path-as-is", "--cacert"]);
        curl.arg(self.proxy.folder.join("certificate.pem"));
        let port = self.proxy.address.port();
        curl.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
        curl.args(options);
        curl.arg(format!("https://{NAME}:{port}{path}"));
        curl
    }

    /// Gets the page, with the head before the content.
    fn page(&self, version: &str) -> String {
        run_program(&mut self.curl("/", &[version]))
    }

    fn events(&self, options: &[&str]) -> Events {
        Events::open(&mut self.curl("/events", options))
    }

    /// Waits until either server has a stream, and tells which.
    fn wait_for_stream(&self) -> usize {
        let mut serving = None;
        wait_until("a server has the stream", || {
            let has_it = |server: &Server| server.log.try_iter().any(|l| l.contains("got /events"));
            serving = self.backends.iter().position(has_it);
            serving.is_some()
        });
        serving.unwrap()
    }
}

/// A stream, read from curl's standard output.
struct Events {
    curl: Child,
    lines: Receiver<String>,
    head: Vec<String>,
}

impl Events {
    /// Starts curl, and reads the head and the reconnection time.
    fn open(curl: &mut Command) -> Events {
        let mut curl = start_program(curl.stdout(Stdio::piped()).stderr(Stdio::null()));
        let lines = lines_of(BufReader::new(curl.stdout.take().expect("a pipe")));
        let head = Vec::new();
        let mut events = Events { curl, lines, head };
        events.head = events.next().expect("a head");
        let retry = events.next().expect("a first block");
        assert_eq!(retry, ["retry: 10000"], "{:?}", events.head);
        events
    }

    /// The lines up to an empty one, once it is there, or nothing at the end of the stream.
    fn next(&mut self) -> Option<Vec<String>> {
        let mut block = Vec::new();
        loop {
            match self.lines.recv_timeout(DELIVERY) {
                Ok(line) if line.trim_end().is_empty() => return Some(block),
                Ok(line) => block.push(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("no event and no end after {block:?}"),
            }
        }
    }

    /// Checks that the next event is this one.
    fn expect(&mut self, number: u64) {
        let event = self.next().expect("the stream goes on");
        assert_eq!(event, [format!("id: {number}"), format!("data: {number}")]);
    }

    /// Reads to the end of the stream, whose events must go on from `number`. Returns the number of the
    /// last event.
    fn expect_to_end(&mut self, mut number: u64) -> u64 {
        let begin = Instant::now();
        while let Some(event) = self.next() {
            assert_eq!(event[0], format!("id: {number}"));
            assert!(begin.elapsed() < PATIENCE, "the stream goes on for ever");
            number += 1;
        }
        number - 1
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_page_and_each_event_come_through_at_once_and_the_server_learns_that_the_client_has_left() {
    let page = include_str!("../../www/index.html");
    for (version, status_line) in VERSIONS {
        let nginx = Nginx::start(&["--interval", "500ms"]);
        let mut events = nginx.events(&[version, "--header", "Last-Event-ID: 41"]);
        let head = events.head.join("\n");
        assert!(head.starts_with(status_line), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("\ncontent-type: text/event-stream"), "{head}");
        assert!(head.contains("\ncache-control: no-cache"), "{head}");
        assert!(!head.contains("\ncontent-encoding:"), "{head}");
        let server = &nginx.backends[nginx.wait_for_stream()];
        // While the server is suspended, nothing can follow an event that would push it through.
        for number in 42..=44 {
            server.wait_for_log(&format!("emit {number}"));
            server.signal("STOP");
            events.expect(number);
            server.signal("CONT");
        }
        drop(events);
        server.wait_for_log("left after");
        let response = nginx.page(version);
        assert!(response.starts_with(status_line), "{response}");
        assert!(response.ends_with(page), "{response}");
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_stream_is_found_by_every_path_that_is_the_same_for_nginx() {
    let nginx = Nginx::start(&["--interval", "50ms"]);
    for path in ["//events", "/./events", "/x/../events", "/%65vents"] {
        let path = format!("{path}?lastEventId=7");
        Events::open(&mut nginx.curl(&path, &[])).expect(8);
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn whoever_comes_without_tls_is_sent_to_it() {
    let nginx = Nginx::start(&[]);
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--noproxy", "*", "--silent", "--include"]);
    curl.args(["--header", &format!("Host: {NAME}")]);
    let response = run_program(curl.arg(format!("http://{}/page?of=1", nginx.http)));
    assert!(response.starts_with("HTTP/1.1 301 "), "{response}");
    let location = format!("\r\nLocation: https://{NAME}/page?of=1\r\n");
    assert!(response.contains(&location), "{response}");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_the_server_of_a_stream_is_killed_the_other_continues_it() {
    for (version, status_line) in VERSIONS {
        let mut nginx = Nginx::start(&["--interval", "100ms"]);
        let mut events = nginx.events(&[version]);
        let serving = nginx.wait_for_stream();
        events.expect(1);
        events.expect(2);
        nginx.backends[serving].kill();
        let last = events.expect_to_end(3);

        let last_event_id = format!("Last-Event-ID: {last}");
        let mut events = nginx.events(&[version, "--header", &last_event_id]);
        nginx.backends[1 - serving].wait_for_log(&format!("got /events, last event ID {last}"));
        events.expect(last + 1);
        events.expect(last + 2);

        // The dead server has the fewest connections, so it is tried. Nobody but nginx notices.
        for _ in 0..4 {
            let response = nginx.page(version);
            assert!(response.starts_with(status_line), "{response}");
        }
        let dead = format!("upstream: \"http://{}/", nginx.backends[serving].address);
        assert!(nginx.errors().contains(&dead), "{}", nginx.errors());
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_no_server_is_left_a_stream_gets_no_status_that_would_end_its_event_source() {
    let mut nginx = Nginx::start(&[]);
    nginx.backends.iter_mut().for_each(Server::kill);
    for (version, _) in VERSIONS {
        let mut curl = nginx.curl("/events", &[version]);
        let curl = start_program(curl.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = curl.wait_with_output().expect("its output");
        assert!(output.stdout.is_empty(), "{output:?}");
        // 52: the server sent nothing; 92: the stream of HTTP/2 was closed with an error.
        assert!(matches!(output.status.code(), Some(52 | 92)), "{output:?}");
        let response = nginx.page(version);
        let status_line = response.lines().next().expect("a line");
        assert!(status_line.contains(" 502"), "{response}");
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_nginx_reloads_a_stream_ends_and_can_be_continued() {
    let nginx = Nginx::start(&["--interval", "100ms"]);
    let mut events = nginx.events(&[]);
    events.expect(1);
    let pid = fs::read_to_string(nginx.proxy.folder.join("nginx.pid")).expect("its number");
    run_program(&mut shell(&format!("kill -HUP {pid}")));
    let last = events.expect_to_end(2);
    let last_event_id = format!("Last-Event-ID: {last}");
    nginx.events(&["--header", &last_event_id]).expect(last + 1);
}
