//! The stream through the proxies that Debian has, each with its shortest configuration, seen through
//! curl. nginx has tests of its own.

use crate::support::table::PAGE;
use crate::support::{
    Folder, Group, PATIENCE, Server, bare_sse, free_addresses, lines_of, program, run_program,
    wait_until,
};
use std::fs;
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long an event that the server has sent may take to the client. Less than the time after
/// which a proxy gives up on a silent server and hands on what it holds.
const DELIVERY: Duration = Duration::from_secs(20);

/// The name that a proxy is asked for.
pub const NAME: &str = "sse.example.com";

#[test]
#[ignore = "needs varnish"]
fn varnish_passes_each_event_at_once_with_its_default_vcl() {
    let command =
        "exec varnishd -F -j none -n {folder} -a 127.0.0.1:{port} -b 127.0.0.1:{server_port}";
    check(command, "");
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_passes_each_event_at_once_and_its_default_health_check_finds_the_server_up() {
    let configuration = "
        defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s  # More than the 15 s after which a silent server sends a comment.
            timeout check 30s
            option http-no-delay  # Otherwise each event comes 0.2 s late.
        listen proxy
            bind 127.0.0.1:{port}
            option httpchk
            server it 127.0.0.1:{server_port} check inter 50ms fall 1 rise 1
    ";
    check("exec haproxy -db -f {folder}/configuration", configuration);
}

#[test]
#[ignore = "needs apache2"]
fn apache_passes_each_event_at_once() {
    let configuration = "
        LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
        LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
        LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
        LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
        User www-data
        PidFile {folder}/pid
        ErrorLog {folder}/log
        ServerName localhost
        Listen 127.0.0.1:{port}
        ProxyPass / http://127.0.0.1:{server_port}/
    ";
    let command = "exec apache2 -D FOREGROUND -d {folder} -f {folder}/configuration";
    check(command, configuration);
}

#[test]
#[ignore = "needs lighttpd"]
fn lighttpd_passes_each_event_at_once_if_it_streams_responses() {
    let configuration = r#"
        server.bind = "127.0.0.1"
        server.port = {port}
        server.document-root = "{folder}"
        server.modules = ("mod_proxy")
        server.stream-response-body = 1
        proxy.server = ("" => (("host" => "127.0.0.1", "port" => {server_port})))
    "#;
    check("exec lighttpd -D -f {folder}/configuration", configuration);
}

#[test]
#[ignore = "needs squid"]
fn squid_passes_each_event_at_once() {
    let configuration = "
        http_port 127.0.0.1:{port} accel defaultsite=localhost
        cache_peer 127.0.0.1 parent {server_port} 0 originserver no-query no-digest
        http_access allow all
        pid_filename none
        cache_log /dev/null
        access_log none
        shutdown_lifetime 0 seconds
    ";
    check("exec squid -N -f {folder}/configuration", configuration);
}

#[test]
#[ignore = "needs caddy"]
fn caddy_passes_each_event_at_once() {
    // Without `auto_https off` Caddy would install a certificate authority on this machine.
    let configuration = "
        {
            admin off
            auto_https off
        }
        http://:{port} {
            bind 127.0.0.1
            reverse_proxy 127.0.0.1:{server_port}
        }
    ";
    let command = "exec caddy run --config {folder}/configuration --adapter caddyfile";
    check(command, configuration);
}

#[test]
#[ignore = "needs nghttp2-proxy"]
fn nghttpx_passes_each_event_at_once() {
    let command = "exec nghttpx --conf {folder}/configuration --single-process --errorlog-file /dev/null \
                   --frontend '127.0.0.1,{port};no-tls' --backend 127.0.0.1,{server_port}";
    check(command, "");
}

/// Starts a server, and in front of it the proxy that is run by `command` with `configuration`. Checks
/// what a client of the proxy can do.
fn check(command: &str, configuration: &str) {
    let options = ["--interval", "200ms", "--count", "1000"];
    let mut server = Server::start(&options);
    let proxy = Proxy::start("http", command, configuration, server.address);

    // Each event comes although nothing follows it that would push it through.
    let mut stream = proxy.events_after(41, &[]);
    assert!(stream.head.contains("\ntransfer-encoding: chunked"));
    for number in 42..=44 {
        server.wait_for_log(&format!("emit {number}"));
        server.signal("STOP");
        stream.expect(number);
        server.signal("CONT");
    }
    // A second client gets a stream of its own, and the first leaves.
    let mut second = proxy.events_after(0, &[]);
    second.expect(1);
    drop(stream);
    server.wait_for_log("left after");
    second.expect(2);

    // That one client has finished is not told to others.
    let finished = || proxy.get("/events", &["--header", "Last-Event-ID: 1000"]);
    let response = finished();
    assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
    proxy.events_after(0, &[]).expect(1);

    // The server is killed and started again. A client sees the end of its stream, and resumes.
    server.kill();
    let last = second.expect_to_end(3);
    let down = proxy.get("/events", &[]);
    assert!(down.starts_with("HTTP/1.1 5"), "{down}");
    let address = server.address.to_string();
    server = Server::listening(bare_sse(&options).args(["--listen", &address]));
    wait_until("the proxy finds the server", || {
        finished().contains(" 204 ")
    });
    let mut stream = proxy.events_after(last, &[]);
    server.wait_for_log(&format!("got /events, last event ID {last}"));
    stream.expect(last + 1);
}

