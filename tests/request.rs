//! The parser of request heads, without a socket.

mod support;

use bare_sse::request::{Request, RequestError, RequestParser};
use support::table::{BEHIND, rows};

/// What a parser gives for octets that come in pieces of these sizes, the last as often as needed.
fn parse_in_pieces(octets: &[u8], sizes: &[usize]) -> Result<Option<Parsed>, RequestError> {
    let mut parser = RequestParser::default();
    let mut sizes = sizes.iter().copied();
    let (mut end, mut size) = (0, 1);
    while end < octets.len() {
        size = sizes.next().unwrap_or(size);
        end = octets.len().min(end + size);
        if let Some(request) = parser.parse(&octets[..end])? {
            return Ok(Some(Parsed::of(&request)));
        }
    }
    Ok(None)
}

/// A request that borrows nothing.
#[derive(Debug, PartialEq, Eq)]
struct Parsed(String);

impl Parsed {
    fn of(request: &Request<'_>) -> Parsed {
        Parsed(format!("{request:?}"))
    }
}

#[test]
fn every_row_of_the_table_is_taken_or_refused_with_its_status() {
    for row in rows() {
        let result = RequestParser::default().parse(&row.octets);
        match result {
            Ok(request) => {
                assert!(row.is_valid(), "{}: {request:?}", row.rule);
                let request = request.unwrap_or_else(|| panic!("{}: not complete", row.rule));
                let persists = request.persistent && !request.has_content;
                assert_eq!(persists, row.persists, "{}", row.rule);
            }
            Err(error) => {
                assert!(!row.is_valid(), "{}: {error}", row.rule);
                assert_eq!(error.status.0, row.status, "{}: {error}", row.rule);
            }
        }
    }
}

#[test]
fn the_result_is_the_same_whole_an_octet_at_a_time_and_with_octets_behind() {
    for row in rows() {
        let whole = parse_in_pieces(&row.octets, &[usize::MAX / 2]);
        assert_eq!(parse_in_pieces(&row.octets, &[1]), whole, "{}", row.rule);
        let with_more = [&row.octets[..], BEHIND].concat();
        assert_eq!(
            parse_in_pieces(&with_more, &[usize::MAX / 2]),
            whole,
            "{}",
            row.rule
        );
        assert_eq!(parse_in_pieces(&with_more, &[1]), whole, "{}", row.rule);
    }
}
