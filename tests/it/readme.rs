//! The README: its transcripts are run and compared, and what it names is looked up: files, pictures,
//! sections of this project and of the standards.

use crate::support::event_stream_reader::{Dispatched, Reader};
use crate::support::{PATIENCE, Server, lines_of, readme_blocks, run_program, start_program};
use bare_sse::options::HELP;
use std::fs;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A command that the README shows, and what it prints.
struct Transcript {
    command: String,
    output: Vec<String>,
    /// The command goes on until its user ends it.
    is_interrupted: bool,
}

/// Each block is one command after a prompt, and its output, or several.
fn transcripts() -> Vec<Transcript> {
    let mut transcripts = Vec::<Transcript>::new();
    for line in readme_blocks("console").concat().lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            transcripts.push(Transcript {
                command: command.to_string(),
                output: Vec::new(),
                is_interrupted: false,
            });
        } else {
            let transcript = transcripts.last_mut().expect("a command");
            transcript.is_interrupted = line == "^C";
            if !transcript.is_interrupted {
                transcript.output.push(comparable(line));
            }
        }
    }
    transcripts
}

/// A line without what differs from run to run: the port of a client, and how many events are written
/// before it is noticed that the client has left.
fn comparable(line: &str) -> String {
    match line.split_once(' ') {
        Some((client, what)) if client.starts_with("127.0.0.1:") => {
            match what.split_once(" after ") {
                Some(("left", _)) => "CLIENT left".to_string(),
                _ => format!("CLIENT {what}"),
            }
        }
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
            while comparable(&self.server.wait_for_log(what)) != expected {}
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
            .env("no_proxy", "*")
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
            // The log that is shown is of these.
            count += usize::from(command.starts_with("curl "));
        }
    }
    if count > 0 {
        scene.expect("a server").end();
    }
}

#[test]
#[ignore = "needs curl"]
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

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sections of the standard on server-sent events (HTML, November 2026).
const SECTIONS: [(&str, &str); 7] = [
    ("9.2.1", "server-sent-events-intro"),
    ("9.2.2", "the-eventsource-interface"),
    ("9.2.3", "sse-processing-model"),
    ("9.2.4", "the-last-event-id-header"),
    ("9.2.5", "parsing-an-event-stream"),
    ("9.2.6", "event-stream-interpretation"),
    ("9.2.7", "authoring-notes"),
];

#[test]
fn every_link_to_the_standard_leads_to_the_section_that_it_names() {
    let mut texts = vec![file("README.md"), file("www/index.html")];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(directory).expect("src") {
        let name = entry.expect("a file").file_name();
        texts.push(file(&format!("src/{}", name.to_string_lossy())));
    }
    let text = texts.concat();
    const STANDARD: &str = "https://html.spec.whatwg.org/multipage/server-sent-events.html#";
    let links: Vec<_> = text.match_indices(STANDARD).collect();
    assert!(links.len() >= 3);
    for (at, link) in links {
        let anchor = &text[at + link.len()..];
        let end = anchor.find(|c: char| !c.is_ascii_lowercase() && c != '-');
        let anchor = &anchor[..end.expect("its end")];
        let (number, _) = SECTIONS
            .iter()
            .find(|section| section.1 == anchor)
            .expect(anchor);
        // `[HTML 9.2.6](LINK`, `[HTML 9.2.6]: LINK`, or `<a href="LINK">HTML 9.2.6</a>`.
        let near: String = text[..at].chars().rev().take(20).collect();
        let near = near.chars().rev().chain(text[at..].chars().take(150));
        let near = near.collect::<String>();
        let near = near.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(near.contains(&format!("HTML {number}")), "{near}");
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
    let links = readme.split("](").skip(1).map(|rest| (rest, ')'));
    let pictures = readme
        .split(r#"src="#)
        .skip(1)
        .map(|rest| (&rest[1..], '"'));
    let sets = readme
        .split(r#"srcset="#)
        .skip(1)
        .map(|rest| (&rest[1..], '"'));
    let targets: Vec<_> = links
        .chain(pictures)
        .chain(sets)
        .filter_map(|(rest, end)| rest.split(end).next())
        .filter(|target| !target.starts_with("http"))
        .collect();
    assert!(targets.contains(&"www/page.png") && targets.contains(&"www/page-dark.png"));
    for target in targets {
        let is_there = anchors.iter().any(|anchor| anchor == target) || exists(target);
        assert!(is_there, "{target}");
    }
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

#[test]
fn every_file_and_bench_that_the_readme_names_exists() {
    let readme = file("README.md");
    let mut count = 0;
    // Outside the blocks.
    let text: String = readme.split("```").step_by(2).collect();
    for span in spans(&text).filter(|span| !span.contains(' ')) {
        let is_ours = ["src/", "www/", "tests/", "benches/", ".ci/"]
            .iter()
            .any(|folder| span.starts_with(folder));
        if is_ours || span.ends_with(".rs") {
            let in_source = exists(&format!("src/{span}"));
            assert!(exists(span) || in_source, "{span}");
            count += 1;
        }
    }
    assert!(count >= 12, "only {count} files");
    for rest in readme.split("--bench ").skip(1) {
        let name = rest.split([' ', '`']).next().expect("a name");
        assert!(exists(&format!("benches/{name}.rs")), "{name}");
    }
}

#[test]
fn the_readme_says_which_rust_it_needs_and_what_the_log_says() {
    let readme = file("README.md");
    let manifest = file("Cargo.toml");
    let version = manifest.split_once("rust-version = \"").expect("it").1;
    let version = version.split('"').next().expect("a version");
    assert!(readme.contains(&format!("Rust {version} or newer")));
    let counter = file("src/counter.rs");
    for (words, source) in [
        ("`got /events`", "got /events"),
        ("`last event ID 41`", "last event ID {"),
        ("`emit 42`", "emit {"),
        ("`ended after 3 events`", "\"ended\""),
        ("`left after 3 events`", "\"left\""),
    ] {
        assert!(
            readme.contains(words) && counter.contains(source),
            "{words}"
        );
    }
}
