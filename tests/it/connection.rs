//! A connection without a socket, a thread or a clock: bytes in, bytes and what is next out.

use crate::support::in_process::{site, usual_site};
use crate::support::table::{NEXT, rows, shortened};
use bare_sse::connection::Connection;
use bare_sse::connection::Next::{self, Close, Linger, Read};
use bare_sse::counter::Counter;
use bare_sse::limits::Limits;
use bare_sse::site::Site;
use bare_sse::slots::Free;
use std::time::{Duration, Instant};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const SECOND: u64 = 784_111_777;

/// Delivers the pieces one after the other, until the connection ends. Returns all that it writes, with
/// `[stream]` for the events of a stream, and what is next.
fn deliver<'a>(
    site: &Site,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    free: Free,
) -> (String, Next) {
    let (mut connection, mut next) = (Connection::new(site), Read);
    for piece in pieces {
        if next != Read {
            break;
        }
        next = connection.receive(piece, free, SECOND);
        while let Next::Stream(stream) = next {
            connection.output.push(b"[stream]".into());
            next = match stream.persists {
                true => connection.receive(b"", free, SECOND),
                false => Linger,
            };
        }
    }
    (written(&connection), next)
}

fn written(connection: &Connection<'_>) -> String {
    String::from_utf8(connection.output.concat()).expect("text")
}

/// What is written for these bytes, which must be the same whole and in pieces of any size, and what is
/// next.
fn delivered(site: &Site, bytes: &[u8]) -> (String, Next) {
    let whole = deliver(site, [bytes], Free::Many);
    for size in 1..bytes.len() {
        let pieces = deliver(site, bytes.chunks(size), Free::Many);
        assert_eq!(pieces.0, whole.0, "in pieces of {size}");
    }
    whole
}

