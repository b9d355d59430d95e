//! A connection without a socket, a thread or a clock: bytes in, bytes and what is next out.

use crate::support::in_process::{SHORT_LIMITS, site, usual_site};
use crate::support::table::{NEXT, rows, shortened};
use bare_sse::connection::{Connection, Next};
use bare_sse::counter::Counter;
use bare_sse::page::Page;
use bare_sse::site::Site;
use bare_sse::slots::Free;
use std::time::{Duration, Instant};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const SECOND: u64 = 784_111_777;

/// How a connection goes on after these bytes.
#[derive(Debug, PartialEq)]
enum End {
    Open,
    Linger,
    Close,
}

/// Delivers the pieces one after the other, until the connection ends. Returns all that it writes, with
/// `[stream]` for the events of a stream.
fn deliver<'a>(
    site: &Site,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    free: Free,
) -> (String, End) {
    let mut connection = Connection::new(site);
    let mut written = Vec::new();
    for piece in pieces {
        let mut next = connection.receive(piece, free, SECOND);
        loop {
            written.extend(
                connection
                    .output
                    .drain(..)
                    .flat_map(|part| part.into_owned()),
            );
            next = match next {
                Next::Read => break,
                Next::Stream(stream) => {
                    written.extend(b"[stream]");
                    match stream.persists {
                        true => connection.receive(b"", free, SECOND),
                        false => Next::Linger,
                    }
                }
                Next::Linger => return (text(written), End::Linger),
                Next::Close => return (text(written), End::Close),
            };
        }
    }
    (text(written), End::Open)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// What is written for these bytes, which must be the same whole, a byte at a time, and cut in two
/// anywhere.
fn delivered(site: &Site, bytes: &[u8], free: Free) -> (String, End) {
    let whole = deliver(site, [bytes], free);
    assert_eq!(deliver(site, bytes.chunks(1), free).0, whole.0);
    for cut in 0..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(deliver(site, [first, second], free).0, whole.0, "{cut}");
    }
    whole
}

