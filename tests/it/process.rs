//! The program as its user starts it: options, messages, exit statuses, standard output.

use crate::support::{Folder, Server, bare_sse, failure, page_is_served, run_to_end, shell};
use bare_sse::options::{Command as Line, HELP, Options};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bare-sse");

fn options(words: &[&str]) -> Options {
    match Line::parse(words.iter().map(Into::into)) {
        Ok(Line::Serve(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn wrong(words: &[&str]) -> String {
    Line::parse(words.iter().map(Into::into)).expect_err("a wrong line")
}

#[test]
fn every_option_that_help_lists_is_accepted_and_by_default_what_help_says() {
    let words = HELP.split([' ', ',', '\n']);
    for flag in words.filter(|word| word.starts_with('-') && *word != "-") {
        // Some lack a value here, which is another error.
        let unknown = format!("there is no option {flag}: --help lists them");
        assert_ne!(Line::parse([flag.into()]), Err(unknown));
    }
    for (flag, default) in [
        ("--listen ADDRESS:PORT", "127.0.0.1:3000"),
        ("--retry DURATION", "10s"),
        ("--max-connections N", "10000"),
    ] {
        let line = HELP.lines().find(|line| line.contains(flag));
        assert!(line.expect(flag).contains(&format!(" [{default}] ")));
        let (flag, _) = flag.split_once(' ').expect("a flag and its value");
        assert_eq!(options(&[flag, default]), options(&[]));
    }
}

#[test]
fn an_option_is_given_with_a_space_or_an_equals_sign() {
    let expected = Options {
        listen: "[::1]:0".into(),
        lines: false,
        interval: Some(Duration::from_millis(250)),
        retry: Duration::from_secs(120),
        count: Some(3),
        www: Some("a=b".into()),
        allow_origin: Some("null".into()),
        max_connections: 7,
        quiet: true,
    };
    let spaced = "--listen [::1]:0 --interval 250ms --retry 2m --count 3 --www a=b \
                  --allow-origin null --max-connections 7 --quiet";
    let equal = spaced.replace(" --", "\n--").replace(' ', "=");
    assert_eq!(options(&Vec::from_iter(spaced.split(' '))), expected);
    assert_eq!(options(&Vec::from_iter(equal.lines())), expected);
    assert!(options(&["-q"]).quiet);
}

#[test]
fn a_value_that_does_not_fit_its_option_is_told_with_what_would_fit() {
    for (flag, needs, accepted, refused) in [
        (
            "--listen",
            "ADDRESS:PORT, such as 127.0.0.1:3000, or for all addresses 0.0.0.0:3000 or [::]:3000",
            "- localhost:3000 my_host.example:0 0.0.0.0:65535 [::]:3000 [fe80::1%2]:3000",
            "3000 :3000 *:3000 x:99999 x: 127.0.0.1:+80 ::1:3000 [::1] [::1]:x a:1:3000",
        ),
        (
            "--interval",
            "a DURATION of at most 49 days, such as 250ms, 10s or 2m",
            "250ms 10s 0s 4294967295ms",
            "1 s -1s +1s 1.5s 4294967296ms 4294968s 1h infs 1e3s",
        ),
        ("--count", "a whole number, 1 or more", "1", "0 three +3 -1"),
        (
            "--max-connections",
            "a whole number, 1 or more",
            "1",
            "0 -1",
        ),
        ("--www", "a directory", "no-such", ""),
        (
            "--allow-origin",
            "an origin as browsers send it, such as http://localhost:8080, or *",
            "* null http://localhost:8080 https://a-b.example http://[::1] http://[::1]:81 \
             https://localhost:80 chrome-extension://abcdef",
            "localhost http://a,http://b http://localhost:8080/ http://localhost/page \
             http://*.example.com http://user@localhost HTTP://localhost hTTP://localhost \
             http://Localhost http://localhost:x http://localhost: http:// :// a\r\nb:// \
             h\r\nX://a http://localhost:80 https://localhost:443 http://localhost:+81 http://a:b:1",
        ),
    ] {
        for value in accepted.split(' ') {
            options(&[flag, value]);
        }
        for value in refused.split(' ') {
            let line = format!("{flag} needs {needs}, not {value:?}");
            assert_eq!(wrong(&[flag, value]), line);
        }
        assert_eq!(wrong(&[flag]), format!("{flag} needs {needs}"));
    }
}

#[test]
fn what_is_not_an_option_and_a_value_that_an_option_does_not_accept_are_named() {
    for word in ["--port", "-q=yes", "events"] {
        let line = format!("there is no option {word}: --help lists them");
        assert_eq!(wrong(&[word, "1"]), line);
    }
    let line = "--quiet accepts no value, but got \"yes\"";
    assert_eq!(wrong(&["--quiet=yes"]), line);
}

#[test]
fn lines_exclude_what_has_no_meaning_with_them_in_either_order() {
    let counter = "--lines excludes --interval and --count: a line is sent when it comes";
    let input = "--lines and --listen - both need standard input";
    for (flag, value, line) in [
        ("--interval", "1s", counter),
        ("--count", "3", counter),
        ("--listen", "-", input),
    ] {
        assert_eq!(wrong(&["--lines", flag, value]), line);
        assert_eq!(wrong(&[flag, value, "--lines"]), line);
    }
    assert!(options(&["--lines", "--retry", "1s"]).lines);
}

#[test]
fn the_program_ends_with_2_for_a_wrong_option_and_1_for_what_fails_and_a_line_that_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let is_taken = format!(
        "can't listen on {address}: Address already in use (os error 98). Choose another port, or 0 \
         for any free one: --listen 127.0.0.1:0"
    );
    let soon =
        "--interval needs a DURATION of at most 49 days, such as 250ms, 10s or 2m, not \"soon\"";
    let no_page = "can't read nowhere/index.html: No such file or directory (os error 2)";
    let full = "can't write to standard output: No space left on device (os error 28)";
    for (words, status, line) in [
        ("--interval soon", 2, soon),
        (&*format!("--listen {address}"), 1, &is_taken),
        ("--www nowhere", 1, no_page),
        ("--help > /dev/full", 1, full),
    ] {
        let failed = failure(&mut shell(&format!("exec {PROGRAM} {words}")));
        assert_eq!(failed, (status, line.into()));
    }
}

#[test]
fn help_and_version_go_to_standard_output_whose_reader_may_have_gone() {
    let version = concat!("bare-sse ", env!("CARGO_PKG_VERSION"), "\n");
    for (flag, text) in [
        ("-h", HELP),
        ("--help", HELP),
        ("-V", version),
        ("--version", version),
    ] {
        let output = run_to_end(bare_sse(&[flag]).stdout(Stdio::piped()));
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    }
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let gone = run_to_end(bare_sse(&["--help"]).stdout(writer));
    assert_eq!(gone.status.code(), Some(0));
}

#[test]
fn the_page_of_a_directory_whose_name_need_not_be_utf_8_is_read_at_the_start() {
    let folder = Folder::create();
    let directory = folder.0.join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("index.html"), "<p>mine").expect("a page");
    let server = Server::from_command(bare_sse(&["--www"]).arg(&directory));
    drop(folder);
    let mut client = server.connect();
    client.send_get("/app.js", "");
    assert_eq!(client.read_response(false).content, b"<p>mine");
}

#[test]
fn a_host_name_can_be_listened_on() {
    let server = Server::listening(&mut bare_sse(&["--listen", "localhost:0"]));
    page_is_served(server.address);
}

#[test]
fn a_server_that_was_suspended_goes_on_with_every_client() {
    let server = Server::start(&["--interval", "0s", "--quiet"]);
    let mut half = server.connect();
    half.send(b"GET / HTTP/1.1\r\n");
    let mut unread = server.connect();
    unread.send_get("/events", "");
    // Linux interrupts what waits for a client. The buffers of the stream are full after a second.
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(100));
        server.signal("STOP");
        server.signal("CONT");
    }
    half.send(b"Host: x\r\n\r\n");
    assert_eq!(half.read_response(false).status(), 200);
    // More than the buffers hold.
    let mut count = 0;
    while count < 16_000_000 {
        count += unread.try_read().expect("the stream goes on").len();
    }
}

