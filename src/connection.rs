//! One connection from open to close: read, parse, answer; then persist, stream or close.
//!
//! It closes after a response that says so. That is each response to a client that wants it (RFC 9112
//! 9.3), to a request with content, to what is no request, and to any request while slots are scarce;
//! and to HTTP/1.0 the stream.
//!
//! Each connection has a thread of its own. Responses leave in the order of their requests (RFC 9112
//! 9.3.2). Pipelined requests are usually answered in one write.
//!
//! What a connection holds in memory is bounded: less than 20 KiB of heads, and the heads of the
//! responses to what one read brought. A stream holds nothing but what was read after its request,
//! which is normally nothing.

use crate::client::{Client, Limits};
use crate::counter::{Counter, Stream, last_event};
use crate::log::Log;
use crate::page::Page;
use crate::request::{self, Request, RequestError, Version, without_empty_lines};
use crate::response::{Response, Status, date};
use crate::slots::Slot;
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many bytes are read at once. More than 1 KiB: the C library keeps smaller blocks for the thread
/// that has freed them, so each stream would hold one as long as it lasts.
const BUFFER: usize = 2048;

/// How many bytes of responses fit into the buffers of both systems, most likely.
const SHORT: usize = 64 * 1024;

/// What all connections answer from.
#[derive(Debug)]
pub struct Site {
    /// The response on every path but `/events`.
    pub page: Page,
    /// The response on `/events`.
    pub counter: Counter,
    /// Where the life of each stream is told.
    pub log: Log,
    /// Timeouts, one for each phase of a connection.
    pub limits: Limits,
    /// When the clock of all streams began.
    pub clock: Instant,
}

impl Site {
    /// A site with the default limits.
    pub fn new(page: Page, counter: Counter, log: Log) -> Site {
        Site {
            page,
            counter,
            log,
            limits: Limits::DEFAULT,
            clock: Instant::now(),
        }
    }
}

/// What follows when all responses have been sent, if the client's next request does not.
enum Ending {
    /// Closing at once: there is nothing more to read.
    Close,
    /// Closing slowly: the client may still be sending.
    Linger,
    /// The stream, whose head was sent. Nothing is read while it lasts: what was read after its request
    /// waits here, and what came later waits in the system. After its end these are the next requests.
    Stream(Stream, Vec<u8>),
}

/// Serves a connection until it ends. `slot` is the connection's own.
pub fn serve(client: &mut Client<'_>, site: &Site, slot: &Slot) {
    // What was read and not answered, and how long to wait for more.
    let (mut bytes, mut idle) = (Vec::new(), head_time(client, slot));
    loop {
        let connection = Connection {
            site,
            slot,
            client,
            output: Vec::new(),
            date: (u64::MAX, String::new()),
        };
        // When a read or a write fails, nobody is left to be told. A stream may last for days, and
        // keeps none of the buffers: they are gone when this returns.
        let ending = connection.serve_requests(bytes, idle);
        match ending.unwrap_or(Ending::Close) {
            Ending::Close => return,
            Ending::Linger => return client.linger(),
            Ending::Stream(stream, rest) => {
                match site.counter.stream(stream, client, site.clock, &site.log) {
                    Err(_) => return,
                    Ok(()) if !stream.persists => return client.linger(),
                    Ok(()) => (bytes, idle) = (rest, client.limits.idle),
                }
            }
        }
    }
}

/// How long the client may take for a head: a tenth of the usual time when slots are scarce.
fn head_time(client: &Client<'_>, slot: &Slot) -> Duration {
    client.limits.head / if slot.is_scarce() { 10 } else { 1 }
}

/// A connection while it serves requests.
struct Connection<'a, 'b> {
    site: &'a Site,
    slot: &'a Slot,
    client: &'a mut Client<'b>,
    /// What waits to leave in one write: heads and contents. The page is shared, not copied.
    output: Vec<Cow<'a, [u8]>>,
    /// The second of the last response, since 1970, and its text. To make it for each response would cost
    /// 4 % of all requests, and 12 % of pipelined ones.
    date: (u64, String),
}

