//! The encoder: the bytes of an event, and what a reader of the standard makes of them.

use crate::support::Random;
use crate::support::event_stream_reader::{Dispatched, Reader};
use crate::support::table::expand;
use bare_sse::event_stream::{Event, comment};
use std::time::Duration;

/// The fields of an event, and its bytes, or the error. A blank cell is a field that it does not have.
const EVENTS: &str = "\
| event      | id          | retry   | data        | bytes
| ---------- | ----------- | ------- | ----------- | -----
|            | `1`         |         | `1`         | `id: 1␊data: 1␊␊`
| `end`      | `a b`       | `1`     | `x`         | `event: end␊id: a b␊retry: 1␊data: x␊␊`
|            |             | `10000` |             | `retry: 10000␊␊`
|            |             |         |             | `␊`
|            |             |         | ``          | `data: ␊␊`
|            | ``          |         |             | `id: ␊␊`
|            |             |         | ` a`        | `data:  a␊␊`
|            |             |         | `: a␊id: 7` | `data: : a␊data: id: 7␊␊`
|            |             |         | `a␊b`       | `data: a␊data: b␊␊`
|            |             |         | `a␍b`       | `data: a␊data: b␊␊`
|            |             |         | `a␍␊b`      | `data: a␊data: b␊␊`
|            |             |         | `a␊␍b`      | `data: a␊data: ␊data: b␊␊`
|            |             |         | `a␍␍␊b`     | `data: a␊data: ␊data: b␊␊`
|            |             |         | `a␊`        | `data: a␊data: ␊␊`
|            |             |         | `␍␊`        | `data: ␊data: ␊␊`
|            |             |         | `‹hex 00›`  | `data: ‹hex 00›␊␊`
| `a␊b`      |             |         |             | no line can hold this value of the field event
| `␍`        |             |         |             | no line can hold this value of the field event
|            | `a␊b`       |         |             | no line can hold this value of the field id
|            | `␍`         |         |             | no line can hold this value of the field id
| `‹hex 00›` |             |         |             | `event: ‹hex 00›␊␊`
|            | `a‹hex 00›` |         |             | no line can hold this value of the field id
";

#[test]
fn every_event_becomes_its_bytes_or_an_error_that_names_the_field() {
    for row in EVENTS.lines().skip(2) {
        let mut cells = row.split('|').skip(1).map(|cell| {
            let bytes = expand(cell.trim().strip_prefix('`')?.strip_suffix('`')?);
            Some(String::from_utf8(bytes).expect("UTF-8"))
        });
        let [event, id, retry, data, bytes] = [(); 5].map(|()| cells.next().expect("five cells"));
        let event = Event {
            event: event.as_deref(),
            id: id.as_deref(),
            retry: retry.map(|ms| Duration::from_millis(ms.parse().expect("a number"))),
            data: data.as_deref(),
        };
        match event.encode() {
            Ok(block) => assert_eq!(Some(String::from_utf8_lossy(&block)), bytes.map(Into::into)),
            Err(error) => assert!(row.ends_with(&format!("| {error}")), "{row}: {error}"),
        }
    }
}

#[test]
fn each_line_of_a_comment_begins_with_a_colon() {
    assert_eq!(comment("a\r\ndata: b"), b": a\n: data: b\n");
}

/// A text of pieces that are hard to carry.
fn text(random: &mut Random, pieces: &[&str]) -> String {
    (0..random.below(8)).map(|_| *random.pick(pieces)).collect()
}

#[test]
fn a_reader_reads_back_every_event_that_is_encoded() {
    const IN_LINES: [&str; 10] = [
        "a", " ", ":", "é", "\u{feff}", "👁", "data: x", "\t", "0", ": ",
    ];
    let in_data = [&IN_LINES[..], &["\n", "\r", "\r\n", "\0"]].concat();
    let mut random = Random(0x5eed);
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    let mut last_event_id = String::new();
    for _ in 0..20_000 {
        let mut optional =
            |pieces: &[&str]| (random.below(3) > 0).then(|| text(&mut random, pieces));
        let (event, id) = (optional(&IN_LINES), optional(&IN_LINES));
        let data = optional(&in_data);
        let block = Event {
            event: event.as_deref(),
            id: id.as_deref(),
            retry: None,
            data: data.as_deref(),
        };
        bytes.extend(block.encode().expect("it can be written"));
        if random.below(10) == 0 {
            bytes.extend(comment(&text(&mut random, &in_data)));
        }
        last_event_id = id.unwrap_or(last_event_id);
        expected.extend(data.map(|data| {
            Dispatched {
                event: event
                    .filter(|event| !event.is_empty())
                    .unwrap_or("message".into()),
                data: data.replace("\r\n", "\n").replace('\r', "\n"),
                last_event_id: last_event_id.clone(),
            }
        }));
    }
    let read = Reader::of(&bytes).dispatched;
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read, expected);
    }
}
