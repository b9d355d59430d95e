//! The counter: where a client begins, and when its events are due.

use crate::support::Random;
use bare_sse::counter::{Counter, next_due};
use bare_sse::request;
use bare_sse::source::{News, Source};
use std::time::{Duration, Instant};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_client_begins_after_the_number_that_it_has_seen_last() {
    let two = "Last-Event-ID: 4\r\nLast-Event-ID: 4\r\n";
    for (target, fields, seen) in [
        ("/events", "", 0),
        ("/events", "last-event-id:007\r\n", 7),
        // An empty field is none.
        ("/events", "Last-Event-ID:\r\nLast-Event-ID: 4\r\n", 4),
        ("/events", "Last-Event-ID: +1\r\n", 0),
        ("/events", "Last-Event-ID: 1.5\r\n", 0),
        ("/events", "Last-Event-ID: \u{664}\u{661}\r\n", 0),
        ("/events", "Last-Event-ID: 18446744073709551616\r\n", 0),
        ("/events?a=b&LASTEVENTID=7&c", "", 7),
        ("http://x/events?lastEventId=7&lastEventId=9", "", 7),
        ("/events?lastEventId=7", "Last-Event-ID:\r\n", 7),
        ("/events?lastEventId=7", "Last-Event-ID: 41\r\n", 41),
        ("/events?lastEventId=7", "Last-Event-ID: x\r\n", 0),
        ("/events?lastEventId=7", two, 0),
        ("/events?lastEventId=&lastEventId=9", "", 0),
        ("/events?xlastEventId=7", "", 0),
        ("/events?lastEventId7", "", 0),
        ("/events?lastEventIdentity=7", "", 0),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost:\r\n{fields}\r\n");
        let request = request::parse(head.as_bytes()).expect("a head");
        let last_event_id = request.expect("all of it").last_event_id;
        let place = Counter::new(ms(0), None).begin(last_event_id);
        assert_eq!(place.expect("no end").seen, seen, "{target} {fields}");
    }
}

#[test]
fn no_event_comes_before_its_time_nor_a_silence_before_it_has_lasted_as_long_as_it_may() {
    let interval = ms(100);
    for silence in [10, 60, 99, 100, 1_000].map(ms) {
        let counter = Counter::new(interval, None);
        let begin = Instant::now();
        let mut place = counter.begin(None).expect("a place");
        for number in 1..=3 {
            let news = loop {
                let (before, asked) = (place, Instant::now());
                match counter.next(&mut place, silence) {
                    News::Silence => assert!(asked.elapsed() >= silence && place == before),
                    news => break news,
                }
            };
            let block = format!("id: {number}\ndata: {number}\n\n");
            assert_eq!(news, News::Event(block.into_bytes()));
            assert!(begin.elapsed() >= number * interval, "{silence:?}");
        }
    }
}

#[test]
fn a_stream_begins_at_the_next_hundredth_of_its_interval() {
    for (now, interval, due) in [
        (0, 1_000, 1_000),
        (1, 1_000, 1_010),
        (10, 1_000, 1_010),
        (7, 50, 57),
        (7, 0, 7),
    ] {
        assert_eq!(next_due(ms(now), ms(now), ms(interval)), ms(due));
    }
    // However many intervals are skipped, it is no loop.
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(next_due(ms(7), ms(86_400_000), nanosecond), ms(86_400_000));
}

#[test]
fn however_late_its_events_are_a_stream_neither_drifts_nor_sends_a_burst() {
    let (interval, mut random) = (ms(1_000), Random(7));
    for most_late in [900, 10_000] {
        let mut due = next_due(ms(12_345), ms(12_345), interval);
        for _ in 0..100_000 {
            let late = random.next() % most_late;
            // Of those that are past, all but one are skipped.
            let expected = due + late.div_ceil(1_000).max(1) as u32 * interval;
            due = next_due(due, due + ms(late), interval);
            assert_eq!(due, expected, "{late} ms late");
        }
    }
}
