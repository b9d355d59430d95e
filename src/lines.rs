//! A source of events: the lines of an input, which all clients share.
//!
//! The ID of a line is `RUN-N`. N counts the lines from 1, and RUN is when the process began, so an ID
//! from before a restart is not mistaken for one of this run.
//!
//! A client without a last event ID begins at the next line, or when the input has ended, at the oldest that
//! is kept. With an ID of this run it goes on after that line, and with any other ID at the oldest one. If
//! lines after its ID are no longer kept, because it was away or reads too slowly, an event `missed` tells
//! it how many, with the ID of the last of them. With an ID of another run that number is not known.
//!
//! One thread reads the input, and never waits for a client: each client's thread takes the lines from
//! what is kept. So memory is bounded: what is kept and what one read brought, 4 MiB at most, and one event
//! for each client that does not read.

use crate::event_stream::Event;
use crate::fields::decimal;
use crate::log::Log;
use crate::source::{News, Place, Source};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many lines are kept at most.
const KEPT_LINES: usize = 1_000;

/// How many bytes of events are kept at most.
const KEPT_BYTES: usize = 1024 * 1024;

/// How many bytes of a line make an event. A longer line is passed on in pieces. As many are read at once.
const LINE_LIMIT: usize = 16 * 1024;

/// How long to wait for an input in non-blocking mode.
const PAUSE: Duration = Duration::from_millis(50);

/// The lines of an input.
#[derive(Debug)]
pub struct Lines {
    /// When the process began, in milliseconds since 1970.
    run: u128,
    kept: Mutex<Kept>,
    /// There are more lines, or their end.
    more: Condvar,
}

/// The newest lines.
#[derive(Debug, Default)]
struct Kept {
    /// How many lines came before these.
    gone: u64,
    /// The lines as events.
    events: VecDeque<Arc<[u8]>>,
    /// The bytes of all these events.
    bytes: usize,
    /// Whether the input has ended.
    is_over: bool,
}

impl Source for Lines {
    fn begin(&self, last_event_id: Option<&[u8]>) -> Option<Place> {
        let kept = self.lock();
        let number = |id| self.number(id).filter(|&number| number <= kept.count());
        let seen = match last_event_id.map(number) {
            None if !kept.is_over => kept.count(),
            Some(Some(number)) if kept.is_over && number == kept.count() => return None,
            Some(Some(number)) => number,
            None | Some(None) => kept.gone,
        };
        let due = Duration::ZERO;
        Some(Place { seen, due })
    }

    fn next(&self, place: &mut Place, longest_silence: Duration) -> News {
        let is_silent = |kept: &mut Kept| !kept.is_over && place.seen == kept.count();
        let (kept, more) = (self.lock(), &self.more);
        let wait = more.wait_timeout_while(kept, longest_silence, is_silent);
        let (kept, wait) = wait.expect("no panic under this lock");
        if wait.timed_out() {
            return News::Silence;
        }
        if place.seen == kept.count() {
            return News::End(self.event(Some("end"), place.seen, &place.seen.to_string()));
        }
        // A number and its line must be of the same moment.
        let missed = kept.gone.saturating_sub(place.seen);
        place.seen += missed;
        let line = Arc::clone(&kept.events[(place.seen - kept.gone) as usize]);
        // No other client waits for this one.
        drop(kept);
        let mut block = Vec::new();
        if missed > 0 {
            block = self.event(Some("missed"), place.seen, &missed.to_string());
        }
        block.extend_from_slice(&line);
        place.seen += 1;
        News::Event(block)
    }
}

