//! The server under load, as wrk and hey put it: bounded in time and in number.

use crate::alone;
use crate::support::{RawClient, Server, readme_blocks, run_program, shell};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Runs wrk with 2 threads and 32 connections for 3 s and gives its report.
fn wrk(server: &Server, path: &str) -> String {
    let target = format!("http://{}{path}", server.address);
    let options = ["-t2", "-c32", "-d3s", "--timeout", "60s", &target];
    run_program(Command::new("wrk").args(options))
}

/// Checks that all requests got an answer, of status 200, and that there were some.
fn check_answers(report: &str) {
    assert!(!report.contains("Socket errors"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    let (before, _) = report.split_once(" requests in ").expect(report);
    let count = before.rsplit(char::is_whitespace).next();
    let count: u64 = count.and_then(|word| word.parse().ok()).expect(report);
    assert!(count > 0, "{report}");
}

/// Checks that streams were read, and that none broke.
fn check_streams(report: &str) {
    // An answer that does not end counts as a timeout, if as any error.
    if let Some((_, errors)) = report.split_once("Socket errors: ") {
        assert!(
            errors.starts_with("connect 0, read 0, write 0, "),
            "{report}"
        );
    }
    assert!(!report.contains("Non-2xx"), "{report}");
    assert!(!report.contains(", 0.00B read"), "{report}");
}

/// Reads a stream for this long, and checks that no event is missing. Gives the number of the last
/// event, and when it came, from the time when the head did.
fn read_stream(address: SocketAddr, time: Duration) -> (u32, Duration) {
    let mut client = RawClient::connect(address);
    client.send_get("/events", "");
    client.read_until("\r\n\r\n");
    assert_eq!(
        client.read_chunk().as_deref(),
        Some(&b"retry: 10000\n\n"[..])
    );
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < time {
        number += 1;
        let event = format!("id: {number}\ndata: {number}\n\n");
        assert_eq!(client.read_chunk(), Some(event.into_bytes()));
    }
    (number, begin.elapsed())
}

#[test]
#[ignore = "needs wrk"]
fn streams_keep_time_while_the_page_is_under_load() {
    let _alone = alone();
    let server = Server::start(&["--interval", "100ms"]);
    let streams_keep_time = || {
        let (report, streams) = thread::scope(|scope| {
            let read = || read_stream(server.address, Duration::from_secs(3));
            let streams = [(); 2].map(|()| scope.spawn(read));
            let report = wrk(&server, "/");
            let streams = streams.map(|stream| stream.join().expect("a whole stream"));
            (report, streams)
        });
        check_answers(&report);
        eprintln!("events, and the time they took: {streams:?}");
        streams
            .iter()
            .all(|(number, elapsed)| f64::from(*number) >= 0.8 * elapsed.as_secs_f64() / 0.1)
    };
    // After a stall of the machine the server skips what is past. The server's fault would show
    // every time.
    assert!((0..5).any(|_| streams_keep_time()));
}

#[test]
#[ignore = "needs wrk and h2load"]
fn every_command_of_the_readme_that_loads_the_server_works() {
    let _alone = alone();
    let held = Server::start(&["--quiet"]);
    let short = Server::start(&["--quiet", "--count", "3", "--interval", "10ms"]);
    let mut blocks = readme_blocks("sh");
    blocks.retain(|block| block.contains(":3000"));
    let commands = blocks.concat();
    // Each step begins with its number, in a comment.
    let steps: Vec<_> = commands.split("\n# ").collect();
    assert_eq!(steps.len(), 5, "{steps:?}");
    for step in steps {
        let server = if step.contains("--count 3") {
            &short
        } else {
            &held
        };
        let step = format!("# {step}").replace("127.0.0.1:3000", &server.address.to_string());
        // Two seconds show as much as ten. An answer that is slow is no error.
        let step = step.replace("-d10s", "-d2s").replace("-D10", "-D2");
        let step = step.replace("wrk -t2", "wrk -t2 --timeout 60s");
        let folder = env!("CARGO_TARGET_TMPDIR");
        let report = run_program(shell(&format!("set -e\n{step}")).current_dir(folder));
        if step.contains("h2load ") {
            assert!(report.contains("status codes: 1000 2xx, 0 3xx"), "{report}");
            assert!(
                report.contains(" 0 failed, 0 errored, 0 timeout"),
                "{report}"
            );
        }
        if step.contains("wrk ") && step.contains("/events") {
            check_streams(&report);
        } else if step.contains("wrk ") {
            check_answers(&report);
        }
    }
}

#[test]
#[ignore = "needs wrk"]
fn wrk_holds_streams_and_none_breaks() {
    let _alone = alone();
    let server = Server::start(&["--interval", "100ms"]);
    let report = wrk(&server, "/events");
    check_streams(&report);

    // wrk would replace a connection that broke: there were 32 streams, and each had events.
    let mut clients = HashSet::new();
    let mut left = 0;
    while left < clients.len().max(32) {
        let line = server.wait_for_log(" ");
        let (client, what) = line.split_once(' ').unwrap();
        if what == "got /events" {
            clients.insert(client.to_string());
        } else if !what.starts_with("emit ") {
            assert!(what.starts_with("left after "), "{line}");
            assert_ne!(what, "left after 0 events");
            left += 1;
        }
    }
    assert_eq!(clients.len(), 32);
}