impl<'a> Connection<'a, '_> {
    /// Reads and answers requests until there are no more, beginning with those in `bytes`. Waits for
    /// the first one as long as `idle`.
    fn serve_requests(mut self, bytes: Vec<u8>, idle: Duration) -> io::Result<Ending> {
        let ending = self.read_and_answer(bytes, idle)?;
        self.send()?;
        Ok(ending)
    }

    fn read_and_answer(&mut self, mut bytes: Vec<u8>, mut idle: Duration) -> io::Result<Ending> {
        bytes.reserve(BUFFER);
        let mut buffer = vec![0; BUFFER];
        // How many of the bytes are answered. The rest is the beginning of a head, if any.
        let mut used = 0;
        // When its first byte came.
        let mut begin: Option<Instant> = None;
        loop {
            // First, because after a stream there may be requests already.
            match request::parse(&bytes[used..]) {
                Ok(None) => {}
                Ok(Some(request)) => {
                    used += request.head_length;
                    match self.answer(&request, &bytes[used..]) {
                        None => continue,
                        Some(ending) => return Ok(ending),
                    }
                }
                Err(error) => return Ok(self.refuse(&bytes[used..], error)),
            }
            self.send()?;
            if used > 0 {
                bytes.drain(..used);
                (used, begin, idle) = (0, None, self.client.limits.idle);
            }
            let timeout = if bytes.is_empty() {
                idle
            } else {
                let begin = begin.get_or_insert_with(Instant::now);
                head_time(self.client, self.slot).saturating_sub(begin.elapsed())
            };
            match self.client.read(&mut buffer, timeout) {
                Ok(0) => return Ok(self.refuse_partial_head(&bytes, CUT_OFF)),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Ok(self.refuse_partial_head(&bytes, TOO_LATE));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers one request. `unread` was read after it. Returns `None` if the connection persists.
    fn answer(&mut self, request: &Request<'_>, unread: &[u8]) -> Option<Ending> {
        // When slots are scarce, none is kept for a request that may never come.
        let persists = request.persists && !request.has_content && !self.slot.is_scarce();
        let counter = &self.site.counter;
        let seen = last_event(request.last_event_id);
        let response = match (request.method, request.path) {
            (b"GET" | b"HEAD", b"/events") if counter.is_over(seen) => {
                let client = self.client.address;
                let log = &self.site.log;
                log.line(format_args!("{client} got 204, last event ID {seen}"));
                counter.over()
            }
            (b"GET" | b"HEAD", b"/events") => {
                let chunked = request.version == Version::Http11;
                let stream = Stream {
                    seen,
                    chunked,
                    // Without chunks, the end of the connection is the end of the stream.
                    persists: persists && chunked,
                };
                return self.answer_events(request, unread, stream);
            }
            (b"OPTIONS", b"/events") => counter.options(),
            (b"OPTIONS", _) => Response::options(),
            (b"GET" | b"HEAD", _) => self.site.page.response(),
            (b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH", _) => {
                Response::method_not_allowed()
            }
            _ => Response::unknown_method(),
        };
        self.respond(response, persists, request.method != b"HEAD");
        self.ending(request, unread, persists)
    }

    /// Answers GET with the beginning of the stream, and HEAD with its head.
    fn answer_events(
        &mut self,
        request: &Request<'_>,
        unread: &[u8],
        stream: Stream,
    ) -> Option<Ending> {
        let counter = &self.site.counter;
        if request.method == b"GET" {
            let beginning = counter.beginning(stream, self.date());
            self.output.push(beginning.into());
            return Some(Ending::Stream(stream, unread.to_vec()));
        }
        let head = counter.head(stream, self.date());
        self.output.push(head.into_bytes().into());
        self.ending(request, unread, stream.persists)
    }

    /// How the requests end with this one, if the connection does not persist.
    fn ending(&self, request: &Request<'_>, unread: &[u8], persists: bool) -> Option<Ending> {
        // A client that wants the close itself seldom sends more, and what it sends does no harm once
        // the responses have reached its system. To linger for it too would make connections per second
        // fall by a quarter.
        let is_all_read = !request.persists && !request.has_content && unread.is_empty();
        let is_short = self.output.iter().map(|part| part.len()).sum::<usize>() <= SHORT;
        match persists {
            true => None,
            false if is_all_read && is_short => Some(Ending::Close),
            false => Some(Ending::Linger),
        }
    }

    /// No more bytes come. A client that has begun a head is told what is wrong with it. To one that has
    /// not there is nothing to say (RFC 9112 9.5).
    fn refuse_partial_head(&mut self, bytes: &[u8], error: RequestError) -> Ending {
        match without_empty_lines(bytes) {
            [] => Ending::Close,
            _ => self.refuse(bytes, error),
        }
    }

    /// The last response of a connection: to bytes that are no request.
    fn refuse(&mut self, bytes: &[u8], error: RequestError) -> Ending {
        let response = Response::refusal(error.status, error.reason);
        let has_content = !without_empty_lines(bytes).starts_with(b"HEAD ");
        self.respond(response, false, has_content);
        Ending::Linger
    }

    /// Adds a response to what waits. A response to HEAD has no content (RFC 9110 9.3.2).
    fn respond(&mut self, response: Response<'a>, persists: bool, has_content: bool) {
        let head = response.head(self.date(), persists);
        self.output.push(head.into_bytes().into());
        self.output.extend(response.content.filter(|_| has_content));
    }

    /// The text of `Date`: now (RFC 9110 6.6.1).
    fn date(&mut self) -> &str {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_1970.unwrap_or_default().as_secs();
        if self.date.0 != now {
            self.date = (now, date(now));
        }
        &self.date.1
    }

    /// Writes what waits.
    fn send(&mut self) -> io::Result<()> {
        self.client.write(&self.output)?;
        self.output.clear();
        Ok(())
    }
}

/// RFC 9110 15.5.1.
const CUT_OFF: RequestError = RequestError::bad_request("the head has no empty line at its end");

/// RFC 9110 15.5.9.
const TOO_LATE: RequestError = RequestError::new(
    Status(408, "Request Timeout"),
    "the head was not complete in time",
);
