//! `/events`: the counter, as an event stream.
//!
//! This is what a client gets. The lines of the head end in CR LF, those of the stream in LF:
//!
//! ```text
//! HTTP/1.1 200 OK
//! Cache-Control: no-cache
//! Content-Type: text/event-stream
//! Connection: keep-alive
//!                                at once, in one write with the head:
//! retry: 10000
//!                                one interval later, or up to a hundredth of it more:
//! id: 1
//! data: 1
//!                                and so on.
//! ```
//!
//! This head is the tutorial's, field by field. RFC 9110 6.6.1 would have a `Date` in it, and RFC 9112
//! 9.6 `Connection: close`.
//!
//! The content has no length: it ends when the connection does (RFC 9112 6.3). An event counts when its
//! empty line has come, so a connection that breaks never leaves half an event. The client's last event
//! ID is all the state there is, and the client keeps it, so any process can continue where another one
//! stopped (HTML 9.2.4).

use crate::event_stream::{self, Event};
use crate::log::Log;
use crate::request::decimal;
use crate::response::{Persistence, Response, Status};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// The longest silence before a comment. Proxies close connections that are silent for a minute or
/// less (HTML 9.2.7 recommends 15 s), and a write is how a client that has gone is noticed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The resource: what all streams have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The time from one event to the next. Zero means as fast as the client reads.
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

/// The number of the last event that a client has seen, from the value of its `Last-Event-ID` field.
///
/// A number is all ASCII digits, and the next number must fit too. Any other value counts as none.
///
/// ```
/// use bare_sse::counter::last_event;
/// assert_eq!(last_event(Some(b"41")), Some(41));
/// assert_eq!(last_event(Some(b"forty-one")), None);
/// assert_eq!(last_event(Some(b"18446744073709551615")), None);
/// ```
pub fn last_event(last_event_id: Option<&[u8]>) -> Option<u64> {
    let number = last_event_id.and_then(decimal);
    number.filter(|&number| number < u64::MAX)
}

impl Counter {
    /// The head of the stream: a status line, three field lines, a fourth if pages from elsewhere may
    /// read it, and the empty line. The response to a HEAD request may be the last one on its
    /// connection, and then says so (RFC 9112 9.6).
    pub fn head(&self, persistence: Persistence) -> String {
        let connection = match persistence {
            Persistence::Close => "close",
            Persistence::KeepAlive | Persistence::Persistent => "keep-alive",
        };
        let cors = match &self.allow_origin {
            Some(origin) => format!("Access-Control-Allow-Origin: {origin}\r\n"),
            None => String::new(),
        };
        format!(
            "HTTP/1.1 200 OK\r\n\
             Cache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\n\
             Connection: {connection}\r\n\
             {cors}\r\n"
        )
    }

    /// What stands at the beginning of every stream: the head, and the reconnection time in a block
    /// of its own, which dispatches nothing.
    pub fn beginning(&self) -> Vec<u8> {
        let retry = Event {
            retry: Some(self.retry),
            ..Event::default()
        };
        let mut bytes = self.head(Persistence::KeepAlive).into_bytes();
        bytes.extend(encoded(&retry));
        bytes
    }

    /// Whether there is nothing left for a client that has seen event `seen`.
    pub fn is_over(&self, seen: Option<u64>) -> bool {
        self.count.is_some_and(|count| seen.unwrap_or(0) >= count)
    }

