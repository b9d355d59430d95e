//! The head of an HTTP/1.1 request: octets in, a [`Request`] out.
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
//! A head arrives in pieces of any size. [`RequestParser`] reads the octets that are there and
//! remembers where it stopped: so the answer is the same however the octets are cut, and a head
//! that grows is never read again from its start. It refuses an octet that no valid head can have
//! at that place as soon as it comes, and a line that means nothing valid at its end. "Not
//! complete yet" is no error.
//!
//! Where a standard leaves a choice, this parser is strict: what two parties could read in two
//! ways is refused, not repaired.
//!
//! [RFC 9112 2.1]: https://www.rfc-editor.org/rfc/rfc9112#section-2.1

use crate::response::Status;
use std::fmt;
use std::ops::Range;

/// The longest head that is taken, in octets; a longer one is answered 431 (RFC 9110 5.4,
/// RFC 6585 5). Chromium's are about 600.
pub const HEAD_LIMIT: usize = 16 * 1024;

/// The most field lines that are taken; more are answered 431.
pub const FIELDS_LIMIT: usize = 100;

/// The longest request target that is taken, in octets; a longer one is answered 414. The
/// standard asks for 8000 at least (RFC 9112 3).
pub const TARGET_LIMIT: usize = 8192;

/// The longest method that is looked at, in octets: no registered one comes near. A longer one is
/// answered 501 (RFC 9112 3).
const METHOD_LIMIT: usize = 32;

/// `HTTP/1.1` has as many octets as every other version (RFC 9112 2.3).
const VERSION_LENGTH: usize = 8;

/// The methods of RFC 9110 9.3 and RFC 5789.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// A token that this server does not know.
    Unknown,
}

/// The versions of HTTP that this server tells apart (RFC 9110 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: the connection closes unless the client asks to keep it.
    Http10,
    /// HTTP/1.1, or a higher minor version, which is treated as 1.1.
    Http11,
}

/// A request whose head is complete and valid. It borrows from the octets that were parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The path of the request target, without its query: `/events` for `/events?x=1` and for
    /// `http://localhost/events` alike. It is `*` or `host:port` for OPTIONS and CONNECT, which
    /// have targets of that form.
    pub path: &'a [u8],
    /// The version, which decides what a missing `Connection` field means.
    pub version: Version,
    /// Whether the client wants the connection to persist after the answer (RFC 9112 9.3).
    pub persistent: bool,
    /// Whether content follows the head (RFC 9112 6.3).
    pub has_content: bool,
    /// The value of the `Last-Event-ID` field, where there is exactly one (HTML 9.2.4).
    pub last_event_id: Option<&'a [u8]>,
    /// The length of the head in octets, with the empty lines that came before it.
    pub head_length: usize,
}

/// Why a head is refused: the status that it deserves, and what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestError {
    /// The status of the answer.
    pub status: Status,
    /// One sentence for the person who wrote the request.
    pub reason: &'static str,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for RequestError {}

fn bad(reason: &'static str) -> RequestError {
    RequestError {
        status: Status::BAD_REQUEST,
        reason,
    }
}

/// Takes a head as its octets arrive.
///
/// ```
/// use bare_sse::request::{Method, RequestParser};
///
/// let octets = b"GET /events?from=docs HTTP/1.1\r\nHost: localhost\r\n\r\nGET";
/// let mut parser = RequestParser::default();
/// assert_eq!(parser.parse(&octets[..20])?, None); // not complete yet
/// let request = parser.parse(octets)?.expect("a whole head");
/// assert_eq!((request.method, request.path), (Method::Get, &b"/events"[..]));
/// assert_eq!(&octets[request.head_length..], b"GET"); // of the next request
/// # Ok::<(), bare_sse::request::RequestError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RequestParser {
    /// How many octets have been looked at.
    at: usize,
    /// Where the element that is being read begins.
    begin: usize,
    expects: Expects,
    method: Method,
    path: Range<usize>,
    version: Version,
    name: Range<usize>,
    fields: usize,
    hosts: usize,
    close: bool,
    keep_alive: bool,
    content_length: Option<u64>,
    transfer_codings: usize,
    chunked: bool,
    last_event_ids: usize,
    last_event_id: Range<usize>,
}

/// The element of the head that the next octet belongs to, or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Method,
    Target,
    Version,
    FieldName,
    FieldValue,
}