impl Lines {
    /// The lines of this input, which a thread reads from now on. What goes wrong with it, and its end,
    /// is told to `errors`.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the thread.
    pub fn of(input: impl Read + Send + 'static, errors: Log) -> io::Result<Arc<Lines>> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let lines = Arc::new(Lines {
            run: since_1970.map_or(0, |time| time.as_millis()),
            kept: Mutex::default(),
            more: Condvar::new(),
        });
        let shared = Arc::clone(&lines);
        thread::Builder::new()
            .name("lines".into())
            .spawn(move || shared.read(input, &errors))?;
        Ok(lines)
    }

    /// Reads the input to its end.
    fn read(&self, mut input: impl Read, errors: &Log) {
        let (mut buffer, mut unread) = (vec![0; LINE_LIMIT], Vec::new());
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Any process that shares the input may have set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => {
                    errors.line(format_args!("can't read standard input: {error}"));
                    break;
                }
            }
            self.add(&mut unread);
        }
        if !unread.is_empty() {
            // The last line may have no line end.
            unread.push(b'\n');
            self.add(&mut unread);
        }
        let mut kept = self.lock();
        kept.is_over = true;
        self.more.notify_all();
        let count = kept.count();
        errors.line(format_args!("standard input has ended, lines: {count}"));
    }

    /// Takes the lines from the front of what was read, and adds them all at once.
    fn add(&self, unread: &mut Vec<u8>) {
        // Only this thread adds lines, so their numbers are known without the lock.
        let mut number = self.lock().count();
        let (mut rest, mut events) = (&unread[..], Vec::new());
        while let Some(line) = take_line(&mut rest) {
            number += 1;
            events.push(self.event(None, number, &line));
        }
        let used = unread.len() - rest.len();
        unread.drain(..used);
        let mut kept = self.lock();
        events.into_iter().for_each(|event| kept.push(event));
        drop(kept);
        self.more.notify_all();
    }

    /// An event with the ID of a line.
    fn event(&self, event: Option<&str>, number: u64, data: &str) -> Vec<u8> {
        let id = format!("{}-{number}", self.run);
        let event = Event {
            event,
            id: Some(&id),
            data: Some(data),
            ..Event::default()
        };
        event
            .encode()
            .expect("an ID of digits, and data may be anything")
    }

    /// The number in an ID of this run, exactly as [`Lines::event`] writes it.
    fn number(&self, id: &[u8]) -> Option<u64> {
        let digits = id.rsplit(|&byte| byte == b'-').next()?;
        let number = decimal(digits)?;
        (id == format!("{}-{number}", self.run).as_bytes()).then_some(number)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic under this lock")
    }
}

impl Kept {
    /// How many lines there have been.
    fn count(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// Adds a line, and drops the oldest ones that are too many.
    fn push(&mut self, event: Vec<u8>) {
        self.bytes += event.len();
        self.events.push_back(event.into());
        while self.events.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |event| event.len());
            self.gone += 1;
        }
    }
}

/// Takes a line from the front, without its LF or CR LF, or a piece of a line that is too long. `None`
/// if more bytes are needed to tell. What is not UTF-8 becomes U+FFFD.
///
/// ```
/// let mut bytes = &b"one\r\ntwo"[..];
/// assert_eq!(bare_sse::lines::take_line(&mut bytes).as_deref(), Some("one"));
/// assert_eq!(bare_sse::lines::take_line(&mut bytes), None);
/// assert_eq!(bytes, b"two");
/// ```
pub fn take_line(bytes: &mut &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .take(LINE_LIMIT + 2)
        .position(|&byte| byte == b'\n');
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (line, used) = match end {
        _ if line.len() > LINE_LIMIT => {
            // Between two characters. One that is UTF-8 has at most three bytes after its first.
            let is_first = |&cut: &usize| !matches!(line[cut], 0x80..=0xbf);
            let cut = (LINE_LIMIT - 3..=LINE_LIMIT).rev().find(is_first);
            let cut = cut.unwrap_or(LINE_LIMIT);
            (&line[..cut], cut)
        }
        Some(end) => (line, end + 1),
        None => return None,
    };
    *bytes = &bytes[used..];
    Some(String::from_utf8_lossy(line).into_owned())
}
