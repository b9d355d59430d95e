//! `tests/wire-format.json`: what each stream becomes, by the standard. Whatever reads event streams
//! here must pass all of it, and so must browsers.

use crate::support::event_stream_reader::{Dispatched, Reader, TOO_LARGE};
use crate::support::json::Json;
use bare_sse::event_stream::Event;
use std::collections::HashSet;

const FILE: &str = include_str!("../wire-format.json");

/// A stream, and what it becomes.
#[derive(Debug)]
pub struct Case {
    pub rule: String,
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
    /// What an engine makes of it instead, by the engine's name and version.
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

    /// Where to cut the stream in two: between each two bytes, or at a hundred places of a long one.
    fn cuts(&self) -> impl Iterator<Item = usize> {
        (1..self.bytes.len()).step_by(1 + self.bytes.len() / 1000 * 10)
    }
}

fn outcome<'a>(member: impl Fn(&str) -> &'a Json) -> Outcome {
    let event = |event: &Json| {
        let [event, data, last_event_id] =
            ["type", "data", "lastEventId"].map(|name| event[name].text().to_string());
        Dispatched {
            event,
            data,
            last_event_id,
        }
    };
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