#[test]
fn every_head_gets_its_answer_whole_a_byte_at_a_time_and_with_bytes_after_it() {
    let site = usual_site();
    for row in rows() {
        let with_more = [&row.bytes[..], NEXT].concat();
        let whole = deliver(&site, [&row.bytes[..]], Free::Many);
        let head = &whole.0;
        assert_eq!(shortened(head), row.answer, "{}", row.rule);
        let is_allowed = head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n");
        assert_eq!(
            is_allowed,
            matches!(row.status(), 204 | 405),
            "{}",
            row.rule
        );
        assert_eq!(whole.1 == End::Open, row.persists(), "{}", row.rule);
        let (written, _) = deliver(&site, row.bytes.chunks(1), Free::Many);
        assert_eq!(written, whole.0, "{}", row.rule);
        // What follows is answered if the connection persists, and otherwise never looked at.
        let more = match row.persists() {
            true => deliver(&site, [NEXT], Free::Many).0,
            false => String::new(),
        };
        for written in [
            deliver(&site, [&with_more[..]], Free::Many),
            deliver(&site, with_more.chunks(1), Free::Many),
        ] {
            assert_eq!(written.0, whole.0.clone() + &more, "{}", row.rule);
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order_however_they_are_cut() {
    let lines = [
        ("HEAD / HTTP/1.1", 200),
        ("BREW / HTTP/1.1", 501),
        ("HEAD /events HTTP/1.1", 200),
        ("HEAD / HTTP/1.0", 200),
        ("POST / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 204),
    ];
    let requests =
        lines.map(|(line, _)| format!("\r\n{line}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"));
    let (written, end) = delivered(&usual_site(), requests.concat().as_bytes(), Free::Many);
    let each = requests.map(|request| deliver(&usual_site(), [request.as_bytes()], Free::Many).0);
    assert_eq!((written, end), (each.concat(), End::Open));
    for (written, (line, status)) in each.iter().zip(lines) {
        assert!(
            written.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}"
        );
    }
}

#[test]
fn a_head_larger_than_any_read_is_one_request() {
    let fill = format!("X: {}\r\n", "x".repeat(1_000)).repeat(15);
    let head = format!("HEAD /events HTTP/1.1\r\nHost: x\r\n{fill}\r\n").repeat(3);
    let (written, end) = deliver(&usual_site(), head.as_bytes().chunks(2048), Free::Many);
    let answer = deliver(
        &usual_site(),
        [&b"HEAD /events HTTP/1.1\r\nHost:\r\n\r\n"[..]],
        Free::Many,
    )
    .0;
    assert_eq!((written, end), (answer.repeat(3), End::Open));
}

#[test]
fn requests_after_one_for_a_stream_are_answered_after_the_stream_unless_it_closes() {
    // The last event is 1, so after it nothing is left.
    let site = site(Counter::new(Duration::ZERO, Some(1)));
    let deliver_one = |request: &str| deliver(&site, [request.as_bytes()], Free::Many).0;
    for (request, persists) in [
        ("GET /events HTTP/1.1\r\nHost:\r\n\r\n", true),
        (
            "GET /events HTTP/1.1\r\nHost:\r\nLast-Event-ID: 1\r\n\r\n",
            true,
        ),
        (
            "GET /events HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
            false,
        ),
        // Content that looks like a request.
        (
            "GET /events HTTP/1.1\r\nHost:\r\nContent-Length: 37\r\n\r\n",
            false,
        ),
        (
            "GET /events HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        ),
        ("GET /events HTTP/1.0\r\n\r\n", false),
        (
            "GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            false,
        ),
    ] {
        let next = "HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
        let all = [request, request, next].concat();
        let one = deliver_one(request);
        let expected = match persists {
            true => (one.repeat(2) + &deliver_one(next), End::Open),
            false => (one, End::Linger),
        };
        assert_eq!(delivered(&site, all.as_bytes(), Free::Many), expected);
    }
}

#[test]
fn while_no_slot_is_free_every_response_closes_its_connection_and_while_few_are_none_does() {
    for (request, end) in [
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", End::Linger),
        ("HEAD /events HTTP/1.1\r\nHost:\r\n\r\n", End::Linger),
        ("GET /events HTTP/1.1\r\nHost:\r\n\r\n", End::Linger),
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", End::Linger),
        (
            "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
            End::Close,
        ),
    ] {
        let site = usual_site();
        let many = deliver(&site, [request.as_bytes()], Free::Many);
        assert_eq!(deliver(&site, [request.as_bytes()], Free::Few), many);
        let closing = many
            .0
            .replace("Connection: keep-alive", "Connection: close");
        let none = deliver(&site, [request.as_bytes()], Free::None);
        assert_eq!(none, (closing, end), "{request}");
    }
}

#[test]
fn only_a_client_that_asks_for_the_close_and_has_sent_all_is_closed_at_once() {
    for (fields, end) in [
        ("Connection: close\r\n\r\n", End::Close),
        ("Connection: close\r\n\r\nG", End::Linger),
        (
            "Connection: close\r\nContent-Length: 5\r\n\r\n",
            End::Linger,
        ),
        ("Content-Length: 5\r\n\r\n", End::Linger),
        ("Content-Length: 5\r\n\r\nhello", End::Linger),
        ("Content-Length: 0\r\n\r\n", End::Open),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}");
        let (_, really) = deliver(&usual_site(), [request.as_bytes()], Free::Many);
        assert_eq!(really, end, "{fields}");
    }
}

#[test]
fn a_head_that_never_ends_is_answered_if_it_has_begun() {
    let site = usual_site();
    let after = |bytes: &str, end: fn(&mut Connection<'_>) -> Next| {
        let mut connection = Connection::new(&site);
        let next = connection.receive(bytes.as_bytes(), Free::Many, SECOND);
        assert_eq!(next, Next::Read);
        connection.output.clear();
        (end(&mut connection), text(connection.output.concat()))
    };
    for (bytes, has_begun) in [
        ("", false),
        ("\r\n", false),
        ("\r\n\r\n\r\n", false),
        ("HEAD / HTTP/1.1\r\nHost:\r\n\r\n", false),
        ("HEAD / HTTP/1.1\r\nHost:\r\n\r\n\r\n", false),
        ("G", true),
        ("\r\nGET / HTTP/1.1\r\nHost: x\r\n", true),
        ("HEAD / HTTP/1.1\r\nHost:\r\n\r\nG", true),
    ] {
        let cut_off = after(bytes, |connection| connection.cut_off(SECOND));
        let timed_out = after(bytes, |connection| connection.time_out(SECOND));
        for ((next, written), answer) in [
            (
                cut_off,
                "400 close: the request head has no empty line at its end",
            ),
            (
                timed_out,
                "408 close: the request head was not complete in time",
            ),
        ] {
            if has_begun {
                assert_eq!(next, Next::Linger, "{bytes:?}");
                assert_eq!(shortened(&written), answer, "{bytes:?}");
            } else {
                assert_eq!((next, &*written), (Next::Close, ""), "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_refused_head_request_gets_no_content_either() {
    for (bytes, is_head) in [
        ("HEAD / HTTP/1.1\r\n\r\n", true),
        ("\r\n\r\nHEAD / HTTP/1.1\r\n\r\n", true),
        ("HEAD  / HTTP/1.1\r\n\r\n", true),
        ("\nHEAD / HTTP/1.1\r\n\r\n", false),
        ("\r\n\nHEAD / HTTP/1.1\r\n\r\n", false),
        ("\rHEAD / HTTP/1.1\r\n\r\n", false),
        ("HEAD\t/ HTTP/1.1\r\n\r\n", false),
        ("head / HTTP/1.1\r\n\r\n", false),
    ] {
        let (written, end) = delivered(&usual_site(), bytes.as_bytes(), Free::Many);
        assert!(written.starts_with("HTTP/1.1 400 "), "{bytes:?}");
        assert_eq!(written.ends_with("\r\n\r\n"), is_head, "{bytes:?}");
        assert_eq!(end, End::Linger);
    }
}

#[test]
fn each_wait_has_its_limit_from_its_beginning_and_a_shorter_one_while_few_slots_are_free() {
    let (head, idle) = (SHORT_LIMITS.head, SHORT_LIMITS.idle);
    let request = "HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    // Bytes that come one after the other, a hundredth of a second apart, after a wait: the limit, and
    // how many hundredths of a second of it are gone.
    for (pieces, limit, gone) in [
        // Nothing has come yet: the wait began when the connection was opened.
        (&[][..], head, 0),
        (&["G"], head, 0),
        (&["G", "E", "T"], head, 2),
        (&["\r\n", "\r\n"], head, 1),
        (&[request], idle, 0),
        (&[request, "\r\n", "\r\n"], head, 1),
        (&["GET", request], idle, 0),
        (&[request, "GET", " "], head, 1),
        // What comes with the end of one head begins the next.
        (&["HEAD / HTTP/1.1\r\n", "Host:\r\n\r\nG", "E"], head, 1),
        (&[request, request], idle, 0),
    ] {
        for free in [Free::Many, Free::Few, Free::None] {
            let site = usual_site();
            let mut connection = Connection::new(&site);
            let mut now = Instant::now();
            let step = Duration::from_millis(10);
            connection.time_left(free, now);
            for piece in pieces {
                now += step;
                let is_open = connection.receive(piece.as_bytes(), free, SECOND) == Next::Read;
                assert!(
                    is_open || free == Free::None || *piece == request,
                    "{pieces:?}"
                );
                connection.time_left(free, now);
            }
            let limit = match free {
                Free::Many => limit,
                _ if limit == head => head / 10,
                _ => idle / 250,
            };
            let left = limit - gone * step;
            assert_eq!(connection.time_left(free, now), left, "{pieces:?} {free:?}");
            let last = Duration::from_nanos(1);
            assert_eq!(connection.time_left(free, now + left - last), last);
            assert_eq!(connection.time_left(free, now + left), Duration::ZERO);
            assert_eq!(connection.time_left(free, now + 100 * left), Duration::ZERO);
        }
    }
}

#[test]
fn a_wait_becomes_shorter_when_slots_become_few_and_longer_again() {
    let site = usual_site();
    let mut connection = Connection::new(&site);
    let begin = Instant::now();
    connection.receive(NEXT, Free::Many, SECOND);
    let left = |free, elapsed| connection.time_left(free, begin + elapsed);
    let mut left = left;
    assert_eq!(left(Free::Many, Duration::ZERO), SHORT_LIMITS.idle);
    let elapsed = SHORT_LIMITS.idle / 2;
    assert_eq!(left(Free::Few, elapsed), Duration::ZERO);
    assert_eq!(left(Free::Many, elapsed), SHORT_LIMITS.idle - elapsed);
}

#[test]
fn each_response_has_the_date_of_its_second() {
    let site = usual_site();
    let mut connection = Connection::new(&site);
    for (second, date) in [
        (SECOND, "08:49:37"),
        (SECOND, "08:49:37"),
        (SECOND + 1, "08:49:38"),
    ] {
        for path in ["/", "/events"] {
            let request = format!("HEAD {path} HTTP/1.1\r\nHost:\r\n\r\n");
            connection.receive(request.as_bytes(), Free::Many, second);
            let written = text(connection.output.concat());
            let date = format!("\r\nDate: Sun, 06 Nov 1994 {date} GMT\r\n");
            assert!(written.contains(&date), "{written}");
            connection.output.clear();
        }
    }
}

#[test]
fn a_long_page_is_not_copied() {
    let page = Page::built_in();
    let mut site = usual_site();
    site.page = page;
    let mut connection = Connection::new(&site);
    connection.receive(&NEXT.repeat(2), Free::Many, SECOND);
    let [_, first, _, second] = &connection.output[..] else {
        panic!("two heads and two pages");
    };
    assert_eq!(first.as_ptr(), second.as_ptr());
}