/// Why the head can't be read further: an error, or `None` where no octets are left.
type Stop = Option<RequestError>;

impl Default for RequestParser {
    fn default() -> Self {
        RequestParser {
            at: 0,
            begin: 0,
            expects: Expects::Method,
            method: Method::Unknown,
            path: 0..0,
            version: Version::Http11,
            name: 0..0,
            fields: 0,
            hosts: 0,
            close: false,
            keep_alive: false,
            content_length: None,
            transfer_codings: 0,
            chunked: false,
            last_event_ids: 0,
            last_event_id: 0..0,
        }
    }
}

impl RequestParser {
    /// Looks at the octets of `octets` that are new since the last call. They must begin where
    /// they began then: at the first octet after the head before.
    ///
    /// Gives the request when its head is complete, and is then ready for the next one; gives
    /// `None` while the head is not complete.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] for an octet that can't stand where it stands, for a line with a wrong
    /// value, or for lines that contradict each other. Where the next request begins is then
    /// unknown, so the connection must be closed after the answer.
    ///
    /// # Panics
    ///
    /// When `octets` is shorter than at the last call.
    pub fn parse<'a>(&mut self, octets: &'a [u8]) -> Result<Option<Request<'a>>, RequestError> {
        let octets = &octets[..octets.len().min(HEAD_LIMIT)];
        match self.read_head(octets) {
            Ok(()) => self.complete(octets).map(Some),
            Err(Some(error)) => Err(error),
            Err(None) if octets.len() == HEAD_LIMIT => Err(TOO_LARGE),
            Err(None) => Ok(None),
        }
    }

    /// Reads from where the octets ended last to the end of the head.
    fn read_head(&mut self, octets: &[u8]) -> Result<(), Stop> {
        while self.expects == Expects::Method {
            let length = run(&octets[self.at..], is_token);
            match self.element(octets, length, METHOD_LIMIT, LONG_METHOD)? {
                (name, b' ') => {
                    self.method = method(name)?;
                    self.expect(Expects::Target);
                }
                // Empty lines before a request are ignored (RFC 9112 2.2).
                (b"", b'\r') => self.end_line(octets, Expects::Method)?,
                (name, other) => return Err(Some(self.misplaced(other, name))),
            }
        }
        if self.expects == Expects::Target {
            let length = run(&octets[self.at..], is_target);
            let (target, delimiter) = self.element(octets, length, TARGET_LIMIT, LONG_TARGET)?;
            if delimiter != b' ' {
                return Err(Some(self.misplaced(delimiter, target)));
            }
            let path = target_path(self.method, target)?;
            self.path = self.begin + path.start..self.begin + path.end;
            self.expect(Expects::Version);
        }
        if self.expects == Expects::Version {
            let length = run(&octets[self.at..], |octet| octet.is_ascii_graphic());
            let (text, delimiter) =
                self.element(octets, length, VERSION_LENGTH, MALFORMED_VERSION)?;
            if delimiter != b'\r' {
                return Err(Some(self.misplaced(delimiter, text)));
            }
            self.version = version(text)?;
            self.end_line(octets, Expects::FieldName)?;
        }
        loop {
            if self.expects == Expects::FieldName {
                let length = run(&octets[self.at..], is_token);
                match self.element(octets, length, HEAD_LIMIT, TOO_LARGE)? {
                    (b"", b'\r') => return self.end_line(octets, Expects::Method),
                    (_, b':') => {
                        self.field_name()?;
                        self.expect(Expects::FieldValue);
                    }
                    (name, other) => return Err(Some(self.misplaced(other, name))),
                }
            }
            let length = field_value_run(&octets[self.at..]);
            let (element, delimiter) = self.element(octets, length, HEAD_LIMIT, TOO_LARGE)?;
            if delimiter != b'\r' {
                return Err(Some(self.misplaced(delimiter, element)));
            }
            let value = self.begin..self.at;
            self.end_line(octets, Expects::FieldName)?;
            self.field_line(octets, value)?;
        }
    }

    /// Moves on by `length`, to the end of the element that is being read. Gives the element and
    /// the octet behind it.
    fn element<'a>(
        &mut self,
        octets: &'a [u8],
        length: usize,
        limit: usize,
        too_long: RequestError,
    ) -> Result<(&'a [u8], u8), Stop> {
        self.at += length;
        let element = &octets[self.begin..self.at];
        if element.len() > limit {
            return Err(Some(too_long));
        }
        Ok((element, *octets.get(self.at).ok_or(None)?))
    }

    /// Moves over the delimiter, to the next element.
    fn expect(&mut self, next: Expects) {
        self.at += 1;
        self.begin = self.at;
        self.expects = next;
    }

    /// Moves over CR LF, to the next element. Stays before the CR while there is nothing behind it.
    fn end_line(&mut self, octets: &[u8], next: Expects) -> Result<(), Stop> {
        match octets.get(self.at + 1) {
            Some(b'\n') => {
                self.at += 1;
                self.expect(next);
                Ok(())
            }
            // A bare CR must never be taken for a line end (RFC 9112 2.2).
            Some(_) => Err(Some(bad("a CR is followed by LF"))),
            None => Err(None),
        }
    }

    /// Whether a head has begun and is not complete: empty lines do not begin one.
    pub fn has_begun(&self) -> bool {
        self.expects != Expects::Method || self.begin < self.at
    }

    /// Whether the method of the head that is being read, or was refused, is HEAD: then its answer
    /// has no content (RFC 9110 9.3.2).
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// `field-line = field-name ":" OWS field-value OWS` up to the colon (RFC 9112 5).
    fn field_name(&mut self) -> Result<(), RequestError> {
        self.name = self.begin..self.at;
        self.fields += 1;
        if self.name.is_empty() {
            Err(bad("a field line begins with the field's name"))
        } else if self.fields > FIELDS_LIMIT {
            Err(TOO_LARGE)
        } else {
            Ok(())
        }
    }

    /// Takes what this server needs to know from a complete field line. Names are compared
    /// without regard to case (RFC 9110 5.1), and so are the options of Connection, of all its
    /// lines (RFC 9110 7.6.1). Content-Length may be repeated, but not differ (RFC 9112 6.3).
    fn field_line(&mut self, octets: &[u8], value: Range<usize>) -> Result<(), RequestError> {
        let name = &octets[self.name.clone()];
        let value = trim(octets, value);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("host") {
            self.hosts += 1;
            check_host(&octets[value])?;
        } else if is("connection") {
            for option in list(&octets[value]) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("content-length") {
            let length = decimal(&octets[value])
                .ok_or(bad("Content-Length is one decimal number below 2^64"))?;
            if self.content_length.is_some_and(|other| other != length) {
                return Err(bad("two Content-Length fields differ"));
            }
            self.content_length = Some(length);
        } else if is("transfer-encoding") {
            for coding in list(&octets[value]) {
                self.transfer_codings += 1;
                self.chunked = coding.eq_ignore_ascii_case(b"chunked");
            }
            // A field without a coding still says that a coding was meant.
            self.transfer_codings = self.transfer_codings.max(1);
        } else if is("last-event-id") {
            self.last_event_ids += 1;
            self.last_event_id = value;
        }
        Ok(())
    }

    /// Why `found` can't stand behind the octets of `element`.
    #[cold]
    fn misplaced(&self, found: u8, element: &[u8]) -> RequestError {
        match (self.expects, found) {
            // A lone LF may be taken for a line end (RFC 9112 2.2); it is refused here, because
            // parties that disagree about where lines end disagree about where requests end.
            (_, b'\n') => bad("lines end in CR LF, not in LF alone"),
            (Expects::Method, _) => bad("a request begins with a method, a token, and a space"),
            (Expects::Target, b'\r') => MALFORMED_VERSION,
            (Expects::Target, _) => bad("a request target has visible ASCII octets only, and no #"),
            (Expects::Version, _) => MALFORMED_VERSION,
            // RFC 9112 5.2: a server must refuse obs-fold, or unfold it.
            (Expects::FieldName, b' ' | b'\t') if element.is_empty() => {
                bad("a field line begins with its name: folded lines are not taken")
            }
            // RFC 9112 5.1: a server must refuse whitespace between name and colon.
            (Expects::FieldName, b' ' | b'\t') => bad("no space before the colon of a field line"),
            (Expects::FieldName, _) => bad("a field name is a token, and a colon follows it"),
            (Expects::FieldValue, _) => bad("a field value has no control octets"),
        }
    }

    /// The rules that need the whole head: Host, and how the content is framed.
    fn complete<'a>(&mut self, octets: &'a [u8]) -> Result<Request<'a>, RequestError> {
        self.check_hosts()?;
        let has_content = self.has_content()?;
        let request = Request {
            method: self.method,
            path: &octets[self.path.clone()],
            version: self.version,
            persistent: match self.version {
                Version::Http10 => self.keep_alive && !self.close,
                Version::Http11 => !self.close,
            },
            has_content,
            last_event_id: (self.last_event_ids == 1).then(|| &octets[self.last_event_id.clone()]),
            head_length: self.at,
        };
        *self = RequestParser::default();
        Ok(request)
    }

    /// Exactly one Host in HTTP/1.1; HTTP/1.0 may leave it out (RFC 9112 3.2).
    fn check_hosts(&self) -> Result<(), RequestError> {
        match (self.hosts, self.version) {
            (1, _) | (0, Version::Http10) => Ok(()),
            (0, Version::Http11) => Err(bad("an HTTP/1.1 request has a Host field")),
            _ => Err(bad("a request has one Host field")),
        }
    }

    /// Whether content follows, by Content-Length or Transfer-Encoding. A request with both is
    /// how one request is smuggled inside another, so it is refused (RFC 9112 6.1 and 6.3).
    fn has_content(&self) -> Result<bool, RequestError> {
        if self.transfer_codings == 0 {
            return Ok(self.content_length.is_some_and(|length| length > 0));
        }
        if self.content_length.is_some() {
            return Err(bad(
                "Content-Length and Transfer-Encoding exclude each other",
            ));
        }
        if self.version == Version::Http10 {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.transfer_codings > 1 || !self.chunked {
            return Err(RequestError {
                status: Status::NOT_IMPLEMENTED,
                reason: "the only transfer coding known here is chunked",
            });
        }
        Ok(true)
    }
}

