//! Requests and answers over real sockets, byte by byte.

use crate::support::table::{NEXT, Row, rows};
use crate::support::{Folder, PATIENCE, RawClient, Response, Server, wait_until};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads the answer to a row, and checks all that its head must say.
fn read_answer(client: &mut RawClient, row: &Row) -> Response {
    let answer = client.read_response(row.is_head());
    assert_eq!(answer.status(), row.status, "{}: {answer:?}", row.rule);
    assert!(answer.field("Date").is_some(), "{}: {answer:?}", row.rule);
    let connection = Some(if row.persists { "keep-alive" } else { "close" });
    assert_eq!(
        answer.field("Connection"),
        connection,
        "{}: {answer:?}",
        row.rule
    );
    let allow = matches!(row.status, 405 | 204).then_some("GET, HEAD, OPTIONS");
    assert_eq!(answer.field("Allow"), allow, "{}: {answer:?}", row.rule);
    answer
}

/// Sends another request where the connection persists, and reads what must follow.
fn ask_again(client: &mut RawClient, row: &Row) {
    if row.persists {
        client.send(NEXT);
    }
    read_what_follows(client, row);
}

/// Reads what must follow the answer to a row when `NEXT` has been sent: its answer or the end.
fn read_what_follows(client: &mut RawClient, row: &Row) {
    if row.persists {
        assert_eq!(client.read_response(false).status(), 200, "{}", row.rule);
    } else {
        assert_eq!(client.read_to_end(), b"", "{}", row.rule);
    }
}

#[test]
fn every_row_of_the_table_gets_its_answer_when_it_comes_whole() {
    let server = Server::start(&[]);
    for row in rows() {
        let mut client = server.connect();
        client.send(&row.bytes);
        read_answer(&mut client, &row);
        ask_again(&mut client, &row);
    }
}

#[test]
fn every_row_of_the_table_gets_the_same_answer_when_it_comes_a_byte_at_a_time() {
    let server = Server::start(&[]);
    for row in rows() {
        let mut client = server.connect();
        client.socket.set_nodelay(true).expect("an option of TCP");
        // The answer to a head that is refused may come before its last byte.
        let _ = row
            .bytes
            .iter()
            .try_for_each(|&byte| client.try_send(&[byte]));
        read_answer(&mut client, &row);
        ask_again(&mut client, &row);
    }
}

#[test]
fn every_row_of_the_table_gets_the_same_answer_with_bytes_after_it() {
    let server = Server::start(&[]);
    for row in rows() {
        let mut client = server.connect();
        client.send(&[&row.bytes[..], NEXT].concat());
        read_answer(&mut client, &row);
        read_what_follows(&mut client, &row);
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order_whatever_the_size_of_the_page() {
    for size in [0, 100, 200_000] {
        let page = vec![b'x'; size];
        let folder = Folder::with_page(&page);
        let server = Server::start(&["--www", folder.0.to_str().expect("UTF-8")]);
        let mut client = server.connect();
        let requests = [
            ("GET / HTTP/1.1", 200),
            ("HEAD / HTTP/1.1", 200),
            ("GET / HTTP/1.0", 200),
            ("BREW / HTTP/1.1", 501),
            ("POST / HTTP/1.1", 405),
        ];
        let order: Vec<_> = (0..100).map(|n| requests[n * n % 7 % 5]).collect();
        let fields = "Host: x\r\nConnection: keep-alive";
        let all = order
            .iter()
            .map(|(line, _)| format!("{line}\r\n{fields}\r\n\r\n"));
        client.send(all.collect::<String>().as_bytes());
        for (line, status) in order {
            let answer = client.read_response(line.starts_with("HEAD"));
            assert_eq!(answer.status(), status, "{line}");
            assert_eq!(answer.field("Connection"), Some("keep-alive"), "{line}");
            if line.starts_with("GET") {
                assert!(answer.content == page, "{line}: not the page");
            }
        }
    }
}

#[test]
fn what_comes_with_the_end_of_a_long_head_begins_the_next() {
    let server = Server::start(&[]);
    // One of these is the size of some buffer.
    for size in [512, 1024, 2048, 4096] {
        let mut client = server.connect();
        let fill = "x".repeat(size);
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {fill}\r\nB: {fill}\r\n\r\n");
        let (begin, end) = long.split_at(size + size / 2);
        let next = format!("HEAD /events HTTP/1.1\r\nHost: x\r\nA: {fill}\r\n\r\n");
        let (next, rest) = next.split_at(size);
        for part in [begin, &[end, next].concat(), rest] {
            client.send(part.as_bytes());
            // So that it is read by itself, most likely.
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(client.read_response(false).status(), 200);
        let answer = client.read_response(true);
        assert_eq!(answer.field("Content-Type"), Some("text/event-stream"));
    }
}

#[test]
fn the_date_of_the_page_moves_on() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut date = || {
        client.send_get("/", "");
        client.read_response(false).field("Date").map(String::from)
    };
    let first = date();
    wait_until("another date", || date() != first);
}

#[test]
fn as_many_requests_as_a_head_may_have_bytes_are_answered_in_portions() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let request = b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    let mut reader = client.twin();
    let sender = std::thread::spawn(move || client.send(&request.repeat(5_000)));
    for _ in 0..5_000 {
        assert_eq!(reader.read_response(true).status(), 200);
    }
    sender.join().expect("all was read");
}

#[test]
fn the_page_comes_on_every_path_with_its_length_and_its_type() {
    let page = include_bytes!("../../www/index.html");
    let server = Server::start(&[]);
    let mut client = server.connect();
    for path in [
        "/",
        "/index.html",
        "/favicon.ico",
        "/events/",
        "/Events",
        "/?/events",
    ] {
        client.send_get(path, "");
        let answer = client.read_response(false);
        assert_eq!(answer.content, page, "{path}");
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
    }
}

#[test]
fn the_head_of_the_page_is_these_bytes() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send_get("/", "");
    let answer = client.read_response(false);
    let (date, length) = (answer.field("Date").unwrap(), answer.content.len());
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len());
    let head = format!(
        "HTTP/1.1 200 OK\r\n\
         Date: {date}\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\n\
         Connection: keep-alive\r\n\
         \r\n"
    );
    assert_eq!(answer.head, head);
}

