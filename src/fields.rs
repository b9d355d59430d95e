//! The fields of a request: what they mean, and which contradict each other.

use crate::authority::is_authority;
use crate::request_error::RequestError;
use crate::response::Status;

/// The versions of HTTP that this server distinguishes. A minor version above 1 is treated as 1 (RFC
/// 9110 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0. It has no chunks, and closes connections unless the client asks otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The field lines of a head: names and values, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'a>(pub Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
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

    /// Exactly one Host in HTTP/1.1, empty or a host and a port (RFC 9110 7.2). HTTP/1.0 may leave it out
    /// (RFC 9112 3.2).
    pub(crate) fn check_host(&self, version: Version) -> Result<(), RequestError> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if version == Version::Http10 => Ok(()),
            (None, _) => bad_request("an HTTP/1.1 request must have a Host field"),
            (_, Some(_)) => bad_request("a request must have only one Host field"),
            (Some(host), None) if host.is_empty() || is_authority(host) => Ok(()),
            _ => bad_request(
                "Host must be a host name or address, with an optional colon and port number",
            ),
        }
    }

    /// HTTP/1.1 persists unless the client says close, HTTP/1.0 closes unless it says keep-alive
    /// (RFC 9112 9.3). Both words are case-insensitive (RFC 9110 7.6.1).
    pub(crate) fn allow_to_persist(&self, version: Version) -> bool {
        let says = |word: &str| self.list("connection").any(|option| is_word(option, word));
        !says("close") && (version == Version::Http11 || says("keep-alive"))
    }

    /// The value of Last-Event-ID (HTML 9.2.4), if exactly one such field is not empty; of several, none
    /// counts. Without any, the first `lastEventId` in the query, in upper or lower case, as it is
    /// written there, if it is not empty.
    pub(crate) fn last_event_id(&self, query: &'a [u8]) -> Option<&'a [u8]> {
        let mut values = self.values("last-event-id").filter(|id| !id.is_empty());
        let id = match (values.next(), values.next()) {
            (None, _) => query.split(|&byte| byte == b'&').find_map(|part| {
                let (begin, id) = part.split_at_checked("lastEventId=".len())?;
                is_word(begin, "lastEventId=").then_some(id)
            }),
            (id, None) => id,
            (_, Some(_)) => None,
        };
        id.filter(|id| !id.is_empty())
    }

    /// One number, which may be repeated and must not differ (RFC 9110 8.6, RFC 9112 6.3).
    fn content_length(&self) -> Result<Option<u64>, RequestError> {
        let mut lengths = self.values("content-length").map(decimal);
        match lengths.next() {
            None => Ok(None),
            Some(None) => bad_request("Content-Length must be one decimal number below 2^64"),
            Some(length) if lengths.all(|other| other == length) => Ok(length),
            _ => bad_request("two Content-Length fields differ"),
        }
    }

    /// Whether content follows, by Content-Length or Transfer-Encoding. A request with both is how
    /// one request is smuggled inside another, so it is refused (RFC 9112 6.1 and 6.3).
    pub(crate) fn has_content(&self, version: Version) -> Result<bool, RequestError> {
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
                    return bad_request("content must be chunked only once");
                }
                let reason = "this server knows no transfer coding but chunked";
                Err(RequestError::new(Status(501, "Not Implemented"), reason))
            }
            _ => bad_request("the final transfer coding of a request must be chunked"),
        }
    }

    /// The names of the fields that a CORS preflight asks for, in one list (Fetch, CORS-preflight
    /// fetch). `None` if there are none, or if one is not a token (RFC 9110 5.1).
    pub(crate) fn names_of_preflight(&self) -> Option<String> {
        let names: Vec<_> = self.list("access-control-request-headers").collect();
        let are_tokens = names.iter().all(|name| name.iter().copied().all(is_token));
        let list = String::from_utf8(names.join(&b", "[..])).ok();
        list.filter(|list| are_tokens && !list.is_empty())
    }
}

/// Whether this is a name or word that is known here. They are all case-insensitive.
pub(crate) fn is_word(bytes: &[u8], known: &str) -> bool {
    bytes.eq_ignore_ascii_case(known.as_bytes())
}

/// `1*DIGIT`, if its value fits (RFC 9110 8.6).
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_number)?;
    digits.parse().ok()
}

/// `tchar` (RFC 9110 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn bad_request<T>(reason: &'static str) -> Result<T, RequestError> {
    Err(RequestError::bad_request(reason))
}