const TOO_LARGE: RequestError = RequestError {
    status: Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
    reason: "a head may have 16384 octets and 100 field lines here",
};

const LONG_METHOD: RequestError = RequestError {
    status: Status::NOT_IMPLEMENTED,
    reason: "no method is as long as this one",
};

const LONG_TARGET: RequestError = RequestError {
    status: Status::URI_TOO_LONG,
    reason: "a request target may have 8192 octets here",
};

const MALFORMED_VERSION: RequestError = RequestError {
    status: Status::BAD_REQUEST,
    reason: "a request line ends in HTTP/1.1 CR LF",
};

/// `method = token`, case-sensitive (RFC 9110 9.1).
fn method(token: &[u8]) -> Result<Method, RequestError> {
    Ok(match token {
        b"" => return Err(bad("a request begins with a method, a token, and a space")),
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"CONNECT" => Method::Connect,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"PATCH" => Method::Patch,
        _ => Method::Unknown,
    })
}

/// Where the path stands in a request target of any of the four forms (RFC 9112 3.2).
fn target_path(method: Method, target: &[u8]) -> Result<Range<usize>, RequestError> {
    let path_end = |begin: usize| {
        let query = target[begin..].iter().position(|&octet| octet == b'?');
        query.map_or(target.len(), |at| begin + at)
    };
    match (method, target) {
        (_, b"") => Err(bad("one space stands on each side of the request target")),
        // What forms an unknown method takes is unknown too.
        (Method::Unknown, _) => Ok(0..target.len()),
        (Method::Options, b"*") => Ok(0..1),
        // authority-form
        (Method::Connect, _) => check_host(target).map(|()| 0..target.len()),
        // origin-form
        (_, [b'/', ..]) => Ok(0..path_end(0)),
        // absolute-form
        _ => {
            let authority = authority_begin(target)
                .ok_or(bad("a request target begins with / or with http://"))?;
            let length = run(&target[authority..], |octet| octet != b'/' && octet != b'?');
            let path = authority + length;
            if matches!(target[authority..path], [] | [b':', ..]) {
                return Err(bad("an absolute request target names a host"));
            }
            check_host(&target[authority..path])?;
            Ok(path..path_end(path))
        }
    }
}

