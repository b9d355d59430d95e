//! `tests/configurations/nginx.conf` in a real nginx in front of two real servers, seen through curl.

use crate::support::event_stream_reader::{Dispatched, Reader};
use crate::support::{
    Folder, PATIENCE, Server, free_addresses, program, run_program, start_program, terminate,
    wait_until,
};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The name that the configuration and the certificate are for.
const NAME: &str = "sse.example.com";

/// How long an event that the server has sent may take to the client. Less than the time after
/// which nginx gives up on a silent server and hands on what it holds.
const DELIVERY: Duration = Duration::from_secs(20);

/// nginx, its two backends, and the folder with everything that it writes.
struct Nginx {
    process: Child,
    http: SocketAddr,
    https: SocketAddr,
    backends: [Server; 2],
    folder: Folder,
}

impl Nginx {
    /// Starts two servers with these options, and nginx in front of them.
    fn start(options: &[&str]) -> Nginx {
        let folder = Folder::create();
        make_certificate(&folder);
        let backends = [Server::start(options), Server::start(options)];
        let [http, https] = free_addresses();
        let configuration = configuration(&folder, http, https, &backends);
        fs::write(folder.join("nginx.conf"), configuration).expect("it is written");
        let process = start_program(nginx_command(&folder).args(["-g", "daemon off;"]));
        let mut nginx = Nginx {
            process,
            http,
            https,
            backends,
            folder,
        };
        wait_until("nginx accepts connections", || {
            let exit = nginx.process.try_wait().expect("its status");
            assert!(exit.is_none(), "nginx has ended: {}", nginx.errors());
            TcpStream::connect(https).is_ok()
        });
        nginx
    }

    /// What nginx has written to its error log.
    fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    /// curl, so that it takes nginx and its certificate for those of the name.
    fn curl(&self, options: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        // No settings of this machine's, and no progress bar.
        curl.args(["--disable", "--noproxy", "*", "--silent"]);
        curl.arg("--cacert")
            .arg(self.folder.join("certificate.pem"));
        for address in [self.http, self.https] {
            let resolve = format!("{NAME}:{}:{}", address.port(), address.ip());
            curl.args(["--resolve", &resolve]);
        }
        curl.args(options);
        curl
    }

    /// Gets the page, with the head before the content.
    fn page(&self, options: &[&str]) -> String {
        let page = format!("https://{NAME}:{}/", self.https.port());
        run_program(
            self.curl(options)
                .args(["--show-error", "--include", &page]),
        )
    }

    /// curl for the stream, each byte printed as it comes.
    fn curl_events(&self, options: &[&str]) -> Command {
        self.curl_stream("/events", options)
    }

    /// The same for another path, which curl sends as it is.
    fn curl_stream(&self, path: &str, options: &[&str]) -> Command {
        let mut curl = self.curl(options);
        let events = format!("https://{NAME}:{}{path}", self.https.port());
        curl.args(["--path-as-is", "--no-buffer", "--include", &events]);
        curl
    }

    /// Connects to the stream and reads the head.
    fn events(&self, options: &[&str]) -> Events {
        Events::open(&mut self.curl_events(options))
    }

    /// Waits until either server has a stream, and tells which.
    fn wait_for_stream(&self) -> usize {
        let mut serving = None;
        wait_until("a server has the stream", || {
            serving = self.backends.iter().position(|server| {
                server
                    .log
                    .try_iter()
                    .any(|line| line.contains("got /events"))
            });
            serving.is_some()
        });
        serving.unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        terminate(&mut self.process);
    }
}

/// nginx with the configuration in the folder.
fn nginx_command(folder: &Folder) -> Command {
    let mut nginx = program("nginx");
    nginx.arg("-p").arg(&folder.0);
    nginx.arg("-c").arg(folder.join("nginx.conf"));
    nginx.arg("-e").arg(folder.join("error.log"));
    nginx
}

/// Makes a key and a certificate for it, signed by itself.
fn make_certificate(folder: &Folder) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-subj", &format!("/CN={NAME}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{NAME}")]);
    openssl.arg("-keyout").arg(folder.join("key.pem"));
    openssl.arg("-out").arg(folder.join("certificate.pem"));
    run_program(&mut openssl);
}

