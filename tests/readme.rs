//! The README: its transcripts are run and compared, its tables and its links are looked up.

#![cfg(unix)]

mod support;

use bare_sse::client::Limits;
use bare_sse::counter::KEEP_ALIVE;
use bare_sse::options::{HELP, Options};
use bare_sse::request::{FIELDS_LIMIT, HEAD_LIMIT, TARGET_LIMIT};
use bare_sse::server::most_connections;
use std::fs;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use support::event_stream_reader::{Dispatched, Reader};
use support::{PATIENCE, Server, lines_of, run_program, start_program};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of this kind.
fn blocks(kind: &str) -> Vec<String> {
    let (readme, fence) = (file("README.md"), format!("\n```{kind}\n"));
    let blocks = readme.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split_once("```\n").expect("its end").0.to_string())
        .collect()
}

/// A command that the README shows, and what it prints.
struct Transcript {
    command: String,
    output: Vec<String>,
    /// The command goes on until its user ends it.
    is_interrupted: bool,
}

fn transcripts() -> Vec<Transcript> {
    let blocks = blocks("console");
    let transcript = |block: &String| {
        let (command, output) = block.split_once('\n').expect("a command and its output");
        let command = command.strip_prefix("$ ").expect("a prompt").to_string();
        let mut output: Vec<_> = output.lines().map(comparable).collect();
        let is_interrupted = output.pop_if(|line| line == "^C").is_some();
        Transcript {
            command,
            output,
            is_interrupted,
        }
    };
    blocks.iter().map(transcript).collect()
}

/// A line without what differs from run to run: the date, and the port of a client.
fn comparable(line: &str) -> String {
    match line.split_once(' ') {
        Some(("Date:", _)) => "Date: …".to_string(),
        Some((client, what)) if client.starts_with("127.0.0.1:") => format!("CLIENT {what}"),
        _ => line.to_string(),
    }
}

/// A server that the README starts, and the log that it shows of it.
struct Scene {
    server: Server,
    log: Vec<String>,
}

impl Scene {
    /// `cargo run --release -- OPTIONS`, on a free port.
    fn start(transcript: &Transcript) -> Scene {
        let options: Vec<_> = transcript.command.split(' ').skip(4).collect();
        let (listening, log) = transcript.output.split_first().expect("a line");
        assert_eq!(listening, "Listening on http://127.0.0.1:3000");
        Scene {
            server: Server::start(&options),
            log: log.to_vec(),
        }
    }

    /// Runs a command of a client and compares what it prints.
    fn run(&self, transcript: &Transcript) {
        let port = self.server.address.port();
        let command = transcript
            .command
            .replace("localhost:3000", &format!("127.0.0.1:{port}"));
        let command = command.replace("localhost 3000", &format!("127.0.0.1 {port}"));
        let shell = Shell::start(&command);
        for expected in &transcript.output {
            let line = shell.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{command}: no {expected:?} came"));
            assert_eq!(&comparable(&line), expected, "{command}");
        }
        if !transcript.is_interrupted {
            let more = shell.lines.recv_timeout(PATIENCE);
            assert_eq!(more, Err(RecvTimeoutError::Disconnected), "{command}");
        }
    }

    /// Compares the log, in which other clients may stand between.
    fn end(self) {
        for expected in self.log {
            let what = expected.strip_prefix("CLIENT ").expect("a client's line");
            assert_eq!(comparable(&self.server.wait_for_log(what)), expected);
        }
    }
}

/// A command in a shell, and the lines that it prints.
struct Shell {
    process: Child,
    lines: Receiver<String>,
}

impl Shell {
    fn start(command: &str) -> Shell {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // A group of its own, so that all of it can be ended.
        let mut process = start_program(shell.process_group(0));
        let output = process.stdout.take().expect("a pipe");
        let lines = lines_of(BufReader::new(output));
        Shell { process, lines }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let kill = format!("kill -- -{} 2> /dev/null || true", self.process.id());
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let _ = self.process.wait();
    }
}

/// Runs the transcripts in their order, those of clients that this picks.
fn run_transcripts(picks: impl Fn(&str) -> bool) {
    let (mut scene, mut count) = (None::<Scene>, 0);
    for transcript in transcripts() {
        let command = transcript.command.as_str();
        if command == "cargo run --release -- --help" {
            assert_eq!(transcript.output.join("\n") + "\n", HELP);
        } else if command.starts_with("cargo run --release") {
            if let Some(scene) = scene
                .replace(Scene::start(&transcript))
                .filter(|_| count > 0)
            {
                scene.end();
            }
            count = 0;
        } else if picks(command) {
            scene
                .as_ref()
                .expect("a server is started first")
                .run(&transcript);
            count += 1;
        }
    }
    if count > 0 {
        scene.expect("a server").end();
    }
}

#[test]
fn every_transcript_is_what_comes_out() {
    run_program(Command::new("curl").arg("--version"));
    run_transcripts(|command| command.starts_with("curl "));
}

#[test]
#[ignore = "needs nc"]
fn every_transcript_of_the_exercises_is_what_comes_out() {
    run_program(Command::new("sh").args(["-c", "command -v nc"]));
    run_transcripts(|command| command.contains("| nc "));
}

#[test]
fn every_transcript_is_one_that_a_test_runs() {
    for Transcript { command, .. } in transcripts() {
        let is_run = command.starts_with("cargo run --release")
            || command.starts_with("curl ")
            || command.contains("| nc ");
        assert!(is_run, "{command}");
    }
}

