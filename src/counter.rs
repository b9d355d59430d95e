//! `/events`: the counter, as an event stream.
//!
//! What a client gets, octet by octet (head lines end in CR LF, stream lines in LF):
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
//! The content has no length: it ends when the connection does (RFC 9112 6.3). Each event goes
//! out whole in one write, so a connection that breaks never leaves half an event that counts.
//! The client's last event ID is all the state there is, and the client keeps it: any process
//! can go on where another stopped (HTML 9.2.4).

use crate::event_stream::{self, Event};
use crate::log::Log;
use crate::request::decimal;
use crate::response::{Response, Status};
use crate::watchdog::Connection;
use std::fmt::Write as _;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// The head of the stream, without its empty line: a status line and three field lines.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\n\
                        Cache-Control: no-cache\r\n\
                        Content-Type: text/event-stream\r\n\
                        Connection: keep-alive\r\n";

/// After so long a silence a comment is sent: proxies close connections that are silent for a
/// minute or less (HTML 9.2.7 suggests 15 s), and a write is how a client that has gone is noticed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The resource: what every stream has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The time from one event to the next, some weeks at most; zero is as fast as the client
    /// reads.
    pub interval: Duration,
    /// The reconnection time that clients are told.
    pub retry: Duration,
    /// The number of the last event, after which a stream ends.
    pub last: Option<u64>,
    /// The value of `Access-Control-Allow-Origin`, for pages from elsewhere, written as it is: it
    /// has no CR and no LF.
    pub allow_origin: Option<String>,
    /// The longest silence before a comment, not zero; [`KEEP_ALIVE`].
    pub keep_alive: Duration,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            interval: Duration::from_secs(1),
            retry: Duration::from_secs(10),
            last: None,
            allow_origin: None,
            keep_alive: KEEP_ALIVE,
        }
    }
}

/// What the value of `Last-Event-ID` says: the number of the last event that the client has seen.
///
/// Numbers are all ASCII digits, and one more must fit; anything else is as good as no value.
///
/// ```
/// use bare_sse::counter::last_event;
/// assert_eq!(last_event(Some(b"41")), Some(41));
/// assert_eq!(last_event(Some(b"forty-one")), None);
/// assert_eq!(last_event(Some(b"18446744073709551615")), None);
/// ```
pub fn last_event(last_event_id: Option<&[u8]>) -> Option<u64> {
    last_event_id
        .and_then(decimal)
        .filter(|&number| number < u64::MAX)
}

