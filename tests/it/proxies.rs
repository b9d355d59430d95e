//! The stream through the proxies that Debian has, each with its shortest configuration. nginx has
//! tests of its own.

use crate::support::event_stream_reader::Reader;
use crate::support::{
    Folder, RawClient, Response, Server, bare_sse, free_addresses, program, start_program,
    terminate, wait_until,
};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

/// How long an event that the server has sent may take to the client. Less than the time after
/// which a proxy gives up on a silent server and hands on what it holds.
const DELIVERY: Duration = Duration::from_secs(20);

/// What each of the servers behind a proxy is like.
const OPTIONS: [&str; 4] = ["--interval", "200ms", "--count", "1000"];

#[test]
#[ignore = "needs varnish"]
fn varnish_passes_each_event_at_once_with_its_default_vcl() {
    let command = "varnishd -F -j none -n {folder} -a 127.0.0.1:{port} -b 127.0.0.1:{server_port}";
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
    check("haproxy -db -f {folder}/configuration", configuration);
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
    let command = "apache2 -D FOREGROUND -d {folder} -f {folder}/configuration";
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
    check("lighttpd -D -f {folder}/configuration", configuration);
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
    check("squid -N -f {folder}/configuration", configuration);
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
    let command = "caddy run --config {folder}/configuration --adapter caddyfile";
    check(command, configuration);
}

#[test]
#[ignore = "needs nghttp2-proxy"]
fn nghttpx_passes_each_event_at_once() {
    let command = "nghttpx --conf {folder}/configuration --single-process --errorlog-file /dev/null \
                   --frontend 127.0.0.1,{port};no-tls --backend 127.0.0.1,{server_port}";
    check(command, "");
}

/// Starts a server, and in front of it the proxy that is run by `command` with `configuration`. Checks
/// what a client of the proxy can do.
fn check(command: &str, configuration: &str) {
    let mut server = Server::start(&OPTIONS);
    let proxy = Proxy::start(command, configuration, server.address);

    // Each event comes although nothing follows it that would push it through.
    let mut stream = proxy.stream_after(41);
    for number in 42..=44 {
        server.wait_for_log(&format!("emit {number}"));
        server.signal("STOP");
        stream.expect(number);
        server.signal("CONT");
    }
    // A second client gets a stream of its own, and the first leaves.
    let mut second = proxy.stream_after(0);
    second.expect(1);
    drop(stream);
    server.wait_for_log("left after");
    second.expect(2);
    proxy.expect_page();

    // That one client has finished is not told to others.
    let finished = proxy.get("/events", "Last-Event-ID: 1000\r\n");
    assert_eq!(finished.status(), 204, "{}", finished.head);
    proxy.stream_after(0).expect(1);
    proxy.expect_page();

    // The server is killed and started again. A client sees the end of its stream, and resumes.
    server.kill();
    second.expect_end();
    let down = proxy.get("/events", "");
    assert!(down.status() >= 500, "{}", down.head);
    let address = server.address.to_string();
    server = Server::listening(bare_sse(&OPTIONS).args(["--listen", &address]));
    let mut stream = proxy.stream_after(2);
    server.wait_for_log("got /events, last event ID 2");
    stream.expect(3);
}

/// A proxy in a process of its own, and the folder for what it reads and writes.
pub struct Proxy {
    process: Child,
    pub address: SocketAddr,
    pub folder: Folder,
}

impl Proxy {
    fn start(command: &str, configuration: &str, server: SocketAddr) -> Proxy {
        Proxy::start_in(Folder::create(), command, configuration, server)
    }

    /// Starts a proxy that may find some of its files in the folder.
    pub fn start_in(
        folder: Folder,
        command: &str,
        configuration: &str,
        server: SocketAddr,
    ) -> Proxy {
        let [address] = free_addresses();
        let filled = |text: &str| {
            text.replace("{folder}", &folder.0.display().to_string())
                .replace("{port}", &address.port().to_string())
                .replace("{server_port}", &server.port().to_string())
        };
        let lines = filled(configuration).trim_end().to_string() + "\n";
        fs::write(folder.join("configuration"), lines).expect("it is written");
        let output = File::create(folder.join("output")).expect("a file");
        let command = filled(command);
        let mut words = command.split(' ');
        let mut command = program(words.next().expect("a program"));
        command.args(words).env("HOME", &folder.0);
        command.stderr(output.try_clone().expect("the same file"));
        let process = start_program(command.stdout(output));
        let mut proxy = Proxy {
            process,
            address,
            folder,
        };
        wait_until("the proxy accepts connections", || {
            let exit = proxy.process.try_wait().expect("its status");
            let output = || fs::read_to_string(proxy.folder.join("output"));
            assert!(exit.is_none(), "it has ended: {:?}", output());
            TcpStream::connect(address).is_ok()
        });
        proxy
    }

    /// The response to a GET on a connection of its own.
    fn get(&self, path: &str, fields: &str) -> Response {
        let mut client = RawClient::connect(self.address);
        client.send_get(path, fields);
        client.read_response(false)
    }

    fn expect_page(&self) {
        let response = self.get("/", "");
        assert_eq!(response.status(), 200, "{}", response.head);
        let page = include_bytes!("../../www/index.html");
        assert!(response.content == page, "{}", response.head);
    }

    /// Connects to the stream until the proxy has found the server, and reads the head.
    fn stream_after(&self, last_event_id: u64) -> Stream {
        let mut client = None;
        let mut head = String::new();
        wait_until("the stream comes", || {
            let client = client.insert(RawClient::connect(self.address));
            client.send_get("/events", &format!("Last-Event-ID: {last_event_id}\r\n"));
            head = client.read_until("\r\n\r\n").to_lowercase();
            head.starts_with("http/1.1 200 ")
        });
        for field in [
            "content-type: text/event-stream",
            "cache-control: no-cache",
            "transfer-encoding: chunked",
        ] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
        }
        let client = client.expect("it has connected");
        let timeout = client.socket.set_read_timeout(Some(DELIVERY));
        timeout.expect("a timeout");
        let reader = Reader::default();
        Stream { client, reader }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        terminate(&mut self.process);
    }
}

/// A stream that comes through a proxy.
struct Stream {
    client: RawClient,
    reader: Reader,
}

impl Stream {
    /// Reads until an event is there, and checks that it is this one.
    fn expect(&mut self, number: u64) {
        while self.reader.dispatched.is_empty() {
            let chunk = self.client.read_chunk().expect("the stream goes on");
            self.reader.feed(&chunk);
        }
        let event = self.reader.dispatched.remove(0);
        let number = number.to_string();
        assert_eq!((event.data, event.last_event_id), (number.clone(), number));
    }

    /// Reads to the end of the stream: the last chunk, or the end of the connection.
    fn expect_end(&mut self) {
        let begin = Instant::now();
        while let Some(bytes) = self.client.try_read() {
            if bytes.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        assert!(begin.elapsed() < DELIVERY, "the stream does not end");
    }
}