#[test]
#[ignore = "needs wrk and hey"]
fn every_command_that_loads_the_server_works() {
    let held = Server::start(&["--quiet"]);
    let short = Server::start(&["--quiet", "--count", "3", "--interval", "10ms"]);
    let blocks = blocks("sh");
    let mut count = 0;
    for block in blocks.iter().filter(|block| block.contains(":3000")) {
        let server = if block.contains("hey -n") {
            &short
        } else {
            &held
        };
        let block = block.replace("127.0.0.1:3000", &server.address.to_string());
        // Two seconds show as much as ten.
        let block = block.replace("10s", "2s");
        let folder = env!("CARGO_TARGET_TMPDIR");
        let report = run_program(Command::new("sh").args(["-ec", &block]).current_dir(folder));
        assert!(
            !report.contains("Non-2xx") && !report.contains("Error dist"),
            "{block}{report}"
        );
        let has_errors = report.contains("Socket errors: ");
        let only_timeouts = report.contains("Socket errors: connect 0, read 0, write 0, ");
        assert!(!has_errors || only_timeouts, "{block}{report}");
        count += 1;
    }
    assert!(count >= 4, "only {count} blocks");
}

#[test]
fn the_commands_of_contributors_are_those_that_ci_runs() {
    let ci = file(".ci/run");
    let commands = blocks("sh").concat();
    let cargo: Vec<_> = commands
        .lines()
        .filter(|line| line.starts_with("cargo "))
        .collect();
    assert!(cargo.len() >= 4, "{cargo:?}");
    for command in cargo {
        let base = command.split(" --bench").next().unwrap_or(command);
        assert!(ci.lines().any(|line| line.starts_with(base)), "{command}");
    }
}

#[test]
fn the_table_of_bytes_is_what_a_reader_of_the_standard_makes_of_them() {
    let readme = file("README.md");
    let table = readme.split_once("| bytes | event |").expect("the table").1;
    let rows: Vec<_> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with("| "))
        .collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in rows {
        let cell = |cell: &str| {
            let cell = cell.trim().replace('␊', "\n");
            cell.strip_prefix('`')
                .map(|cell| cell.trim_end_matches('`').to_string())
        };
        let cells: Vec<_> = row.trim_matches('|').split('|').map(cell).collect();
        let [bytes, event, data, id, retry] = &cells[..] else {
            panic!("{row}")
        };
        let reader = Reader::of(bytes.as_ref().expect("bytes").as_bytes());
        let dispatched = event.as_ref().map(|event| Dispatched {
            event: event.clone(),
            data: data.clone().unwrap_or_default(),
            last_event_id: id.clone().unwrap_or_default(),
        });
        assert_eq!(reader.dispatched, Vec::from_iter(dispatched), "{row}");
        assert_eq!(
            reader.last_event_id,
            id.clone().unwrap_or_default(),
            "{row}"
        );
        assert_eq!(reader.retry.map(|retry| retry.to_string()), *retry, "{row}");
    }
}

/// The words of this text that are options, such as `--count`.
fn flags(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .collect()
}

#[test]
fn help_has_every_option_and_the_readme_no_other() {
    let source = file("src/options.rs");
    let parser = source.split_once("match flag {").expect("the parser").1;
    let parser = parser.split_once("_ => return").expect("its end").0;
    for flag in flags(parser) {
        assert!(flags(HELP).contains(&flag), "{flag} is missing from --help");
    }
    for flag in flags(HELP) {
        assert!(
            parser.contains(&format!("\"{flag}\"")),
            "{flag} is not an option"
        );
    }
    // Those of cargo and of wrk's friends are not ours.
    let others = [
        "--release",
        "--ignored",
        "--all-targets",
        "--open",
        "--bench",
        "--pids-limit",
        "--seconds",
    ];
    for flag in flags(&file("README.md")) {
        assert!(
            flags(HELP).contains(&flag) || others.contains(&flag),
            "there is no {flag}"
        );
    }
}

#[test]
fn the_reading_order_has_every_file() {
    let readme = file("README.md");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(directory).expect("src") {
        let name = entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8");
        // The tour itself is cargo doc's first page.
        let row = format!("| [`{name}`](src/{name}) | ");
        assert!(name == "lib.rs" || readme.contains(&row), "{name}");
    }
}

#[test]
fn every_link_within_the_project_leads_somewhere() {
    let readme = file("README.md");
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let words = words.replace(|c: char| !c.is_alphanumeric() && c != ' ' && c != '-', "");
        format!("#{}", words.replace(' ', "-"))
    };
    let anchors: Vec<_> = readme
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect();
    let targets = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|target| !target.starts_with("http")) {
        let is_there = anchors.iter().any(|anchor| anchor == target)
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists();
        assert!(is_there, "{target}");
    }
}

#[test]
fn the_limits_in_the_readme_are_those_of_the_source() {
    let readme = file("README.md");
    let limits = Limits::DEFAULT;
    let [head, idle, write] = [limits.head, limits.idle, limits.write].map(|limit| limit.as_secs());
    assert_eq!(KEEP_ALIVE.as_secs(), 15);
    assert_eq!(Options::default().max_connections, 10_000);
    assert_eq!(most_connections(65_530), 13_106);
    for claim in [
        format!("a request target over {TARGET_LIMIT} bytes | 414"),
        format!("a head over {HEAD_LIMIT} bytes or {FIELDS_LIMIT} field lines | 431"),
        format!("a head that takes over {head} s | 408"),
        format!("an idle connection | closed after {idle} s"),
        format!("a client that stops reading | closed after {write} s in which"),
        "more than 10,000 connections".to_string(),
        "more than 13,106 connections".to_string(),
        "every 15 seconds".to_string(),
    ] {
        assert!(readme.contains(&claim), "{claim}");
    }
}
