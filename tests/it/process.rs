//! The program as its user starts it: flags, messages, exit codes, standard output.

use crate::support::{Folder, Server, bare_sse, page_is_served, run_to_end, shell};
use bare_sse::options::{Command as Line, HELP, Options};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

fn run(words: &[&str]) -> Output {
    run_to_end(bare_sse(words).stdout(Stdio::piped()))
}

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
fn without_options_it_is_the_tutorial() {
    let options = options(&[]);
    assert_eq!(options.listen, "127.0.0.1:3000");
    assert_eq!((options.interval, options.lines), (None, false));
    assert_eq!(options.retry, Duration::from_secs(10));
    assert_eq!((options.count, options.max_connections), (None, 10_000));
}

#[test]
fn an_option_is_given_with_a_space_or_an_equals_sign() {
    let spaced = options(&["--listen", "[::1]:0", "--count", "3", "--www", "a=b", "-q"]);
    let equal = options(&["--listen=[::1]:0", "--count=3", "--www=a=b", "--quiet"]);
    assert_eq!(spaced, equal);
    assert_eq!(
        (&*spaced.listen, spaced.count, spaced.quiet),
        ("[::1]:0", Some(3), true)
    );
    assert_eq!(spaced.www.as_deref(), Some("a=b".as_ref()));
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    for (text, milliseconds) in [
        ("250ms", 250),
        ("10s", 10_000),
        ("2m", 120_000),
        ("0s", 0),
        ("4294967295ms", 4_294_967_295),
    ] {
        let interval = options(&["--interval", text]).interval;
        assert_eq!(
            interval,
            Some(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    for text in [
        "",
        "1",
        "s",
        "-1s",
        "+1s",
        "1.5s",
        "1 s",
        "4294967296ms",
        "4294968s",
        "1h",
        "infs",
        "1e3s",
    ] {
        let error = wrong(&["--interval", text]);
        let expected =
            "--interval needs a DURATION of at most 49 days, such as 250ms, 10s or 2m, not ";
        assert_eq!(error, format!("{expected}{text:?}"));
    }
}

#[test]
fn a_wrong_option_is_a_line_that_says_what_would_be_right() {
    assert_eq!(
        wrong(&["--port", "1"]),
        "there is no option --port: --help lists them"
    );
    assert_eq!(
        wrong(&["-q=yes"]),
        "there is no option -q=yes: --help lists them"
    );
    assert_eq!(
        wrong(&["events"]),
        "there is no option events: --help lists them"
    );
    assert_eq!(
        wrong(&["--listen"]),
        "--listen needs ADDRESS:PORT, such as 127.0.0.1:3000, or for all addresses 0.0.0.0:3000 or \
         [::]:3000"
    );
    assert_eq!(
        wrong(&["--quiet=yes"]),
        "--quiet accepts no value, but got \"yes\""
    );
    for (flag, value) in [
        ("--listen", "3000"),
        ("--listen", ":3000"),
        ("--listen", "*:3000"),
        ("--listen", "x:99999"),
        ("--listen", "x:"),
        ("--listen", "127.0.0.1:+80"),
        ("--listen", "::1:3000"),
        ("--listen", "[::1]"),
        ("--listen", "[::1]:x"),
        ("--listen", "a:1:3000"),
        ("--www", ""),
        ("--count", "0"),
        ("--count", "three"),
        ("--count", "+3"),
        ("--max-connections", "-1"),
        ("--allow-origin", "a\r\nb://"),
        ("--allow-origin", "localhost"),
        ("--allow-origin", "http://a,http://b"),
        ("--allow-origin", "http://localhost:8080/"),
        ("--allow-origin", "http://localhost/page"),
        ("--allow-origin", "http://*.example.com"),
        ("--allow-origin", "http://user@localhost"),
        ("--allow-origin", "HTTP://localhost"),
        ("--allow-origin", "http://Localhost"),
        ("--allow-origin", "http://localhost:x"),
        ("--allow-origin", "http://localhost:"),
        ("--allow-origin", "http://"),
        ("--allow-origin", "://"),
        ("--allow-origin", "h\r\nX://a"),
        ("--allow-origin", "http://localhost:80"),
        ("--allow-origin", "https://localhost:443"),
        ("--allow-origin", "http://localhost:+81"),
        ("--allow-origin", "http://a:b:1"),
        ("--allow-origin", "hTTP://localhost"),
    ] {
        let error = wrong(&[flag, value]);
        assert!(error.starts_with(&format!("{flag} needs ")), "{error}");
        assert!(error.ends_with(&format!("not {value:?}")), "{error}");
    }
}

#[test]
fn an_address_is_a_name_or_an_ip_address_and_a_port() {
    for address in [
        "localhost:3000",
        "my_host.example:0",
        "0.0.0.0:65535",
        "[::]:3000",
        "[fe80::1%2]:3000",
        "-",
    ] {
        assert_eq!(options(&["--listen", address]).listen, address);
    }
}

#[test]
fn an_origin_is_accepted_as_browsers_send_it() {
    for origin in [
        "*",
        "null",
        "http://localhost:8080",
        "https://a-b.example",
        "http://[::1]",
        "http://[::1]:81",
        "https://localhost:80",
        "chrome-extension://abcdef",
    ] {
        let options = options(&["--allow-origin", origin]);
        assert_eq!(options.allow_origin.as_deref(), Some(origin));
    }
}

#[test]
fn a_wrong_option_ends_the_program_with_2_and_one_line() {
    let output = run(&["--interval", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    let line = "bare-sse: --interval needs a DURATION of at most 49 days, such as 250ms, 10s or 2m, not \
                \"soon\"\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), line);
    assert_eq!(output.stdout, b"");
}

#[test]
fn help_that_cannot_be_written_ends_the_program_with_1_unless_its_reader_has_gone() {
    let full = File::options().write(true).open("/dev/full");
    let full = run_to_end(bare_sse(&["--help"]).stdout(full.expect("a device")));
    assert_eq!(full.status.code(), Some(1));
    let line = "bare-sse: can't write to standard output: No space left on device (os error 28)\n";
    assert_eq!(String::from_utf8_lossy(&full.stderr), line);
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let gone = run_to_end(bare_sse(&["--help"]).stdout(writer));
    assert_eq!(gone.status.code(), Some(0));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for flag in ["-h", "--help"] {
        let output = run(&[flag]);
        assert_eq!(
            (output.status.code(), output.stdout),
            (Some(0), HELP.as_bytes().to_vec())
        );
    }
    for flag in ["-V", "--version"] {
        let version = format!("bare-sse {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&run(&[flag]).stdout), version);
    }
}

#[test]
fn every_option_that_help_lists_is_accepted() {
    let words = HELP.split([' ', ',', '\n']);
    let flags: Vec<_> = words
        .filter(|word| word.starts_with('-') && *word != "-")
        .collect();
    assert!(flags.contains(&"--listen") && flags.contains(&"-q"));
    for flag in flags {
        // Some lack a value here, which is another error.
        let unknown = format!("there is no option {flag}: --help lists them");
        assert_ne!(Line::parse([flag.into()]), Err(unknown));
    }
}

#[test]
fn a_port_that_is_taken_ends_the_program_with_1_and_a_line_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        line.starts_with(&format!("bare-sse: can't listen on {address}: ")),
        "{line}"
    );
    assert!(
        line.contains("--listen 127.0.0.1:0"),
        "it says how to choose another"
    );
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_page_that_is_missing_ends_the_program_with_1_and_a_line_that_names_it() {
    let output = run(&["--www", "no-such-directory", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        line.starts_with("bare-sse: can't read no-such-directory"),
        "{line}"
    );
    assert!(
        line.contains("index.html: ") && line.lines().count() == 1,
        "{line}"
    );
}

#[test]
fn the_directory_of_the_page_may_have_a_name_that_is_not_utf_8() {
    let folder = Folder::create();
    let directory = folder.0.join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("index.html"), "<p>mine").expect("a page");
    let server = Server::from_command(bare_sse(&["--www"]).arg(&directory));
    let mut client = server.connect();
    client.send_get("/", "");
    assert_eq!(client.read_response(false).content, b"<p>mine");
}

#[test]
fn the_page_of_a_directory_is_read_at_the_start() {
    let folder = Folder::with_page(b"<p>mine");
    let server = Server::start(&["--www", folder.0.to_str().expect("UTF-8")]);
    drop(folder);
    let mut client = server.connect();
    client.send_get("/", "");
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
    let Ok(setting) = fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return;
    };
    let mappings: usize = setting.trim().parse().expect("a number");
    let (enough, too_many) = (mappings / 5, mappings / 5 + 1);
    Server::start(&["--max-connections", &enough.to_string()]);
    let output = run(&["--max-connections", &too_many.to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let line = format!(
        "bare-sse: --max-connections {too_many} needs vm.max_map_count={}, which is {mappings} \
         here: raise it with sysctl, or allow {enough} connections at most\n",
        too_many * 5
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), line);
}

#[test]
fn a_limit_of_open_files_that_allows_fewer_connections_is_told_with_its_cure() {
    let line = |files: usize, connections: &str| {
        let program = env!("CARGO_BIN_EXE_bare-sse");
        let options = format!("--listen 127.0.0.1:0 --max-connections {connections}");
        let mut command = shell(&format!("ulimit -n {files} && exec {program} {options}"));
        let mut server = Server::listening(command.stderr(Stdio::piped()));
        let errors = server.errors();
        page_is_served(server.address);
        server.kill();
        errors.iter().collect::<Vec<_>>()
    };
    assert_eq!(line(132, "100"), [""; 0]);
    assert_eq!(
        line(131, "100"),
        ["the limit of open files allows 99 connections, not 100: `ulimit -n 132` raises it"]
    );
}

#[test]
fn lines_exclude_what_has_no_meaning_with_them_in_either_order() {
    let counter = "--lines excludes --interval and --count: a line is sent when it comes";
    let input = "--lines and --listen - both need standard input";
    for (words, line) in [
        (["--interval", "1s"], counter),
        (["--count", "3"], counter),
        (["--listen", "-"], input),
    ] {
        assert_eq!(wrong(&["--lines", words[0], words[1]]), line);
        assert_eq!(wrong(&[words[0], words[1], "--lines"]), line);
        assert!(!options(&words).lines);
    }
    assert!(options(&["--lines", "--retry", "1s"]).lines);
}
