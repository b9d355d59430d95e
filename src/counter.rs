//! `/events`: the counter, as an event stream.
//!
//! This is what a client gets. The lines of HTTP end in CR LF, those of the stream in LF:
//!
//! ```text
//! HTTP/1.1 200 OK                        at once, in one write:
//! Cache-Control: no-cache
//! Content-Type: text/event-stream
//! Connection: keep-alive
//! Date: Tue, 24 Nov 2026 11:59:37 GMT
//! Transfer-Encoding: chunked
//!
//! e                                      a chunk of 14 bytes:
//! retry: 10000
//!
//!
//! f                                      one interval later, or up to a hundredth of it more,
//! id: 1                                  a chunk of 15 bytes:
//! data: 1
//!
//!
//! 1a                                     after the last event, if there is one, in one write:
//! event: end                             an event that says so,
//! id: 1
//! data: 1
//!
//!
//! 0                                      and the last chunk, which has no bytes
//!
//! ```
//!
//! Each block of the stream is one chunk (RFC 9112 7.1), and leaves in one write. HTTP/1.0 has no
//! chunks: there the stream ends with the connection (RFC 9112 6.3).
//!
//! An event counts when its empty line has come, so a connection that breaks never leaves half an
//! event. The client's last event ID is all the state there is, and the client keeps it, so any process
//! can continue where another one stopped (HTML 9.2.4).

use crate::client::Client;
use crate::event_stream::{self, Event};
use crate::log::Log;
use crate::request::decimal;
use crate::response::{LAST_CHUNK, Response, chunk, connection_field};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// The longest silence before a comment. Proxies close connections that are silent for a minute or
/// less (HTML 9.2.7 recommends 15 s). And only a write finds out that a client has closed its connection,
/// usually the second one after that.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The resource: what all streams have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The time from one event to the next, at most some centuries. Zero means as fast as the client
    /// reads.
    pub interval: Duration,
    /// The reconnection time that clients are told.
    pub retry: Duration,
    /// The number of the last event, after which a stream ends.
    pub count: Option<u64>,
    /// The origin whose pages may read the stream, or `*` (Fetch, CORS protocol). It has no CR and
    /// no LF.
    pub allow_origin: Option<String>,
    /// The longest silence before a comment, not zero; [`KEEP_ALIVE`].
    pub keep_alive: Duration,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            interval: Duration::from_secs(1),
            retry: Duration::from_secs(10),
            count: None,
            allow_origin: None,
            keep_alive: KEEP_ALIVE,
        }
    }
}

/// One client's stream: where it begins, and how its end shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The number of the last event that the client has seen, 0 for none.
    pub seen: u64,
    /// Whether it is sent in chunks, which HTTP/1.0 does not have.
    pub chunked: bool,
    /// Whether the connection persists after the last chunk.
    pub persists: bool,
}

/// The number of the last event that a client has seen, from its last event ID. A number is all ASCII
/// digits. Any other ID counts as none, which is 0.
///
/// ```
/// use bare_sse::counter::last_event;
/// assert_eq!(last_event(Some(b"41")), 41);
/// assert_eq!(last_event(Some(b"forty-one")), 0);
/// ```
pub fn last_event(last_event_id: Option<&[u8]>) -> u64 {
    last_event_id.and_then(decimal).unwrap_or(0)
}

impl Counter {
    /// The head of a stream: what makes it an event stream, who may read it, and then what HTTP/1.1
    /// wants of every response, a `Date` (RFC 9110 6.6.1) and a way to find its end (RFC 9112 6.3).
    pub fn head(&self, stream: Stream, date: &str) -> String {
        let connection = connection_field(stream.persists);
        let mut cors = String::new();
        for (name, value) in self.cors() {
            cors += &format!("{name}: {value}\r\n");
        }
        let framing = if stream.chunked {
            "Transfer-Encoding: chunked\r\n"
        } else {
            ""
        };
        format!(
            "HTTP/1.1 200 OK\r\n\
             Cache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\n\
             Connection: {connection}\r\n\
             {cors}\
             Date: {date}\r\n\
             {framing}\
             \r\n"
        )
    }

    /// What stands at the beginning of every stream: the head, and the reconnection time in a block
    /// of its own, which dispatches nothing.
    pub fn beginning(&self, stream: Stream, date: &str) -> Vec<u8> {
        let retry = encoded(&Event {
            retry: Some(self.retry),
            ..Event::default()
        });
        [self.head(stream, date).into_bytes(), stream.framed(retry)].concat()
    }

    /// Whether there is nothing left for a client that has seen event `seen`.
    pub fn is_over(&self, seen: u64) -> bool {
        seen >= self.count.unwrap_or(u64::MAX)
    }

