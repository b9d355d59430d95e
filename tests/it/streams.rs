//! `/events` as its clients see it.

use crate::support::event_stream_reader::Reader;
use crate::support::in_process::{InProcess, site};
use crate::support::{Random, RawClient, Server};
use bare_sse::counter::{Counter, begin, next_due};
use std::io::Read;
use std::time::{Duration, Instant};

/// The head of the stream and what stands at its beginning.
const BEGINNING: &str = "HTTP/1.1 200 OK\r\n\
                         Cache-Control: no-cache\r\n\
                         Content-Type: text/event-stream\r\n\
                         Connection: keep-alive\r\n\
                         \r\n\
                         retry: 10000\n\n";

fn expect(client: &mut RawClient, bytes: &str) {
    let read = client.read_bytes(bytes.len());
    assert_eq!(String::from_utf8_lossy(&read), bytes);
}

fn event(number: u64) -> String {
    format!("id: {number}\ndata: {number}\n\n")
}

#[test]
fn the_stream_is_these_bytes() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get(
        "/events",
        "Accept: text/event-stream\r\nCache-Control: no-store\r\n",
    );
    expect(&mut client, BEGINNING);
    for number in 1..=120 {
        expect(&mut client, &event(number));
    }
}

#[test]
fn the_head_and_the_reconnection_time_come_at_once_in_one_write() {
    let server = Server::start(&["--interval", "1h"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    // What is written at once is read at once: on loopback no write is torn.
    let mut bytes = [0; 4096];
    let count = client.socket.read(&mut bytes).expect("the beginning");
    assert_eq!(String::from_utf8_lossy(&bytes[..count]), BEGINNING);
}

#[test]
fn an_event_comes_in_one_write() {
    let server = Server::start(&["--interval", "20ms"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    expect(&mut client, BEGINNING);
    let mut bytes = [0; 65536];
    for _ in 0..20 {
        let count = client.socket.read(&mut bytes).expect("an event");
        let events = String::from_utf8_lossy(&bytes[..count]);
        assert!(
            events.starts_with("id: ") && events.ends_with("\n\n"),
            "{events:?}"
        );
    }
}

#[test]
fn every_target_with_this_path_is_the_stream() {
    let server = Server::start(&["--interval", "1h"]);
    for request in [
        "GET /events?now=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /events? HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x:3000/events HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET HTTP://x/events?now=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /events HTTP/1.0\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let mut client = server.connect();
        client.send(request.as_bytes());
        expect(&mut client, BEGINNING);
    }
}

#[test]
fn the_stream_resumes_after_the_last_event_id() {
    let server = Server::start(&["--interval", "10ms"]);
    let first = |fields: &str| {
        let mut client = server.connect();
        client.send_get("/events", fields);
        expect(&mut client, BEGINNING);
        client.read_until("\n\n")
    };
    assert_eq!(first("Last-Event-ID: 41\r\n"), event(42));
    assert_eq!(first("last-event-id:007\r\n"), event(8));
    assert_eq!(first("Last-Event-ID: 0\r\n"), event(1));
    assert_eq!(
        first("Last-Event-ID: 18446744073709551614\r\n"),
        event(u64::MAX)
    );
    for absent in [
        "",
        "Last-Event-ID:\r\n",
        "Last-Event-ID: -1\r\n",
        "Last-Event-ID: +1\r\n",
        "Last-Event-ID: 1.5\r\n",
        "Last-Event-ID: 1 2\r\n",
        "Last-Event-ID: 0x10\r\n",
        "Last-Event-ID: \u{664}\u{661}\r\n",
        "Last-Event-ID: 18446744073709551615\r\n",
        "Last-Event-ID: 99999999999999999999999\r\n",
        "Last-Event-ID: 4\r\nLast-Event-ID: 4\r\n",
    ] {
        assert_eq!(first(absent), event(1), "{absent:?}");
    }
}

#[test]
fn the_last_number_there_is_ends_the_stream() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "Last-Event-ID: 18446744073709551613\r\n");
    expect(&mut client, BEGINNING);
    let rest = String::from_utf8(client.read_to_end()).expect("text");
    assert_eq!(rest, event(u64::MAX - 1) + &event(u64::MAX));
}

#[test]
fn with_a_count_the_stream_says_that_it_ends_and_the_connection_closes() {
    let server = Server::start(&["--count", "3", "--interval", "10ms"]);
    for (fields, first) in [("", 1), ("Last-Event-ID: 2\r\n", 3)] {
        let mut client = server.connect();
        client.send_get("/events", fields);
        expect(&mut client, BEGINNING);
        (first..=3).for_each(|number| expect(&mut client, &event(number)));
        expect(&mut client, "event: end\ndata: 3\n\n");
        assert_eq!(client.read_to_end(), b"");
    }
    server.wait_for_log("ended after 3 events");
    server.wait_for_log("ended after 1 event");
}

#[test]
fn a_client_that_has_seen_the_last_event_is_told_not_to_come_back() {
    let server = Server::start(&["--count", "3"]);
    let mut client = server.connect();
    for id in ["3", "4", "18446744073709551614"] {
        client.send_get("/events", &format!("Last-Event-ID: {id}\r\n"));
        let answer = client.read_response(false);
        let date = answer.field("Date").expect("a date");
        assert_eq!(
            answer.head,
            format!("HTTP/1.1 204 No Content\r\nDate: {date}\r\n\r\n")
        );
        server.wait_for_log(&format!("got 204, last event ID {id}"));
    }
}

#[test]
fn head_gives_the_three_fields_and_the_connection_goes_on() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        client.read_response(true).head,
        BEGINNING.split_once("retry").unwrap().0
    );
    client.send_get("/", "");
    assert_eq!(client.read_response(false).status(), 200);
}

