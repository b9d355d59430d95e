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

use crate::authority::is_authority;
use crate::fields::{Fields, Version, is_token, is_word};
use crate::request_error::RequestError;
use crate::response::Status;

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
    /// Whether the client allows the connection to persist after the response (RFC 9112 9.3).
    pub may_persist: bool,
    /// Whether content follows the head (RFC 9112 6.3).
    pub has_content: bool,
    /// The last event ID: the value of the one `Last-Event-ID` field (HTML 9.2.4), or without such a
    /// field that of `lastEventId` in the query, which no standard knows. Some clients send it there,
    /// because a field would need a CORS preflight.
    pub last_event_id: Option<&'a [u8]>,
    /// The length of the head in bytes, with the empty lines that came before it.
    pub head_length: usize,
    /// All fields.
    pub fields: Fields<'a>,
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
/// # Ok::<(), bare_sse::request_error::RequestError>(())
/// ```
///
/// # Errors
///
/// A [`RequestError`] for a byte that can't stand where it stands, for an element with a wrong
/// value, or for fields that contradict each other. It is then unknown where the next request
/// begins, so the connection must be closed after the response.
pub fn parse(bytes: &[u8]) -> Result<Option<Request<'_>>, RequestError> {
    let bytes = &bytes[..bytes.len().min(HEAD_LIMIT)];
    match head(bytes) {
        Ok(request) => Ok(Some(request)),
        Err(Stop::Invalid(error)) => Err(error),
        Err(Stop::Incomplete) if bytes.len() == HEAD_LIMIT => Err(large_head()),
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

impl From<RequestError> for Stop {
    fn from(error: RequestError) -> Stop {
        Stop::Invalid(error)
    }
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
    let fields = field_lines(&mut rest)?;
    fields.check_host(version)?;
    Ok(Request {
        method,
        path,
        version,
        may_persist: fields.allow_to_persist(version),
        has_content: fields.has_content(version)?,
        last_event_id: fields.last_event_id(query),
        head_length: bytes.len() - rest.len(),
        fields,
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
    too_long: fn() -> RequestError,
) -> Result<(&'a [u8], u8), Stop> {
    let end = rest.iter().position(|&byte| !is_of_class(byte));
    let (element, after) = rest.split_at(end.unwrap_or(rest.len()));
    if element.len() > limit {
        return Err(too_long().into());
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
        Some(_) => return bad_request("a CR must be followed by LF"),
        None => return Err(Stop::Incomplete),
    }
    Ok(())
}

/// `method SP`, the beginning of the request line (RFC 9112 3). A method is a token (RFC 9110 9.1).
fn method<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_token, METHOD_LIMIT, long_method)? {
        (method @ [_, ..], b' ') => Ok(method),
        _ => bad_request("a request must begin with a method, which is a token, and a space"),
    }
}

/// `request-target SP` (RFC 9112 3). Returns the path and the query.
fn request_target<'a>(rest: &mut &'a [u8], method: &[u8]) -> Result<(&'a [u8], &'a [u8]), Stop> {
    let target = match element(rest, is_target, TARGET_LIMIT, long_target)? {
        (b"", b' ') => {
            return bad_request("a request target must have exactly one space on each side");
        }
        (target, b' ') => target,
        (_, b'\r') => return Err(malformed_version().into()),
        _ => return bad_request("a request target must be visible ASCII without #"),
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
        return bad_request("a request target must begin with / or http://");
    };
    let end = rest.iter().position(|&byte| byte == b'/');
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    if !is_authority(authority) {
        return bad_request("a request target in absolute-form must name a host");
    }
    Ok(path)
}

/// `HTTP-version CR LF`, with `HTTP-version = "HTTP/" DIGIT "." DIGIT`, case-sensitive (RFC 9112
/// 2.3).
fn http_version(rest: &mut &[u8]) -> Result<Version, Stop> {
    let limit = "HTTP/1.1".len();
    let (version, end) = element(rest, is_visible, limit, malformed_version)?;
    let version = match (version.strip_prefix(b"HTTP/"), end) {
        (Some(b"1.0"), b'\r') => Version::Http10,
        (Some([b'1', b'.', b'0'..=b'9']), b'\r') => Version::Http11,
        (Some([b'0'..=b'9', b'.', b'0'..=b'9']), b'\r') => {
            let status = Status(505, "HTTP Version Not Supported");
            let reason = "this server speaks HTTP/1.1 and HTTP/1.0";
            return Err(RequestError::new(status, reason).into());
        }
        _ => return Err(malformed_version().into()),
    };
    line_feed(rest)?;
    Ok(version)
}

/// `*( field-line CRLF ) CRLF` (RFC 9112 2.1).
fn field_lines<'a>(rest: &mut &'a [u8]) -> Result<Fields<'a>, Stop> {
    let mut lines = Vec::with_capacity(FIELDS_LIMIT);
    while let Some(name) = field_name(rest)? {
        if lines.len() == FIELDS_LIMIT {
            return Err(large_head().into());
        }
        lines.push((name, field_value(rest)?));
    }
    Ok(Fields(lines))
}

/// `field-name ":"`, or the empty line, for which it returns `None` (RFC 9112 5).
fn field_name<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Stop> {
    // It has no limit but that of the head.
    match element(rest, is_token, HEAD_LIMIT, large_head)? {
        (b"", b'\r') => line_feed(rest).map(|()| None),
        (name @ [_, ..], b':') => Ok(Some(name)),
        // A server must refuse obs-fold, or unfold it (RFC 9112 5.2).
        (b"", b' ' | b'\t') => {
            bad_request("a field line must begin with its name: line folding is obsolete")
        }
        // A server must refuse whitespace between name and colon (RFC 9112 5.1).
        (_, b' ' | b'\t') => {
            bad_request("no whitespace is allowed before the colon of a field line")
        }
        _ => bad_request("a field name must be a token, followed by a colon"),
    }
}

/// `OWS field-value OWS CR LF` (RFC 9112 5). Returns the value without the optional whitespace.
fn field_value<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    match element(rest, is_value, HEAD_LIMIT, large_head)? {
        (value, b'\r') => line_feed(rest).map(|()| value.trim_ascii()),
        _ => bad_request("a field value must have no control characters"),
    }
}

/// Visible ASCII.
fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// A byte of a request target: visible ASCII (RFC 9112 3.2), but no `#`, which begins a fragment and
/// is never sent. Browsers send some bytes that RFC 3986 2 would have encoded.
fn is_target(byte: u8) -> bool {
    is_visible(byte) && byte != b'#'
}

/// `field-value`: visible bytes, SP, HTAB, and bytes from 0x80 (RFC 9110 5.5).
fn is_value(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\t'
}

fn bad_request<T>(reason: &'static str) -> Result<T, Stop> {
    Err(RequestError::bad_request(reason).into())
}

fn malformed_version() -> RequestError {
    RequestError::bad_request("a request line must end with HTTP/1.1 and CR LF")
}

fn long_method() -> RequestError {
    let status = Status(501, "Not Implemented");
    RequestError::new(status, "this method is longer than any known here")
}

fn long_target() -> RequestError {
    let reason = format!("this server accepts at most {TARGET_LIMIT} bytes in a request target");
    RequestError::new(Status(414, "URI Too Long"), reason)
}

fn large_head() -> RequestError {
    let reason = format!(
        "this server accepts at most {HEAD_LIMIT} bytes and {FIELDS_LIMIT} fields in a request head"
    );
    RequestError::new(Status(431, "Request Header Fields Too Large"), reason)
}
