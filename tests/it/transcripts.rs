//! The transcripts of `tests/transcripts`, whose README explains the notation: what they show is what
//! is on the wire.

use crate::support::table::{NEXT, PAGE, expand, rows, shortened};
use crate::support::{PATIENCE, RawClient, Server, bare_sse};
use bare_sse::response::date;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Delivery {
    Whole,
    ByteByByte,
    WithMoreAfter,
}

/// A line, or several lines of what is sent at once: the mark and the text.
type Step<'a> = (&'a str, String);

const END: &str = "[end]";

/// The steps of an exchange.
fn steps(exchange: &str, delivery: Delivery) -> Vec<Step<'_>> {
    let mut steps = Vec::<Step>::new();
    for line in exchange.lines() {
        if line.starts_with(char::is_alphabetic) {
            // For the reader.
            continue;
        }
        let (mark, text) = line.split_once(' ').expect("a mark and a text");
        match steps.last_mut() {
            Some((last, sent)) if *last == mark && mark.ends_with('>') && text != END => {
                *sent += text;
            }
            _ => steps.push((mark, text.into())),
        }
    }
    if delivery == Delivery::WithMoreAfter {
        for mark in [">", "2>"] {
            let last = steps.iter_mut().rfind(|step| step.0 == mark);
            if let Some((_, sent)) = last.filter(|step| step.1 != END) {
                *sent += str::from_utf8(NEXT).expect("text");
            }
        }
    }
    steps
}

/// The program, as a transcript has started it.
struct Program {
    server: Server,
    input: Option<ChildStdin>,
    errors: Receiver<String>,
    /// What `‹run›` stands for, when it has come.
    run: String,
}

const RUN: &str = "‹run›";

impl Program {
    fn start(command: &str) -> Program {
        let words = command.strip_prefix("bare-sse").expect("the program");
        let mut command = bare_sse(&Vec::from_iter(words.split_whitespace()));
        let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Server::from_command(command);
        Program {
            input: server.process.stdin.take(),
            errors: server.errors(),
            server,
            run: RUN.into(),
        }
    }

    fn end(mut self) {
        self.server.kill();
        assert_eq!(Vec::from_iter(self.errors), [""; 0], "on standard error");
    }

    fn play(&mut self, steps: &[Step], delivery: Delivery) {
        // The client of each connection, and whether bytes are left out before its next line.
        let mut clients = BTreeMap::<&str, (RawClient, bool)>::new();
        for (mark, text) in steps {
            let text = &*text.replace(RUN, &self.run);
            match (*mark, text) {
                ("|", END) => self.input = None,
                ("|", _) => {
                    let input = self.input.as_mut().expect("an input");
                    input.write_all(&expand(text)).expect("it is read");
                }
                ("!", line) => {
                    assert_eq!(self.errors.recv_timeout(PATIENCE).as_deref(), Ok(line));
                }
                ("~", time) => {
                    let time = time.strip_suffix("ms").expect("milliseconds");
                    let time = Duration::from_millis(time.parse().expect("a number"));
                    let clients = clients.values_mut();
                    clients.for_each(|(client, _)| client.gets_nothing_for(time));
                }
                (">" | "<" | "2>" | "2<", _) => {
                    let (connection, mark) = mark.split_at(mark.len() - 1);
                    let connect = || (self.server.connect(), false);
                    let (client, is_left_out) = clients.entry(connection).or_insert_with(connect);
                    match (mark, text) {
                        (">", END) => client.end_its_half(),
                        (">", _) => send(client, &expand(text), delivery),
                        (_, END) => {
                            assert_eq!(client.read_to_end(), b"");
                            clients.remove(connection);
                        }
                        (_, "…") => *is_left_out = true,
                        _ if mem::take(is_left_out) => {
                            client.read_until(str::from_utf8(&expand(text)).expect("text"));
                        }
                        _ => self.expect(client, text),
                    }
                }
                _ => panic!("nobody knows the mark {mark}"),
            }
        }
        // A stream of which the rest is left out goes on.
        clients.retain(|_, (_, is_left_out)| !*is_left_out);
        for (mut client, _) in clients.into_values() {
            if delivery != Delivery::WithMoreAfter {
                client.send(NEXT);
            }
            let answer = client.read_response(false);
            assert!(answer.content == PAGE, "not the page: {}", answer.head);
        }
    }

