//! `/events` as its clients see it.

use crate::support::event_stream_reader::Reader;
use crate::support::in_process::{InProcess, site};
use crate::support::{Random, RawClient, Server};
use bare_sse::counter::{Counter, next_due};
use std::time::{Duration, Instant};

/// The head of a stream, but for the value of its `Date`.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
                    Cache-Control: no-cache\r\n\
                    Content-Type: text/event-stream\r\n\
                    Connection: keep-alive\r\n\
                    Date: NOW\r\n\
                    Transfer-Encoding: chunked\r\n\
                    \r\n";

/// The first chunk: 14 bytes.
const RETRY: &str = "e\r\nretry: 10000\n\n\r\n";

/// The bytes as text, without the value of a `Date`.
fn undated(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some((before, after)) = text.split_once("\r\nDate: ") else {
        return text;
    };
    let (date, after) = after.split_once("\r\n").expect("the end of its line");
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{date}");
    format!("{before}\r\nDate: NOW\r\n{after}")
}

fn expect(client: &mut RawClient, bytes: &str) {
    let read = client.read_bytes(bytes.len());
    assert_eq!(String::from_utf8_lossy(&read), bytes);
}

/// Reads what stands at the beginning of a stream that is sent in chunks.
fn expect_beginning(client: &mut RawClient) {
    assert_eq!(undated(client.read_until("\r\n\r\n").as_bytes()), HEAD);
    expect(client, RETRY);
}

/// A block of the stream as a chunk.
fn chunk(block: &str) -> String {
    format!("{:x}\r\n{block}\r\n", block.len())
}

fn event(number: u64) -> String {
    chunk(&format!("id: {number}\ndata: {number}\n\n"))
}

#[test]
fn the_stream_is_these_bytes() {
    let server = Server::start(&["--interval", "1ms"]);
    let mut client = server.connect();
    client.send_get(
        "/events",
        "Accept: text/event-stream\r\nCache-Control: no-store\r\n",
    );
    expect_beginning(&mut client);
    expect(&mut client, "f\r\nid: 1\ndata: 1\n\n\r\n");
    (2..=9).for_each(|number| expect(&mut client, &event(number)));
    expect(&mut client, "11\r\nid: 10\ndata: 10\n\n\r\n");
    (11..=120).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn with_a_count_the_stream_says_that_it_ends_and_the_connection_persists() {
    let server = Server::start(&["--count", "2", "--interval", "10ms"]);
    let stream = format!(
        "{HEAD}{RETRY}\
         f\r\nid: 1\ndata: 1\n\n\r\n\
         f\r\nid: 2\ndata: 2\n\n\r\n\
         1a\r\nevent: end\nid: 2\ndata: 2\n\n\r\n\
         0\r\n\r\n"
    );
    let mut client = server.connect();
    // Two streams, one after the other, the second asked for when the first has ended or before.
    for pipelined in [false, true] {
        client.send_get("/events", "");
        if pipelined {
            client.send_get("/events", "Last-Event-ID: 1\r\n");
            client.send_get("/page", "Connection: close\r\n");
        }
        let read = client.read_until("\r\n0\r\n\r\n");
        assert_eq!(undated(read.as_bytes()), stream);
    }
    let rest = stream.replace("f\r\nid: 1\ndata: 1\n\n\r\n", "");
    let read = client.read_until("\r\n0\r\n\r\n");
    assert_eq!(undated(read.as_bytes()), rest);
    assert_eq!(client.read_response(false).status(), 200);
    assert_eq!(client.read_to_end(), b"");
    for events in ["2 events", "2 events", "1 event"] {
        server.wait_for_log(&format!("ended after {events}"));
    }
}

#[test]
fn a_stream_on_a_connection_that_closes_says_so_and_its_end_closes_it() {
    let server = Server::start(&["--count", "1", "--interval", "10ms"]);
    let chunks = "f\r\nid: 1\ndata: 1\n\n\r\n\
                  1a\r\nevent: end\nid: 1\ndata: 1\n\n\r\n\
                  0\r\n\r\n";
    let request = "GET /events HTTP/1.1\r\nHost: x\r\n";
    for rest in [
        "Connection: close\r\n\r\n",
        "Connection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        // Content that looks like a request.
        "Content-Length: 32\r\n\r\nGET / HTTP/1.1\r\nHost: content\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nGET / HTTP/1.1\r\nHost: content\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(format!("{request}{rest}").as_bytes());
        assert_eq!(
            undated(&client.read_to_end()),
            HEAD.replace("keep-alive", "close") + RETRY + chunks,
            "{rest}"
        );
    }
}

#[test]
fn to_http_1_0_the_stream_has_no_chunks_and_the_end_of_the_connection_is_its_end() {
    let server = Server::start(&["--count", "1", "--interval", "10ms"]);
    let head = HEAD
        .replace("keep-alive", "close")
        .replace("Transfer-Encoding: chunked\r\n", "");
    for fields in ["", "Connection: keep-alive\r\n"] {
        let request = format!("/events HTTP/1.0\r\n{fields}\r\n");
        let mut client = server.connect();
        client.send(format!("GET {request}").as_bytes());
        let stream = "retry: 10000\n\nid: 1\ndata: 1\n\nevent: end\nid: 1\ndata: 1\n\n";
        assert_eq!(undated(&client.read_to_end()), head.clone() + stream);
        let mut client = server.connect();
        client.send(format!("HEAD {request}").as_bytes());
        assert_eq!(undated(&client.read_to_end()), head);
    }
}

#[test]
fn head_gets_the_fields_that_get_gets_and_the_connection_persists() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(undated(client.read_until("\r\n\r\n").as_bytes()), HEAD);
    client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let head = HEAD.replace("keep-alive", "close");
    assert_eq!(undated(&client.read_to_end()), head);
}

