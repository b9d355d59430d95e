//! The parser of heads. What it makes of each head of `heads.txt` is tested with a connection around it.
//! Here bytes of them are changed, taken out, doubled and put in: a parser that starts over at each read
//! must return the same for them however they are cut, and survive.

use crate::support::Random;
use crate::support::table::rows;
use bare_sse::request::{self, Request};
use bare_sse::request_error::RequestError;

/// Bytes that mean something in a head, and some that never do.
const BYTES: &[u8] = b"\r\n\r\n \t:/.,?#*%@[]019AZaz\0\x0b\x7f\x80\xff";

/// A request with one to four faults put in.
fn with_faults(random: &mut Random, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(requests).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = bytes.len().min(at + random.below(7));
        let other = random.pick(requests);
        let begin = random.below(other.len());
        let piece = match random.below(4) {
            0 => Vec::new(),
            1 => vec![*random.pick(BYTES)],
            2 => bytes[at..end].repeat(2),
            _ => other[begin..other.len().min(begin + random.below(40))].to_vec(),
        };
        bytes.splice(at..end, piece);
    }
    bytes
}

/// What the parser returns for all heads in these bytes: the requests, and perhaps the error that ends
/// them.
fn parse_all(
    bytes: &[u8],
    mut piece: impl FnMut() -> usize,
) -> Vec<Result<Request<'_>, RequestError>> {
    let mut results = Vec::new();
    let (mut begin, mut end) = (0, 0);
    while !matches!(results.last(), Some(Err(_))) {
        match request::parse(&bytes[begin..end]).transpose() {
            Some(result) => {
                begin += result.as_ref().map_or(0, |request| request.head_length);
                results.push(result);
            }
            None if end == bytes.len() => break,
            None => end = bytes.len().min(end + piece()),
        }
    }
    results
}

#[test]
fn a_byte_that_cannot_stand_where_it_stands_is_refused_as_soon_as_it_comes() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: x\r\nA\x01"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01",
        b"GET / HTTP/1.1\r\nHost: x\r\n ",
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"GET / HTTP/1.1\r\nHost: x\rA",
        b"GET / HTTP/1.1\rH",
        b"GET /\xc3",
        b"GET\t",
        b"\r\n\n",
    ] {
        let (_, before) = head.split_last().expect("a byte");
        let text = head.escape_ascii();
        assert_eq!(request::parse(before), Ok(None), "{text}");
        assert!(request::parse(head).is_err(), "{text}");
    }
}

#[test]
fn an_error_says_its_status_and_what_would_have_been_right() {
    let error = request::parse(b"GET / HTTP/2.0\r").expect_err("another version");
    let text = "505 HTTP Version Not Supported: this server speaks HTTP/1.1 and HTTP/1.0";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_hundred_thousand_requests_with_faults_are_parsed_the_same_however_they_are_cut() {
    let mut requests = Vec::from_iter(rows().into_iter().map(|row| row.bytes));
    // The limits of long ones have tests of their own.
    requests.retain(|bytes| bytes.len() < 600);
    let mut random = Random(0x0dd_ba11);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let bytes = with_faults(&mut random, &requests);
        let whole = parse_all(&bytes, || usize::MAX / 2);
        let bytewise = parse_all(&bytes, || 1);
        let pieces = parse_all(&bytes, || 1 + random.below(30));
        let is_same = bytewise == whole && pieces == whole;
        assert!(is_same, "\"{}\"", bytes.escape_ascii());
        match whole.last() {
            Some(Ok(_)) => taken += 1,
            Some(Err(_)) => refused += 1,
            None => {}
        }
    }
    // Both happen often, or they show little.
    assert!(taken > 2_000 && refused > 10_000);
}
