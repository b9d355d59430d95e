//! The head of an HTTP/1.1 response: values in, bytes out.
//!
//! ```text
//! HTTP/1.1 200 OK CR LF                          status line: version SP code SP reason phrase
//! Date: Sun, 06 Nov 1994 08:49:37 GMT CR LF      when the response was made
//! Content-Type: text/html; charset=utf-8 CR LF   the fields of this response
//! Content-Length: 1234 CR LF                     how long the content is
//! CR LF                                          the empty line; the content follows
//! ```
//!
//! The head of the event stream is not made here: it is written out in
//! [`counter`](crate::counter).

use std::borrow::Cow;
use std::fmt;

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

/// What becomes of the connection after a response, as the `Connection` field says it (RFC 9112
/// 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It persists. HTTP/1.1 needs no field for that.
    Persistent,
    /// It persists, and an HTTP/1.0 client must be told.
    KeepAlive,
    /// It closes.
    Close,
}

/// A response, apart from `Date` and `Connection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// Names and values of the fields that are particular to this response.
    pub fields: Vec<(&'static str, &'a str)>,
    /// The content. `None` for a status that has no content, such as 204.
    pub content: Option<Cow<'a, [u8]>>,
}

impl Response<'_> {
    /// A response that refuses a request: its content is a line of text that says why (RFC 9110 15.5
    /// and 15.6).
    pub fn refusal(status: Status, reason: &str) -> Response<'static> {
        Response {
            status,
            fields: vec![("Content-Type", "text/plain")],
            content: Some(format!("{status}: {reason}\n").into_bytes().into()),
        }
    }

    /// The head: status line, `Date`, the response's own fields, `Content-Length` (RFC 9110 8.6),
    /// `Connection` if it is needed, and the empty line. `second` is the time, in seconds since
    /// 1970-01-01 00:00:00 UTC.
    ///
    /// ```
    /// use bare_sse::response::{Persistence, Response, Status};
    ///
    /// let response = Response {
    ///     status: Status::OK,
    ///     fields: vec![("Content-Type", "text/plain")],
    ///     content: Some(b"hi\n".into()),
    /// };
    /// assert_eq!(
    ///     response.head(784_111_777, Persistence::Close),
    ///     "HTTP/1.1 200 OK\r\n\
    ///      Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    ///      Content-Type: text/plain\r\n\
    ///      Content-Length: 3\r\n\
    ///      Connection: close\r\n\
    ///      \r\n"
    /// );
    /// ```
    pub fn head(&self, second: u64, persistence: Persistence) -> String {
        let mut head = format!("HTTP/1.1 {}\r\nDate: {}\r\n", self.status, date(second));
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(content) = &self.content {
            head += &format!("Content-Length: {}\r\n", content.len());
        }
        head += match persistence {
            Persistence::Persistent => "",
            Persistence::KeepAlive => "Connection: keep-alive\r\n",
            Persistence::Close => "Connection: close\r\n",
        };
        head + "\r\n"
    }
}

/// The value of `Date`, an IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
fn date(second: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_year = |year| if is_leap(year) { 366 } else { 365 };
    let (days, second) = (second / 86_400, second % 86_400);
    // 1970-01-01 was a Thursday.
    let weekday = WEEKDAYS[days as usize % 7];
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
