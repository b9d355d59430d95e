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
//! It refuses a byte that no valid head can have at that place as soon as the byte comes. What the
//! fields mean is looked at when all of them have come.
//!
//! Where a standard leaves a choice, this parser is strict: what two programs could read in two ways
//! is refused, not repaired.
//!
//! [RFC 9112 2.1]: https://www.rfc-editor.org/rfc/rfc9112#section-2.1

use crate::host::{is_authority, is_host};
use crate::response::{Persistence, Status};

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
    /// `http://localhost/events`. For OPTIONS it may be `*`, for CONNECT it is `host:port`.
    pub path: &'a [u8],
    /// What the client wants to become of the connection after the response (RFC 9112 9.3).
    pub persistence: Persistence,
    /// Whether content follows the head (RFC 9112 6.3).
    pub has_content: bool,
    /// The value of the `Last-Event-ID` field, if there is exactly one (HTML 9.2.4).
    pub last_event_id: Option<&'a [u8]>,
    /// Whether it has the two fields that make an OPTIONS request a CORS preflight: `Origin` and
    /// `Access-Control-Request-Method` (Fetch, CORS-preflight request).
    pub has_preflight_fields: bool,
    /// The length of the head in bytes, with the empty lines that came before it.
    pub head_length: usize,
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
}

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
    let mut rest = bytes;
    // Empty lines before a request are ignored (RFC 9112 2.2).
    while let Some(after) = rest.strip_prefix(b"\r") {
        rest = after;
        line_feed(&mut rest)?;
    }
    let method = method(&mut rest)?;
    let path = request_target(&mut rest, method)?;
    let version = http_version(&mut rest)?;
    let fields = Fields::parse(&mut rest)?;
    fields.check_host(version)?;
    Ok(Request {
        method,
        path,
        persistence: fields.persistence(version),
        has_content: fields.has_content(version)?,
        last_event_id: fields.only("last-event-id"),
        has_preflight_fields: fields.has("origin") && fields.has("access-control-request-method"),
        head_length: bytes.len() - rest.len(),
    })
}

/// Takes the bytes at the front that are of a class, an element of the grammar, and the byte after
/// them, its delimiter. An element over `limit` is refused before its delimiter has come.
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
    Ok((element, delimiter))
}

/// Takes the LF after a CR. A bare CR must never count as a line end (RFC 9112 2.2).
fn line_feed(rest: &mut &[u8]) -> Result<(), Stop> {
    match rest.split_first() {
        Some((b'\n', after)) => *rest = after,
        Some(_) => return bad("a CR is followed by LF"),
        None => return Err(Stop::Incomplete),
    }
    Ok(())
}

/// `method SP`, the beginning of the request line (RFC 9112 3). A method is a token (RFC 9110 9.1).
fn method<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_token, METHOD_LIMIT, LONG_METHOD)? {
        (method @ [_, ..], b' ') => Ok(method),
        (_, b'\n') => bad(BARE_LF),
        _ => bad("a request begins with a method, a token, and a space"),
    }
}

/// `request-target SP` (RFC 9112 3). Returns the path.
fn request_target<'a>(rest: &mut &'a [u8], method: &[u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_target, TARGET_LIMIT, LONG_TARGET)? {
        (b"", b' ') => bad("one space stands on each side of the request target"),
        (target, b' ') => path(method, target),
        (_, b'\n') => bad(BARE_LF),
        (_, b'\r') => Err(Stop::Invalid(MALFORMED_VERSION)),
        _ => bad("a request target has visible ASCII bytes only, and no #"),
    }
}

/// The path in a request target of any of the four forms (RFC 9112 3.2).
fn path<'a>(method: &[u8], target: &'a [u8]) -> Result<&'a [u8], Stop> {
    let query = target.iter().position(|&byte| byte == b'?');
    let without_query = &target[..query.unwrap_or(target.len())];
    match (method, target) {
        // asterisk-form. PRI is the method of HTTP/2's preface (RFC 9113 3.4): its version is refused.
        (b"OPTIONS" | b"PRI", b"*") => Ok(target),
        // authority-form
        (b"CONNECT", _) if is_host(target) => Ok(target),
        (b"CONNECT", _) => bad("the target of CONNECT is a host and a port"),
        // origin-form
        (_, [b'/', ..]) => Ok(without_query),
        // absolute-form
        _ => path_of_absolute_form(without_query),
    }
}

/// The path of an `http` URI (RFC 9110 4.2.1), whose scheme is case-insensitive (4.2.3). A URI
/// without a host must be refused (4.2.1), and so must an `https` URI on a connection without TLS
/// (7.4).
fn path_of_absolute_form(uri: &[u8]) -> Result<&[u8], Stop> {
    let Some((scheme, rest)) = uri.split_at_checked("http://".len()) else {
        return bad("a request target begins with / or with http://");
    };
    let end = rest.iter().position(|&byte| byte == b'/');
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    if !scheme.eq_ignore_ascii_case(b"http://") {
        bad("a request target begins with / or with http://")
    } else if !is_authority(authority) {
        bad("an absolute request target names a host")
    } else {
        Ok(path)
    }
}

/// The versions of HTTP that this server distinguishes. A minor version above 1 is treated as 1 (RFC
/// 9110 2.5).
#[derive(Clone, Copy, PartialEq)]
enum Version {
    Http10,
    Http11,
}