/// The configuration with other addresses, ports and paths, and nothing else changed.
fn configuration(
    folder: &Folder,
    http: SocketAddr,
    https: SocketAddr,
    backends: &[Server; 2],
) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut text = include_str!("../configurations/nginx.conf").to_string();
    for (from, to) in [
        (
            "server 10.0.0.1:3000 ",
            format!("server {} ", backends[0].address),
        ),
        (
            "server 10.0.0.2:3000 ",
            format!("server {} ", backends[1].address),
        ),
        ("        listen 80;", format!("        listen {http};")),
        ("        listen 443 ", format!("        listen {https} ")),
        ("/run/nginx.pid", path("nginx.pid")),
        ("/var/log/nginx/error.log", path("error.log")),
        ("/var/log/nginx/access.log", path("access.log")),
        (
            "/etc/ssl/certs/sse.example.com.pem",
            path("certificate.pem"),
        ),
        ("/etc/ssl/private/sse.example.com.key", path("key.pem")),
        // Paths that the file leaves as nginx was built with them.
        (
            "\nhttp {\n",
            format!("\nhttp {{\n{}", temporary_paths(folder)),
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from:?}");
        text = text.replace(from, &to);
    }
    text
}

/// Where nginx puts what is too large for its buffers.
fn temporary_paths(folder: &Folder) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {}/{what};\n", folder.0.display()))
        .concat()
}

/// A stream, read from curl's standard output.
struct Events {
    curl: Child,
    /// What curl prints, as it comes.
    bytes: Receiver<Vec<u8>>,
    head: String,
    reader: Reader,
    /// How many of the dispatched events have been taken.
    taken: usize,
}

impl Events {
    fn open(curl: &mut Command) -> Events {
        let mut curl = start_program(curl.stdout(Stdio::piped()));
        let mut output = curl.stdout.take().expect("a pipe");
        let (sender, bytes) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut events = Events {
            curl,
            bytes,
            head: String::new(),
            reader: Reader::default(),
            taken: 0,
        };
        events.read_head();
        events
    }