/// Where the authority of an absolute `http` URI begins (RFC 9110 4.2.1); schemes are compared
/// without regard to case. An `https` URI must be refused here (RFC 9110 7.4).
fn authority_begin(target: &[u8]) -> Option<usize> {
    const SCHEME: &[u8] = b"http://";
    let begin = target.get(..SCHEME.len())?;
    begin.eq_ignore_ascii_case(SCHEME).then_some(SCHEME.len())
}

/// `HTTP-version = "HTTP/" DIGIT "." DIGIT`, case-sensitive (RFC 9112 2.3). A minor version
/// above 1 is treated as 1 (RFC 9110 2.5).
fn version(text: &[u8]) -> Result<Version, RequestError> {
    match text {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(RequestError {
            status: Status::HTTP_VERSION_NOT_SUPPORTED,
            reason: "this server speaks HTTP/1.1 and HTTP/1.0",
        }),
        _ => Err(MALFORMED_VERSION),
    }
}

/// `Host = uri-host [ ":" port ]`, which may be empty (RFC 9110 7.2, RFC 3986 3.2.2).
///
/// A comma is refused although a name could have one: it would be two Host fields joined.
fn check_host(value: &[u8]) -> Result<(), RequestError> {
    let host = match value {
        // An IP literal, whose colons stand in brackets.
        [b'[', rest @ ..] => {
            let inside = run(rest, |octet| {
                octet.is_ascii_hexdigit() || b":.v".contains(&octet)
            });
            match rest.get(inside) {
                Some(b']') if inside > 0 => inside + 2,
                _ => 0,
            }
        }
        _ => run(value, is_host),
    };
    match &value[host..] {
        [] => Ok(()),
        [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(bad(
            "Host is a host name or address and, after a colon, a port number",
        )),
    }
}

/// The elements of a comma-separated list without the space around them; empty ones are ignored
/// (RFC 9110 5.6.1.2).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&octet| octet == b',')
        .map(|element| &element[trim(element, 0..element.len())])
        .filter(|element| !element.is_empty())
}

