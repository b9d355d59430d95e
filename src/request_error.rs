//! Why a request is refused.

use crate::response::Status;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Why a head is refused: the status that it deserves, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// The status of the response.
    pub status: Status,
    /// What was expected, for the person who wrote the request.
    pub reason: Cow<'static, str>,
}

impl RequestError {
    /// An error with this status and reason.
    pub fn new(status: Status, reason: impl Into<Cow<'static, str>>) -> RequestError {
        let reason = reason.into();
        RequestError { status, reason }
    }

    /// 400 (RFC 9110 15.5.1).
    pub fn bad_request(reason: &'static str) -> RequestError {
        RequestError::new(Status(400, "Bad Request"), reason)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl Error for RequestError {}