/// `HTTP-version CR LF`, with `HTTP-version = "HTTP/" DIGIT "." DIGIT`, case-sensitive (RFC 9112
/// 2.3).
fn http_version(rest: &mut &[u8]) -> Result<Version, Stop> {
    let length = "HTTP/1.1".len();
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    let version = match element(rest, is_visible, length, MALFORMED_VERSION)? {
        (b"HTTP/1.0", b'\r') => Version::Http10,
        ([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'], b'\r') => Version::Http11,
        ([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'], b'\r') => {
            return Err(Stop::Invalid(OTHER_VERSION));
        }
        (_, b'\n') => return bad(BARE_LF),
        _ => return Err(Stop::Invalid(MALFORMED_VERSION)),
    };
    line_feed(rest)?;
    Ok(version)
}

/// `field-name ":"`, or the empty line, for which it returns `None` (RFC 9112 5).
fn field_name<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Stop> {
    match element(rest, is_token, HEAD_LIMIT, LARGE_HEAD)? {
        (b"", b'\r') => line_feed(rest).map(|()| None),
        (b"", b':') => bad("a field line begins with the field's name"),
        (name, b':') => Ok(Some(name)),
        (_, b'\n') => bad(BARE_LF),
        // A server must refuse obs-fold, or unfold it (RFC 9112 5.2).
        (b"", b' ' | b'\t') => bad("a field line begins with its name: no folded lines"),
        // A server must refuse whitespace between name and colon (RFC 9112 5.1).
        (_, b' ' | b'\t') => bad("no space before the colon of a field line"),
        _ => bad("a field name is a token, and a colon follows it"),
    }
}

/// `OWS field-value OWS CR LF` (RFC 9112 5). Returns the value without the optional whitespace.
fn field_value<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_value, HEAD_LIMIT, LARGE_HEAD)? {
        (value, b'\r') => line_feed(rest).map(|()| value.trim_ascii()),
        (_, b'\n') => bad(BARE_LF),
        _ => bad("a field value has no control bytes"),
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
        let lines = self.0.iter().filter(move |line| is(line.0, name));
        lines.map(|line| line.1)
    }

    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The value of the field line of this name, if there is exactly one.
    fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().xor(values.next())
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
            (None, _) => bad("an HTTP/1.1 request has a Host field"),
            (_, Some(_)) => bad("a request has one Host field"),
            (Some(host), None) if is_host(host) => Ok(()),
            _ => bad("Host is a host name or address and, after a colon, a port number"),
        }
    }

    /// HTTP/1.1 persists unless the client says close, HTTP/1.0 closes unless it says keep-alive
    /// (RFC 9112 9.3). Both words are case-insensitive (RFC 9110 7.6.1).
    fn persistence(&self, version: Version) -> Persistence {
        let says = |word: &str| self.list("connection").any(|option| is(option, word));
        match version {
            _ if says("close") => Persistence::Close,
            Version::Http11 => Persistence::Persistent,
            Version::Http10 if says("keep-alive") => Persistence::KeepAlive,
            Version::Http10 => Persistence::Close,
        }
    }

    /// One number, which may be repeated and must not differ (RFC 9110 8.6, RFC 9112 6.3).
    fn content_length(&self) -> Result<Option<u64>, Stop> {
        let mut length = None;
        for value in self.values("content-length") {
            let Some(number) = decimal(value) else {
                return bad("Content-Length is one decimal number below 2^64");
            };
            if length.is_some_and(|other| other != number) {
                return bad("two Content-Length fields differ");
            }
            length = Some(number);
        }
        Ok(length)
    }

    /// Whether content follows, by Content-Length or Transfer-Encoding. A request with both is how
    /// one request is smuggled inside another, so it is refused (RFC 9112 6.1 and 6.3).
    fn has_content(&self, version: Version) -> Result<bool, Stop> {
        let length = self.content_length()?;
        if !self.has("transfer-encoding") {
            return Ok(length.is_some_and(|length| length > 0));
        }
        match self.list("transfer-encoding").collect::<Vec<_>>()[..] {
            _ if length.is_some() => bad("Content-Length and Transfer-Encoding exclude each other"),
            _ if version == Version::Http10 => bad("HTTP/1.0 has no Transfer-Encoding"),
            [coding] if is(coding, "chunked") => Ok(true),
            [.., last] if is(last, "chunked") => Err(Stop::Invalid(OTHER_CODING)),
            _ => bad("the final transfer coding of a request is chunked"),
        }
    }
}

/// Whether this is a name or word that is known here. They are all case-insensitive.
fn is(bytes: &[u8], known: &str) -> bool {
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

fn bad<T>(reason: &'static str) -> Result<T, Stop> {
    let status = Status::BAD_REQUEST;
    Err(Stop::Invalid(RequestError { status, reason }))
}

/// A lone LF may count as a line end (RFC 9112 2.2). It is refused here, because programs that
/// disagree about where lines end disagree about where requests end.
const BARE_LF: &str = "lines end in CR LF, not in LF alone";

const MALFORMED_VERSION: RequestError =
    RequestError::new(Status::BAD_REQUEST, "a request line ends in HTTP/1.1 CR LF");

const OTHER_VERSION: RequestError = RequestError::new(
    Status::HTTP_VERSION_NOT_SUPPORTED,
    "this server speaks HTTP/1.1 and HTTP/1.0",
);

const OTHER_CODING: RequestError = RequestError::new(
    Status::NOT_IMPLEMENTED,
    "this server knows no transfer coding but chunked",
);

const LONG_METHOD: RequestError =
    RequestError::new(Status::NOT_IMPLEMENTED, "no method is as long as this one");

const LONG_TARGET: RequestError = RequestError::new(
    Status::URI_TOO_LONG,
    "a request target has at most 8192 bytes here",
);

const LARGE_HEAD: RequestError = RequestError::new(
    Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "a head has at most 16384 bytes and 100 field lines here",
);
