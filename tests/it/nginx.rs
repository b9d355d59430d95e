//! `tests/configurations/nginx.conf` in a real nginx in front of two real servers.

use crate::proxies::{Events, NAME, Proxy};
use crate::support::{Server, run_program, shell, wait_until};
use std::fs;
use std::process::Command;

const VERSIONS: [(&str, &str); 2] = [("--http1.1", "HTTP/1.1 200 OK"), ("--http2", "HTTP/2 200 ")];

/// Starts two servers with these options, and nginx in front of them.
fn start(options: &[&str]) -> (Proxy, [Server; 2]) {
    let backends = [Server::start(options), Server::start(options)];
    // The configuration with other addresses, ports and paths, and nothing else changed.
    let mut configuration = include_str!("../configurations/nginx.conf").to_string();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|what| format!("{what}_temp_path {{folder}}/{what};\n"));
    for (from, to) in [
        ("10.0.0.1:3000 ", &*format!("{} ", backends[0].address)),
        ("10.0.0.2:3000 ", &*format!("{} ", backends[1].address)),
        ("listen 80;", "listen unix:{folder}/http;"),
        ("        listen 443 ", "listen 127.0.0.1:{port} "),
        ("/run/nginx.pid", "{folder}/nginx.pid"),
        ("/var/log/nginx/", "{folder}/"),
        (
            "/etc/ssl/certs/sse.example.com.pem",
            "{folder}/certificate.pem",
        ),
        ("/etc/ssl/private/sse.example.com.key", "{folder}/key.pem"),
        // Paths that the file leaves as nginx was built with them.
        ("\nhttp {\n", &*format!("\nhttp {{\n{}", paths.concat())),
        ("\nevents {", "\ndaemon off;\nevents {"),
    ] {
        assert!(configuration.contains(from), "{from:?}");
        configuration = configuration.replace(from, to);
    }
    // A key and a certificate for it, signed by itself.
    let command = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout key.pem -out certificate.pem \
         && exec nginx -p {{folder}} -e {{folder}}/error.log -c {{folder}}/configuration"
    );
    let nginx = Proxy::start("https", &command, &configuration, backends[0].address);
    (nginx, backends)
}

/// Waits until either server has a stream, and tells which.
fn wait_for_stream(backends: &[Server; 2]) -> usize {
    let mut serving = None;
    wait_until("a server has the stream", || {
        let has_it = |server: &Server| server.log.try_iter().any(|l| l.contains("got /events"));
        serving = backends.iter().position(has_it);
        serving.is_some()
    });
    serving.unwrap()
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_page_and_each_event_come_through_at_once_and_the_server_learns_that_the_client_has_left() {
    for (version, status_line) in VERSIONS {
        let (nginx, backends) = start(&["--interval", "500ms"]);
        let mut events = nginx.events_after(41, &[version]);
        let status_line = status_line.to_lowercase();
        assert!(events.head.starts_with(&status_line), "{}", events.head);
        let server = &backends[wait_for_stream(&backends)];
        // While the server is suspended, nothing can follow an event that would push it through.
        for number in 42..=44 {
            server.wait_for_log(&format!("emit {number}"));
            server.signal("STOP");
            events.expect(number);
            server.signal("CONT");
        }
        drop(events);
        server.wait_for_log("left after");
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn the_stream_is_found_by_every_path_that_is_the_same_for_nginx() {
    let (nginx, _backends) = start(&["--interval", "50ms"]);
    for path in ["//events", "/./events", "/x/../events", "/%65vents"] {
        let path = format!("{path}?lastEventId=7");
        Events::open(&mut nginx.curl(&path, &[])).expect(8);
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn whoever_comes_without_tls_is_sent_to_it() {
    let (nginx, _backends) = start(&[]);
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--include", "--unix-socket"]);
    curl.arg(nginx.folder.join("http"));
    let response = run_program(curl.arg(format!("http://{NAME}/page?of=1")));
    assert!(response.starts_with("HTTP/1.1 301 "), "{response}");
    let location = format!("\r\nLocation: https://{NAME}/page?of=1\r\n");
    assert!(response.contains(&location), "{response}");
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_the_server_of_a_stream_is_killed_the_other_continues_it() {
    for (version, status_line) in VERSIONS {
        let (nginx, mut backends) = start(&["--interval", "100ms"]);
        let mut events = nginx.events_after(0, &[version]);
        let serving = wait_for_stream(&backends);
        events.expect(1);
        backends[serving].kill();
        let last = events.expect_to_end(2);
        let mut events = nginx.events_after(last, &[version]);
        backends[1 - serving].wait_for_log(&format!("got /events, last event ID {last}"));
        events.expect(last + 1);

        // The dead server has the fewest connections, so it is tried. Nobody but nginx notices.
        for _ in 0..4 {
            let response = nginx.get("/", &[version]);
            assert!(response.starts_with(status_line), "{response}");
        }
        let dead = format!("upstream: \"http://{}/", backends[serving].address);
        let errors = fs::read_to_string(nginx.folder.join("error.log")).expect("a log");
        assert!(errors.contains(&dead), "{errors}");
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_no_server_is_left_a_stream_gets_no_status_that_would_end_its_event_source() {
    let (nginx, mut backends) = start(&[]);
    backends.iter_mut().for_each(Server::kill);
    for (version, _) in VERSIONS {
        let output = nginx.curl("/events", &[version]).output().expect("curl");
        assert!(output.stdout.is_empty(), "{output:?}");
        // 52: the server sent nothing; 92: the stream of HTTP/2 was closed with an error.
        assert!(matches!(output.status.code(), Some(52 | 92)), "{output:?}");
        let response = nginx.get("/", &[version]);
        let status_line = response.lines().next().expect("a line");
        assert!(status_line.contains(" 502"), "{response}");
    }
}

#[test]
#[ignore = "needs nginx, openssl and curl"]
fn when_nginx_reloads_a_stream_ends_and_can_be_continued() {
    let (nginx, _backends) = start(&["--interval", "100ms"]);
    let mut events = nginx.events_after(0, &[]);
    events.expect(1);
    let pid = fs::read_to_string(nginx.folder.join("nginx.pid")).expect("its number");
    run_program(&mut shell(&format!("kill -HUP {pid}")));
    let last = events.expect_to_end(2);
    nginx.events_after(last, &[]).expect(last + 1);
}
