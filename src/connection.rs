//! One connection from open to close: read, parse, answer; then persist, stream or close.
//!
//! Each connection has a thread of its own, which waits in a read most of its life. The heads
//! that one read brings are answered in one write, in their order (RFC 9112 9.3.2), or in a few
//! where they are many. What a connection holds in memory has a bound: one head, and a batch of
//! short answers; the page is held by all connections together.

use crate::counter::{Counter, last_event};
use crate::log::Log;
use crate::page::{Page, PageAnswer};
use crate::request::{HEAD_LIMIT, Method, Request, RequestError, RequestParser, Version};
use crate::response::{Persistence, Response, Status, imf_fixdate};
use crate::watchdog::{Connection, WRITE_OCTETS};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The size of a connection's buffer on its stack, in octets: most heads fit in there.
const BUFFER: usize = 1024;

/// How many pages wait for each other at most.
const MOST_PAGES: usize = 32;

/// How many octets of other answers wait for each other, give or take an answer.
const MOST_OCTETS: usize = 4096;

/// What all connections answer from.
#[derive(Debug)]
pub struct Site {
    /// The answer on every path but `/events`.
    pub page: Page,
    /// The answer on `/events`.
    pub counter: Counter,
    /// Where the life of each stream is told.
    pub log: Log,
    /// When the clock of all streams began.
    pub clock: Instant,
}

/// How the requests of a connection end.
enum Ending {
    /// There is nothing more to read or to say.
    Close,
    /// What the client sent was not read whole.
    Linger,
    /// The stream begins, behind the event that the client has seen.
    Stream { seen: Option<u64> },
}

/// Serves a connection until it ends.
pub fn serve(connection: &Connection, site: &Site) {
    // An error of a read or a write ends the connection, as its client did.
    match answer_requests(connection, site).unwrap_or(Ending::Close) {
        Ending::Close => {}
        Ending::Linger => connection.linger(),
        Ending::Stream { seen } => {
            connection.send_at_once();
            if site.counter.stream(connection, seen, site.clock, &site.log) {
                connection.linger();
            }
        }
    }
}

/// Reads and answers requests until one ends that. When it returns, the buffers are gone, and so
/// is its place on the stack: a stream, which may last for days, keeps neither. What most requests
/// need is all on the stack, for every other page of memory that they touched would take time.
#[inline(never)]
fn answer_requests(connection: &Connection, site: &Site) -> io::Result<Ending> {
    let limits = connection.limits();
    let mut small = [0; BUFFER];
    let mut large = Vec::new();
    let mut filled = 0;
    let mut parser = RequestParser::default();
    let mut answers = Answers::new(connection, site);
    let mut head_is_timed = false;
    connection.allow_reads(limits.idle);
    loop {
        let octets = if large.is_empty() {
            &mut small[..]
        } else {
            &mut large[..]
        };
        let read = connection.read(&mut octets[filled..])?;
        if read == 0 {
            return answers.end_of_requests(&parser);
        }
        filled += read;
        let mut used = 0;
        let ending = loop {
            match parser.parse(&octets[used..filled]) {
                Ok(None) => break None,
                Ok(Some(request)) => {
                    used += request.head_length;
                    let ending = answers.answer(&request, used < filled)?;
                    if ending.is_some() {
                        break ending;
                    }
                }
                Err(error) => break Some(answers.refuse(error, parser.is_head())?),
            }
        };
        answers.send()?;
        if let Some(ending) = ending {
            return Ok(ending);
        }
        // One deadline for a whole head, however many reads it takes.
        if used > 0 || (parser.has_begun() && !head_is_timed) {
            head_is_timed = parser.has_begun();
            connection.allow_reads(if head_is_timed {
                limits.head
            } else {
                limits.idle
            });
        }
        octets.copy_within(used..filled, 0);
        filled -= used;
        if filled == octets.len() {
            // It is `small`: the parser refuses a head that fills `large`.
            large = vec![0; HEAD_LIMIT];
            large[..filled].copy_from_slice(&small);
        }
    }
}

/// Answers that wait to leave together: any, and behind them pages.
struct Answers<'a> {
    connection: &'a Connection,
    site: &'a Site,
    /// The answers that are no pages, one behind the other.
    octets: Vec<u8>,
    /// How many pages follow.
    pages: usize,
    /// Each of them, and the tick at which the clock was read for it.
    page: Option<(u32, Arc<PageAnswer>)>,
}

impl<'a> Answers<'a> {
    fn new(connection: &'a Connection, site: &'a Site) -> Self {
        Answers {
            connection,
            site,
            // Freed small pieces stay with their thread, as long as it lives: so no large one.
            octets: Vec::with_capacity(128),
            pages: 0,
            page: None,
        }
    }