    /// The response to a client that has seen the last event: 204, which tells an `EventSource` not
    /// to connect again (HTML 9.2.1). Without `no-cache` a shared cache could keep it for other
    /// clients (RFC 9110 15.3.5).
    pub fn over(&self) -> Response<'_> {
        let mut response = Response::no_content(vec![("Cache-Control", "no-cache")]);
        response.fields.extend(self.cors());
        response
    }

    /// The response to OPTIONS (RFC 9110 9.3.7), and so to a CORS preflight (Fetch, CORS-preflight
    /// fetch). A client that is built on fetch sends one before it connects again, because of
    /// `Last-Event-ID`. The field names are those that such clients send.
    pub fn options(&self) -> Response<'_> {
        let mut response = Response::options();
        response.fields.extend(self.cors());
        if self.allow_origin.is_some() {
            response.fields.extend([
                ("Access-Control-Allow-Methods", "GET"),
                (
                    "Access-Control-Allow-Headers",
                    "Last-Event-ID, Accept, Cache-Control",
                ),
                ("Access-Control-Max-Age", "86400"),
            ]);
        }
        response
    }

    /// The fields that let pages of another origin read a response, also pages that send cookies if
    /// the origin is named (Fetch, CORS protocol). There is nothing secret here.
    fn cors(&self) -> Vec<(&'static str, &str)> {
        match self.allow_origin.as_deref() {
            None => vec![],
            Some("*") => vec![("Access-Control-Allow-Origin", "*")],
            Some(origin) => vec![
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
            ],
        }
    }

    /// Writes events to the client from the one after `stream.seen` on, and tells the log. Returns `Ok`
    /// after the last event. Times are taken from `clock`, which all streams share.
    ///
    /// # Errors
    ///
    /// The client has gone, or reads no more.
    pub fn stream(
        &self,
        stream: Stream,
        client: &mut Client<'_>,
        clock: Instant,
        log: &Log,
    ) -> io::Result<()> {
        let address = client.address;
        match stream.seen {
            0 => log.line(format_args!("{address} got /events")),
            seen => log.line(format_args!("{address} got /events, last event ID {seen}")),
        }
        let mut number = stream.seen;
        let result = self.write_events(&mut number, stream, client, clock, log);
        let how = if result.is_ok() { "ended" } else { "left" };
        let count = number - stream.seen;
        let events = if count == 1 { "event" } else { "events" };
        log.line(format_args!("{address} {how} after {count} {events}"));
        result
    }

    /// Writes the events after `number`, which is then that of the last one written, and the end.
    fn write_events(
        &self,
        number: &mut u64,
        stream: Stream,
        client: &mut Client<'_>,
        clock: Instant,
        log: &Log,
    ) -> io::Result<()> {
        let mut due = clock.elapsed();
        while !self.is_over(*number) {
            due = next_due(due, clock.elapsed(), self.interval);
            self.sleep_until(due, clock, stream, client)?;
            client.write(&[stream.framed(numbered(None, *number + 1))])?;
            *number += 1;
            log.line(format_args!("{} emit {number}", client.address));
        }
        client.write(&[stream.end(*number)])
    }

    /// Sleeps until `due` on the clock. A comment breaks a long silence.
    fn sleep_until(
        &self,
        due: Duration,
        clock: Instant,
        stream: Stream,
        client: &mut Client<'_>,
    ) -> io::Result<()> {
        loop {
            let left = due.saturating_sub(clock.elapsed());
            thread::sleep(left.min(self.keep_alive));
            if left <= self.keep_alive {
                return Ok(());
            }
            client.write(&[stream.framed(event_stream::comment("keep-alive"))])?;
        }
    }
}

impl Stream {
    /// A block of the stream as it is sent.
    fn framed(self, block: Vec<u8>) -> Vec<u8> {
        if self.chunked { chunk(&block) } else { block }
    }

    /// `event: end`, and the number of the last event. It says that no event will follow: an event
    /// stream cannot say that by itself, and an `EventSource` takes the end of the response for a loss.
    /// Then the last chunk.
    fn end(self, number: u64) -> Vec<u8> {
        let mut bytes = self.framed(numbered(Some("end"), number));
        if self.chunked {
            bytes.extend_from_slice(LAST_CHUNK);
        }
        bytes
    }
}

/// `id: N` and `data: N`, and perhaps a type before them.
fn numbered(event: Option<&str>, number: u64) -> Vec<u8> {
    let digits = number.to_string();
    encoded(&Event {
        event,
        id: Some(&digits),
        data: Some(&digits),
        ..Event::default()
    })
}

fn encoded(event: &Event<'_>) -> Vec<u8> {
    event.encode().expect("it holds no CR, LF or NUL")
}

/// When the next event is due: one interval after `last`, when the last event was due or the stream
/// began, moved to the next whole hundredth of the interval. `now` matters only after a stall. All are
/// times on the clock that all streams share.
///
/// So the streams of one server fall into a hundred groups, and the threads of a group wake together,
/// with one timer interrupt for all of them instead of one for each.
///
/// ```
/// use bare_sse::counter::next_due;
/// use std::time::Duration;
///
/// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
/// assert_eq!(next_due(ms(4_321), ms(4_321), second), ms(5_330));
/// assert_eq!(next_due(ms(5_330), ms(5_331), second), ms(6_330));
/// // After a stall: times that are past are skipped, and no burst is sent.
/// assert_eq!(next_due(ms(6_330), ms(9_500), second), ms(10_330));
/// ```
pub fn next_due(last: Duration, now: Duration, interval: Duration) -> Duration {
    let interval = interval.as_nanos();
    let due = (last.as_nanos() + interval).next_multiple_of((interval / 100).max(1));
    let late = now.as_nanos().saturating_sub(due);
    let skipped = late.next_multiple_of(interval.max(1));
    let due = u64::try_from(due + skipped).expect("a clock that has run for less than 584 years");
    Duration::from_nanos(due)
}