    /// The response to a client that has seen the last event: 204, which tells an `EventSource` not
    /// to connect again (HTML 9.2.1).
    pub fn over(&self) -> Response<'_> {
        let origin = self.allow_origin.as_deref();
        let cors = origin.map(|origin| ("Access-Control-Allow-Origin", origin));
        Response {
            status: Status::NO_CONTENT,
            fields: cors.into_iter().collect(),
            content: None,
        }
    }

    /// The response to a CORS preflight, if pages from elsewhere may read the stream. A client that
    /// is built on fetch sends one before it connects again, because of `Last-Event-ID` (Fetch,
    /// CORS-preflight fetch). The field names are those that such clients send.
    pub fn preflight(&self) -> Option<Response<'_>> {
        self.allow_origin.as_ref()?;
        let mut response = self.over();
        response.fields.extend([
            ("Access-Control-Allow-Methods", "GET"),
            (
                "Access-Control-Allow-Headers",
                "Last-Event-ID, Accept, Cache-Control",
            ),
            ("Access-Control-Max-Age", "86400"),
        ]);
        Some(response)
    }

    /// Writes events to `output`, from the one after `seen` on, and tells the log. Returns `Ok` after
    /// the last event. Times are taken from `clock`, which all streams share.
    ///
    /// # Errors
    ///
    /// Those of `output`: the client has gone.
    pub fn stream(
        &self,
        output: &mut impl Write,
        client: SocketAddr,
        seen: Option<u64>,
        clock: Instant,
        log: &Log,
    ) -> io::Result<()> {
        match seen {
            Some(seen) => log.line(format_args!("{client} got /events, last event ID {seen}")),
            None => log.line(format_args!("{client} got /events")),
        }
        let first = seen.unwrap_or(0);
        let mut number = first;
        let mut due = begin(clock.elapsed(), self.interval);
        let result = loop {
            if self.is_over(Some(number)) {
                break output.write_all(&end_event(number));
            }
            let Some(next) = number.checked_add(1) else {
                break Ok(());
            };
            due = next_due(due, clock.elapsed(), self.interval);
            let slept = self.sleep_until(due, clock, output);
            if let Err(error) = slept.and_then(|()| output.write_all(&event(next))) {
                break Err(error);
            }
            number = next;
            log.line(format_args!("{client} emit {number}"));
        };
        let how = if result.is_ok() { "ended" } else { "left" };
        let count = number - first;
        let events = if count == 1 { "event" } else { "events" };
        log.line(format_args!("{client} {how} after {count} {events}"));
        result
    }

    /// Sleeps until `due` on the clock. A comment breaks a long silence.
    fn sleep_until(
        &self,
        due: Duration,
        clock: Instant,
        output: &mut impl Write,
    ) -> io::Result<()> {
        loop {
            let left = due.saturating_sub(clock.elapsed());
            thread::sleep(left.min(self.keep_alive));
            if left <= self.keep_alive {
                return Ok(());
            }
            output.write_all(&event_stream::comment("keep-alive"))?;
        }
    }
}

/// `id: N` and `data: N`.
fn event(number: u64) -> Vec<u8> {
    let digits = number.to_string();
    encoded(&Event {
        id: Some(&digits),
        data: Some(&digits),
        ..Event::default()
    })
}

/// `event: end` and `data: N`. It says that no event will follow: an event stream cannot say that by
/// itself, and an `EventSource` takes the end of the connection for a loss.
fn end_event(number: u64) -> Vec<u8> {
    let digits = number.to_string();
    encoded(&Event {
        event: Some("end"),
        data: Some(&digits),
        ..Event::default()
    })
}

fn encoded(event: &Event<'_>) -> Vec<u8> {
    event.encode().expect("it holds no CR, LF or NUL")
}

/// When a stream begins whose client came at `now`: at the next hundredth of the interval, on the
/// clock that all streams share.
///
/// So the streams of one server fall into a hundred groups, and the threads of a group wake together,
/// with one timer interrupt for all of them instead of one for each.
///
/// ```
/// use bare_sse::counter::{begin, next_due};
/// use std::time::Duration;
///
/// let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
/// assert_eq!(begin(ms(4_321), second), ms(4_330));
/// assert_eq!(next_due(ms(4_330), ms(4_321), second), ms(5_330));
/// // After a stall: what is past is skipped, and no burst is sent.
/// assert_eq!(next_due(ms(5_330), ms(9_000), second), ms(9_330));
/// ```
pub fn begin(now: Duration, interval: Duration) -> Duration {
    let hundredth = (interval / 100).as_nanos().max(1);
    Duration::from_nanos(now.as_nanos().next_multiple_of(hundredth) as u64)
}

/// When the next event is due, at `now`: one interval after the last one was, or as many intervals as
/// it takes not to be in the past.
pub fn next_due(last: Duration, now: Duration, interval: Duration) -> Duration {
    let due = last + interval;
    let late = now.saturating_sub(due).as_nanos();
    let skipped = late.next_multiple_of(interval.as_nanos().max(1));
    due + Duration::from_nanos(skipped as u64)
}