#[test]
fn every_head_gets_its_answer_however_it_comes_and_what_follows_is_only_read_if_it_persists() {
    let site = usual_site();
    let (next, _) = deliver(&site, [NEXT], Free::Many);
    for row in rows() {
        let (answer, _) = deliver(&site, [&row.bytes[..]], Free::Many);
        assert_eq!(shortened(&answer), row.answer, "{}", row.rule);
        let expected = answer + if row.persists() { &next } else { "" };
        let with_more = [&row.bytes[..], NEXT].concat();
        let (whole, _) = deliver(&site, [&with_more[..]], Free::Many);
        assert_eq!(whole, expected, "{}", row.rule);
        let (byte_by_byte, _) = deliver(&site, with_more.chunks(1), Free::Many);
        assert_eq!(byte_by_byte, expected, "{}", row.rule);
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order_however_they_are_cut_until_one_closes() {
    // The last event is 1, so after it nothing is left.
    let site = site(Counter::new(Duration::ZERO, Some(1)));
    let stream = "GET /events HTTP/1.1";
    for (line, field, persists) in [
        ("HEAD / HTTP/1.0", "Connection: keep-alive", true),
        ("\r\nPOST / HTTP/1.1", "A: b", true),
        ("OPTIONS * HTTP/1.1", "A: b", true),
        ("HEAD /events HTTP/1.1", "A: b", true),
        // What follows a request for a stream waits until the stream has ended.
        (stream, "A: b", true),
        (stream, "Last-Event-ID: 1", true),
        (stream, "Connection: close", false),
        // Content that looks like a request.
        (stream, "Content-Length: 26", false),
        (stream, "Transfer-Encoding: chunked", false),
        ("GET /events HTTP/1.0", "A: b", false),
        ("GET /events HTTP/1.0", "Connection: keep-alive", false),
    ] {
        let request = &*format!("{line}\r\nHost:\r\n{field}\r\n\r\n");
        let head = "HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
        let alone = |request: &str| deliver(&site, [request.as_bytes()], Free::Many).0;
        let expected = match persists {
            true => (alone(request).repeat(2) + &alone(head), Read),
            false => (alone(request), Linger),
        };
        let all = [request, request, head].concat();
        assert_eq!(delivered(&site, all.as_bytes()), expected);
    }
}

#[test]
fn while_no_slot_is_free_all_close_and_at_once_only_if_the_client_wants_it_and_has_sent_all() {
    let site = usual_site();
    for (request, more, many, none) in [
        ("GET /", "\r\n", Read, Linger),
        ("HEAD /events", "\r\n", Read, Linger),
        ("GET /events", "\r\n", Read, Linger),
        ("OPTIONS *", "\r\n", Read, Linger),
        ("GET /", "Content-Length: 0\r\n\r\n", Read, Linger),
        ("GET /", "Content-Length: 5\r\n\r\n", Linger, Linger),
        ("GET /", "Connection: close\r\n\r\n", Close, Close),
        ("GET /", "Connection: close\r\n\r\nG", Linger, Linger),
        (
            "GET /",
            "Connection: close\r\nContent-Length: 5\r\n\r\n",
            Linger,
            Linger,
        ),
    ] {
        let request = format!("{request} HTTP/1.1\r\nHost:\r\n{more}");
        let while_free = |free| deliver(&site, [request.as_bytes()], free);
        let (answer, next) = while_free(Free::Many);
        assert_eq!(next, many, "{request}");
        let closing = answer.replace("Connection: keep-alive", "Connection: close");
        assert_eq!(while_free(Free::None), (closing, none), "{request}");
        assert_eq!(while_free(Free::Few), (answer, many), "{request}");
    }
}

#[test]
fn a_head_that_never_ends_is_answered_if_it_has_begun() {
    let site = usual_site();
    let request = "HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    for (before, bytes, has_begun) in [
        ("", "", false),
        ("", "\r\n\r\n", false),
        (request, "", false),
        (request, "\r\n", false),
        ("", "G", true),
        ("", "\r\nGET / HTTP/1.1\r\nHost: x\r\n", true),
        (request, "G", true),
    ] {
        for is_cut_off in [true, false] {
            let mut connection = Connection::new(&site);
            connection.receive([before, bytes].concat().as_bytes(), Free::Many, SECOND);
            connection.output.clear();
            let (next, answer) = if is_cut_off {
                let answer = "400 close: the request head has no empty line at its end";
                (connection.cut_off(SECOND), answer)
            } else {
                let answer = "408 close: the request head was not complete in time";
                (connection.time_out(SECOND), answer)
            };
            let written = written(&connection);
            if has_begun {
                assert_eq!((next, &*shortened(&written)), (Linger, answer));
            } else {
                assert_eq!((next, &*written), (Close, ""), "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_refused_head_request_gets_no_content_either() {
    for (bytes, is_head) in [
        ("\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", true),
        ("HEAD  / HTTP/1.1\r\n\r\n", true),
        ("\r\n\nHEAD / HTTP/1.1\r\n\r\n", false),
        ("HEAD\t/ HTTP/1.1\r\n\r\n", false),
        ("head / HTTP/1.1\r\n\r\n", false),
    ] {
        let (written, _) = delivered(&usual_site(), bytes.as_bytes());
        assert!(written.starts_with("HTTP/1.1 400 "), "{bytes:?}");
        assert_eq!(written.ends_with("\r\n\r\n"), is_head, "{bytes:?}");
    }
}

#[test]
fn each_wait_has_its_limit_from_its_beginning_and_a_shorter_one_while_few_slots_are_free() {
    let site = Site {
        limits: Limits::DEFAULT,
        ..usual_site()
    };
    let ms = Duration::from_millis;
    let (head, idle) = ((ms(10_000), ms(1_000)), (ms(75_000), ms(300)));
    let request = "HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    // Pieces that come one after the other, a tenth of a second apart, after a wait: the limits, and how
    // many tenths of a second of them are gone.
    for (pieces, (many, few), gone) in [
        // Nothing has come yet: the wait began when the connection was opened.
        (&[][..], head, 0),
        (&["G"], head, 0),
        (&["G", "E", "T"], head, 2),
        (&["\r\n", "\r\n"], head, 1),
        (&[request], idle, 0),
        (&[request, "\r\n", "\r\n"], head, 1),
        (&[request, "GET", " "], head, 1),
        // What comes with the end of one head begins the next.
        (&["HEAD / HTTP/1.1\r\n", "Host:\r\n\r\nG", "E"], head, 1),
        (&[request, request], idle, 0),
    ] {
        let (mut connection, mut now) = (Connection::new(&site), Instant::now());
        connection.time_left(Free::Many, now);
        for piece in pieces {
            now += ms(100);
            connection.receive(piece.as_bytes(), Free::Many, SECOND);
            connection.time_left(Free::Many, now);
        }
        let gone = gone * ms(100);
        // It is longer again when more slots are free.
        for (free, limit) in [(Free::Few, few), (Free::None, few), (Free::Many, many)] {
            let mut left = |after| connection.time_left(free, now + after);
            assert_eq!(left(ms(0)), limit - gone, "{pieces:?} {free:?}");
            assert_eq!(left(2 * limit), ms(0), "{pieces:?} {free:?}");
        }
    }
}

#[test]
fn each_response_has_the_date_of_its_second() {
    let site = usual_site();
    let mut connection = Connection::new(&site);
    for (second, date) in [(SECOND, "08:49:37"), (SECOND + 1, "08:49:38")] {
        for path in ["/", "/events"] {
            connection.output.clear();
            let request = format!("HEAD {path} HTTP/1.1\r\nHost:\r\n\r\n");
            connection.receive(request.as_bytes(), Free::Many, second);
            let date = format!("\r\nDate: Sun, 06 Nov 1994 {date} GMT\r\n");
            assert!(written(&connection).contains(&date), "{path}");
        }
    }
}

#[test]
fn a_long_page_is_not_copied() {
    let site = usual_site();
    let mut connection = Connection::new(&site);
    connection.receive(&NEXT.repeat(2), Free::Many, SECOND);
    let [_, first, _, second] = &connection.output[..] else {
        panic!("two heads and two pages");
    };
    assert_eq!(first.as_ptr(), second.as_ptr());
}
