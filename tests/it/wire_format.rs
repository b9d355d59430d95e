//! `tests/wire-format.json` says what each event stream becomes, by the standard. The tests' own reader
//! must pass all of it, and so must browsers, except where a case says what they do instead.

use crate::browser::{in_each_engine, send_page, serve_with};
use crate::support::event_stream_reader::{Dispatched, Reader, TOO_LARGE};
use crate::support::json::Json;
use crate::support::wait_until;
use crate::support::webdriver::{Browser, Engine};
use bare_sse::event_stream::Event;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
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

/// The events in a JSON array.
pub fn events_of(json: &Json) -> Vec<Dispatched> {
    let event = |json: &Json| {
        let [event, data, last_event_id] =
            ["type", "data", "lastEventId"].map(|name| json[name].text().to_string());
        Dispatched {
            event,
            data,
            last_event_id,
        }
    };
    json.items().iter().map(event).collect()
}

fn outcome<'a>(member: impl Fn(&str) -> &'a Json) -> Outcome {
    Outcome {
        events: events_of(member("events")),
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
    let lines = FILE
        .strip_prefix("[\n")
        .and_then(|rest| rest.strip_suffix("\n]\n"));
    let mut seen = HashSet::new();
    for line in lines.expect("an array").split(",\n") {
        // No byte that an editor or a terminal could change or hide.
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let json = Json::parse(line);
        let case = Case::of(&json);
        let is_text = std::str::from_utf8(&case.bytes).is_ok();
        let source = if is_text { "stream" } else { "bytes" };
        let expected = [
            "rule",
            "section",
            source,
            "events",
            "lastEventId",
            "retry",
            "differs",
        ];
        let names: Vec<_> = json.members().iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, expected[..names.len().max(6)]);
        assert!(["9.2.5", "9.2.6"].contains(&json["section"].text()));
        assert!(seen.insert(case.rule.into_bytes()), "the rule of another");
        assert!(seen.insert(case.bytes), "the stream of another");
        let mut differs = case.differs.iter();
        assert!(differs.all(|(_, outcome)| *outcome != case.outcome));
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
            let outcome = Outcome {
                events: reader.dispatched,
                last_event_id: reader.last_event_id,
                retry: reader.retry,
            };
            assert_eq!(outcome, case.outcome, "{} ({how})", case.rule);
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

/// Reads streams with `EventSource`, six at a time from each host: a browser opens no more connections.
const PAGE: &str = "<!doctype html><title>Wire format</title><script>
// WebDriver can't see let and const in Firefox.
var results = new Map();
var ended = 0;

function readAll(hosts, paths, types, isKept) {
  ended = 0;
  const readNext = (host) => paths.length && read(host, paths.shift(), types, isKept).then(() => readNext(host));
  for (const host of hosts) for (let i = 0; i < 6; i++) readNext(host);
}

async function read(host, path, types, isKept) {
  const source = new EventSource(`http://${host}${path}`);
  const events = [];
  for (const name of types) {
    source.addEventListener(name, ({ type, data, lastEventId }) => {
      // The events of EventSource itself have no data.
      if (data !== undefined) events.push({ type, data, lastEventId });
    });
  }
  await new Promise((resolve) => source.addEventListener('error', ({ data }) => data ?? resolve()));
  if (!isKept) source.close();
  ended++;
  // One result of each kind is enough.
  const kind = path.split('/')[1] + JSON.stringify(events);
  if (!results.has(kind)) results.set(kind, { path, events });
}
</script>";

/// The stream of each case: on `/NUMBER/whole` in one chunk, on `/NUMBER/bytes` in one for each byte, on
/// `/NUMBER/AT` in two. A client that comes back is told to stop.
struct Streams {
    cases: Vec<Case>,
    /// For each path when its stream ended, and how its client came back.
    ends: Mutex<HashMap<String, (Instant, Option<Return>)>>,
}

#[derive(Debug)]
struct Return {
    after: Duration,
    last_event_id: String,
}

impl Streams {
    fn answer(&self, head: &str, socket: &mut TcpStream) -> io::Result<()> {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let ["", case, how] = path.split('/').collect::<Vec<_>>()[..] else {
            return send_page(socket, PAGE);
        };
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
            "whole" => (bytes.chunks(usize::MAX).collect(), 0),
            // A long stream is sent in a hundred pieces.
            "bytes" => (bytes.chunks(1 + bytes.len() / 1000 * 10).collect(), 3),
            at => {
                let (begin, end) = bytes.split_at(at.parse().expect("a place"));
                (vec![begin, end], 25)
            }
        };
        socket.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
              Access-Control-Allow-Origin: *\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        for (number, piece) in pieces.into_iter().enumerate() {
            if number > 0 {
                // So that the client reads each piece before the next.
                thread::sleep(Duration::from_millis(pause));
            }
            let size = format!("{:x}\r\n", piece.len());
            socket.write_all(&[size.as_bytes(), piece, b"\r\n"].concat())?;
        }
        let end = (Instant::now(), None);
        self.ends.lock().expect("no panic").insert(path.into(), end);
        socket.write_all(b"0\r\n\r\n")
    }

    /// Has the browser read the streams on these paths. `is_kept`: it may reconnect.
    fn read_all(&self, browser: &Browser, hosts: &[SocketAddr], paths: &[String], is_kept: bool) {
        // No listener hears all types.
        let events = self.cases.iter().flat_map(|case| &case.outcome.events);
        let types: HashSet<_> = events.map(|event| &event.event).collect();
        let types = Vec::from_iter(types);
        let hosts: Vec<_> = hosts.iter().map(SocketAddr::to_string).collect();
        browser.value(&format!(
            "readAll({hosts:?}, {paths:?}, {types:?}, {is_kept})"
        ));
        browser.wait_for(&format!("ended === {}", paths.len()));
    }

    /// Checks all that the browser has fired.
    fn check_events(&self, browser: &Browser) {
        let results = browser.value("JSON.stringify([...results.values()])");
        let (mut exceptions, mut faults) = (HashSet::new(), Vec::new());
        for result in Json::parse(&results).items() {
            let path = result["path"].text();
            let events = events_of(&result["events"]);
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
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(exceptions, differs);
    }

    /// Checks how the clients of these paths reconnect, when all have that can be waited for.
    fn check_returns(&self, engine: Engine, paths: &[String]) {
        let outcome = |path: &String| self.case_of(path).outcome_in(engine).0;
        let ends = || self.ends.lock().expect("no panic");
        wait_until("all that return soon have returned", || {
            let ends = ends();
            let mut late = paths.iter().filter(|path| ends[*path].1.is_none());
            late.all(|path| outcome(path).retry >= Some(10_000))
        });
        let (ends, mut faults) = (ends(), Vec::new());
        for path in paths {
            let Some(back) = &ends[path].1 else { continue };
            let ms = back.after.as_millis() as u64;
            // Engines wait for 3 or 5 seconds if the stream does not say how long.
            let is_in_time = match outcome(path).retry {
                Some(retry @ ..2900) => (retry..2900).contains(&ms),
                retry => ms >= retry.unwrap_or(2900),
            };
            if !is_in_time || back.last_event_id != outcome(path).last_event_id {
                faults.push(format!("{path}: {} {back:?}", self.case_of(path).rule));
            }
        }
        assert_eq!(faults, Vec::<String>::new());
    }

    fn case_of(&self, path: &str) -> &Case {
        let number = path.split('/').nth(1).expect("a number");
        &self.cases[number.parse::<usize>().expect("a number")]
    }
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn browsers_read_each_case_whole_in_bytes_and_cut_at_each_byte_and_reconnect_as_it_says() {
    in_each_engine(|browser| {
        let streams = Arc::new(Streams {
            cases: cases(),
            ends: Mutex::default(),
        });
        // WebKit opens 17 connections in all.
        let hosts = [(); 3].map(|()| {
            let streams = Arc::clone(&streams);
            serve_with(move |head, socket| streams.answer(head, socket))
        });
        browser.open(&format!("http://{}/", hosts[0]));
        let paths = |hows: fn(&Case) -> Vec<String>| -> Vec<String> {
            let cases = streams.cases.iter().enumerate();
            let path = |number| move |how| format!("/{number}/{how}");
            cases
                .flat_map(|(number, case)| hows(case).into_iter().map(path(number)))
                .collect()
        };
        let kept = paths(|_| ["whole", "bytes"].map(String::from).to_vec());
        streams.read_all(browser, &hosts[..1], &kept, true);
        streams.check_returns(browser.engine, &kept);
        let cut = paths(|case| case.cuts().map(|at| at.to_string()).collect());
        streams.read_all(browser, &hosts, &cut, false);
        streams.check_events(browser);
    });
}
