//! HTTP/1.1 responses: values in, bytes out.
//!
//! ```text
//! HTTP/1.1 200 OK CR LF                          status line: version SP code SP reason phrase
//! Date: Sun, 06 Nov 1994 08:49:37 GMT CR LF      when the response was made
//! Content-Type: text/html; charset=utf-8 CR LF   the fields of this response
//! Content-Length: 1234 CR LF                     how long the content is
//! Connection: keep-alive CR LF                   what happens to the connection next
//! CR LF                                          the empty line; the content follows
//! ```
//!
//! The head of the event stream is not made here: it is written out in [`events`](crate::events). The
//! length of its content is not known in advance, so it is sent in chunks.

use std::borrow::Cow;
use std::fmt;

/// A status code and its reason phrase (RFC 9110 15, RFC 9112 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// A field: its name and its value, which has no CR and no LF.
pub type Field<'a> = (&'static str, Cow<'a, str>);

/// A response, apart from `Date` and `Connection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// The fields that are particular to this response.
    pub fields: Vec<Field<'a>>,
    /// The content. `None` for a status that has no content, such as 204.
    pub content: Option<Cow<'a, [u8]>>,
}

impl<'a> Response<'a> {
    /// 204, with these fields (RFC 9110 15.3.5).
    pub fn no_content(fields: Vec<Field<'a>>) -> Response<'a> {
        Response {
            status: Status(204, "No Content"),
            fields,
            content: None,
        }
    }

    /// A response that refuses a request: its content is a line of text that says why (RFC 9110 15.5
    /// and 15.6).
    pub fn refusal(status: Status, reason: &str) -> Response<'static> {
        Response {
            status,
            fields: vec![("Content-Type", "text/plain".into())],
            content: Some(format!("{status}: {reason}\n").into_bytes().into()),
        }
    }

    /// The head: status line, `Date` (RFC 9110 6.6.1), the response's own fields, `Content-Length`
    /// (RFC 9110 8.6), `Connection` (RFC 9112 9.3), and the empty line. `date` is the text of
    /// [`date`].
    ///
    /// ```
    /// use bare_sse::response::{Response, Status, date};
    ///
    /// let response = Response {
    ///     status: Status(200, "OK"),
    ///     fields: vec![("Content-Type", "text/plain".into())],
    ///     content: Some(b"hi\n".into()),
    /// };
    /// assert_eq!(
    ///     response.head(&date(784_111_777), false),
    ///     "HTTP/1.1 200 OK\r\n\
    ///      Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    ///      Content-Type: text/plain\r\n\
    ///      Content-Length: 3\r\n\
    ///      Connection: close\r\n\
    ///      \r\n"
    /// );
    /// ```
    pub fn head(&self, date: &str, persists: bool) -> String {
        let mut head = String::with_capacity(256);
        let Status(code, phrase) = self.status;
        head.extend(["HTTP/1.1 ", &code.to_string(), " ", phrase, "\r\n"]);
        head.extend(["Date: ", date, "\r\n"]);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(content) = &self.content {
            head.extend(["Content-Length: ", &content.len().to_string(), "\r\n"]);
        }
        head.extend(["Connection: ", connection_option(persists), "\r\n\r\n"]);
        head
    }
}

/// The value of `Connection` (RFC 9110 7.6.1): whether the connection persists after the response. An
/// HTTP/1.0 client must be told if it does, any client if it does not (RFC 9112 9.3 and 9.6).
pub(crate) fn connection_option(persists: bool) -> &'static str {
    if persists { "keep-alive" } else { "close" }
}

/// Some bytes of content as one chunk: how many they are, in hexadecimal, then the bytes (RFC 9112
/// 7.1). There must be at least one byte: a chunk of none is the last.
///
/// ```
/// assert_eq!(bare_sse::response::chunk(b"retry: 10000\n\n"), b"e\r\nretry: 10000\n\n\r\n");
/// ```
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", bytes.len());
    [size.as_bytes(), bytes, b"\r\n"].concat()
}

/// The last chunk and the empty line after it: the end of the content (RFC 9112 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The value of `Date`, an IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
/// `second` is the time in seconds since 1970-01-01 00:00:00 UTC.
pub fn date(second: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, second) = (second / 86_400, second % 86_400);
    // 1970-01-01 was a Thursday.
    let weekday = WEEKDAYS[days as usize % 7];
    let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_year = |year| if is_leap(year) { 366 } else { 365 };
    let (mut year, mut day) = (1970, days);
    while day >= days_of_year(year) {
        day -= days_of_year(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let days_of_month = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= days_of_month[month] {
        day -= days_of_month[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let (day, month) = (day + 1, MONTHS[month]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}
