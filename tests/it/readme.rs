//! What a reader of the README can do: run its commands, its page, its readers and its nginx, look things
//! up in its table of bytes, follow its links. Its program is run in `thirty_lines.rs`, its load in
//! `tests/load`.

use crate::browser::{in_each_engine, page_of};
use crate::support::event_stream_reader::Dispatched;
use crate::support::{
    Folder, PATIENCE, README, RawClient, Server, bare_sse, blocks, free_addresses, lines_of,
    program, readme_blocks, run_program, shell, start_program, wait_until,
};
use crate::wire_format::{Outcome, cases};
use bare_sse::options::HELP;
use std::fs;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;

/// A command that the README shows, and the lines that it prints. The last is `^C` if the command goes
/// on until its user ends it.
type Transcript = (String, Vec<String>);

fn transcripts() -> Vec<Transcript> {
    let mut transcripts = Vec::<Transcript>::new();
    for line in readme_blocks("console").concat().lines() {
        match line.strip_prefix("$ ") {
            Some(command) => transcripts.push((command.into(), Vec::new())),
            None => transcripts
                .last_mut()
                .expect("a command")
                .1
                .push(comparable(line)),
        }
    }
    transcripts
}

/// A line without what differs from run to run: the date, the port of a client, and how many events are
/// written before it is noticed that the client has left.
fn comparable(line: &str) -> String {
    match line.split_once(' ') {
        Some(("Date:", _)) => "Date:".into(),
        Some((client, what)) if client.starts_with("127.0.0.1:") => {
            let what = what.split_once(" after ").map_or(what, |(left, _)| left);
            format!("CLIENT {what}")
        }
        _ => line.into(),
    }
}

#[test]
#[ignore = "needs curl"]
fn every_transcript_is_what_comes_out() {
    run_program(Command::new("curl").arg("--version"));
    let (mut server, mut log) = (None, Vec::new());
    for (command, mut output) in transcripts() {
        if command == "cargo run --release -- --help" {
            assert_eq!(output.join("\n") + "\n", HELP);
        } else if let Some(options) = command.strip_prefix("cargo run --release") {
            let options = options.trim_start_matches(" -- ").trim_end_matches('&');
            server = Some(Server::start(&Vec::from_iter(options.split_whitespace())));
            log = output.split_off(1);
            assert_eq!(output, ["Listening on http://127.0.0.1:3000"]);
        } else {
            let server = server.as_ref().expect("a server is started first");
            run_client(&command, output, server.address);
            for expected in std::mem::take(&mut log) {
                let what = expected.strip_prefix("CLIENT ").expect("a client's line");
                while comparable(&server.wait_for_log(what)) != expected {}
            }
        }
    }
}

fn run_client(command: &str, mut output: Vec<String>, server: SocketAddr) {
    let here = command.replace("127.0.0.1:3000", &server.to_string());
    let is_interrupted = output.pop_if(|line| line == "^C").is_some();
    let mut shell = shell(&here);
    shell.env("no_proxy", "*");
    shell.stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that all of it can be ended.
    let mut shell = Group(start_program(shell.process_group(0)));
    let lines = lines_of(BufReader::new(shell.0.stdout.take().expect("a pipe")));
    for expected in output {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{command}: no {expected:?} came"));
        assert_eq!(comparable(&line), expected, "{command}");
    }
    if !is_interrupted {
        let more = lines.recv_timeout(PATIENCE);
        assert_eq!(more, Err(RecvTimeoutError::Disconnected), "{command}");
    }
}

/// A process that is ended with all that it has started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let kill = format!("kill -- -{} 2> /dev/null || true", self.0.id());
        let _ = shell(&kill).status();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_page_of_six_lines_shows_each_event() {
    let page = readme_blocks("html").concat();
    assert_eq!(page.lines().count(), 6);
    let folder = Folder::with_page(page.as_bytes());
    let mut server = bare_sse(&["--interval", "100ms", "--www"]);
    let server = Server::from_command(server.arg(&folder.0));
    let page = page_of(&server);
    in_each_engine(|browser| {
        browser.open(&page);
        browser.wait_for("document.getElementById('number').textContent === '3'");
    });
}

const FIELD: &str = include_str!("../field.md");

/// Runs a reader of tests/field.md on a stream that ends, and checks that it prints the events.
fn check_reader(command: &str, kind: &str) {
    let server = Server::start(&["--quiet", "--interval", "100ms", "--count", "3"]);
    let folder = Folder::create();
    let reader = blocks(FIELD, kind).concat();
    let reader = reader.replace("127.0.0.1:3000", &server.address.to_string());
    fs::write(folder.join("reader.mjs"), reader).expect("it is written");
    let printed = run_program(shell(command).current_dir(&folder.0).env("no_proxy", "*"));
    assert!(printed.starts_with("1\n2\n3\n"), "{printed}");
}

#[test]
#[ignore = "needs python3"]
fn the_reader_in_python_prints_each_event() {
    check_reader("python3 reader.mjs", "python");
}

#[test]
#[ignore = "needs node"]
fn the_reader_in_node_prints_each_event() {
    let node = "node --experimental-eventsource";
    match shell(&format!("{node} -e 0")).status() {
        Ok(status) if status.success() => check_reader(&format!("{node} reader.mjs"), "mjs"),
        _ => eprintln!("not shown: there is no Node.js from 20.18 on"),
    }
}

