//! The requests of the table with bytes changed, taken out, doubled and put in: a parser that
//! starts over at each read must return the same for them however they are cut, and survive.

use crate::support::table::rows;
use crate::support::{Numbers, PATIENCE, Server};
use bare_sse::request;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// Bytes that mean something in a head, and some that never do.
const BYTES: &[u8] = b"\r\n\r\n \t:/.,?#*%@[]019AZaz\0\x0b\x7f\x80\xff";

/// The shorter rows; the limits have tests of their own.
fn requests() -> Vec<Vec<u8>> {
    let requests: Vec<_> = rows().into_iter().map(|row| row.bytes).collect();
    requests
        .into_iter()
        .filter(|bytes| bytes.len() < 600)
        .collect()
}

/// A request with one to four changes.
fn mutant(numbers: &mut Numbers, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = numbers.pick(requests).clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + numbers.below(6));
        match numbers.below(5) {
            0 => bytes.insert(at, *numbers.pick(BYTES)),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                // A piece of another request.
                let other = numbers.pick(requests);
                let begin = numbers.below(other.len());
                let length = numbers.below(40).min(other.len() - begin);
                bytes.splice(at..at, other[begin..begin + length].iter().copied());
            }
            _ if at < bytes.len() => bytes[at] = *numbers.pick(BYTES),
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
fn a_hundred_thousand_mutants_give_the_same_however_they_are_cut() {
    let (requests, mut numbers) = (requests(), Numbers(0x0dd_ba11));
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let bytes = mutant(&mut numbers, &requests);
        let whole = parse_all(&bytes, || usize::MAX / 2);
        assert_eq!(
            parse_all(&bytes, || 1),
            whole,
            "{:?}",
            bytes.escape_ascii().to_string()
        );
        let pieces = parse_all(&bytes, || 1 + numbers.below(30));
        assert_eq!(pieces, whole, "{:?}", bytes.escape_ascii().to_string());
        match whole.last() {
            Some(last) if last.starts_with("Request {") => taken += 1,
            Some(_) => refused += 1,
            None => {}
        }
    }
    // Both happen often, or the mutants show little.
    assert!(
        taken > 2_000 && refused > 10_000,
        "{taken} taken, {refused} refused"
    );
}

/// The status lines of all that the server answers to these bytes, which are sent in pieces.
fn answers(server: &Server, bytes: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let mut socket = TcpStream::connect(server.address).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_nodelay(true).expect("an option of TCP");
    let mut rest = bytes;
    while !rest.is_empty() {
        let (first, behind) = rest.split_at(rest.len().min(piece()));
        // The server may have refused it already.
        if socket.write_all(first).is_err() {
            break;
        }
        rest = behind;
    }
    let _ = socket.shutdown(Shutdown::Write);
    let mut text = Vec::new();
    // Bytes that come after the last request make the close a reset.
    if let Err(error) = socket.read_to_end(&mut text) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .filter(|line| line.starts_with("HTTP/1.1 "))
        .map(String::from)
        .collect()
}

#[test]
fn thousands_of_mutants_get_the_same_answers_however_they_are_cut_and_the_page_is_served() {
    // Streams end at once, so that each connection does.
    let server = Server::start(&["--count", "1", "--interval", "1ms", "--quiet"]);
    let (requests, mut numbers) = (requests(), Numbers(0xca5_cade));
    for seed in 1..=2_000 {
        let bytes = mutant(&mut numbers, &requests);
        let whole = answers(&server, &bytes, || usize::MAX / 2);
        let mut sizes = Numbers(seed);
        let pieces = answers(&server, &bytes, || 1 + sizes.below(30));
        assert_eq!(pieces, whole, "{:?}", bytes.escape_ascii().to_string());
    }
    let mut client = server.connect();
    client.send_get("/", "");
    assert_eq!(client.read_response(false).status(), 200);
}