    /// Answers one request. `more` says whether octets behind it have been read. Gives the ending
    /// if it is the last request to be answered.
    fn answer(&mut self, request: &Request<'_>, more: bool) -> io::Result<Option<Ending>> {
        #[cfg(test)]
        assert_ne!(request.path, b"/panic", "a panic, for a test");
        let persistence = match request.version {
            _ if !request.persistent || request.has_content => Persistence::Close,
            Version::Http10 => Persistence::KeepAlive,
            Version::Http11 => Persistence::Persistent,
        };
        match request.method {
            Method::Get | Method::Head if request.path == b"/events" => {
                let seen = last_event(request.last_event_id);
                if self.site.counter.is_over(seen) {
                    self.push(&self.site.counter.over(), persistence, false)?;
                } else {
                    self.end_pages()?;
                    let is_stream = request.method == Method::Get;
                    let is_last_answer = !is_stream && persistence == Persistence::Close;
                    self.site
                        .counter
                        .write_head(is_last_answer, &mut self.octets);
                    if is_stream {
                        self.site.counter.write_retry(&mut self.octets);
                        return Ok(Some(Ending::Stream { seen }));
                    }
                }
            }
            Method::Get => self.push_page(persistence)?,
            Method::Head => self.push(&self.site.page.response(), persistence, true)?,
            Method::Unknown => {
                // RFC 9110 15.6.2
                let reason = "the methods known here are those of RFC 9110 and PATCH";
                let response = Response::refusal(Status::NOT_IMPLEMENTED, reason);
                self.push(&response, persistence, false)?;
            }
            _ => {
                // RFC 9110 15.5.6, and 10.2.1 for Allow
                let reason = "everything here can be read, with GET or HEAD, and nothing changed";
                let mut response = Response::refusal(Status::METHOD_NOT_ALLOWED, reason);
                response.fields[1] = Some(("Allow", "GET, HEAD"));
                self.push(&response, persistence, false)?;
            }
        }
        if self.pages == MOST_PAGES || self.octets.len() > MOST_OCTETS {
            self.send()?;
        }
        Ok(match persistence {
            Persistence::Close if request.has_content || more => Some(Ending::Linger),
            Persistence::Close => Some(Ending::Close),
            _ => None,
        })
    }

    /// The last answer to a client whose octets make no sense.
    fn refuse(&mut self, error: RequestError, is_head: bool) -> io::Result<Ending> {
        let response = Response::refusal(error.status, error.reason);
        self.push(&response, Persistence::Close, is_head)?;
        Ok(Ending::Linger)
    }

    /// No more octets come: the client has ended its half, or the watchdog has. A client that has
    /// asked for nothing gets no answer (RFC 9112 9.5), one that has begun a head gets one.
    fn end_of_requests(&mut self, parser: &RequestParser) -> io::Result<Ending> {
        if !parser.has_begun() {
            return Ok(Ending::Close);
        }
        let (status, reason) = if self.connection.is_late() {
            (Status::REQUEST_TIMEOUT, "the head was not complete in time")
        } else {
            (Status::BAD_REQUEST, "the head has no empty line at its end")
        };
        let ending = self.refuse(RequestError { status, reason }, parser.is_head())?;
        self.send()?;
        Ok(ending)
    }

    /// Adds a response, without its content where the request was HEAD (RFC 9110 9.3.2).
    fn push(
        &mut self,
        response: &Response<'_>,
        persistence: Persistence,
        is_head: bool,
    ) -> io::Result<()> {
        self.end_pages()?;
        response.write_head(&imf_fixdate(second()), persistence, &mut self.octets);
        if let Some(content) = &response.content
            && !is_head
        {
            self.octets.extend_from_slice(content);
        }
        Ok(())
    }

    /// Adds the page. The clock is read for it once a tick, so `Date` may be as late as that
    /// (RFC 9110 6.6.1 asks for the best approximation).
    fn push_page(&mut self, persistence: Persistence) -> io::Result<()> {
        let now = self.connection.tick();
        match &self.page {
            Some((tick, page)) if *tick == now && page.persistence == persistence => {}
            _ => {
                self.end_pages()?;
                self.page = Some((now, self.site.page.answer(second(), persistence)));
            }
        }
        self.pages += 1;
        Ok(())
    }

    /// Sends the pages that wait, for what comes now can't follow them.
    fn end_pages(&mut self) -> io::Result<()> {
        if self.pages > 0 { self.send() } else { Ok(()) }
    }

    /// Sends what waits, in one write unless it is much.
    fn send(&mut self) -> io::Result<()> {
        let page = self.page.as_ref().map_or(&[][..], |(_, page)| &page.octets);
        let rest = self.site.page.rest();
        let result = match (&self.octets[..], self.pages) {
            ([], 0) => return Ok(()),
            (octets, 0) => self.connection.write(octets),
            ([], 1) if rest.is_empty() => self.connection.write(page),
            (octets, pages) => {
                let mut slices = Vec::with_capacity(1 + pages);
                slices.push(IoSlice::new(octets));
                for _ in 0..pages {
                    slices.push(IoSlice::new(page));
                    slices.extend(rest.chunks(WRITE_OCTETS / 2).map(IoSlice::new));
                }
                self.connection.write_all(&mut slices)
            }
        };
        self.octets.clear();
        self.pages = 0;
        result
    }
}

/// The time in seconds since 1970, which `Date` tells (RFC 9110 6.6.1).
fn second() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}
