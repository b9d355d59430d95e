//! The transcripts of `tests/transcripts`, whose README explains the notation: what they show is what
//! is on the wire.

use crate::support::table::{NEXT, PAGE, expand, rows, shortened};
use crate::support::{PATIENCE, RawClient, Server, bare_sse};
use bare_sse::response::date;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Delivery {
    Whole,
    ByteByByte,
    WithMoreAfter,
}

/// A line, or several lines of what is sent at once: the connection, the mark and the text.
type Step = (char, char, String);

const END: &str = "[end]";

/// The steps of an exchange. Lines without a mark are for the reader.
fn steps(exchange: &str) -> Vec<Step> {
    let mut steps = Vec::<Step>::new();
    for line in exchange.lines() {
        let (connection, line) = match line.strip_prefix('2') {
            Some(rest) if rest.starts_with(['>', '<']) => ('2', rest),
            _ => ('1', line),
        };
        let Some((mark @ ("$" | ">" | "<" | "|" | "!" | "~"), text)) = line.split_once(' ') else {
            // A line for the reader. A mark that nobody knows must not make one.
            assert!(
                line.is_empty() || line.starts_with(char::is_alphabetic),
                "{line}"
            );
            continue;
        };
        let mark = char::from(mark.as_bytes()[0]);
        match steps.last_mut() {
            Some((c, '>', sent)) if (*c, mark) == (connection, '>') && text != END => *sent += text,
            _ => steps.push((connection, mark, text.into())),
        }
    }
    steps
}

/// The program, as a transcript has started it.
struct Program {
    server: Server,
    input: Option<ChildStdin>,
    errors: Receiver<String>,
    delivery: Delivery,
    /// When it was started, in seconds since 1970.
    started: u64,
    /// What `‹run›` stands for, when it has come.
    run: Option<String>,
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.expect("a time").as_secs()
}

impl Program {
    fn start(command: &str, delivery: Delivery) -> Program {
        let words = command.strip_prefix("bare-sse").expect("the program");
        let mut command = bare_sse(&Vec::from_iter(words.split_whitespace()));
        let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let started = now();
        let mut server = Server::from_command(command);
        Program {
            input: server.process.stdin.take(),
            errors: server.errors(),
            server,
            delivery,
            started,
            run: None,
        }
    }

    fn end(mut self) {
        self.server.kill();
        assert_eq!(Vec::from_iter(self.errors), [""; 0], "on standard error");
    }

    /// The bytes of a text in which nothing is left open.
    fn bytes(&self, text: &str) -> Vec<u8> {
        match &self.run {
            Some(run) => expand(&text.replace("‹run›", run)),
            None => expand(text),
        }
    }

    fn play(&mut self, steps: &[Step]) {
        let mut clients = BTreeMap::new();
        for (at, (connection, mark, text)) in steps.iter().enumerate() {
            match (mark, text.as_str()) {
                ('>' | '<', text) => {
                    let client = clients.remove(connection);
                    let client = client.unwrap_or_else(|| self.server.connect());
                    let later = steps[at + 1..].iter().filter(|step| step.0 == *connection);
                    let client = self.play_one(client, *mark, text, &Vec::from_iter(later));
                    clients.extend(client.map(|client| (*connection, client)));
                }
                ('|', END) => self.input = None,
                ('|', text) => {
                    let input = self.input.as_mut().expect("an input");
                    input.write_all(&expand(text)).expect("it is read");
                }
                ('!', line) => {
                    assert_eq!(self.errors.recv_timeout(PATIENCE).as_deref(), Ok(line));
                }
                ('~', time) => {
                    let time = time.strip_suffix("ms").expect("milliseconds");
                    let time = Duration::from_millis(time.parse().expect("a number"));
                    let clients = clients.values_mut();
                    clients.for_each(|client: &mut RawClient| client.gets_nothing_for(time));
                }
                _ => panic!("{text} starts no exchange"),
            }
        }
        for mut client in clients.into_values() {
            if self.delivery != Delivery::WithMoreAfter {
                client.send(NEXT);
            }
            let answer = client.read_response(false);
            assert!(answer.content == PAGE, "not the page: {}", answer.head);
        }
    }

    /// A step of one connection, which is returned unless it has ended or will be left.
    fn play_one(
        &mut self,
        mut client: RawClient,
        mark: char,
        text: &str,
        later: &[&Step],
    ) -> Option<RawClient> {
        match (mark, text) {
            ('>', END) => client.end_its_half(),
            ('>', _) => {
                let mut bytes = self.bytes(text);
                let is_last = later.iter().all(|step| step.1 != '>');
                if is_last && self.delivery == Delivery::WithMoreAfter {
                    bytes.extend(NEXT);
                }
                let size = match self.delivery {
                    Delivery::ByteByByte => 1,
                    _ => bytes.len(),
                };
                client.socket.set_nodelay(true).expect("an option");
                // A server that has refused the beginning need not read the rest.
                let mut pieces = bytes.chunks(size);
                let _ = pieces.try_for_each(|piece| client.try_send(piece));
            }
            (_, END) => {
                assert_eq!(client.read_to_end(), b"");
                return None;
            }
            (_, "…") => {
                let next = self.bytes(&later.first()?.2);
                client.read_until(str::from_utf8(&next).expect("text"));
                client.bytes.splice(..0, next);
            }
            _ => self.expect(&mut client, text),
        }
        Some(client)
    }

    /// Reads the bytes of this text.
    fn expect(&mut self, client: &mut RawClient, text: &str) {
        for part in text.split_inclusive('›') {
            let (known, is_date) = match (part.strip_suffix("‹date›"), part.strip_suffix("‹run›"))
            {
                (Some(known), _) => (known, Some(true)),
                (_, Some(known)) => (known, Some(false)),
                _ => (part, None),
            };
            let mut read = |count| String::from_utf8_lossy(&client.read_bytes(count)).into_owned();
            let known = expand(known);
            assert_eq!(
                read(known.len()),
                String::from_utf8_lossy(&known),
                "in {text}"
            );
            if is_date == Some(true) {
                let date_read = read(date(0).len());
                let is_it = |second| date(second) == date_read;
                assert!(
                    (self.started..=now()).any(is_it),
                    "another time: {date_read}"
                );
            } else if is_date == Some(false) {
                let run = read(13);
                assert_eq!(*self.run.get_or_insert(run.clone()), run);
            }
        }
    }
}

/// An exchange that takes place. If it fails, it is shown.
struct Exchange<'a>(&'a Path, Delivery, &'a str);

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("in {}, {:?}:\n{}\n", self.0.display(), self.1, self.2);
        }
    }
}

/// Plays all exchanges of a file.
fn play(file: &Path, delivery: Delivery) {
    let mut program = None;
    let text = fs::read_to_string(file).expect("text");
    for exchange in text.split("\n\n") {
        let _exchange = Exchange(file, delivery, exchange);
        let mut steps = steps(exchange);
        if let Some((_, '$', command)) = steps.first() {
            program.into_iter().for_each(Program::end);
            program = Some(Program::start(command, delivery));
            steps.remove(0);
        }
        if let Some(program) = &mut program {
            program.play(&steps);
        }
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
        assert_eq!(
            shortened(&(answer.head + content)),
            row.answer,
            "{}",
            row.rule
        );
        if row.persists() {
            client.send(NEXT);
            assert!(client.read_response(false).content == PAGE, "{}", row.rule);
        } else {
            assert_eq!(client.read_to_end(), b"", "{}", row.rule);
        }
    }
}
