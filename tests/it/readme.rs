//! What a reader of the README can do: run its commands, its page, its readers and its nginx, look things
//! up in its table of bytes, follow its links. Its program is run in `thirty_lines.rs`, its load in
//! `tests/load`.

use crate::browser::{in_each_engine, page_of};
use crate::proxies::Proxy;
use crate::support::event_stream_reader::Dispatched;
use crate::support::webdriver::{Browser, Engine};
use crate::support::{
    Folder, PATIENCE, README, RawClient, Server, bare_sse, blocks, lines_of, readme_blocks,
    run_program, shell, start_program,
};
use crate::wire_format::{Outcome, cases};
use bare_sse::options::HELP;
use std::fs;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

#[test]
#[ignore = "needs curl"]
fn every_transcript_is_what_comes_out() {
    let (mut server, mut log) = (None, Vec::new());
    let transcripts = String::from("\n") + &readme_blocks("console").concat();
    for transcript in transcripts.split("\n$ ").skip(1) {
        let (command, output) = transcript.split_once('\n').unwrap_or((transcript, ""));
        let mut output = Vec::from_iter(output.lines());
        if command == "cargo run --release -- --help" {
            assert_eq!(output.join("\n"), HELP.trim_end());
        } else if let Some(options) = command.strip_prefix("cargo run --release") {
            let options = options.trim_start_matches(" -- ").trim_end_matches('&');
            server = Some(Server::start(&Vec::from_iter(options.split_whitespace())));
            log = output.split_off(1);
            assert_eq!(output, ["Listening on http://127.0.0.1:3000"]);
        } else {
            let server = server.as_ref().expect("a server is started first");
            run_client(command, &output, server.address);
            for line in log.drain(..) {
                let (_, what) = line.split_once(' ').expect("a client and what it did");
                // How many events are written before it is noticed that a client has left varies.
                let logged = server.wait_for_log(what.trim_end_matches("2 events"));
                assert!(logged.starts_with("127.0.0.1:"), "{logged}");
            }
        }
    }
}

/// Runs a command that must print this. The last line is `^C` if it goes on until its user ends it.
fn run_client(command: &str, output: &[&str], server: SocketAddr) {
    let here = command.replace("127.0.0.1:3000", &server.to_string());
    let mut shell = shell(&format!("exec {here}"));
    shell.env("no_proxy", "*").stdout(Stdio::piped());
    let mut process = start_program(shell.stderr(Stdio::null()));
    let lines = lines_of(BufReader::new(process.stdout.take().expect("a pipe")));
    let is_date = |line: &str| line.starts_with("Date: ");
    for &expected in output {
        if expected == "^C" {
            process.kill().expect("it is killed");
            break;
        }
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{command}: no {expected:?} came"));
        let both_are_dates = is_date(&line) && is_date(expected);
        assert!(line == expected || both_are_dates, "{command}: {line:?}");
    }
    process.wait().expect("it ends");
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
        browser.wait_for("document.getElementById('number').textContent >= 3");
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_watchdog_resumes_when_no_event_comes() {
    let blocks = readme_blocks("js");
    let script = blocks.iter().find(|block| block.contains("watchdog"));
    let page = format!("<script>{}</script>", script.expect("the watchdog"));
    let folder = Folder::with_page(page.as_bytes());
    let server = Server::from_command(bare_sse(&["--www"]).arg(&folder.0));
    let browser = Browser::start(Engine::Chromium);
    browser.open(&page_of(&server));
    server.wait_for_log("emit 2");
    // A server that is suspended is as silent as a dead network.
    server.signal("STOP");
    browser.wait_for("source.readyState === EventSource.CONNECTING");
    server.signal("CONT");
    server.wait_for_log("got /events, last event ID ");
}

/// Runs a reader of tests/field.md on a stream that ends, and checks that it prints the events.
fn check_reader(command: &str, kind: &str) {
    let server = Server::start(&["--quiet", "--interval", "100ms", "--count", "3"]);
    let folder = Folder::create();
    let reader = blocks(include_str!("../field.md"), kind).concat();
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
#[ignore = "needs nginx and curl"]
fn the_nginx_of_the_readme_passes_each_event_on_and_sends_nothing_while_the_server_is_down() {
    let mut server = Server::start(&["--quiet"]);
    let lines = readme_blocks("nginx").concat();
    let lines = lines.replace("127.0.0.1:3000", "127.0.0.1:{server_port}");
    let lines = lines.replace("listen 8080", "listen 127.0.0.1:{port}");
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|what| format!("{what}_temp_path {{folder}}/{what};"));
    let configuration = format!(
        "daemon off; pid {{folder}}/pid; events {{}} http {{ access_log off; {} {lines} }}",
        paths.concat()
    );
    let command = "nginx -e {folder}/errors -c {folder}/configuration";
    let nginx = Proxy::start("http", command, &configuration, server.address);

    let mut client = RawClient::connect(nginx.address);
    client.send_get("/", "");
    assert_eq!(client.read_response(false).status(), 200);
    client.send_get("/events", "");
    client.read_until("id: 1\ndata: 1\n\n\r\n");
    server.kill();
    // Not the last chunk: the client can tell that the stream was cut off.
    assert_eq!(client.read_to_end(), b"");
    let mut client = RawClient::connect(nginx.address);
    client.send_get("/events", "");
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn each_row_of_the_table_of_bytes_is_a_case_of_the_wire_format() {
    let (_, table) = README.split_once("| bytes | event |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| !line.is_empty());
    let rows = Vec::from_iter(rows);
    assert_eq!(rows.len(), 9);
    let cases = cases();
    for row in rows {
        // Only what stands as code is a value.
        let cells = row.trim_matches('|').split('|').map(|cell| {
            let cell = cell.trim().replace('␊', "\n");
            Some(cell.strip_prefix('`')?.trim_end_matches('`').to_string())
        });
        let cells = Vec::from_iter(cells).try_into().expect("five cells");
        let [bytes, event, data, id, retry]: [Option<String>; 5] = cells;
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
        assert_eq!(case.expect(row).outcome, expected, "{row}");
    }
}

/// Whether a text has a heading with this anchor, as GitHub makes it.
fn has_anchor(text: &str, anchor: &str) -> bool {
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let words = words.replace(|c: char| !c.is_alphanumeric() && c != ' ' && c != '-', "");
        words.replace(' ', "-") == anchor
    })
}

#[test]
fn every_link_within_the_project_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [root.join("README.md"), root.join("tests/field.md")] {
        let text = fs::read_to_string(&file).expect("a text");
        for (begin, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
            for link in text.split(begin).skip(1) {
                let (link, _) = link.split_once(end).expect("its end");
                let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
                if target.starts_with("http") {
                    continue;
                }
                let target = match target {
                    "" => file.clone(),
                    target => file.with_file_name(target),
                };
                assert!(target.exists(), "{link} in {}", file.display());
                let leads = |text: String| has_anchor(&text, anchor);
                let leads = anchor.is_empty() || fs::read_to_string(target).is_ok_and(leads);
                assert!(leads, "{link} in {}", file.display());
            }
        }
    }
    for rest in README.split("--bench ").skip(1) {
        let name = rest.split([' ', '`']).next().expect("a name");
        let bench = root.join(format!("benches/{name}.rs"));
        assert!(bench.exists(), "{name}");
    }
}