    /// Reads the bytes of this text.
    fn expect(&mut self, client: &mut RawClient, text: &str) {
        let mut text = text.to_string();
        // What these names stand for is known when it has come.
        for (name, length) in [(RUN, 13), ("‹date›", 29)] {
            if let Some((before, after)) = text.split_once(name) {
                let begin = expand(before).len();
                let bytes = client.read_bytes(begin + length);
                let read = String::from_utf8_lossy(&bytes[begin..]).into_owned();
                text = format!("{before}{read}{after}");
                client.bytes.splice(..0, bytes);
                if name == RUN {
                    self.run = read;
                } else {
                    let now = UNIX_EPOCH.elapsed().expect("a time").as_secs();
                    // The test does not last an hour.
                    assert!((0..3600).any(|ago| date(now - ago) == read), "{read}");
                }
            }
        }
        let expected = expand(&text);
        let read = client.read_bytes(expected.len());
        let [read, expected] = [&read, &expected].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(read, expected);
    }
}

fn send(client: &mut RawClient, bytes: &[u8], delivery: Delivery) {
    client.socket.set_nodelay(true).expect("an option");
    let is_whole = delivery != Delivery::ByteByByte;
    let mut pieces = bytes.chunks(if is_whole { bytes.len() } else { 1 });
    // A server that has refused the beginning need not read the rest.
    let _ = pieces.try_for_each(|piece| client.try_send(piece));
}

/// Plays all exchanges of a file. One that fails is shown.
fn play(file: &Path, delivery: Delivery) {
    let mut program = None::<Program>;
    for exchange in fs::read_to_string(file).expect("text").split("\n\n") {
        let played = catch_unwind(AssertUnwindSafe(|| {
            let mut steps = steps(exchange, delivery);
            if steps.first().is_some_and(|(mark, _)| *mark == "$") {
                if let Some(last) = program.take() {
                    last.end();
                }
                program = Some(Program::start(&steps.remove(0).1));
            }
            program
                .iter_mut()
                .for_each(|program| program.play(&steps, delivery));
        }));
        let file = file.display();
        assert!(played.is_ok(), "in {file}, {delivery:?}:\n{exchange}");
    }
    program.expect("it is started").end();
}

#[test]
fn what_every_transcript_shows_is_on_the_wire() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let files = fs::read_dir(folder).expect("the transcripts");
    let files = files.map(|file| file.expect("a file").path());
    let others = |path: &Path| path.ends_with("README.md") || path.ends_with("heads.txt");
    thread::scope(|scope| {
        for file in files.filter(|path| !others(path)) {
            scope.spawn(move || {
                play(&file, Delivery::Whole);
                play(&file, Delivery::ByteByByte);
                play(&file, Delivery::WithMoreAfter);
            });
        }
    });
}

#[test]
fn every_head_gets_its_answer() {
    let server = Server::start(&["--interval", "60m"]);
    for row in rows() {
        let mut client = server.connect();
        let _ = client.try_send(&row.bytes);
        let answer = client.read_response(row.is_head());
        let content = str::from_utf8(&answer.content).expect("text");
        let answer = shortened(&(answer.head + content));
        assert_eq!(answer, row.answer, "{}", row.rule);
        if row.persists() {
            client.send(NEXT);
            assert!(client.read_response(false).content == PAGE, "{}", row.rule);
        } else {
            assert_eq!(client.read_to_end(), b"", "{}", row.rule);
        }
    }
}
