//! The head of an HTTP/1.1 response: values in, octets out.
//!
//! ```text
//! HTTP/1.1 200 OK CR LF                          status line: version SP code SP reason phrase
//! Date: Sun, 06 Nov 1994 08:49:37 GMT CR LF      when the answer was made
//! Content-Type: text/html; charset=utf-8 CR LF   the fields of this response
//! Content-Length: 1234 CR LF                     where the content ends
//! CR LF                                          the empty line; the content follows
//! ```
//!
//! The content is not written here: whoever sends the response puts it right behind the head.
//! The head of an event stream is not made here either: it stands in [`counter`](crate::counter),
//! written out by hand.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

/// A status code and its reason phrase (RFC 9110 15, RFC 9112 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

#[allow(missing_docs)]
impl Status {
    pub const OK: Status = Status(200, "OK");
    pub const NO_CONTENT: Status = Status(204, "No Content");
    pub const BAD_REQUEST: Status = Status(400, "Bad Request");
    pub const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
    pub const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
    pub const URI_TOO_LONG: Status = Status(414, "URI Too Long");
    pub const REQUEST_HEADER_FIELDS_TOO_LARGE: Status =
        Status(431, "Request Header Fields Too Large");
    pub const NOT_IMPLEMENTED: Status = Status(501, "Not Implemented");
    pub const HTTP_VERSION_NOT_SUPPORTED: Status = Status(505, "HTTP Version Not Supported");
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// What the answer says of the connection behind it (RFC 9112 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It persists, which goes without saying in HTTP/1.1.
    Persistent,
    /// It persists, which an HTTP/1.0 client must be told.
    KeepAlive,
    /// It closes.
    Close,
}

/// A response: all that its head says, apart from `Date` and `Connection`, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// Names and values of the fields that are particular to this response, two at most.
    pub fields: [Option<(&'static str, &'a str)>; 2],
    /// The content; `None` for a status that has none, such as 204.
    pub content: Option<Cow<'a, [u8]>>,
}

impl<'a> Response<'a> {
    /// An answer that is not what the client asked for: its content is a line of text that says
    /// why (RFC 9110 15.5 and 15.6).
    pub fn refusal(status: Status, reason: &str) -> Response<'static> {
        let content = format!("{status}: {reason}\n");
        Response {
            status,
            fields: [Some(("Content-Type", "text/plain")), None],
            content: Some(Cow::Owned(content.into_bytes())),
        }
    }

    /// Appends the head to `out`: status line, `Date`, the response's own fields,
    /// `Content-Length` (RFC 9110 8.6), `Connection` where it is needed, and the empty line.
    ///
    /// ```
    /// use bare_sse::response::{Persistence, Response, Status, imf_fixdate};
    ///
    /// let response = Response {
    ///     status: Status::OK,
    ///     fields: [Some(("Content-Type", "text/plain")), None],
    ///     content: Some(b"hi\n".into()),
    /// };
    /// let mut head = Vec::new();
    /// response.write_head(&imf_fixdate(784_111_777), Persistence::Close, &mut head);
    /// assert_eq!(
    ///     String::from_utf8(head).unwrap(),
    ///     "HTTP/1.1 200 OK\r\n\
    ///      Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    ///      Content-Type: text/plain\r\n\
    ///      Content-Length: 3\r\n\
    ///      Connection: close\r\n\
    ///      \r\n"
    /// );
    /// ```
    pub fn write_head(&self, date: &[u8; 29], persistence: Persistence, out: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = write!(out, "HTTP/1.1 {}\r\nDate: ", self.status);
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.fields.into_iter().flatten() {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        if let Some(content) = &self.content {
            let _ = write!(out, "Content-Length: {}\r\n", content.len());
        }
        out.extend_from_slice(match persistence {
            Persistence::Persistent => b"\r\n",
            Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        });
    }
}

/// The value of `Date` for a time in seconds since 1970-01-01 00:00:00 UTC, as an IMF-fixdate:
/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7). Right until the end of the year 9999.
pub fn imf_fixdate(seconds: u64) -> [u8; 29] {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // 1970-01-01 was a Thursday.
    let weekday = name("ThuFriSatSunMonTueWed", days % 7);
    // Years are counted from March, so that the leap day is the last of its year; the calendar
    // repeats every 400 years, which are 146,097 days. 0000-03-01 was 719,468 days before 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on the months have 31 30 31 30 31, 31 30 31 30 31 and 31 days: 153 in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let month = name("MarAprMayJunJulAugSepOctNovDecJanFeb", month);

    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    date[0..3].copy_from_slice(weekday);
    date[5..7].copy_from_slice(&two_digits(day));
    date[8..11].copy_from_slice(month);
    date[12..14].copy_from_slice(&two_digits(year / 100));
    date[14..16].copy_from_slice(&two_digits(year % 100));
    date[17..19].copy_from_slice(&two_digits(second / 3_600));
    date[20..22].copy_from_slice(&two_digits(second / 60 % 60));
    date[23..25].copy_from_slice(&two_digits(second % 60));
    date
}

/// The name at `index` in a row of names of three letters.
fn name(names: &'static str, index: u64) -> &'static [u8] {
    let begin = 3 * index as usize;
    &names.as_bytes()[begin..begin + 3]
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}