#[test]
fn five_mappings_must_fit_for_each_connection_or_the_program_does_not_start() {
    let setting = fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has it");
    let mappings: usize = setting.trim().parse().expect("a number");
    let (enough, too_many) = (mappings / 5, mappings / 5 + 1);
    Server::start(&["--max-connections", &enough.to_string()]);
    let line = format!(
        "--max-connections {too_many} needs vm.max_map_count={}, which is {mappings} \
         here: raise it with sysctl, or allow {enough} connections at most",
        too_many * 5
    );
    let failed = failure(&mut bare_sse(&["--max-connections", &too_many.to_string()]));
    assert_eq!(failed, (2, line));
}

#[test]
fn a_limit_of_open_files_that_allows_fewer_connections_is_told_with_its_cure() {
    for (files, allowed) in [(132, 100), (131, 99), (9, 1)] {
        let options = "--listen 127.0.0.1:0 --max-connections 100";
        let mut command = shell(&format!("ulimit -n {files} && exec {PROGRAM} {options}"));
        let mut server = Server::listening(command.stderr(Stdio::piped()));
        let errors = server.errors();
        page_is_served(server.address);
        server.kill();
        let line = format!(
            "the open-file limit allows {allowed} of 100 connections: `ulimit -n 132` raises it"
        );
        let is_told = allowed < 100;
        assert_eq!(errors.iter().next(), is_told.then_some(line));
    }
}
