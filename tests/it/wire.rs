//! Requests and answers over real sockets, byte by byte.

use crate::support::table::{NEXT, Row, rows};
use crate::support::{Folder, PATIENCE, RawClient, Response, Server, wait_until};
use std::time::{SystemTime, UNIX_EPOCH};

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
fn a_client_that_sends_much_before_it_reads_sees_its_answer_and_no_reset() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n";
    client.send(&[head.as_bytes(), &[b'x'; 200_000]].concat());
    assert_eq!(client.read_response(false).status(), 405);
    assert_eq!(client.read_to_end(), b"");
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