#[test]
fn the_head_and_the_reconnection_time_come_at_once_in_one_write() {
    let server = Server::start(&["--interval", "60m"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    let beginning = client.try_read().expect("the beginning");
    assert_eq!(undated(&beginning), format!("{HEAD}{RETRY}"));
}

#[test]
fn a_chunk_comes_in_one_write_and_the_last_with_the_end_event() {
    let server = Server::start(&["--interval", "20ms", "--count", "12"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    expect_beginning(&mut client);
    // What is written at once is read at once: on loopback no write is torn. A client that is late
    // may read several at once.
    let mut events = String::new();
    while !events.ends_with("\r\n0\r\n\r\n") {
        let read = client.try_read().expect("an event");
        events += str::from_utf8(&read).expect("text");
        assert!(events.ends_with("\n\r\n") || events.ends_with("\r\n0\r\n\r\n"));
        let is_end = events.contains("event: end");
        assert_eq!(events.ends_with("\r\n0\r\n\r\n"), is_end, "{events}");
        assert!(events.len() < 1_000, "they do not end: {events}");
    }
    let end = chunk("event: end\nid: 12\ndata: 12\n\n");
    let all: String = (1..=12).map(event).chain([end]).collect();
    assert_eq!(events, all + "0\r\n\r\n");
}

#[test]
fn every_target_with_this_path_is_the_stream() {
    let server = Server::start(&["--interval", "60m"]);
    for target in [
        "/events?now=1",
        "/events?",
        "http://x:3000/events",
        "HTTP://x/events?now=1",
    ] {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        expect_beginning(&mut client);
    }
}

/// The first chunk after the beginning of a stream with this target and these fields.
fn first_event(server: &Server, target: &str, fields: &str) -> String {
    let mut client = server.connect();
    client.send_get(target, fields);
    expect_beginning(&mut client);
    client.read_until("\n\n\r\n")
}

#[test]
fn the_stream_resumes_after_the_last_event_id() {
    let server = Server::start(&["--interval", "10ms"]);
    let first = |fields: &str| first_event(&server, "/events", fields);
    assert_eq!(first("Last-Event-ID: 41\r\n"), event(42));
    assert_eq!(first("last-event-id:007\r\n"), event(8));
    assert_eq!(first("Last-Event-ID: 0\r\n"), event(1));
    assert_eq!(
        first("Last-Event-ID:\r\nLast-Event-ID: 4\r\n"),
        event(5),
        "an empty field is none"
    );
    for none in [
        "",
        "Last-Event-ID:\r\n",
        "Last-Event-ID: -1\r\n",
        "Last-Event-ID: +1\r\n",
        "Last-Event-ID: 1.5\r\n",
        "Last-Event-ID: 1 2\r\n",
        "Last-Event-ID: 0x10\r\n",
        "Last-Event-ID: \u{664}\u{661}\r\n",
        "Last-Event-ID: 18446744073709551616\r\n",
        "Last-Event-ID: 99999999999999999999999\r\n",
        "Last-Event-ID: 4\r\nLast-Event-ID: 4\r\n",
    ] {
        assert_eq!(first(none), event(1), "{none:?}");
    }
}

#[test]
fn the_last_event_id_may_stand_in_the_query_and_a_field_wins() {
    let server = Server::start(&["--interval", "10ms"]);
    for (target, fields, number) in [
        ("/events?lastEventId=7", "", 8),
        ("/events?lastEventID=7", "", 8),
        ("/events?a=b&LASTEVENTID=7&c", "", 8),
        ("/events?lastEventId=7&lastEventId=9", "", 8),
        ("http://x/events?lastEventId=7", "", 8),
        ("/events?lastEventId=7", "Last-Event-ID:\r\n", 8),
        ("/events?lastEventId=7", "Last-Event-ID: 41\r\n", 42),
        ("/events?lastEventId=7", "Last-Event-ID: x\r\n", 1),
        (
            "/events?lastEventId=7",
            "Last-Event-ID: 4\r\nLast-Event-ID: 4\r\n",
            1,
        ),
        ("/events?lastEventId=&lastEventId=9", "", 1),
        ("/events?lastEventId=x", "", 1),
        ("/events?xlastEventId=7", "", 1),
        ("/events?lastEventId7", "", 1),
        ("/events?lastEventIdentity=7", "", 1),
    ] {
        let first = first_event(&server, target, fields);
        assert_eq!(first, event(number), "{target} {fields}");
    }
}

#[test]
fn nothing_follows_the_last_number_there_is_but_the_end() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "Last-Event-ID: 18446744073709551613\r\n");
    expect_beginning(&mut client);
    let end = chunk("event: end\nid: 18446744073709551615\ndata: 18446744073709551615\n\n");
    for chunk in [event(u64::MAX - 1), event(u64::MAX), end] {
        expect(&mut client, &chunk);
    }
    expect(&mut client, "0\r\n\r\n");
    client.send_get("/events", "Last-Event-ID: 18446744073709551615\r\n");
    assert_eq!(client.read_response(false).status(), 204);
}

#[test]
fn a_client_that_has_seen_the_last_event_is_told_not_to_come_back() {
    let server = Server::start(&["--count", "3"]);
    let mut client = server.connect();
    for id in ["3", "4", "18446744073709551615"] {
        client.send_get("/events", &format!("Last-Event-ID: {id}\r\n"));
        assert_eq!(
            undated(client.read_response(false).head.as_bytes()),
            "HTTP/1.1 204 No Content\r\n\
             Date: NOW\r\n\
             Cache-Control: no-cache\r\n\
             Connection: keep-alive\r\n\
             \r\n"
        );
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
    expect_beginning(&mut client);
    // The request after it is never answered: the stream has no end that could come before.
    (1..=5).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn a_stream_goes_on_for_a_client_that_has_ended_its_half() {
    let server = Server::start(&["--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.end_its_half();
    expect_beginning(&mut client);
    (1..=20).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn options_change_the_reconnection_time_and_let_other_origins_in() {
    let origin = "Access-Control-Allow-Origin: http://localhost:8080\r\n\
                  Access-Control-Allow-Credentials: true\r\n";
    for (option, cors) in [
        ("http://localhost:8080", origin),
        ("*", "Access-Control-Allow-Origin: *\r\n"),
    ] {
        let server = Server::start(&["--retry=1500ms", "--allow-origin", option, "--count=1"]);
        let head = HEAD.replace("Date:", &format!("{cors}Date:"));
        let mut client = server.connect();
        client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(undated(client.read_until("\r\n\r\n").as_bytes()), head);
        client.send_get("/events", "Last-Event-ID: 1\r\n");
        let answer = client.read_response(false);
        assert_eq!(answer.status(), 204);
        assert!(answer.head.contains(cors), "{}", answer.head);
        client.send_get("/", "");
        assert!(!client.read_response(false).head.contains("Access-Control"));
        client.send_get("/events", "");
        assert_eq!(undated(client.read_until("\r\n\r\n").as_bytes()), head);
        expect(&mut client, &chunk("retry: 1500\n\n"));
    }
}

#[test]
fn options_tells_what_is_allowed_and_a_preflight_gets_the_fields_that_it_asks_for() {
    let options = |server: &Server, path: &str, fields: &str| {
        let mut client = server.connect();
        client.send(format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes());
        undated(client.read_response(false).head.as_bytes())
    };
    let allow = "HTTP/1.1 204 No Content\r\n\
                 Date: NOW\r\n\
                 Allow: GET, HEAD, OPTIONS\r\n\
                 Connection: keep-alive\r\n\
                 \r\n";
    let open = Server::start(&["--allow-origin", "http://localhost:8080"]);
    let closed = Server::start(&[]);
    for (asked, allowed) in [
        (&[][..], None),
        (&["last-event-id"], Some("last-event-id")),
        (
            &["authorization,traceparent", "", " X-Requested-With ,"],
            Some("authorization, traceparent, X-Requested-With"),
        ),
        (&["*"], Some("*")),
        (&["a b"], None),
        (&["a", "b: c"], None),
        (&["\u{e9}"], None),
        (&[" , "], None),
    ] {
        let mut fields = "Origin: http://localhost:8080\r\n\
                          Access-Control-Request-Method: GET\r\n"
            .to_string();
        for names in asked {
            fields += &format!("Access-Control-Request-Headers: {names}\r\n");
        }
        let allowed = allowed.map(|names| format!("Access-Control-Allow-Headers: {names}\r\n"));
        assert_eq!(
            options(&open, "/events", &fields),
            format!(
                "HTTP/1.1 204 No Content\r\n\
                 Date: NOW\r\n\
                 Allow: GET, HEAD, OPTIONS\r\n\
                 Access-Control-Allow-Origin: http://localhost:8080\r\n\
                 Access-Control-Allow-Credentials: true\r\n\
                 Access-Control-Allow-Methods: GET\r\n\
                 {}\
                 Access-Control-Max-Age: 86400\r\n\
                 Connection: keep-alive\r\n\
                 \r\n",
                allowed.unwrap_or_default()
            )
        );
        assert_eq!(options(&open, "/", &fields), allow);
        assert_eq!(options(&closed, "/events", &fields), allow);
        assert_eq!(options(&closed, "*", &fields), allow);
    }
}

#[test]
fn with_no_interval_events_come_as_fast_as_they_are_read() {
    let server = Server::start(&["--interval", "0s", "--quiet"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    expect_beginning(&mut client);
    (1..=50_000).for_each(|number| expect(&mut client, &event(number)));
}

#[test]
fn a_comment_breaks_a_long_silence_and_dispatches_nothing() {
    let mut site = site(Counter::new(Duration::from_secs(2), None));
    site.events.longest_silence = Duration::from_millis(50);
    let mut client = InProcess::start(site, 10).connect();
    client.send_get("/events", "");
    expect_beginning(&mut client);
    for _ in 0..10 {
        expect(&mut client, "d\r\n: keep-alive\n\r\n");
    }
    let rest = client.read_until("data: 1\n\n\r\n");
    let (comments, first) = rest.split_at(rest.len() - event(1).len());
    assert_eq!(first, event(1));
    assert_eq!(comments.replace("d\r\n: keep-alive\n\r\n", ""), "");
}

#[test]
fn a_client_of_the_standard_reads_the_count_and_the_reconnection_time() {
    let server = Server::start(&["--count", "20", "--interval", "10ms"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    let reader = Reader::of(&client.read_response(false).content);
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
        let mut stream = Vec::new();
        for _ in 0..10 {
            stream.extend(client.read_chunk().expect("no end"));
        }
        server.process.kill().expect("it ends");
        let reader = Reader::of(&stream);
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
    let server = Server::start(&["--interval", "20ms", "--quiet"]);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send_get("/events", "");
    client.read_until("id: 40\n");
    // Never early; a slow machine may be late.
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(800), "{elapsed:?}");
}

#[test]
fn a_hundred_thousand_events_later_an_event_is_due_when_it_should_be() {
    let (ms, interval) = (Duration::from_millis, Duration::from_millis(1_000));
    let first = next_due(ms(12_345), ms(12_345), interval);
    let mut due = first;
    let mut random = Random(7);
    for number in 1..100_000 {
        let late = ms(random.next() % 900);
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
        assert_eq!(next_due(ms(now), ms(now), ms(interval)), ms(due));
    }
    assert_eq!(next_due(ms(7), ms(8), ms(0)), ms(8));
    // However many intervals are skipped, it is no loop.
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(next_due(ms(7), ms(86_400_000), nanosecond), ms(86_400_000));
}

#[test]
fn after_a_stall_a_stream_goes_on_an_event_an_interval_without_a_burst() {
    let (ms, interval) = (Duration::from_millis, Duration::from_millis(10));
    let mut due = next_due(ms(0), ms(0), interval);
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
