//! The head of an HTTP/1.1 request: bytes in, a [`Request`] out.
//!
//! A head is made of these lines ([RFC 9112 2.1]):
//!
//! ```text
//! GET /events HTTP/1.1 CR LF        method SP request-target SP HTTP-version
//! Host: localhost:3000 CR LF        field-name ":" OWS field-value OWS
//! Last-Event-ID: 41 CR LF
//! CR LF                             the empty line
//! ```
//!
//! [`parse`] has no state. It reads the bytes that have come so far from the first to the last, one
//! small function for each element of the grammar, and starts over when more have come. So its
//! result can't depend on how the bytes were cut, and [`HEAD_LIMIT`] bounds what starting over costs.
//! It refuses a byte that its element can't have as soon as the byte comes, and an element of a wrong
//! form when it has ended. What the fields mean is looked at when all of them have come.
//!
//! Where a standard leaves a choice, this parser is strict: what two programs could read in two ways
//! is refused, not repaired.
//!
//! [RFC 9112 2.1]: https://www.rfc-editor.org/rfc/rfc9112#section-2.1

use crate::host::{is_authority, is_host};
use crate::response::Status;
use std::error::Error;
use std::fmt;

/// The longest accepted head in bytes. A longer one is answered with 431 (RFC 9110 5.4, RFC 6585 5).
/// Chromium sends about 600 bytes.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// The most field lines that are accepted. More are answered with 431.
pub const FIELDS_LIMIT: usize = 100;

/// The longest accepted request target in bytes. A longer one is answered with 414. The standard
/// recommends at least 8000 for the whole request line (RFC 9112 3).
pub const TARGET_LIMIT: usize = 8192;

/// The longest method that is looked at, in bytes. No registered method comes near. A longer one is
/// answered with 501 (RFC 9112 3).
const METHOD_LIMIT: usize = 32;

/// A request whose head is complete and valid. It borrows from the bytes that were parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, which is case-sensitive (RFC 9110 9.1).
    pub method: &'a [u8],
    /// The path of the request target, without its query: `/events` for `/events?x=1` and for
    /// `http://localhost/events`. For OPTIONS it may be `*`, for `http://localhost` it is empty.
    pub path: &'a [u8],
    /// The version of HTTP.
    pub version: Version,
    /// Whether the client may send another request after the response (RFC 9112 9.3).
    pub persists: bool,
    /// Whether content follows the head (RFC 9112 6.3).
    pub has_content: bool,
    /// The last event ID: the value of the one `Last-Event-ID` field (HTML 9.2.4), or without such a
    /// field that of `lastEventId` in the query, which no standard knows. Some clients send it there,
    /// because a field would need a CORS preflight.
    pub last_event_id: Option<&'a [u8]>,
    /// The length of the head in bytes, with the empty lines that came before it.
    pub head_length: usize,
}

/// The versions of HTTP that this server distinguishes. A minor version above 1 is treated as 1 (RFC
/// 9110 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0. It has no chunks, and closes connections unless the client asks otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Why a head is refused: the status that it deserves, and what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestError {
    /// The status of the response.
    pub status: Status,
    /// One sentence for the person who wrote the request.
    pub reason: &'static str,
}

impl RequestError {
    /// An error with this status and reason.
    pub const fn new(status: Status, reason: &'static str) -> RequestError {
        RequestError { status, reason }
    }