/// A proxy, and the folder in which it runs.
pub struct Proxy {
    process: Group,
    scheme: &'static str,
    pub address: SocketAddr,
    pub folder: Folder,
}

impl Proxy {
    /// Starts a proxy that serves this scheme, and waits until it hands on the server's page.
    pub fn start(
        scheme: &'static str,
        command: &str,
        configuration: &str,
        server: SocketAddr,
    ) -> Proxy {
        let folder = Folder::create();
        let [address] = free_addresses();
        let filled = |text: &str| {
            text.replace("{folder}", &folder.0.display().to_string())
                .replace("{port}", &address.port().to_string())
                .replace("{server_port}", &server.port().to_string())
        };
        let lines = filled(configuration).trim_end().to_string() + "\n";
        fs::write(folder.join("configuration"), lines).expect("it is written");
        let mut shell = program("/bin/sh");
        shell.args(["-c", &format!("exec > output 2>&1; {}", filled(command))]);
        let process = Group::start(shell.current_dir(&folder.0).env("HOME", &folder.0));
        let mut proxy = Proxy {
            process,
            scheme,
            address,
            folder,
        };
        wait_until("the page of the server comes", || {
            let exit = proxy.process.0.try_wait().expect("its status");
            let output = || fs::read_to_string(proxy.folder.join("output"));
            assert!(exit.is_none(), "the proxy has ended: {:?}", output());
            let response = proxy.curl("/", &[]).output().expect("curl");
            response.stdout.ends_with(PAGE)
        });
        proxy
    }

    /// curl for this path, so that it takes the proxy and its certificate for those of the name. It shows
    /// the head, and each byte as it comes.
    pub fn curl(&self, path: &str, options: &[&str]) -> Command {
        let (scheme, port) = (self.scheme, self.address.port());
        let mut curl = Command::new("curl");
        // No settings of this machine's.
        curl.args(["--disable", "--noproxy", "*", "--silent", "--show-error"]);
        curl.args(["--include", "--no-buffer", "--path-as-is"]);
        curl.args(["--cacert", "certificate.pem"]);
        curl.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
        curl.args(options);
        curl.arg(format!("{scheme}://{NAME}:{port}{path}"));
        curl.current_dir(&self.folder.0);
        curl
    }

    /// What comes for this path, with the head before the content.
    pub fn get(&self, path: &str, options: &[&str]) -> String {
        run_program(&mut self.curl(path, options))
    }

    /// The stream, resumed after this event.
    pub fn events_after(&self, last: u64, options: &[&str]) -> Events {
        let field = format!("Last-Event-ID: {last}");
        let options = [options, &["--header", &field]].concat();
        Events::open(&mut self.curl("/events", &options))
    }
}

/// A stream, read from curl's standard output.
pub struct Events {
    /// In lower case.
    pub head: String,
    lines: Receiver<String>,
    _curl: Group,
}

impl Events {
    /// Starts curl, and reads the head and the reconnection time.
    pub fn open(curl: &mut Command) -> Events {
        let mut curl = Group::start(curl.stdout(Stdio::piped()).stderr(Stdio::null()));
        let lines = lines_of(BufReader::new(curl.0.stdout.take().expect("a pipe")));
        let mut events = Events {
            head: String::new(),
            lines,
            _curl: curl,
        };
        let head = events.next().expect("a head").join("\n").to_lowercase();
        assert!(head.contains("\ncontent-type: text/event-stream"), "{head}");
        assert!(head.contains("\ncache-control: no-cache"), "{head}");
        assert_eq!(events.next().expect("a block"), ["retry: 10000"], "{head}");
        events.head = head;
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
    pub fn expect(&mut self, number: u64) {
        let event = self.next().expect("the stream goes on");
        assert_eq!(event, [format!("id: {number}"), format!("data: {number}")]);
    }

    /// Reads to the end of the stream, whose events must go on from `number`. Returns the number of the
    /// last event.
    pub fn expect_to_end(&mut self, mut number: u64) -> u64 {
        let begin = Instant::now();
        while let Some(event) = self.next() {
            assert_eq!(event[0], format!("id: {number}"));
            assert!(begin.elapsed() < PATIENCE, "the stream goes on for ever");
            number += 1;
        }
        number - 1
    }
}
