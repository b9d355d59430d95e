//! A connection without a socket, a thread or a clock: bytes in, bytes and what is next out.

use crate::support::in_process::{SHORT_LIMITS, site, usual_site};
use crate::support::table::{NEXT, rows};
use bare_sse::connection::{Connection, Next};
use bare_sse::counter::Counter;
use bare_sse::page::Page;
use bare_sse::site::Site;
use bare_sse::slots::Free;
use std::time::{Duration, Instant};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const SECOND: u64 = 784_111_777;

const PAGE: &str = include_str!("../../www/index.html");

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

/// A response as it was written.
struct Response<'a> {
    status: u16,
    head: &'a str,
}

/// The responses in what was written. Those to HEAD have no content.
fn responses(mut written: &str, is_head: bool) -> Vec<Response<'_>> {
    let mut responses = Vec::new();
    while !written.is_empty() {
        let end = written.find("\r\n\r\n").expect("a head") + 4;
        let (head, rest) = written.split_at(end);
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
        let length = head.split_once("Content-Length: ").map_or(0, |(_, rest)| {
            rest.split_once('\r')
                .expect("a line")
                .0
                .parse()
                .expect("a length")
        });
        written = &rest[if is_head { 0 } else { length }..];
        responses.push(Response {
            status: status[..3].parse().expect("a status"),
            head,
        });
    }
    responses
}

#[test]
fn every_row_of_the_table_gets_its_answer_whole_a_byte_at_a_time_and_with_bytes_after_it() {
    let site = usual_site();
    for row in rows() {
        let with_more = [&row.bytes[..], NEXT].concat();
        let whole = deliver(&site, [&row.bytes[..]], Free::Many);
        let (written, end) = deliver(&site, row.bytes.chunks(1), Free::Many);
        assert_eq!(written, whole.0, "{}", row.rule);
        let answers = responses(&written, row.is_head());
        assert_eq!(answers.len(), 1, "{}", row.rule);
        assert_eq!(answers[0].status, row.status, "{}", row.rule);
        let connection = if row.persists { "keep-alive" } else { "close" };
        let connection = format!("\r\nConnection: {connection}\r\n");
        assert!(answers[0].head.contains(&connection), "{}", row.rule);
        let has_allow = answers[0]
            .head
            .contains("\r\nAllow: GET, HEAD, OPTIONS\r\n");
        assert_eq!(has_allow, matches!(row.status, 204 | 405), "{}", row.rule);
        assert_eq!(end == End::Open, row.persists, "{}", row.rule);
        // What follows is answered if the connection persists, and otherwise never looked at.
        let more = match row.persists {
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
fn the_page_and_a_refusal_are_these_bytes() {
    let page = format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: keep-alive\r\n\
         \r\n\
         {PAGE}",
        PAGE.len()
    );
    let refusal = "HTTP/1.1 400 Bad Request\r\n\
                   Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                   Content-Type: text/plain\r\n\
                   Content-Length: 53\r\n\
                   Connection: close\r\n\
                   \r\n\
                   400 Bad Request: lines end in CR LF, not in LF alone\n";
    let site = usual_site();
    for target in [
        "/",
        "/index.html",
        "/favicon.ico",
        "/events/",
        "/Events",
        "/?/events",
        "http://x",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (written, end) = deliver(&site, [request.as_bytes()], Free::Many);
        assert_eq!((written == page, end), (true, End::Open), "{target}");
    }
    let bytes = [NEXT, b"GET / HTTP/1.1\nHost: x\n\n", NEXT].concat();
    let written = delivered(&site, &bytes, Free::Many);
    assert_eq!(written, (page + refusal, End::Linger), "after a good one");
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
    let statuses: Vec<_> = responses(&written, true).iter().map(|r| r.status).collect();
    assert_eq!((statuses, end), (vec![200; 3], End::Open));
}

#[test]
fn requests_after_one_for_a_stream_are_answered_after_the_stream_unless_it_closes() {
    let stream = |connection: &str, framing: &str, retry: &str| {
        format!(
            "HTTP/1.1 200 OK\r\n\
             Cache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\n\
             Connection: {connection}\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             {framing}\r\n\
             {retry}[stream]"
        )
    };
    let chunks = |connection| {
        let framing = "Transfer-Encoding: chunked\r\n";
        stream(connection, framing, "e\r\nretry: 10000\n\n\r\n")
    };
    let site = usual_site();
    let next = deliver(
        &site,
        [&b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n"[..]],
        Free::Many,
    )
    .0;
    for (request, expected, persists) in [
        (
            "GET /events HTTP/1.1\r\nHost:\r\n\r\n",
            chunks("keep-alive"),
            true,
        ),
        (
            "GET /events HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
            chunks("close"),
            false,
        ),
        // Content that looks like a request.
        (
            "GET /events HTTP/1.1\r\nHost:\r\nContent-Length: 26\r\n\r\n",
            chunks("close"),
            false,
        ),
        (
            "GET /events HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunks("close"),
            false,
        ),
        (
            "GET /events HTTP/1.0\r\n\r\n",
            stream("close", "", "retry: 10000\n\n"),
            false,
        ),
        (
            "GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            stream("close", "", "retry: 10000\n\n"),
            false,
        ),
    ] {
        let twice = format!("{request}{request}HEAD / HTTP/1.1\r\nHost:\r\n\r\n");
        let expected = match persists {
            true => (expected.repeat(2) + &next, End::Open),
            false => (expected, End::Linger),
        };
        assert_eq!(delivered(&site, twice.as_bytes(), Free::Many), expected);
    }
    // The last event is 1, so for this client nothing is left.
    let site = self::site(Counter::new(Duration::ZERO, Some(1)));
    let request = "GET /events HTTP/1.1\r\nHost:\r\nLast-Event-ID: 1\r\n\r\n";
    let over = "HTTP/1.1 204 No Content\r\n\
                Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                Cache-Control: no-cache\r\n\
                Connection: keep-alive\r\n\
                \r\n";
    let written = delivered(&site, request.repeat(2).as_bytes(), Free::Many);
    assert_eq!(written, (over.repeat(2), End::Open));
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
        for (is_cut, line) in [
            (
                true,
                "400 Bad Request: the head has no empty line at its end\n",
            ),
            (
                false,
                "408 Request Timeout: the head was not complete in time\n",
            ),
        ] {
            let mut connection = Connection::new(&site);
            assert_eq!(
                connection.receive(bytes.as_bytes(), Free::Many, SECOND),
                Next::Read
            );
            connection.output.clear();
            let next = match is_cut {
                true => connection.cut_off(SECOND),
                false => connection.time_out(SECOND),
            };
            let written = text(connection.output.concat());
            if has_begun {
                assert_eq!(next, Next::Linger, "{bytes:?}");
                assert!(written.contains("\r\nConnection: close\r\n"), "{written}");
                assert!(written.ends_with(line), "{written}");
            } else {
                assert_eq!((next, written.as_str()), (Next::Close, ""), "{bytes:?}");
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
        assert_eq!(responses(&written, is_head)[0].status, 400, "{bytes:?}");
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
