//! The counter: where a client begins, and when its events are due.

use crate::support::Random;
use bare_sse::counter::{Counter, next_due};
use bare_sse::request;
use bare_sse::source::{News, Place, Source};
use std::time::{Duration, Instant};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_client_begins_after_the_number_that_it_has_seen_last() {
    let two = "Last-Event-ID: 4\r\nLast-Event-ID: 4\r\n";
    for (target, fields, seen) in [
        ("/events", "", 0),
        ("/events", "Last-Event-ID: 41\r\n", 41),
        ("/events", "last-event-id:007\r\n", 7),
        ("/events", "Last-Event-ID: 0\r\n", 0),
        // An empty field is none.
        ("/events", "Last-Event-ID:\r\nLast-Event-ID: 4\r\n", 4),
        ("/events", "Last-Event-ID:\r\n", 0),
        ("/events", "Last-Event-ID: -1\r\n", 0),
        ("/events", "Last-Event-ID: +1\r\n", 0),
        ("/events", "Last-Event-ID: 1.5\r\n", 0),
        ("/events", "Last-Event-ID: 1 2\r\n", 0),
        ("/events", "Last-Event-ID: 0x10\r\n", 0),
        ("/events", "Last-Event-ID: \u{664}\u{661}\r\n", 0),
        (
            "/events",
            "Last-Event-ID: 18446744073709551614\r\n",
            u64::MAX - 1,
        ),
        ("/events", "Last-Event-ID: 18446744073709551616\r\n", 0),
        ("/events", "Last-Event-ID: 99999999999999999999999\r\n", 0),
        ("/events", two, 0),
        ("/events?lastEventId=7", "", 7),
        ("/events?lastEventID=7", "", 7),
        ("/events?a=b&LASTEVENTID=7&c", "", 7),
        ("/events?lastEventId=7&lastEventId=9", "", 7),
        ("http://x/events?lastEventId=7", "", 7),
        ("/events?lastEventId=7", "Last-Event-ID:\r\n", 7),
        ("/events?lastEventId=7", "Last-Event-ID: 41\r\n", 41),
        ("/events?lastEventId=7", "Last-Event-ID: x\r\n", 0),
        ("/events?lastEventId=7", two, 0),
        ("/events?lastEventId=&lastEventId=9", "", 0),
        ("/events?lastEventId=x", "", 0),
        ("/events?xlastEventId=7", "", 0),
        ("/events?lastEventId7", "", 0),
        ("/events?lastEventIdentity=7", "", 0),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost:\r\n{fields}\r\n");
        let request = request::parse(head.as_bytes())
            .expect("a head")
            .expect("all of it");
        let begin = |count| Counter::new(ms(0), count).begin(request.last_event_id);
        let place = begin(None).expect("something is left");
        assert_eq!(place.seen, seen, "{target} {fields}");
        // With a count, nothing is left after the last event.
        let is_over = seen > 0 && begin(Some(seen)).is_none();
        assert_eq!(is_over, seen > 0, "{target} {fields}");
        assert!(begin(Some(seen.saturating_add(1))).is_some());
    }
}

#[test]
fn no_event_comes_before_its_time_however_short_a_silence_may_be() {
    let interval = ms(100);
    for silence in [10, 51, 60, 99, 100, 101, 1_000].map(ms) {
        let counter = Counter::new(interval, Some(3));
        let begin = Instant::now();
        let mut place = counter.begin(None).expect("a place");
        for number in 1..=3 {
            let news = loop {
                match counter.next(&mut place, silence) {
                    News::Silence => {}
                    news => break news,
                }
            };
            let block = format!("id: {number}\ndata: {number}\n\n");
            assert_eq!(news, News::Event(block.into_bytes()));
            assert!(
                begin.elapsed() >= number * interval,
                "{silence:?}: too early"
            );
            assert_eq!(place.seen, number.into());
        }
    }
}

#[test]
fn a_silence_is_told_when_it_has_lasted_as_long_as_it_may() {
    let counter = Counter::new(ms(100), None);
    let hour = Duration::from_secs(3_600);
    let mut place = Place { seen: 4, due: hour };
    let begin = Instant::now();
    for number in 1..=3 {
        assert_eq!(counter.next(&mut place, ms(50)), News::Silence);
        assert!(begin.elapsed() >= number * ms(50));
    }
    assert_eq!(place, Place { seen: 4, due: hour });
}

#[test]
fn the_end_has_the_number_of_the_last_event() {
    let counter = Counter::new(ms(0), Some(7));
    let mut place = counter.begin(Some(b"6")).expect("one is left");
    counter.next(&mut place, ms(1_000));
    let block = b"event: end\nid: 7\ndata: 7\n\n";
    assert_eq!(
        counter.next(&mut place, ms(1_000)),
        News::End(block.to_vec())
    );
}

#[test]
fn a_stream_begins_at_the_next_hundredth_of_its_interval() {
    for (now, interval, due) in [
        (0, 1_000, 1_000),
        (1, 1_000, 1_010),
        (10, 1_000, 1_010),
        (11, 1_000, 1_020),
        (7, 50, 57),
        (7, 0, 7),
    ] {
        assert_eq!(next_due(ms(now), ms(now), ms(interval)), ms(due));
    }
    assert_eq!(next_due(ms(7), ms(8), ms(0)), ms(8));
    // However many intervals are skipped, it is no loop.
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(next_due(ms(7), ms(86_400_000), nanosecond), ms(86_400_000));
}

#[test]
fn a_hundred_thousand_events_later_an_event_is_due_when_it_should_be() {
    let interval = ms(1_000);
    let first = next_due(ms(12_345), ms(12_345), interval);
    let (mut due, mut random) = (first, Random(7));
    for number in 1..100_000 {
        let late = ms(random.next() % 900);
        due = next_due(due, due + late, interval);
        assert_eq!(due, first + number * interval);
    }
}

#[test]
fn after_a_stall_a_stream_goes_on_an_event_an_interval_without_a_burst() {
    let interval = ms(10);
    let (mut due, mut random) = (next_due(ms(0), ms(0), interval), Random(9));
    for _ in 0..10_000 {
        let now = due + Duration::from_micros(random.next() % 100_000);
        due = next_due(due, now, interval);
        assert!(due >= now && due <= now + interval);
        assert_eq!(
            due.as_micros() % interval.as_micros(),
            0,
            "the grid is kept"
        );
    }
}
