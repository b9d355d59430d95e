//! One connection, from open to close: read, answer; then persist, stream or close.
//!
//! A [`Connection`] knows what comes next and does nothing: bytes go in, and its output and a [`Next`]
//! come out. [`serve`] does it, with a socket and a clock, on a thread of the connection's own.
//!
//! A connection closes after a response that says so. That is each response to a client that wants it
//! (RFC 9112 9.3), to a request with content, to bytes that are not a request, and to any request while
//! no slot is free; and the stream, for an HTTP/1.0 client.
//!
//! Responses leave in the order of their requests (RFC 9112 9.3.2). Pipelined requests are usually
//! answered in one write.
//!
//! What a connection holds in memory is bounded: less than 20 KiB of heads, and the heads of the
//! responses to what one read brought. A stream holds nothing but what was read after its request,
//! which is normally nothing.

use crate::client::Client;
use crate::events::Stream;
use crate::request::{self, Request, without_empty_lines};
use crate::request_error::RequestError;
use crate::response::{Response, Status, date};
use crate::site::{Answer, Site};
use crate::slots::{Free, Slot};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::mem;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many bytes are read at once. More than 1 KiB, because the C library keeps smaller blocks for the
/// thread that has freed them, and each stream would hold one as long as it lasts.
const BUFFER: usize = 2048;

/// The longest single read. After it the remaining time is computed again, because slots may have
/// become scarce meanwhile.
const SLICE: Duration = Duration::from_secs(3);

/// Serves a client until the connection ends, and closes its socket. `slot` is the connection's own.
///
/// # Errors
///
/// The client has disconnected or stopped reading.
pub fn serve(mut client: Client, site: &Site, slot: &Slot) -> io::Result<()> {
    let mut connection = Connection::new(site);
    let (mut next, mut buffer) = (Next::Read, Vec::new());
    loop {
        client.write(&connection.output)?;
        connection.output.clear();
        next = match next {
            Next::Read => {
                buffer.resize(BUFFER, 0);
                let left = connection.time_left(slot.free(), Instant::now());
                match client.read(&mut buffer, left.min(SLICE)) {
                    Ok(0) => connection.cut_off(now()),
                    Ok(count) => connection.receive(&buffer[..count], slot.free(), now()),
                    Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                    Err(_) if left > SLICE => Next::Read,
                    Err(_) => connection.time_out(now()),
                }
            }
            Next::Stream(stream) => {
                // It may last for days, and keeps no buffer.
                buffer = Vec::new();
                site.events.write(stream, &mut client)?;
                match stream.persists {
                    true => connection.receive(b"", slot.free(), now()),
                    false => Next::Linger,
                }
            }
            Next::Linger => return client.linger(),
            Next::Close => return Ok(()),
        };
    }
}

/// The time in seconds since 1970.
fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| time.as_secs())
}

/// A connection apart from its socket and its clock.
#[derive(Debug)]
pub struct Connection<'a> {
    site: &'a Site,
    /// What was read and not answered: the beginning of a head, or what came after a stream's request.
    unread: Vec<u8>,
    /// Whether a request has been answered.
    is_used: bool,
    /// When the wait for the next head began or, once a part of it has come, the wait for its rest.
    began: Option<Instant>,
    /// What waits to be written, all in one write: heads and contents. The page is shared, not copied.
    pub output: Vec<Cow<'a, [u8]>>,
    /// The second of the last response, and its text. Making it for each response would cost 4 % of all
    /// requests.
    date: (u64, String),
}

/// What to do when the output has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read on.
    Read,
    /// Write the stream, whose beginning was in the output. What the client sends meanwhile waits to be
    /// read until the stream has ended.
    Stream(Stream),
    /// Close, but first read and discard: the client may still be sending.
    Linger,
    /// Close: no more is expected from the client.
    Close,
}