    /// 400 (RFC 9110 15.5.1).
    pub const fn bad_request(reason: &'static str) -> RequestError {
        RequestError::new(Status(400, "Bad Request"), reason)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl Error for RequestError {}

/// Parses the head of a request, which begins at the first byte. Returns `None` while the head is
/// not complete. What follows the head is left alone: it is content, or the next request.
///
/// ```
/// use bare_sse::request;
///
/// let bytes = b"GET /events?from=docs HTTP/1.1\r\nHost: localhost\r\n\r\nGET";
/// assert_eq!(request::parse(&bytes[..20])?, None); // not complete yet
/// let request = request::parse(bytes)?.expect("a whole head");
/// assert_eq!((request.method, request.path), (&b"GET"[..], &b"/events"[..]));
/// assert_eq!(&bytes[request.head_length..], b"GET"); // of the next request
/// # Ok::<(), bare_sse::request::RequestError>(())
/// ```
///
/// # Errors
///
/// A [`RequestError`] for a byte that can't stand where it stands, for an element with a wrong
/// value, or for fields that contradict each other. Nobody knows then where the next request
/// begins, so the connection must be closed after the response.
pub fn parse(bytes: &[u8]) -> Result<Option<Request<'_>>, RequestError> {
    let bytes = &bytes[..bytes.len().min(HEAD_LIMIT)];
    match head(bytes) {
        Ok(request) => Ok(Some(request)),
        Err(Stop::Invalid(error)) => Err(error),
        Err(Stop::Incomplete) if bytes.len() == HEAD_LIMIT => Err(LARGE_HEAD),
        Err(Stop::Incomplete) => Ok(None),
    }
}

/// Why parsing stops before the end of the head.
enum Stop {
    /// The bytes end before the head does.
    Incomplete,
    /// No bytes that may follow can make a valid head of these.
    Invalid(RequestError),
}

/// `HTTP-message = start-line CRLF *( field-line CRLF ) CRLF` and the content (RFC 9112 2.1).
fn head(bytes: &[u8]) -> Result<Request<'_>, Stop> {
    let mut rest = without_empty_lines(bytes);
    if rest == b"\r" {
        // Perhaps of another empty line.
        return Err(Stop::Incomplete);
    }
    let method = method(&mut rest)?;
    let (path, query) = request_target(&mut rest, method)?;
    let version = http_version(&mut rest)?;
    let fields = Fields::parse(&mut rest)?;
    fields.check_host(version)?;
    Ok(Request {
        method,
        path,
        version,
        persists: fields.persist(version),
        has_content: fields.has_content(version)?,
        last_event_id: fields.last_event_id(query),
        head_length: bytes.len() - rest.len(),
    })
}

/// The bytes without the empty lines before a request, which are ignored (RFC 9112 2.2).
pub(crate) fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Takes the bytes at the front that are of a class, an element of the grammar, and the byte after
/// them, its delimiter. An element over `limit` is refused before its delimiter has come.
///
/// No delimiter is an LF. A lone LF may count as a line end (RFC 9112 2.2). It is refused here, because
/// programs that disagree about where lines end disagree about where requests end.
fn element<'a>(
    rest: &mut &'a [u8],
    is_of_class: impl Fn(u8) -> bool,
    limit: usize,
    too_long: RequestError,
) -> Result<(&'a [u8], u8), Stop> {
    let end = rest.iter().position(|&byte| !is_of_class(byte));
    let (element, after) = rest.split_at(end.unwrap_or(rest.len()));
    if element.len() > limit {
        return Err(Stop::Invalid(too_long));
    }
    let (&delimiter, after) = after.split_first().ok_or(Stop::Incomplete)?;
    *rest = after;
    if delimiter == b'\n' {
        return bad_request("lines end in CR LF, not in LF alone");
    }
    Ok((element, delimiter))
}

/// Takes the LF after a CR. A bare CR must never count as a line end (RFC 9112 2.2).
fn line_feed(rest: &mut &[u8]) -> Result<(), Stop> {
    match rest.split_first() {
        Some((b'\n', after)) => *rest = after,
        Some(_) => return bad_request("a CR is followed by LF"),
        None => return Err(Stop::Incomplete),
    }
    Ok(())
}

/// `method SP`, the beginning of the request line (RFC 9112 3). A method is a token (RFC 9110 9.1).
fn method<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_token, METHOD_LIMIT, LONG_METHOD)? {
        (method @ [_, ..], b' ') => Ok(method),
        _ => bad_request("a request begins with a method, a token, and a space"),
    }
}

/// `request-target SP` (RFC 9112 3). Returns the path and the query.
fn request_target<'a>(rest: &mut &'a [u8], method: &[u8]) -> Result<(&'a [u8], &'a [u8]), Stop> {
    let target = match element(rest, is_target, TARGET_LIMIT, LONG_TARGET)? {
        (b"", b' ') => return bad_request("one space stands on each side of the request target"),
        (target, b' ') => target,
        (_, b'\r') => return Err(Stop::Invalid(MALFORMED_VERSION)),
        _ => return bad_request("a request target has visible ASCII bytes only, and no #"),
    };
    let query = target.iter().position(|&byte| byte == b'?');
    let (target, query) = target.split_at(query.unwrap_or(target.len()));
    Ok((path(target, method)?, query.get(1..).unwrap_or_default()))
}

/// The path in a request target without its query (RFC 9112 3.2): in origin-form, in absolute-form,
/// or for OPTIONS in asterisk-form. The fourth form is for CONNECT, which this server does not do.
fn path<'a>(target: &'a [u8], method: &[u8]) -> Result<&'a [u8], Stop> {
    match target {
        [b'/', ..] => Ok(target),
        b"*" if method == b"OPTIONS" => Ok(target),
        _ => path_of_absolute_form(target),
    }
}

