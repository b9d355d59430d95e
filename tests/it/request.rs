//! The parser of request heads, without a socket.

use crate::support::table::{NEXT, rows};
use bare_sse::request;
use bare_sse::request_error::RequestError;

/// What the parser returns for bytes that come in pieces of this size: the request as text.
fn parse_in_pieces(bytes: &[u8], size: usize) -> Result<Option<String>, RequestError> {
    let ends = (1..bytes.len()).filter(|end| end % size == 0);
    for end in ends.chain([bytes.len()]) {
        if let Some(request) = request::parse(&bytes[..end])? {
            return Ok(Some(format!("{request:?}")));
        }
    }
    Ok(None)
}

#[test]
fn every_row_of_the_table_is_accepted_or_refused_with_its_status() {
    for row in rows() {
        match request::parse(&row.bytes) {
            Ok(request) => {
                assert!(row.is_valid, "{}: {request:?}", row.rule);
                let request = request.unwrap_or_else(|| panic!("{}: not complete", row.rule));
                let persists = request.may_persist && !request.has_content;
                assert_eq!(persists, row.persists, "{}", row.rule);
            }
            Err(error) => {
                assert!(!row.is_valid, "{}: {error:?}", row.rule);
                assert_eq!(error.status.0, row.status, "{}: {error:?}", row.rule);
            }
        }
    }
}

#[test]
fn the_result_is_the_same_whole_a_byte_at_a_time_and_with_bytes_after_it() {
    for row in rows() {
        let whole = parse_in_pieces(&row.bytes, usize::MAX);
        let with_more = [&row.bytes[..], NEXT].concat();
        for (bytes, size) in [(&row.bytes, 1), (&with_more, usize::MAX), (&with_more, 1)] {
            assert_eq!(parse_in_pieces(bytes, size), whole, "{}", row.rule);
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
fn a_refusal_names_what_is_wrong() {
    for (bytes, named) in [
        ("GET  / HTTP/1.1\r\n", "one space"),
        ("GET /\r\n", "HTTP/1.1"),
        ("GET / HTTP/1.1\r\n\r\n", "a Host field"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "one Host field",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "folded"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "before the colon"),
    ] {
        let error = request::parse(bytes.as_bytes()).expect_err(bytes);
        assert!(error.reason.contains(named), "{bytes:?}: {error}");
    }
}