impl<'a> Connection<'a> {
    /// A connection that has just been opened.
    pub fn new(site: &'a Site) -> Connection<'a> {
        Connection {
            site,
            unread: Vec::new(),
            is_used: false,
            began: None,
            output: Vec::new(),
            date: (u64::MAX, String::new()),
        }
    }

    /// How long the next bytes may take from `now` on. Zero means that time is over. When this is first
    /// called after something has come, the wait begins.
    pub fn time_left(&mut self, free: Free, now: Instant) -> Duration {
        let limits = match free {
            Free::Many => self.site.limits,
            Free::Few | Free::None => self.site.limits.when_few_are_free(),
        };
        let is_idle = self.is_used && self.unread.is_empty();
        let limit = if is_idle { limits.idle } else { limits.head };
        limit.saturating_sub(now - *self.began.get_or_insert(now))
    }

    /// Answers all whole requests in what was read, with what was read before. `second` is the time in
    /// seconds since 1970. After a stream this answers what was read after its request.
    pub fn receive(&mut self, bytes: &[u8], free: Free, second: u64) -> Next {
        if self.unread.is_empty() {
            self.began = None;
        }
        self.unread.extend_from_slice(bytes);
        let unread = mem::take(&mut self.unread);
        let mut rest = &unread[..];
        let next = loop {
            match request::parse(rest) {
                Ok(None) => break Next::Read,
                Ok(Some(request)) => {
                    rest = &rest[request.head_length..];
                    (self.is_used, self.began) = (true, None);
                    match self.answer(&request, rest.is_empty(), free, second) {
                        Next::Read => {}
                        next => break next,
                    }
                }
                Err(error) => break self.refuse(rest, error, second),
            }
        };
        self.unread = rest.to_vec();
        next
    }

    /// Answers one request. `is_last` if nothing was read after it.
    fn answer(&mut self, request: &Request<'_>, is_last: bool, free: Free, second: u64) -> Next {
        // When no slot is free, none is kept for a request that may never come.
        let may_persist = request.may_persist && !request.has_content && free != Free::None;
        let has_content = request.method != b"HEAD";
        let persists = match self.site.answer(request, may_persist) {
            Answer::Response(response) => {
                self.respond(response, may_persist, has_content, second);
                may_persist
            }
            Answer::Stream(stream) => {
                let beginning = self
                    .site
                    .events
                    .beginning(&stream, has_content, self.date(second));
                self.output.push(beginning.into());
                if has_content {
                    return Next::Stream(stream);
                }
                stream.persists
            }
        };
        // A client that asks for the close itself seldom sends more, and what it sends does no harm once
        // the responses have reached its system. To linger for it too would make connections per second
        // fall by a quarter.
        let may_close_at_once = !request.may_persist && !request.has_content && is_last;
        match persists {
            true => Next::Read,
            false if may_close_at_once => Next::Close,
            false => Next::Linger,
        }
    }

    /// The client will send no more. One that has begun a head is told what is wrong with it (RFC 9110
    /// 15.5.1).
    pub fn cut_off(&mut self, second: u64) -> Next {
        let reason = "the request head has no empty line at its end";
        self.end(RequestError::bad_request(reason), second)
    }

    /// The client has sent nothing in its time. One that has begun a head is told so (RFC 9110 15.5.9).
    pub fn time_out(&mut self, second: u64) -> Next {
        let reason = "the request head was not complete in time";
        let error = RequestError::new(Status(408, "Request Timeout"), reason);
        self.end(error, second)
    }

    /// No more bytes come. If no head has begun, there is nothing to answer (RFC 9112 9.5).
    fn end(&mut self, error: RequestError, second: u64) -> Next {
        let unread = mem::take(&mut self.unread);
        match without_empty_lines(&unread) {
            [] => Next::Close,
            _ => self.refuse(&unread, error, second),
        }
    }

    /// The last response of a connection: to bytes that are not a request.
    fn refuse(&mut self, bytes: &[u8], error: RequestError, second: u64) -> Next {
        let response = Response::refusal(error.status, &error.reason);
        let has_content = !without_empty_lines(bytes).starts_with(b"HEAD ");
        self.respond(response, false, has_content, second);
        Next::Linger
    }

    /// Adds a response to the output. A response to HEAD has no content (RFC 9110 9.3.2).
    fn respond(&mut self, response: Response<'a>, persists: bool, has_content: bool, second: u64) {
        let head = response.head(self.date(second), persists);
        self.output.push(head.into_bytes().into());
        self.output.extend(response.content.filter(|_| has_content));
    }

    /// The text of `Date` (RFC 9110 6.6.1).
    fn date(&mut self, second: u64) -> &str {
        if self.date.0 != second {
            self.date = (second, date(second));
        }
        &self.date.1
    }
}