/// `1*DIGIT`, if its value fits (RFC 9110 8.6).
///
/// ```
/// use bare_sse::request::decimal;
/// assert_eq!(decimal(b"41"), Some(41));
/// assert_eq!(decimal(b"+41"), None);
/// assert_eq!(decimal(b""), None);
/// ```
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The range without the optional whitespace at its ends (RFC 9110 5.6.3).
fn trim(octets: &[u8], mut range: Range<usize>) -> Range<usize> {
    let is_space = |at: usize| matches!(octets[at], b' ' | b'\t');
    while range.start < range.end && is_space(range.start) {
        range.start += 1;
    }
    while range.start < range.end && is_space(range.end - 1) {
        range.end -= 1;
    }
    range
}

/// How many octets at the front are of a class.
fn run(octets: &[u8], class: impl Fn(u8) -> bool) -> usize {
    octets
        .iter()
        .position(|&octet| !class(octet))
        .unwrap_or(octets.len())
}

/// `field-value`: visible octets, SP, HTAB and octets from 0x80 (RFC 9110 5.5). Most of a head is
/// made of these, so they are looked at in blocks, which the compiler turns into vector code.
fn field_value_run(octets: &[u8]) -> usize {
    let is_all_value = |block: &&[u8]| block.iter().fold(true, |all, &octet| all & is_value(octet));
    let whole = octets.chunks_exact(16).take_while(is_all_value).count() * 16;
    whole + run(&octets[whole..], is_value)
}

fn is_value(octet: u8) -> bool {
    // `|` and `&` compute both sides, which needs no jump.
    (octet == b'\t') | ((octet >= b' ') & (octet != 0x7f))
}

/// What a request target has of visible ASCII (RFC 9112 3.2, RFC 3986 2): `#` begins a fragment,
/// which is never sent.
fn is_target(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'#'
}

/// `tchar` (RFC 9110 5.6.2).
fn is_token(octet: u8) -> bool {
    const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(octet)]
}

/// `reg-name` (RFC 3986 3.2.2), without the comma.
fn is_host(octet: u8) -> bool {
    const HOST: [bool; 256] = letters_digits_and(b"-._~%!$&'()*+;=");
    HOST[usize::from(octet)]
}

/// The class of the ASCII letters, the digits and some more octets.
const fn letters_digits_and(more: &[u8]) -> [bool; 256] {
    let mut class = [false; 256];
    let mut octet = 0;
    while octet < class.len() {
        class[octet] = (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let mut at = 0;
    while at < more.len() {
        class[more[at] as usize] = true;
        at += 1;
    }
    class
}