#[test]
fn head_says_close_where_the_connection_closes() {
    let server = Server::start(&[]);
    for request in [
        "HEAD /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HEAD /events HTTP/1.0\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request.as_bytes());
        let head = BEGINNING.split_once("retry").expect("two parts").0;
        assert_eq!(
            client.read_response(true).head,
            head.replace("keep-alive", "close")
        );
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn a_stream_requested_after_a_page_begins_after_the_page() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    for path in ["/", "/events", "/"] {
        client.send_get(path, "");
    }
    assert_eq!(client.read_response(false).status(), 200);
    expect(&mut client, BEGINNING);
    // The request after it is never answered: the stream has no end that could come before.
    (1..=5).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn a_stream_goes_on_for_a_client_that_has_ended_its_half() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.end_its_half();
    expect(&mut client, BEGINNING);
    (1..=20).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn options_change_the_reconnection_time_and_let_other_origins_in() {
    let server = Server::start(&[
        "--retry=1.5s",
        "--allow-origin",
        "http://localhost:8080",
        "--count=1",
    ]);
    let head = BEGINNING.split_once("\r\n\r\n").unwrap().0;
    let origin = "Access-Control-Allow-Origin: http://localhost:8080\r\n";
    let mut client = server.connect();
    client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        client.read_response(true).head,
        format!("{head}\r\n{origin}\r\n")
    );
    client.send_get("/events", "Last-Event-ID: 1\r\n");
    assert!(client.read_response(false).head.contains(origin));
    client.send_get("/", "");
    assert!(!client.read_response(false).head.contains("Access-Control"));
    client.send_get("/events", "");
    expect(
        &mut client,
        &format!("{head}\r\n{origin}\r\nretry: 1500\n\n"),
    );
}

#[test]
fn a_preflight_from_an_allowed_origin_gets_what_a_reconnect_needs() {
    let preflight = "OPTIONS /events HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:8080\r\n\
                     Access-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: last-event-id\r\n\r\n";
    let open = Server::start(&["--allow-origin", "http://localhost:8080"]);
    let mut client = open.connect();
    client.send(preflight.as_bytes());
    let answer = client.read_response(false);
    let date = answer.field("Date").expect("a date");
    assert_eq!(
        answer.head,
        format!(
            "HTTP/1.1 204 No Content\r\n\
             Date: {date}\r\n\
             Access-Control-Allow-Origin: http://localhost:8080\r\n\
             Access-Control-Allow-Methods: GET\r\n\
             Access-Control-Allow-Headers: Last-Event-ID, Accept, Cache-Control\r\n\
             Access-Control-Max-Age: 86400\r\n\
             \r\n"
        )
    );
    // Any other OPTIONS is refused, and so is this one without --allow-origin.
    client.send(b"OPTIONS /events HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n");
    assert_eq!(client.read_response(false).status(), 405);
    client.send(preflight.replace("/events", "/").as_bytes());
    assert_eq!(client.read_response(false).status(), 405);
    let closed = Server::start(&[]);
    let mut client = closed.connect();
    client.send(preflight.as_bytes());
    assert_eq!(client.read_response(false).status(), 405);
}

#[test]
fn with_no_interval_events_come_as_fast_as_they_are_read() {
    let server = Server::start(&["--interval", "0s", "--quiet"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    expect(&mut client, BEGINNING);
    (1..=50_000).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn a_comment_breaks_a_long_silence_and_dispatches_nothing() {
    let counter = Counter {
        interval: Duration::from_secs(1),
        keep_alive: Duration::from_millis(20),
        ..Counter::default()
    };
    let mut client = InProcess::start(site(counter), 10).connect();
    client.send_get("/events", "");
    expect(&mut client, BEGINNING);
    let first = client.read_until("data: 1\n\n");
    assert!(
        first.starts_with(": keep-alive\n\n: keep-alive\n\n"),
        "{first:?}"
    );
    assert!(
        first.ends_with(": keep-alive\n\nid: 1\ndata: 1\n\n"),
        "{first:?}"
    );
    let reader = Reader::of(first.as_bytes());
    assert_eq!(
        (reader.dispatched.len(), reader.comments[0].as_str()),
        (1, "keep-alive")
    );
}

#[test]
fn a_client_of_the_standard_reads_the_count_and_the_reconnection_time() {
    let server = Server::start(&["--count", "20", "--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until("\r\n\r\n");
    let reader = Reader::of(&client.read_to_end());
    assert_eq!(reader.retry, Some(10_000));
    let (end, events) = reader.dispatched.split_last().expect("events");
    assert_eq!((end.event.as_str(), end.data.as_str()), ("end", "20"));
    for (number, event) in (1..).zip(events) {
        let number = format!("{number}");
        assert_eq!(
            (&*event.event, &event.data, &event.last_event_id),
            ("message", &number, &number)
        );
    }
    assert_eq!(events.len(), 20);
}

#[test]
fn another_process_goes_on_where_one_was_killed() {
    let mut seen: Vec<u64> = Vec::new();
    let mut last_event_id = String::new();
    for _ in 0..3 {
        let mut server = Server::start(&["--interval", "10ms"]);
        let mut client = server.connect();
        client.send_get("/events", &format!("Last-Event-ID: {last_event_id}\r\n"));
        client.read_until("\r\n\r\n");
        let mut stream = String::new();
        for _ in 0..10 {
            stream += &client.read_until("\n\n");
        }
        server.process.kill().expect("it ends");
        let reader = Reader::of(stream.as_bytes());
        last_event_id = reader.last_event_id;
        seen.extend(
            reader
                .dispatched
                .into_iter()
                .map(|event| event.data.parse::<u64>().expect("a number")),
        );
    }
    assert!(seen.iter().copied().eq(1..=27), "{seen:?}");
}

#[test]
fn the_log_tells_the_life_of_a_stream() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    let address = client.socket.local_addr().expect("an address");
    client.send_get("/events", "Last-Event-ID: 7\r\n");
    client.read_until("id: 9");
    assert_eq!(
        server.wait_for_log(""),
        format!("{address} got /events, last event ID 7")
    );
    assert_eq!(server.wait_for_log(""), format!("{address} emit 8"));
    assert_eq!(server.wait_for_log(""), format!("{address} emit 9"));
    drop(client);
    let left = server.wait_for_log("left after");
    assert!(
        left.starts_with(&format!("{address} left after ")),
        "{left}"
    );
}

#[test]
fn events_keep_to_the_schedule_of_their_stream() {
    let server = Server::start(&["--interval", "50ms", "--quiet"]);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send_get("/events", "");
    client.read_until("id: 20\n");
    // Never early; a slow machine may be late.
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
}

#[test]
fn a_hundred_thousand_events_later_an_event_is_due_when_it_should_be() {
    let interval = Duration::from_millis(1_000);
    let first = begin(Duration::from_millis(12_345), interval);
    let mut due = first;
    let mut random = Random(7);
    for number in 1..100_000 {
        let late = Duration::from_millis(random.next() % 900);
        due = next_due(due, due + late, interval);
        assert_eq!(due, first + number * interval);
    }
}

#[test]
fn a_stream_begins_at_the_next_hundredth_of_its_interval() {
    let ms = Duration::from_millis;
    for (now, interval, due) in [
        (0, 1_000, 1_000),
        (1, 1_000, 1_010),
        (10, 1_000, 1_010),
        (11, 1_000, 1_020),
        (7, 50, 57),
        (7, 0, 7),
    ] {
        let (now, interval) = (ms(now), ms(interval));
        assert_eq!(next_due(begin(now, interval), now, interval), ms(due));
    }
    assert_eq!(next_due(ms(7), ms(8), ms(0)), ms(8));
    // However many intervals are skipped, it is no loop.
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(next_due(ms(7), ms(86_400_000), nanosecond), ms(86_400_000));
}

#[test]
fn after_a_stall_a_stream_goes_on_an_event_an_interval_without_a_burst() {
    let (ms, interval) = (Duration::from_millis, Duration::from_millis(10));
    let mut due = begin(ms(0), interval);
    let mut random = Random(9);
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
