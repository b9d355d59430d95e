//! Streams that end, as the load tools that Debian has request them, on connections that persist and
//! on those that do not: no tool reports an error.

use crate::alone;
use crate::support::{Server, run_program};
use std::process::Command;

/// Runs a tool on short streams. Its report must have the first parts in it, and none of the others.
fn check(command: &str, parts: &[&str], no_parts: &[&str]) {
    let _alone = alone();
    let server = Server::start(&["--quiet", "--count", "3", "--interval", "10ms"]);
    let mut words = command.split(' ');
    let mut tool = Command::new(words.next().expect("a program"));
    let target = format!("http://{}/events", server.address);
    let report = run_program(tool.args(words).arg(target));
    let is_there = |part: &&str| report.contains(part);
    assert!(parts.iter().all(is_there), "{parts:?} in {report}");
    assert!(!no_parts.iter().any(is_there), "{no_parts:?} in {report}");
}

#[test]
#[ignore = "needs apache2-utils"]
fn ab_reads_each_to_its_end() {
    let all = [
        "Complete requests:      200\n",
        "Failed requests:        0\n",
    ];
    check("ab -n 200 -c 20", &all, &["Non-2xx"]);
    check("ab -k -n 200 -c 20", &all, &["Non-2xx"]);
}

#[test]
#[ignore = "needs nghttp2-client"]
fn h2load_reads_each_to_its_end() {
    let all = "200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout\n";
    check("h2load --h1 -n 200 -c 20", &[all], &[]);
}

#[test]
#[ignore = "needs wrk"]
fn wrk_reads_each_to_its_end() {
    let errors = ["Socket errors", "Non-2xx", " 0 requests in "];
    check("wrk -t2 -c20 -d2s --timeout 60s", &[], &errors);
}

#[test]
#[ignore = "needs hey"]
fn hey_reads_each_to_its_end() {
    check(
        "hey -n 200 -c 20",
        &["[200]\t200 responses\n"],
        &["Error distribution"],
    );
    let no_keep_alive = "hey -disable-keepalive -n 200 -c 20";
    check(
        no_keep_alive,
        &["[200]\t200 responses\n"],
        &["Error distribution"],
    );
}
