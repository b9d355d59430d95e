//! One connection from open to close: read, parse, answer; then persist, stream or close.
//!
//! Each connection has a thread of its own. Responses leave in the order of their requests (RFC 9112
//! 9.3.2). Pipelined requests are usually answered in one write.
//!
//! What a connection holds in memory is bounded: less than 20 KiB of heads, and 64 KiB of responses
//! that wait. The response with the page is held once for all that got it in the same second.

use crate::client::{Client, Limits};
use crate::counter::{Counter, last_event};
use crate::log::Log;
use crate::page::{COPIES, Page, PageResponse};
use crate::request::{self, Request, RequestError};
use crate::response::{Persistence, Response, Status};
use crate::slots::Slot;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many bytes are read at once. More than 1 KiB: the C library keeps smaller blocks for the thread
/// that has freed them, so each stream would hold one as long as it lasts.
const CHUNK: usize = 2048;

/// How many bytes of responses wait at most to leave in one write.
const MOST_WAITING: usize = 64 * 1024;

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
        let (limits, clock) = (Limits::DEFAULT, Instant::now());
        Site {
            page,
            counter,
            log,
            limits,
            clock,
        }
    }
}

/// How the requests of a connection end.
enum Ending {
    /// There is nothing more to read or to write.
    Close,
    /// The client may be sending bytes that are not read any more.
    Linger,
    /// The stream begins, after the event that the client has seen last.
    Stream { seen: Option<u64> },
}

/// Serves a connection until it ends. `slot` is the connection's own.
pub fn serve(client: &mut Client<'_>, site: &Site, slot: &Slot) {
    let connection = Connection {
        client,
        site,
        slot,
        waiting: Vec::new(),
        page: None,
        pages: 0,
    };
    // When a read or a write fails, nobody is left to be told. A stream may last for days, and
    // keeps none of the buffers: they are gone when this returns.
    match connection.answer_requests().unwrap_or(Ending::Close) {
        Ending::Close => {}
        Ending::Linger => client.linger(),
        Ending::Stream { seen } => {
            let address = client.address;
            let result = site
                .counter
                .stream(client, address, seen, site.clock, &site.log);
            if result.is_ok() {
                client.linger();
            }
        }
    }
}

/// A connection while it serves requests.
struct Connection<'a, 'b> {
    client: &'a mut Client<'b>,
    site: &'a Site,
    slot: &'a Slot,
    /// Responses that wait to be written.
    waiting: Vec<u8>,
    /// The page, as it was sent last.
    page: Option<Arc<PageResponse>>,
    /// How many times it waits to be written, after all else that does.
    pages: usize,
}