    fn read_head(&mut self) {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            let more = self.bytes.recv_timeout(DELIVERY);
            bytes.extend(more.expect("the head of the stream comes"));
        };
        self.reader.feed(&bytes[end..]);
        bytes.truncate(end);
        self.head = String::from_utf8(bytes).expect("text");
    }

    /// The next event, once it is there, or nothing at the end of the stream.
    fn next(&mut self) -> Option<Dispatched> {
        let deadline = Instant::now() + DELIVERY;
        while self.taken == self.reader.dispatched.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.reader.feed(&bytes),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no event came, and no end, behind {:?}", self.reader)
                }
            }
        }
        self.taken += 1;
        Some(self.reader.dispatched[self.taken - 1].clone())
    }

    /// Checks that the next event is this one.
    fn expect(&mut self, number: u64) {
        let event = self.next().expect("the stream goes on");
        let number = number.to_string();
        assert_eq!((&event.data, &event.last_event_id), (&number, &number));
    }

    /// Reads to the end of the stream, whose events must go on from `number`. Gives the number of
    /// the last event.
    fn expect_to_end(&mut self, mut number: u64) -> u64 {
        while let Some(event) = self.next() {
            assert_eq!(event.last_event_id, number.to_string());
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

/// Reads events while the server is suspended, so that nothing can follow them that would push
/// them through: each must come all the same.
fn check_that_events_come_at_once(version: &str, status_line: &str) {
    let nginx = Nginx::start(&["--interval", "500ms"]);
    let mut events = nginx.events(&[version]);
    assert!(events.head.starts_with(status_line), "{}", events.head);
    let server = &nginx.backends[nginx.wait_for_stream()];
    for number in 1..=3 {
        server.wait_for_log(&format!("emit {number}"));
        server.signal("STOP");
        events.expect(number);
        server.signal("CONT");
    }
    assert_eq!(events.reader.retry, Some(10_000));
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_stream_is_found_by_every_path_that_is_the_same_for_nginx() {
    let nginx = Nginx::start(&["--interval", "50ms"]);
    for path in ["//events", "/./events", "/x/../events", "/%65vents"] {
        let path = format!("{path}?lastEventId=7");
        Events::open(&mut nginx.curl_stream(&path, &[])).expect(8);
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn events_come_through_http_1_1_at_once() {
    check_that_events_come_at_once("--http1.1", "HTTP/1.1 200 OK\r\n");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn events_come_through_http_2_at_once() {
    check_that_events_come_at_once("--http2", "HTTP/2 200 \r\n");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_page_comes_through() {
    let nginx = Nginx::start(&[]);
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/www/index.html")).unwrap();
    for (version, status_line) in [
        ("--http1.1", "HTTP/1.1 200 OK\r\n"),
        ("--http2", "HTTP/2 200 \r\n"),
    ] {
        let response = nginx.page(&[version]);
        let (head, content) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(status_line), "{head}");
        assert_eq!(content, page);
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn whoever_comes_without_tls_is_sent_to_it() {
    let nginx = Nginx::start(&[]);
    let target = format!("http://{NAME}:{}/page?of=1", nginx.http.port());
    let response = run_program(nginx.curl(&["--include"]).arg(target));
    assert!(response.starts_with("HTTP/1.1 301 "), "{response}");
    let location = format!("\r\nLocation: https://{NAME}/page?of=1\r\n");
    assert!(response.contains(&location), "{response}");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_fields_of_the_stream_come_through_and_the_server_learns_that_the_client_has_left() {
    let nginx = Nginx::start(&["--interval", "100ms"]);
    let mut events = nginx.events(&["--header", "Last-Event-ID: 41"]);
    let head = events.head.to_lowercase();
    assert!(
        head.contains("\r\ncontent-type: text/event-stream\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
    assert!(!head.contains("\r\ncontent-encoding:"), "{head}");
    events.expect(42);
    let server = &nginx.backends[nginx.wait_for_stream()];
    drop(events);
    server.wait_for_log("left after");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_the_server_of_a_stream_is_killed_the_other_continues_it() {
    for version in ["--http1.1", "--http2"] {
        let mut nginx = Nginx::start(&["--interval", "100ms"]);
        let mut events = nginx.events(&[version]);
        let serving = nginx.wait_for_stream();
        events.expect(1);
        events.expect(2);
        nginx.backends[serving].kill();
        let last = events.expect_to_end(3);
        assert_eq!(events.reader.last_event_id, last.to_string());

        let last_event_id = format!("Last-Event-ID: {last}");
        let mut events = nginx.events(&[version, "--header", &last_event_id]);
        nginx.backends[1 - serving].wait_for_log(&format!("got /events, last event ID {last}"));
        events.expect(last + 1);
        events.expect(last + 2);

        // The dead server has the fewest connections, so it is tried. Nobody but nginx notices.
        for _ in 0..4 {
            let response = nginx.page(&[version]);
            assert!(
                response.lines().next().unwrap().contains(" 200"),
                "{response}"
            );
        }
        let dead = format!("upstream: \"http://{}/", nginx.backends[serving].address);
        assert!(nginx.errors().contains(&dead), "{}", nginx.errors());
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_no_server_is_left_a_stream_gets_no_status_that_would_end_its_event_source() {
    let mut nginx = Nginx::start(&[]);
    for server in &mut nginx.backends {
        server.kill();
    }
    for version in ["--http1.1", "--http2"] {
        let mut curl = nginx.curl_events(&[version]);
        let curl = start_program(curl.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let output = curl.wait_with_output().expect("its output");
        assert!(output.stdout.is_empty(), "{output:?}");
        // 52: the server sent nothing; 92: the stream of HTTP/2 was closed with an error.
        assert!(matches!(output.status.code(), Some(52 | 92)), "{output:?}");
        let response = nginx.page(&[version]);
        assert!(
            response.lines().next().unwrap().contains(" 502"),
            "{response}"
        );
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_nginx_reloads_a_stream_ends_and_can_be_continued() {
    let nginx = Nginx::start(&["--interval", "100ms"]);
    let mut events = nginx.events(&[]);
    events.expect(1);
    run_program(nginx_command(&nginx.folder).args(["-s", "reload"]));
    let reloaded = Instant::now();
    let mut last = 1;
    while let Some(event) = events.next() {
        last += 1;
        assert_eq!(event.last_event_id, last.to_string());
        assert!(reloaded.elapsed() < PATIENCE, "the stream goes on for ever");
    }
    let last_event_id = format!("Last-Event-ID: {last}");
    nginx.events(&["--header", &last_event_id]).expect(last + 1);
}