#[test]
fn a_refusal_says_why_in_a_line_of_text() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\nHost: x\n\n");
    let answer = client.read_response(false);
    assert_eq!(answer.field("Content-Type"), Some("text/plain"));
    let content = b"400 Bad Request: lines end in CR LF, not in LF alone\n";
    assert_eq!(answer.content, content);
}

#[test]
fn a_bad_request_after_good_ones_is_refused_after_their_answers() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(&[NEXT, NEXT, b"GET /bad path HTTP/1.1\r\n\r\n", NEXT].concat());
    for status in [200, 200, 400] {
        assert_eq!(client.read_response(false).status(), status);
    }
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn a_client_that_has_ended_its_half_still_gets_its_answers() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(&NEXT.repeat(2));
    client.end_its_half();
    for _ in 0..2 {
        assert_eq!(client.read_response(false).status(), 200);
    }
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn a_client_that_ends_its_half_within_a_head_is_told_so() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n");
    client.end_its_half();
    assert_eq!(client.read_response(false).status(), 400);
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn a_client_that_sends_nothing_or_empty_lines_gets_nothing() {
    let server = Server::start(&[]);
    for bytes in [&b""[..], b"\r\n\r\n"] {
        let mut client = server.connect();
        client.send(bytes);
        client.end_its_half();
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn a_client_that_sends_much_before_it_reads_sees_its_answer_and_no_reset() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n";
    client.send(&[head.as_bytes(), &[b'x'; 200_000]].concat());
    assert_eq!(client.read_response(false).status(), 405);
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn a_refused_head_request_gets_no_content_either_however_its_bytes_come() {
    let server = Server::start(&[]);
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
        // In two pieces, cut at each place.
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut client = server.connect();
            client.socket.set_nodelay(true).expect("an option of TCP");
            client.send(first.as_bytes());
            // Its answer may have come, and then the rest fails or is ignored.
            let _ = client.try_send(second.as_bytes());
            let answer = client.read_response(is_head);
            assert_eq!(answer.status(), 400, "{bytes:?}");
            assert_eq!(answer.content.is_empty(), is_head, "{bytes:?}");
            assert_eq!(client.read_to_end(), b"", "{bytes:?}, cut at {cut}");
        }
    }
}

#[test]
fn every_answer_has_the_date_of_now() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..2 {
        let answer = client.read_response(true);
        let date = answer.field("Date").expect("a date");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time");
        let late = now.as_secs().checked_sub(seconds_since_1970(date));
        let late = late.unwrap_or_else(|| panic!("{date} is to come"));
        assert!(late <= PATIENCE.as_secs(), "{date}");
    }
}

/// Reads a date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
fn seconds_since_1970(date: &str) -> u64 {
    let words: Vec<_> = date.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        panic!("{date}");
    };
    let number = |digits: &str| digits.parse::<u64>().expect(date);
    // Until 2099.
    let is_leap = |year: u64| year.is_multiple_of(4);
    let year = number(year);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let month = months.split(' ').position(|m| m == month).expect(date);
    let days = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 });
    let days = days.sum::<u64>() + lengths[..month].iter().sum::<u64>() + number(day) - 1;
    let seconds = time.split(':').map(number).reduce(|sum, n| sum * 60 + n);
    days * 86_400 + seconds.expect(date)
}