#[test]
#[ignore = "needs nginx"]
fn the_nginx_of_the_readme_passes_each_event_on_and_sends_nothing_while_the_server_is_down() {
    let mut server = Server::start(&["--quiet"]);
    let [address] = free_addresses();
    let folder = Folder::create();
    let path = folder.0.display();
    let lines = readme_blocks("nginx").concat();
    let lines = lines.replace("127.0.0.1:3000", &server.address.to_string());
    let lines = lines.replace("listen 8080", &format!("listen {address}"));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {path}/{what};"));
    let configuration = format!(
        "daemon off; pid {path}/pid; events {{}} http {{ access_log off; {} {lines} }}",
        temporary.concat()
    );
    fs::write(folder.join("nginx.conf"), configuration).expect("it is written");
    let mut nginx = program("nginx");
    nginx.arg("-c").arg(folder.join("nginx.conf"));
    nginx.arg("-e").arg(folder.join("errors"));
    let _nginx = Group(start_program(nginx.process_group(0)));
    wait_until("nginx listens", || TcpStream::connect(address).is_ok());

    let mut client = RawClient::connect(address);
    client.send_get("/", "");
    assert_eq!(client.read_response(false).status(), 200);
    client.send_get("/events", "");
    client.read_until("id: 1\ndata: 1\n\n\r\n");
    server.kill();
    // Not the last chunk: the client can tell that the stream was cut off.
    assert_eq!(client.read_to_end(), b"");
    let mut client = RawClient::connect(address);
    client.send_get("/events", "");
    assert_eq!(client.read_to_end(), b"");
}

/// The rows of the README's table of bytes: bytes, event, data, last event ID, reconnection time. Only
/// what stands as code is a value.
fn table_of_bytes() -> Vec<[Option<String>; 5]> {
    let table = README.split_once("| bytes | event |").expect("the table").1;
    let lines = table.lines().skip(2);
    let cell = |cell: &str| {
        let cell = cell.trim().replace('␊', "\n");
        Some(cell.strip_prefix('`')?.trim_end_matches('`').to_string())
    };
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(cell).collect();
        cells.try_into().expect("five cells")
    };
    let rows: Vec<_> = lines
        .take_while(|line| line.starts_with("| "))
        .map(row)
        .collect();
    assert_eq!(rows.len(), 9);
    rows
}

#[test]
fn each_row_of_the_table_of_bytes_is_a_case_of_the_wire_format() {
    let cases = cases();
    for row in table_of_bytes() {
        let [bytes, event, data, id, retry] = row.clone();
        let bytes = bytes.expect("bytes").into_bytes();
        let case = cases.iter().find(|case| case.bytes == bytes);
        let last_event_id = id.unwrap_or_default();
        let dispatched = event.map(|event| Dispatched {
            event,
            data: data.unwrap_or_default(),
            last_event_id: last_event_id.clone(),
        });
        let expected = Outcome {
            events: Vec::from_iter(dispatched),
            last_event_id,
            retry: retry.map(|retry| retry.parse().expect("a number")),
        };
        assert_eq!(case.expect("a case").outcome, expected, "{row:?}");
    }
}

#[test]
fn every_link_to_the_standard_leads_to_the_section_that_it_names() {
    // HTML, November 2026.
    const STANDARD: &str = "https://html.spec.whatwg.org/multipage/server-sent-events.html#";
    let sections = [
        ("9.2.1", "server-sent-events-intro"),
        ("9.2.2", "the-eventsource-interface"),
        ("9.2.3", "sse-processing-model"),
        ("9.2.4", "the-last-event-id-header"),
        ("9.2.5", "parsing-an-event-stream"),
        ("9.2.6", "event-stream-interpretation"),
        ("9.2.7", "authoring-notes"),
    ];
    let (mut texts, folder) = (README.to_string(), env!("CARGO_MANIFEST_DIR"));
    texts += &fs::read_to_string(format!("{folder}/www/index.html")).expect("the page");
    for file in fs::read_dir(format!("{folder}/src")).expect("src") {
        texts += &fs::read_to_string(file.expect("a file").path()).expect("a text");
    }
    // Without the line ends and marks of comments.
    let words = texts.split_whitespace();
    let text = words.filter(|word| !["//!", "///", "//"].contains(word));
    let text = text.collect::<Vec<_>>().join(" ");
    let links = text.matches(STANDARD).count();
    let named = sections.map(|(number, anchor)| {
        [
            format!("[HTML {number}]({STANDARD}{anchor})"),
            format!("[HTML {number}]: {STANDARD}{anchor} "),
            format!("{STANDARD}{anchor}\">HTML {number}</a>"),
        ]
        .map(|link| text.matches(&link).count())
    });
    assert_eq!(named.as_flattened().iter().sum::<usize>(), links);
}

/// The anchors of the headings of a text, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let words = words.replace(|c: char| !c.is_alphanumeric() && c != ' ' && c != '-', "");
        words.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Checks the links of a file of the project, and returns how many there are.
fn check_links(file: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join(file).parent().expect("a folder").to_path_buf();
    let text = fs::read_to_string(root.join(file)).expect("a text");
    let mut count = 0;
    for (begin, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
        for rest in text.split(begin).skip(1) {
            let link = rest.split(end).next().expect("a target");
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if !target.starts_with("http") {
                let path = match target {
                    "" => root.join(file),
                    target => folder.join(target),
                };
                assert!(path.exists(), "{link} in {file}");
                let leads = |text: String| anchors(&text).iter().any(|found| found == anchor);
                let leads = anchor.is_empty() || fs::read_to_string(path).is_ok_and(leads);
                assert!(leads, "{link} in {file}");
            }
            count += 1;
        }
    }
    count
}

#[test]
fn every_link_within_the_project_leads_somewhere() {
    assert!(check_links("README.md") > 20);
    check_links("tests/field.md");
    for rest in README.split("--bench ").skip(1) {
        let name = rest.split([' ', '`']).next().expect("a name");
        let bench = format!("{}/benches/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(Path::new(&bench).exists(), "{name}");
    }
}