impl Counter {
    /// Appends the head of the stream to `out`. The answer to HEAD before a close must say so
    /// (RFC 9112 9.6); a stream does not, for its end is the close.
    pub fn write_head(&self, is_last_answer: bool, out: &mut Vec<u8>) {
        if is_last_answer {
            out.extend_from_slice(HEAD.replace("keep-alive", "close").as_bytes());
        } else {
            out.extend_from_slice(HEAD.as_bytes());
        }
        if let Some(origin) = &self.allow_origin {
            out.extend_from_slice(format!("Access-Control-Allow-Origin: {origin}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends what stands at the beginning of every stream to `out`: the reconnection time in a
    /// block of its own, which dispatches nothing.
    pub fn write_retry(&self, out: &mut Vec<u8>) {
        let retry = Event {
            retry: Some(self.retry),
            ..Event::default()
        };
        retry
            .encode(out)
            .expect("it has no field that could be unwritable");
    }

    /// Whether there is nothing left for a client that has seen event `seen`.
    pub fn is_over(&self, seen: Option<u64>) -> bool {
        self.last.is_some_and(|last| seen.unwrap_or(0) >= last)
    }

    /// The answer to a client that has seen the last event: 204, which tells an `EventSource` not
    /// to connect again (HTML 9.2.1).
    pub fn over(&self) -> Response<'_> {
        let origin = self.allow_origin.as_deref();
        Response {
            status: Status::NO_CONTENT,
            fields: [
                origin.map(|origin| ("Access-Control-Allow-Origin", origin)),
                None,
            ],
            content: None,
        }
    }

    /// Sends events from the one after `seen` on, until the client has gone or the last is sent.
    /// Gives whether it was the last. Times are taken from `clock`, which all streams share.
    pub fn stream(
        &self,
        connection: &Connection,
        seen: Option<u64>,
        clock: Instant,
        log: &Log,
    ) -> bool {
        let client = connection.client;
        match seen {
            Some(seen) => log.line(format_args!("{client} got /events, last event ID {seen}")),
            None => log.line(format_args!("{client} got /events")),
        }
        let begin = seen.unwrap_or(0);
        let mut number = begin;
        let result = self.send_events(connection, &mut number, clock, log);
        let how = if result.is_ok() { "ended" } else { "left" };
        let count = number - begin;
        log.line(format_args!("{client} {how} after {count} events"));
        result.is_ok()
    }

    /// `Ok` is the end of the stream, an error the end of the connection. `number` is that of the
    /// event that was sent last.
    fn send_events(
        &self,
        connection: &Connection,
        number: &mut u64,
        clock: Instant,
        log: &Log,
    ) -> io::Result<()> {
        let mut digits = String::with_capacity(20);
        let mut octets = Vec::with_capacity(64);
        let mut schedule = Schedule::new(clock.elapsed(), self.interval);
        while let Some(next) = number.checked_add(1) {
            self.sleep_until(schedule.due, connection, clock)?;
            digits.clear();
            let _ = write!(digits, "{next}");
            octets.clear();
            let event = Event {
                id: Some(&digits),
                data: Some(&digits),
                ..Event::default()
            };
            event.encode(&mut octets).expect("digits can be written");
            connection.write(&octets)?;
            *number = next;
            log.line(format_args!("{} emit {next}", connection.client));
            if self.last == Some(next) {
                octets.clear();
                let end = Event {
                    event: Some("end"),
                    data: Some(&digits),
                    ..Event::default()
                };
                end.encode(&mut octets)
                    .expect("a word and digits can be written");
                return connection.write(&octets);
            }
            schedule.advance(clock.elapsed());
        }
        Ok(())
    }

    /// Sleeps until `due` on the clock. Where that is long, a comment breaks the silence.
    fn sleep_until(
        &self,
        due: Duration,
        connection: &Connection,
        clock: Instant,
    ) -> io::Result<()> {
        let mut keep_alive_due = clock.elapsed() + self.keep_alive;
        while keep_alive_due < due {
            thread::sleep(keep_alive_due.saturating_sub(clock.elapsed()));
            let mut octets = Vec::new();
            event_stream::comment("keep-alive", &mut octets);
            connection.write(&octets)?;
            keep_alive_due += self.keep_alive;
        }
        thread::sleep(due.saturating_sub(clock.elapsed()));
        Ok(())
    }
}

/// When the events of one stream are due, as times on a clock that all streams share.
///
/// A stream's schedule starts at the next hundredth of its interval on that clock. Streams of one
/// interval so fall into a hundred groups, and the threads of one group wake together: one timer
/// interrupt for all of them instead of one for each.
///
/// ```
/// use bare_sse::counter::Schedule;
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut schedule = Schedule::new(ms(4_321), ms(1_000)); // starts at 4.33 s
/// assert_eq!(schedule.due, ms(5_330));
/// schedule.advance(ms(5_331));
/// assert_eq!(schedule.due, ms(6_330));
/// schedule.advance(ms(9_000)); // after a stall it skips what is past, and makes no burst
/// assert_eq!(schedule.due, ms(9_330));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When the next event is due.
    pub due: Duration,
    interval: Duration,
}

impl Schedule {
    /// The schedule of a stream whose head is sent at `now`.
    pub fn new(now: Duration, interval: Duration) -> Schedule {
        let start = match interval.as_nanos() / 100 {
            0 => now,
            grid => nanoseconds(now.as_nanos().div_ceil(grid) * grid),
        };
        Schedule {
            due: start + interval,
            interval,
        }
    }

    /// Goes on to the next event, at `now`: one interval after the last was due, or a whole
    /// number of intervals where that is past.
    pub fn advance(&mut self, now: Duration) {
        self.due += self.interval;
        if self.due < now && !self.interval.is_zero() {
            let late = (now - self.due).as_nanos();
            let interval = self.interval.as_nanos();
            self.due += nanoseconds(late.div_ceil(interval) * interval);
        }
    }
}

/// A time on the clock; 64 bits of nanoseconds are 584 years.
fn nanoseconds(count: u128) -> Duration {
    Duration::from_nanos(count as u64)
}
