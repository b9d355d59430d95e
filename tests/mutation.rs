//! The requests of the table with octets changed, taken out, doubled and put in: a parser that
//! reads each octet once must give the same for them however they are cut, and survive.

mod support;

use bare_sse::request::RequestParser;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use support::table::rows;
use support::{Numbers, PATIENCE, Server};

/// Octets that mean something in a head, and some that never do.
const OCTETS: &[u8] = b"\r\n\r\n \t:/.,?#*%@[]019AZaz\0\x0b\x7f\x80\xff";

/// The shorter rows; the limits have tests of their own.
fn requests() -> Vec<Vec<u8>> {
    let requests: Vec<_> = rows().into_iter().map(|row| row.octets).collect();
    requests
        .into_iter()
        .filter(|octets| octets.len() < 600)
        .collect()
}

/// A request with one to four changes.
fn mutant(numbers: &mut Numbers, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = numbers.pick(requests).clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(octets.len() + 1);
        let end = octets.len().min(at + 1 + numbers.below(6));
        match numbers.below(5) {
            0 => octets.insert(at, *numbers.pick(OCTETS)),
            1 => drop(octets.drain(at..end)),
            2 => {
                let piece = octets[at..end].to_vec();
                octets.splice(at..at, piece);
            }
            3 => {
                // A piece of another request.
                let other = numbers.pick(requests);
                let begin = numbers.below(other.len());
                let length = numbers.below(40).min(other.len() - begin);
                octets.splice(at..at, other[begin..begin + length].iter().copied());
            }
            _ if at < octets.len() => octets[at] = *numbers.pick(OCTETS),
            _ => octets.truncate(at / 2),
        }
    }
    octets
}

/// What the parser gives for all heads in these octets: a line each, and the error that ends them.
fn parse_all(octets: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let (mut results, mut parser) = (Vec::new(), RequestParser::default());
    let (mut begin, mut end) = (0, 0);
    loop {
        match parser.parse(&octets[begin..end]) {
            Ok(Some(request)) => {
                begin += request.head_length;
                results.push(format!("{request:?}"));
            }
            Ok(None) if end == octets.len() => return results,
            Ok(None) => end = octets.len().min(end + piece()),
            Err(error) => {
                results.push(error.to_string());
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
        let octets = mutant(&mut numbers, &requests);
        let whole = parse_all(&octets, || usize::MAX / 2);
        assert_eq!(
            parse_all(&octets, || 1),
            whole,
            "{:?}",
            octets.escape_ascii().to_string()
        );
        let pieces = parse_all(&octets, || 1 + numbers.below(30));
        assert_eq!(pieces, whole, "{:?}", octets.escape_ascii().to_string());
        match whole.last() {
            Some(last) if last.starts_with("Request") => taken += 1,
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

/// The status lines of all that the server answers to these octets, which are sent in pieces.
fn answers(server: &Server, octets: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let mut socket = TcpStream::connect(server.address).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_nodelay(true).expect("an option of TCP");
    let mut rest = octets;
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
    socket
        .read_to_end(&mut text)
        .expect("the answers, and then the end");
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
    for _ in 0..2_000 {
        let octets = mutant(&mut numbers, &requests);
        let whole = answers(&server, &octets, || usize::MAX / 2);
        let pieces = answers(&server, &octets, || 1 + numbers.below(30));
        assert_eq!(pieces, whole, "{:?}", octets.escape_ascii().to_string());
    }
    let mut client = server.connect();
    client.send_get("/", "");
    assert_eq!(client.read_response(false).status(), 200);
}
