//! The server under load, as the load tools that Debian has put it: bounded in time and in number.

use crate::alone;
use crate::support::{RawClient, Server, readme_blocks, run_program, shell};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// What a load tool reports of this path.
fn report(tool: &str, server: &Server, path: &str) -> String {
    run_program(&mut shell(&format!(
        "{tool} http://{}{path}",
        server.address
    )))
}

/// Checks that all requests got an answer, of status 200, and that there were some.
fn check_answers(report: &str) {
    for fault in ["Socket errors", "Non-2xx", "\n  0 requests in "] {
        assert!(!report.contains(fault), "{report}");
    }
}

/// Checks that streams were read, and that none ended or broke.
fn check_streams(report: &str) {
    assert!(report.contains("\n  0 requests in "), "{report}");
    // An answer that does not end counts as a timeout, if as any error.
    let is_error = |(_, errors): (_, &str)| !errors.starts_with("connect 0, read 0, write 0, ");
    assert!(
        !report.split_once("Socket errors: ").is_some_and(is_error),
        "{report}"
    );
    assert!(!report.contains(", 0.00B read"), "{report}");
}

/// Reads a stream for this long, and checks that no event is missing. Gives the number of the last
/// event, and when it came, from the time when the head did.
fn read_stream(address: SocketAddr, time: Duration) -> (u32, Duration) {
    let mut client = RawClient::connect(address);
    client.send_get("/events", "");
    client.read_until("\r\n\r\ne\r\nretry: 10000\n\n\r\n");
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
            let report = report("wrk -t2 -c32 -d3s --timeout 60s", &server, "/");
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
#[ignore = "needs apache2-utils, wrk and hey"]
fn ab_wrk_and_hey_read_each_to_its_end() {
    let _alone = alone();
    let server = Server::start(&["--quiet", "--count", "3", "--interval", "10ms"]);
    let report = |tool: &str| report(tool, &server, "/events");
    for ab in ["ab -n 200 -c 20", "ab -k -n 200 -c 20"] {
        let report = report(ab);
        let all = "\nComplete requests:      200\nFailed requests:        0\n";
        assert!(
            report.contains(all) && !report.contains("Non-2xx"),
            "{report}"
        );
    }
    for hey in ["hey -n 200 -c 20", "hey -disable-keepalive -n 200 -c 20"] {
        let report = report(hey);
        assert!(report.contains("[200]\t200 responses\n"), "{report}");
        assert!(!report.contains("Error distribution"), "{report}");
    }
    check_answers(&report("wrk -t2 -c20 -d2s --timeout 60s"));
}