/// The path of an `http` URI (RFC 9110 4.2.1), whose scheme is case-insensitive (4.2.3). A URI
/// without a host must be refused (4.2.1), and so must an `https` URI on a connection without TLS
/// (7.4).
fn path_of_absolute_form(uri: &[u8]) -> Result<&[u8], Stop> {
    let parts = uri.split_at_checked("http://".len());
    let Some((_, rest)) = parts.filter(|(scheme, _)| is_word(scheme, "http://")) else {
        return bad_request("a request target begins with / or with http://");
    };
    let end = rest.iter().position(|&byte| byte == b'/');
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    if !is_authority(authority) {
        return bad_request("an absolute request target names a host");
    }
    Ok(path)
}

/// `HTTP-version CR LF`, with `HTTP-version = "HTTP/" DIGIT "." DIGIT`, case-sensitive (RFC 9112
/// 2.3).
fn http_version(rest: &mut &[u8]) -> Result<Version, Stop> {
    let limit = "HTTP/1.1".len();
    let (version, end) = element(
        rest,
        |byte| byte.is_ascii_graphic(),
        limit,
        MALFORMED_VERSION,
    )?;
    let version = match (version.strip_prefix(b"HTTP/"), end) {
        (Some(b"1.0"), b'\r') => Ok(Version::Http10),
        (Some([b'1', b'.', b'0'..=b'9']), b'\r') => Ok(Version::Http11),
        (Some([b'0'..=b'9', b'.', b'0'..=b'9']), b'\r') => Err(OTHER_VERSION),
        _ => Err(MALFORMED_VERSION),
    };
    let version = version.map_err(Stop::Invalid)?;
    line_feed(rest)?;
    Ok(version)
}

/// `field-name ":"`, or the empty line, for which it returns `None` (RFC 9112 5).
fn field_name<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Stop> {
    // It has no limit but that of the head.
    match element(rest, is_token, HEAD_LIMIT, LARGE_HEAD)? {
        (b"", b'\r') => line_feed(rest).map(|()| None),
        (name @ [_, ..], b':') => Ok(Some(name)),
        // A server must refuse obs-fold, or unfold it (RFC 9112 5.2).
        (b"", b' ' | b'\t') => bad_request("a field line begins with its name: no folded lines"),
        // A server must refuse whitespace between name and colon (RFC 9112 5.1).
        (_, b' ' | b'\t') => bad_request("no space before the colon of a field line"),
        _ => bad_request("a field name is a token, and a colon follows it"),
    }
}

/// `OWS field-value OWS CR LF` (RFC 9112 5). Returns the value without the optional whitespace.
fn field_value<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_value, HEAD_LIMIT, LARGE_HEAD)? {
        (value, b'\r') => line_feed(rest).map(|()| value.trim_ascii()),
        _ => bad_request("a field value has no control bytes"),
    }
}

