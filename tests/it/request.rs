//! The parser of heads. What it makes of each head of `heads.txt` is tested with a connection around it.
//! Here bytes of them are changed, taken out, doubled and put in: a parser that starts over at each read
//! must return the same for them however they are cut, and survive.

use crate::support::Random;
use crate::support::table::rows;
use bare_sse::request;

/// Bytes that mean something in a head, and some that never do.
const BYTES: &[u8] = b"\r\n\r\n \t:/.,?#*%@[]019AZaz\0\x0b\x7f\x80\xff";

/// The shorter rows; the limits have tests of their own.
fn requests() -> Vec<Vec<u8>> {
    let requests = rows().into_iter().map(|row| row.bytes);
    requests.filter(|bytes| bytes.len() < 600).collect()
}

/// A request with one to four faults put in.
fn with_faults(random: &mut Random, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(requests).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + random.below(6));
        match random.below(5) {
            0 => bytes.insert(at, *random.pick(BYTES)),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                // A piece of another request.
                let other = random.pick(requests);
                let begin = random.below(other.len());
                let length = random.below(40).min(other.len() - begin);
                bytes.splice(at..at, other[begin..begin + length].iter().copied());
            }
            _ if at < bytes.len() => bytes[at] = *random.pick(BYTES),
            _ => bytes.truncate(at / 2),
        }
    }
    bytes
}

/// What the parser returns for all heads in these bytes: a line each, and the error that ends them.
fn parse_all(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let mut results = Vec::new();
    let (mut begin, mut end) = (0, 0);
    loop {
        match request::parse(&bytes[begin..end]) {
            Ok(Some(request)) => {
                begin += request.head_length;
                results.push(format!("{request:?}"));
            }
            Ok(None) if end == bytes.len() => return results,
            Ok(None) => end = bytes.len().min(end + piece()),
            Err(error) => {
                results.push(format!("{error:?}"));
                return results;
            }
        }
    }
}

#[test]
fn a_byte_that_cannot_stand_where_it_stands_is_refused_as_soon_as_it_comes() {
    for wrong in [
        "GET / HTTP/1.1\r\nHost: x\r\nA\x01",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\x01",
        "GET / HTTP/1.1\r\nHost: x\r\n ",
        "GET / HTTP/1.1\r\nHost: x\n",
        "GET / HTTP/1.1\r\nHost: x\rA",
        "GET / HTTP/1.1\rH",
        "GET /é",
        "GET\t",
        "\r\n\n",
    ] {
        let before = &wrong.as_bytes()
            [..wrong.trim_end_matches('é').len() - usize::from(!wrong.ends_with('é'))];
        assert_eq!(request::parse(before), Ok(None), "{wrong:?}");
        assert!(request::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
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
    let (requests, mut random) = (requests(), Random(0x0dd_ba11));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let bytes = with_faults(&mut random, &requests);
        let whole = parse_all(&bytes, || usize::MAX / 2);
        assert_eq!(
            parse_all(&bytes, || 1),
            whole,
            "{:?}",
            bytes.escape_ascii().to_string()
        );
        let pieces = parse_all(&bytes, || 1 + random.below(30));
        assert_eq!(pieces, whole, "{:?}", bytes.escape_ascii().to_string());
        match whole.last() {
            Some(last) if last.starts_with("Request {") => taken += 1,
            Some(_) => refused += 1,
            None => {}
        }
    }
    // Both happen often, or they show little.
    assert!(
        taken > 2_000 && refused > 10_000,
        "{taken} taken, {refused} refused"
    );
}