impl Connection<'_, '_> {
    /// Reads and answers requests until there are no more.
    fn answer_requests(mut self) -> io::Result<Ending> {
        // How long to wait for the first byte of a head.
        let mut idle = self.head_time();
        let mut chunk = vec![0; CHUNK];
        // What was read and is not answered: the beginning of a head, if any.
        let mut bytes = Vec::with_capacity(CHUNK);
        // When it began to come.
        let mut begin: Option<Instant> = None;
        loop {
            let timeout = match begin {
                None => idle,
                Some(begin) => self.head_time().saturating_sub(begin.elapsed()),
            };
            match self.client.read(&mut chunk, timeout) {
                Ok(0) => return self.answer_partial_head(&bytes, CUT_OFF),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return self.answer_partial_head(&bytes, TOO_LATE);
                }
                Err(error) => return Err(error),
            }
            let (used, ending) = self.answer_whole_heads(&bytes)?;
            self.send()?;
            if let Some(ending) = ending {
                return Ok(ending);
            }
            if used > 0 {
                bytes.drain(..used);
                begin = None;
                idle = self.client.limits.idle;
            }
            if !bytes.is_empty() {
                begin.get_or_insert_with(Instant::now);
            }
        }
    }

    /// How long the client may take for a head: a tenth of the usual time when slots are scarce.
    fn head_time(&self) -> Duration {
        let limit = self.client.limits.head;
        if self.slot.is_scarce() {
            limit / 10
        } else {
            limit
        }
    }

    /// Answers the requests whose heads are complete. Returns how many bytes these heads are, and how
    /// the requests of the connection end, if they do.
    fn answer_whole_heads(&mut self, bytes: &[u8]) -> io::Result<(usize, Option<Ending>)> {
        let mut used = 0;
        loop {
            let ending = match request::parse(&bytes[used..]) {
                Ok(None) => return Ok((used, None)),
                Ok(Some(request)) => {
                    used += request.head_length;
                    self.answer(&request, used < bytes.len())?
                }
                Err(error) => Some(self.refuse(&bytes[used..], error)?),
            };
            if ending.is_some() {
                return Ok((used, ending));
            }
        }
    }

    /// Answers one request. `more`: bytes after it were already read.
    fn answer(&mut self, request: &Request<'_>, more: bool) -> io::Result<Option<Ending>> {
        // When slots are scarce, none is kept for a request that may never come.
        let persistence = if request.has_content || self.slot.is_scarce() {
            Persistence::Close
        } else {
            request.persistence
        };
        let page = &self.site.page;
        match (request.method, request.path) {
            (b"GET" | b"HEAD", b"/events") => {
                if let Some(stream) = self.answer_events(request, persistence)? {
                    return Ok(Some(stream));
                }
            }
            (b"OPTIONS", b"/events") if request.has_preflight_fields => {
                let preflight = self.site.counter.preflight();
                let response = preflight.unwrap_or(method_not_allowed());
                self.add_response(&response, persistence, true)?;
            }
            (b"GET", _) => self.answer_with_page(persistence)?,
            (b"HEAD", _) => self.add_response(&page.response(), persistence, false)?,
            (b"OPTIONS" | b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH", _) => {
                self.add_response(&method_not_allowed(), persistence, true)?
            }
            _ => self.add_response(&unknown_method(), persistence, true)?,
        }
        // A client that wants the close itself sends no more. To linger for it too would cost a quarter
        // of the connections per second.
        let is_all_read =
            request.persistence == Persistence::Close && !request.has_content && !more;
        Ok(match persistence {
            Persistence::Close if is_all_read => Some(Ending::Close),
            Persistence::Close => Some(Ending::Linger),
            _ => None,
        })
    }

    /// Answers GET or HEAD on `/events`. The head of the stream is the response to both, but a client
    /// that has seen the last event is told not to come back.
    fn answer_events(
        &mut self,
        request: &Request<'_>,
        persistence: Persistence,
    ) -> io::Result<Option<Ending>> {
        let counter = &self.site.counter;
        let seen = last_event(request.last_event_id);
        if counter.is_over(seen) {
            let (client, seen) = (self.client.address, seen.unwrap_or_default());
            let log = &self.site.log;
            log.line(format_args!("{client} got 204, last event ID {seen}"));
            self.add_response(&counter.over(), persistence, false)?;
        } else if request.method == b"HEAD" {
            self.add(counter.head(persistence).as_bytes())?;
        } else {
            self.add(&counter.beginning())?;
            return Ok(Some(Ending::Stream { seen }));
        }
        Ok(None)
    }

    /// No more bytes come. A client that has begun a head is told what is wrong with it. To one that has
    /// not there is nothing to say (RFC 9112 9.5).
    fn answer_partial_head(&mut self, bytes: &[u8], error: RequestError) -> io::Result<Ending> {
        if without_empty_lines(bytes).is_empty() {
            return Ok(Ending::Close);
        }
        let ending = self.refuse(bytes, error)?;
        self.send()?;
        Ok(ending)
    }

    /// The last response of a connection: to bytes that are no request.
    fn refuse(&mut self, bytes: &[u8], error: RequestError) -> io::Result<Ending> {
        let response = Response::refusal(error.status, error.reason);
        let has_content = !without_empty_lines(bytes).starts_with(b"HEAD ");
        self.add_response(&response, Persistence::Close, has_content)?;
        Ok(Ending::Linger)
    }

    /// Answers with the page. All connections share its bytes, so they are counted, not copied.
    fn answer_with_page(&mut self, persistence: Persistence) -> io::Result<()> {
        let now = second();
        let is_newest =
            |page: &Arc<PageResponse>| (page.second, page.persistence) == (now, persistence);
        if !self.page.as_ref().is_some_and(is_newest) {
            self.send()?;
            self.page = self.site.page.whole_response(now, persistence);
        }
        if self.page.is_none() {
            return self.add_response(&self.site.page.response(), persistence, true);
        }
        self.pages += 1;
        if self.pages == COPIES {
            self.send()?;
        }
        Ok(())
    }

    /// Adds a response. A response to HEAD has no content (RFC 9110 9.3.2).
    fn add_response(
        &mut self,
        response: &Response<'_>,
        persistence: Persistence,
        has_content: bool,
    ) -> io::Result<()> {
        self.add(response.head(second(), persistence).as_bytes())?;
        match &response.content {
            Some(content) if has_content => self.add(content),
            _ => Ok(()),
        }
    }

    /// Adds bytes to those that wait. If they would be too many, all are written.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.pages > 0 || self.waiting.len() + bytes.len() > MOST_WAITING {
            self.send()?;
        }
        if bytes.len() > MOST_WAITING {
            return self.client.write_all(bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what waits.
    fn send(&mut self) -> io::Result<()> {
        self.client.write_all(&self.waiting)?;
        self.waiting.clear();
        if let Some(page) = &self.page {
            self.client.write_all(page.times(self.pages))?;
            self.pages = 0;
        }
        Ok(())
    }
}

/// The bytes without the empty lines before the request line, which are ignored (RFC 9112 2.2).
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    &bytes[begin.unwrap_or(bytes.len())..]
}

/// The time, in seconds since 1970, for `Date` (RFC 9110 6.6.1).
fn second() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}

/// RFC 9110 15.5.1.
const CUT_OFF: RequestError =
    RequestError::new(Status::BAD_REQUEST, "the head has no empty line at its end");

/// RFC 9110 15.5.9.
const TOO_LATE: RequestError =
    RequestError::new(Status::REQUEST_TIMEOUT, "the head was not complete in time");

/// RFC 9110 15.6.2.
fn unknown_method() -> Response<'static> {
    let reason = "the methods known here are those of RFC 9110, and PATCH";
    Response::refusal(Status::NOT_IMPLEMENTED, reason)
}

/// RFC 9110 15.5.6, and 10.2.1 for `Allow`.
fn method_not_allowed() -> Response<'static> {
    let reason = "everything here can be read, with GET or HEAD, and nothing changed";
    let mut response = Response::refusal(Status::METHOD_NOT_ALLOWED, reason);
    response.fields.push(("Allow", "GET, HEAD"));
    response
}
