//! `tests/wire-format.json` says what each event stream becomes, by the standard. The tests' own reader
//! must pass all of it, and so must browsers, except where a case says what they do instead.

use crate::browser::in_each_engine;
use crate::support::event_stream_reader::{Dispatched, Reader, TOO_LARGE};
use crate::support::json::Json;
use crate::support::wait_until;
use crate::support::webdriver::{Browser, Engine, quoted};
use bare_sse::event_stream::Event;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const FILE: &str = include_str!("../wire-format.json");

/// A stream, and what it becomes.
#[derive(Debug)]
pub struct Case {
    pub rule: String,
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
    /// What an engine does instead, by its name and version.
    pub differs: Vec<(String, Outcome)>,
}

/// What a client has at the end of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Dispatched>,
    pub last_event_id: String,
    /// The reconnection time in milliseconds, if the stream sets it.
    pub retry: Option<u64>,
}

impl From<Reader> for Outcome {
    fn from(reader: Reader) -> Outcome {
        Outcome {
            events: reader.dispatched,
            last_event_id: reader.last_event_id,
            retry: reader.retry,
        }
    }
}

/// All cases, in the order of the file.
pub fn cases() -> Vec<Case> {
    Json::parse(FILE).items().iter().map(Case::of).collect()
}

impl Case {
    fn of(json: &Json) -> Case {
        let pair = |at| u8::from_str_radix(&json["bytes"].text()[at..at + 2], 16).expect("a byte");
        let differs = json.get("differs").map_or(&[][..], Json::members);
        Case {
            rule: json["rule"].text().to_string(),
            bytes: match json.get("stream") {
                Some(stream) => stream.text().as_bytes().to_vec(),
                None => (0..json["bytes"].text().len())
                    .step_by(2)
                    .map(pair)
                    .collect(),
            },
            outcome: outcome(|name| &json[name]),
            differs: differs
                .iter()
                .map(|(engine, other)| {
                    let outcome = outcome(|name| other.get(name).unwrap_or(&json[name]));
                    (engine.clone(), outcome)
                })
                .collect(),
        }
    }

    /// What an engine should do, and what else it does with some cuts.
    fn outcome_in(&self, engine: Engine) -> (&Outcome, Option<&Outcome>) {
        let name = format!("{engine:?}");
        let mut differs = self.differs.iter();
        match differs.find(|(engine, _)| engine.starts_with(&name)) {
            None => (&self.outcome, None),
            Some((engine, outcome)) if engine.contains(", if ") => (&self.outcome, Some(outcome)),
            Some((_, outcome)) => (outcome, None),
        }
    }

    /// Where to cut the stream in two: between each two bytes, or at a hundred places of a long one.
    fn cuts(&self) -> impl Iterator<Item = usize> {
        (1..self.bytes.len()).step_by(1 + self.bytes.len() / 1000 * 10)
    }
}

fn event(json: &Json) -> Dispatched {
    let [event, data, last_event_id] =
        ["type", "data", "lastEventId"].map(|name| json[name].text().to_string());
    Dispatched {
        event,
        data,
        last_event_id,
    }
}

fn outcome<'a>(member: impl Fn(&str) -> &'a Json) -> Outcome {
    Outcome {
        events: member("events").items().iter().map(event).collect(),
        last_event_id: member("lastEventId").text().to_string(),
        retry: match member("retry") {
            Json::Null => None,
            Json::Number(time) => Some(*time as u64),
            time => {
                assert_eq!(time.text(), "too large");
                Some(TOO_LARGE)
            }
        },
    }
}

#[test]
fn each_line_of_the_file_is_a_case_of_its_own() {
    let lines: Vec<_> = FILE.lines().collect();
    let ["[", lines @ .., "]"] = &lines[..] else {
        panic!("not an array");
    };
    let mut seen = HashSet::new();
    for (number, line) in lines.iter().enumerate() {
        let json = match line.strip_suffix(',') {
            Some(json) => json,
            None => {
                assert_eq!(number + 1, lines.len(), "only the last has no comma");
                line
            }
        };
        // No byte that an editor or a terminal could change or hide.
        assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let json = Json::parse(json);
        let names: Vec<_> = json.members().iter().map(|(name, _)| &**name).collect();
        let source = names[2];
        assert!(["stream", "bytes"].contains(&source), "{source}");
        let expected = ["rule", "section", source, "events", "lastEventId", "retry"];
        assert_eq!(names[..6], expected);
        assert!(names.len() == 6 || names[6..] == ["differs"], "{names:?}");
        assert!(["9.2.5", "9.2.6"].contains(&json["section"].text()));

        let case = Case::of(&json);
        let sentence = case.rule.strip_suffix('.').expect("a full stop");
        assert!(!sentence.contains(". "), "{sentence}: one sentence");
        assert!(sentence.starts_with(char::is_uppercase), "{sentence}");
        let is_text = std::str::from_utf8(&case.bytes).is_ok();
        assert_eq!(is_text, source == "stream", "{sentence}");
        assert!(seen.insert(case.rule.into_bytes()), "the rule of another");
        assert!(seen.insert(case.bytes), "the stream of another");
        for outcome in case.differs.iter().map(|(_, outcome)| outcome) {
            assert_ne!(*outcome, case.outcome);
        }
        if let Json::Number(time) = json["retry"] {
            assert!(time.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&time));
        }
    }
}

