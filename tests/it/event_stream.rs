//! The encoder, by golden bytes and by what a reader of the standard makes of them.

use crate::support::Random;
use crate::support::event_stream_reader::{Dispatched, Reader};
use bare_sse::event_stream::{Event, Unwritable, comment};
use std::time::Duration;

fn encoded(event: Event<'_>) -> String {
    let bytes = event.encode().expect("it can be written");
    String::from_utf8(bytes).expect("an event stream is UTF-8")
}

fn data(data: &str) -> String {
    encoded(Event {
        data: Some(data),
        ..Event::default()
    })
}

fn dispatched(event: &str, data: &str, last_event_id: &str) -> Dispatched {
    let [event, data, last_event_id] = [event, data, last_event_id].map(String::from);
    Dispatched {
        event,
        data,
        last_event_id,
    }
}

#[test]
fn an_event_of_the_counter_is_id_data_and_an_empty_line() {
    let event = Event {
        id: Some("1"),
        data: Some("1"),
        ..Event::default()
    };
    assert_eq!(encoded(event), "id: 1\ndata: 1\n\n");
}

#[test]
fn retry_alone_is_a_line_and_an_empty_line() {
    let retry = Some(Duration::from_secs(10));
    assert_eq!(
        encoded(Event {
            retry,
            ..Event::default()
        }),
        "retry: 10000\n\n"
    );
}

#[test]
fn all_fields_stand_in_their_order() {
    let event = Event {
        event: Some("end"),
        id: Some("a b"),
        retry: Some(Duration::from_millis(1)),
        data: Some("x"),
    };
    assert_eq!(encoded(event), "event: end\nid: a b\nretry: 1\ndata: x\n\n");
}

#[test]
fn an_event_without_fields_is_an_empty_line() {
    assert_eq!(encoded(Event::default()), "\n");
}

#[test]
fn data_is_one_line_for_each_of_its_lines() {
    assert_eq!(data("a\nb"), "data: a\ndata: b\n\n");
    assert_eq!(data("a\r\nb"), "data: a\ndata: b\n\n");
    assert_eq!(data("a\rb"), "data: a\ndata: b\n\n");
    assert_eq!(data("a\n\rb"), "data: a\ndata: \ndata: b\n\n");
    assert_eq!(data("a\r\r\nb"), "data: a\ndata: \ndata: b\n\n");
}

#[test]
fn data_that_ends_in_a_line_end_has_an_empty_last_line() {
    assert_eq!(data("a\n"), "data: a\ndata: \n\n");
    assert_eq!(data("\r\n"), "data: \ndata: \n\n");
}

#[test]
fn empty_data_is_a_line_and_no_data_is_none() {
    assert_eq!(data(""), "data: \n\n");
    assert_eq!(
        encoded(Event {
            id: Some(""),
            ..Event::default()
        }),
        "id: \n\n"
    );
}

#[test]
fn a_leading_space_is_kept_after_the_space_that_readers_remove() {
    assert_eq!(data(" a"), "data:  a\n\n");
    assert_eq!(Reader::of(data(" a").as_bytes()).dispatched[0].data, " a");
}

#[test]
fn colons_and_what_looks_like_fields_are_data() {
    assert_eq!(data(": a\nid: 7"), "data: : a\ndata: id: 7\n\n");
}

#[test]
fn what_no_line_can_hold_is_an_error_that_names_the_field() {
    for value in ["\r", "a\nb", "\r\n"] {
        let [mut event, mut id] = [Event::default(); 2];
        event.event = Some(value);
        id.id = Some(value);
        assert_eq!(event.encode(), Err(Unwritable { field: "event" }));
        assert_eq!(id.encode(), Err(Unwritable { field: "id" }));
    }
}

#[test]
fn nul_is_an_error_in_id_alone() {
    let id = Event {
        id: Some("a\0"),
        ..Event::default()
    };
    assert_eq!(id.encode(), Err(Unwritable { field: "id" }));
    assert_eq!(
        encoded(Event {
            event: Some("\0"),
            ..Event::default()
        }),
        "event: \0\n\n"
    );
}

#[test]
fn an_error_says_which_field_no_line_can_hold() {
    let event = Event {
        id: Some("a\nb"),
        ..Event::default()
    };
    let error = event.encode().expect_err("an LF in an id");
    assert_eq!(
        error.to_string(),
        "no line can hold this value of the field id"
    );
}

#[test]
fn a_comment_is_lines_that_begin_with_a_colon() {
    assert_eq!(comment("keep-alive"), b": keep-alive\n");
    let bytes = comment("a\r\ndata: b");
    assert_eq!(bytes, b": a\n: data: b\n");
    assert_eq!(Reader::of(&bytes).dispatched, []);
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
    const LINE_ENDS: [&str; 4] = ["\n", "\r", "\r\n", "\0"];
    let in_data = [&IN_LINES[..], &LINE_ENDS].concat();
    let mut random = Random(0x5eed);
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
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
        if let Some(data) = data {
            let event = event
                .filter(|event| !event.is_empty())
                .unwrap_or("message".into());
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            expected.push(dispatched(&event, &data, &last_event_id));
        }
    }
    let mut reader = Reader::default();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(1 + random.below(50)));
        reader.feed(piece);
        rest = behind;
    }
    assert_eq!(reader.dispatched.len(), expected.len());
    for (read, expected) in reader.dispatched.iter().zip(&expected) {
        assert_eq!(read, expected);
    }
}