/// The field lines of a head: names and values, in their order.
struct Fields<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
    /// `*( field-line CRLF ) CRLF` (RFC 9112 2.1).
    fn parse(rest: &mut &'a [u8]) -> Result<Self, Stop> {
        let mut lines = Vec::with_capacity(FIELDS_LIMIT);
        while let Some(name) = field_name(rest)? {
            if lines.len() == FIELDS_LIMIT {
                return Err(Stop::Invalid(LARGE_HEAD));
            }
            lines.push((name, field_value(rest)?));
        }
        Ok(Fields(lines))
    }

    /// The values of the field lines of this name. Names are case-insensitive (RFC 9110 5.1).
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.0.iter().filter(move |line| is_word(line.0, name));
        lines.map(|line| line.1)
    }

    /// The elements of a comma-separated list over all field lines of this name (RFC 9110 5.3),
    /// without the whitespace around them. Empty elements are ignored (RFC 9110 5.6.1.2).
    fn list(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let values = self.values(name);
        let elements = values.flat_map(|value| value.split(|&byte| byte == b','));
        let elements = elements.map(<[u8]>::trim_ascii);
        elements.filter(|element| !element.is_empty())
    }

    /// Exactly one Host in HTTP/1.1. HTTP/1.0 may leave it out (RFC 9112 3.2).
    fn check_host(&self, version: Version) -> Result<(), Stop> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if version == Version::Http10 => Ok(()),
            (None, _) => bad_request("an HTTP/1.1 request has a Host field"),
            (_, Some(_)) => bad_request("a request has one Host field"),
            (Some(host), None) if is_host(host) => Ok(()),
            _ => bad_request("Host is a host name or address and, after a colon, a port number"),
        }
    }

    /// HTTP/1.1 persists unless the client says close, HTTP/1.0 closes unless it says keep-alive
    /// (RFC 9112 9.3). Both words are case-insensitive (RFC 9110 7.6.1).
    fn persist(&self, version: Version) -> bool {
        let says = |word: &str| self.list("connection").any(|option| is_word(option, word));
        !says("close") && (version == Version::Http11 || says("keep-alive"))
    }

    /// The value of the one Last-Event-ID field that is not empty (HTML 9.2.4). Of several, none counts.
    /// Only without any, that of the first `lastEventId` in the query, in upper or lower case.
    fn last_event_id(&self, query: &'a [u8]) -> Option<&'a [u8]> {
        let mut values = self.values("last-event-id").filter(|id| !id.is_empty());
        match (values.next(), values.next()) {
            (None, _) => query.split(|&byte| byte == b'&').find_map(|part| {
                let (begin, id) = part.split_at_checked("lastEventId=".len())?;
                is_word(begin, "lastEventId=").then_some(id)
            }),
            (id, None) => id,
            (_, Some(_)) => None,
        }
    }

    /// One number, which may be repeated and must not differ (RFC 9110 8.6, RFC 9112 6.3).
    fn content_length(&self) -> Result<Option<u64>, Stop> {
        let mut lengths = self.values("content-length").map(decimal);
        match lengths.next() {
            None => Ok(None),
            Some(None) => bad_request("Content-Length is one decimal number below 2^64"),
            Some(length) if lengths.all(|other| other == length) => Ok(length),
            _ => bad_request("two Content-Length fields differ"),
        }
    }

    /// Whether content follows, by Content-Length or Transfer-Encoding. A request with both is how
    /// one request is smuggled inside another, so it is refused (RFC 9112 6.1 and 6.3).
    fn has_content(&self, version: Version) -> Result<bool, Stop> {
        let length = self.content_length()?;
        if self.values("transfer-encoding").next().is_none() {
            return Ok(length.is_some_and(|length| length > 0));
        }
        match self.list("transfer-encoding").collect::<Vec<_>>()[..] {
            _ if length.is_some() => {
                bad_request("Content-Length and Transfer-Encoding exclude each other")
            }
            _ if version == Version::Http10 => bad_request("HTTP/1.0 has no Transfer-Encoding"),
            [coding] if is_word(coding, "chunked") => Ok(true),
            [ref others @ .., last] if is_word(last, "chunked") => {
                if others.iter().any(|coding| is_word(coding, "chunked")) {
                    return bad_request("content is chunked once");
                }
                Err(Stop::Invalid(OTHER_CODING))
            }
            _ => bad_request("the final transfer coding of a request is chunked"),
        }
    }
}

/// Whether this is a name or word that is known here. They are all case-insensitive.
fn is_word(bytes: &[u8], known: &str) -> bool {
    bytes.eq_ignore_ascii_case(known.as_bytes())
}

/// `1*DIGIT`, if its value fits (RFC 9110 8.6).
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok()
}

/// `tchar` (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of a request target: visible ASCII (RFC 9112 3.2), but no `#`, which begins a fragment and
/// is never sent. Browsers send some bytes that RFC 3986 2 would have encoded.
fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// `field-value`: visible bytes, SP, HTAB, and bytes from 0x80 (RFC 9110 5.5).
fn is_value(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\t'
}

fn bad_request<T>(reason: &'static str) -> Result<T, Stop> {
    Err(Stop::Invalid(RequestError::bad_request(reason)))
}

const MALFORMED_VERSION: RequestError =
    RequestError::bad_request("a request line ends in HTTP/1.1 CR LF");

const OTHER_VERSION: RequestError = RequestError::new(
    Status(505, "HTTP Version Not Supported"),
    "this server speaks HTTP/1.1 and HTTP/1.0",
);

const OTHER_CODING: RequestError = RequestError::new(
    Status(501, "Not Implemented"),
    "this server knows no transfer coding but chunked",
);

const LONG_METHOD: RequestError = RequestError::new(
    Status(501, "Not Implemented"),
    "no method is as long as this one",
);

const LONG_TARGET: RequestError = RequestError::new(
    Status(414, "URI Too Long"),
    "a request target has at most 8192 bytes here",
);

const LARGE_HEAD: RequestError = RequestError::new(
    Status(431, "Request Header Fields Too Large"),
    "a head has at most 16384 bytes and 100 field lines here",
);