#[test]
fn the_page_about_the_file_counts_its_cases_and_those_that_each_browser_passes() {
    let (page, cases) = (include_str!("../wire-format.md"), cases());
    let count = cases.len();
    assert!(page.contains(&format!("It has {count} cases")));
    let mut differs = HashMap::new();
    for (engine, _) in cases.iter().flat_map(|case| &case.differs) {
        let engine = engine.split(", if ").next().expect("its name");
        *differs.entry(engine).or_insert(0) += 1;
    }
    assert_eq!(differs.len(), Engine::ALL.len());
    for (engine, differs) in differs {
        let row = format!("| {engine} | {} |", count - differs);
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn the_reader_of_the_tests_reads_each_case_however_it_is_cut() {
    for case in cases() {
        let check = |how: &str, pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut reader = Reader::default();
            pieces.for_each(|piece| reader.feed(piece));
            assert_eq!(Outcome::from(reader), case.outcome, "{} ({how})", case.rule);
        };
        check("whole", &mut [&*case.bytes].into_iter());
        check("a byte at a time", &mut case.bytes.chunks(1));
        for at in case.cuts() {
            let (begin, end) = case.bytes.split_at(at);
            check(&format!("cut at {at}"), &mut [begin, end].into_iter());
        }
    }
}

#[test]
fn the_events_of_each_case_can_be_encoded_and_read_again() {
    for Case { rule, outcome, .. } in cases() {
        let mut reader = Reader::default();
        for event in &outcome.events {
            let event = Event {
                event: (event.event != "message").then_some(&event.event),
                id: Some(&event.last_event_id),
                retry: None,
                data: Some(&event.data),
            };
            let bytes = event.encode();
            reader.feed(&bytes.unwrap_or_else(|error| panic!("{rule}: {error}")));
        }
        assert_eq!(reader.dispatched, outcome.events, "{rule}");
    }
}

/// Reads streams with `EventSource`, six at a time: a browser opens no more connections to a host.
const PAGE: &str = "<!doctype html><title>Wire format</title><script>
// WebDriver can't see let and const in Firefox.
var results = new Map();
var ended = 0;

function readAll(paths, types, isKept) {
  ended = 0;
  const readNext = () => paths.length && read(paths.shift(), types, isKept).then(readNext);
  for (let i = 0; i < 6; i++) readNext();
}

function read(path, types, isKept) {
  const source = new EventSource(path);
  const events = [];
  for (const name of types) {
    source.addEventListener(name, ({ type, data, lastEventId }) => {
      // The events of EventSource itself have no data.
      if (data !== undefined) events.push({ type, data, lastEventId });
    });
  }
  return new Promise((resolve) => source.addEventListener('error', ({ data }) => {
    if (data !== undefined) return;
    if (!isKept) source.close();
    resolve();
  })).then(() => {
    ended++;
    // One result of each kind is enough.
    const kind = path.split('/')[1] + JSON.stringify(events);
    if (!results.has(kind)) results.set(kind, { path, events });
  });
}
</script>";

/// A server of the page, and of the stream of each case: on `/NUMBER/whole` in one chunk, on
/// `/NUMBER/bytes` in one for each byte, on `/NUMBER/AT` in two. A client that comes back is told to stop.
struct Streams {
    cases: Vec<Case>,
    /// For each path when its stream ended, and how its client came back.
    ends: Mutex<HashMap<String, (Instant, Option<Return>)>>,
}

#[derive(Debug, Clone)]
struct Return {
    after: Duration,
    last_event_id: String,
}

impl Streams {
    fn serve() -> (SocketAddr, Arc<Streams>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (cases, ends) = (cases(), Mutex::default());
        let streams = Arc::new(Streams { cases, ends });
        let shared = Arc::clone(&streams);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let streams = Arc::clone(&shared);
                // A client that leaves is an error here, and the end of its thread.
                thread::spawn(move || streams.answer_all(socket?));
            }
        });
        (address, streams)
    }

    fn answer_all(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut requests = BufReader::new(socket.try_clone()?);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if requests.read_until(b'\n', &mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            match path.split('/').collect::<Vec<_>>()[..] {
                ["", case, how] => self.answer(&mut socket, &head, path, case, how)?,
                _ => write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{PAGE}",
                    PAGE.len()
                )?,
            }
        }
    }

    fn answer(
        &self,
        socket: &mut TcpStream,
        head: &str,
        path: &str,
        case: &str,
        how: &str,
    ) -> io::Result<()> {
        if let Some((end, back)) = self.ends.lock().expect("no panic").get_mut(path) {
            let id = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("Last-Event-ID").then_some(value)
            });
            *back = Some(Return {
                after: end.elapsed(),
                last_event_id: id.unwrap_or_default().trim().to_string(),
            });
            return socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
        let bytes = &self.cases[case.parse::<usize>().expect("a number")].bytes[..];
        let (pieces, pause): (Vec<_>, u64) = match how {
            "whole" => (vec![bytes], 0),
            // A long stream is sent in a hundred pieces.
            "bytes" => (bytes.chunks(1 + bytes.len() / 1000 * 10).collect(), 3),
            at => {
                let (begin, end) = bytes.split_at(at.parse().expect("a place"));
                (vec![begin, end], 25)
            }
        };
        socket.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            let size = format!("{:x}\r\n", piece.len());
            socket.write_all(&[size.as_bytes(), piece, b"\r\n"].concat())?;
            // So that the client reads it before the next.
            thread::sleep(Duration::from_millis(pause));
        }
        let end = (Instant::now(), None);
        self.ends.lock().expect("no panic").insert(path.into(), end);
        socket.write_all(b"0\r\n\r\n")
    }

    /// Has the browser read the streams on these paths. `is_kept`: it may reconnect.
    fn read_all(&self, browser: &Browser, paths: &[String], is_kept: bool) {
        let list = |items: HashSet<&str>| {
            let items: Vec<_> = items.into_iter().map(quoted).collect();
            format!("[{}]", items.join(","))
        };
        // No listener hears all types.
        let events = self.cases.iter().flat_map(|case| &case.outcome.events);
        let types = list(events.map(|event| &*event.event).collect());
        let list_of_paths = list(paths.iter().map(|path| &**path).collect());
        browser.value(&format!("readAll({list_of_paths}, {types}, {is_kept})"));
        browser.wait_for(&format!("ended === {}", paths.len()));
    }

    /// Checks all that the browser has fired.
    fn check_events(&self, browser: &Browser) {
        let results = browser.value("JSON.stringify([...results.values()])");
        let (mut exceptions, mut faults) = (HashSet::new(), Vec::new());
        for result in Json::parse(&results).items() {
            let path = result["path"].text();
            let events: Vec<_> = result["events"].items().iter().map(event).collect();
            let case = self.case_of(path);
            let (usual, exception) = case.outcome_in(browser.engine);
            if exception.is_some_and(|exception| events == exception.events) {
                exceptions.insert(&*case.rule);
            } else if events != usual.events {
                faults.push(format!("{path}: {} {events:?}", case.rule));
            }
        }
        let cases = self.cases.iter();
        let differs = cases.filter(|case| case.outcome_in(browser.engine).1.is_some());
        let differs: HashSet<_> = differs.map(|case| &*case.rule).collect();
        assert_eq!(faults, Vec::<String>::new(), "{:?}", browser.engine);
        assert_eq!(exceptions, differs, "{:?}", browser.engine);
    }

    fn case_of(&self, path: &str) -> &Case {
        let number = path.split('/').nth(1).expect("a number");
        &self.cases[number.parse::<usize>().expect("a number")]
    }
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn browsers_read_each_case_whole_and_in_bytes_and_reconnect_as_it_says() {
    // Engines wait for 3 or 5 seconds if the stream does not say how long.
    const LONG: Duration = Duration::from_secs(7);
    in_each_engine(|browser| {
        let (address, streams) = Streams::serve();
        browser.open(&format!("http://{address}/"));
        let numbers = 0..streams.cases.len();
        let paths = numbers.flat_map(|case| ["whole", "bytes"].map(|how| format!("/{case}/{how}")));
        streams.read_all(browser, &paths.collect::<Vec<_>>(), true);
        streams.check_events(browser);

        let ends = || streams.ends.lock().expect("no panic").clone();
        wait_until("all that return soon have returned", || {
            let mut ends = ends().into_values();
            ends.all(|(end, back)| back.is_some() || end.elapsed() > LONG)
        });
        let mut faults = Vec::new();
        for (path, (_, back)) in ends() {
            let case = streams.case_of(&path);
            let outcome = case.outcome_in(browser.engine).0;
            let last_event_id = back.as_ref().map(|back| &back.last_event_id);
            let ms = back.as_ref().map(|back| back.after.as_millis() as u64);
            let is_in_time = match (outcome.retry, ms) {
                (None, Some(ms)) => ms >= 2900,
                (Some(retry), Some(ms)) => (retry..retry + 1000).contains(&ms),
                (retry, None) => retry > Some(LONG.as_millis() as u64),
            };
            if !is_in_time || last_event_id.is_some_and(|id| *id != outcome.last_event_id) {
                faults.push(format!("{path}: {} {back:?}", case.rule));
            }
        }
        assert_eq!(faults, Vec::<String>::new(), "{:?}", browser.engine);
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn browsers_read_each_case_cut_at_each_byte() {
    in_each_engine(|browser| {
        let (address, streams) = Streams::serve();
        browser.open(&format!("http://{address}/"));
        let cases = streams.cases.iter().enumerate();
        let paths =
            cases.flat_map(|(number, case)| case.cuts().map(move |at| format!("/{number}/{at}")));
        for paths in paths.collect::<Vec<_>>().chunks(500) {
            streams.read_all(browser, paths, false);
        }
        streams.check_events(browser);
    });
}
