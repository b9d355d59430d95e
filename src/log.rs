//! The log: lines from many threads to one output, which may be slow, stuck, full or gone.
//!
//! A thread that writes to a pipe waits when nobody reads the pipe. So connections do not write
//! lines: they send them over a bounded channel to one thread that does. A line that finds the
//! channel full is dropped and counted. `bare-sse | less` stalls no stream.

use crate::trouble::Trouble;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// How many lines wait to be written at most: a second of 4,000 streams.
const WAITING_LINES: usize = 4096;

/// How long the log waits when it can't write, before it tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// A handle to the log. Logging a line never blocks.
#[derive(Debug, Clone, Default)]
pub struct Log {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicUsize>,
}

impl Log {
    /// A log that drops every line.
    pub fn none() -> Log {
        Log::default()
    }

    /// A log to `output`, which a thread of its own writes to. When the reader is gone, the log ends
    /// and nothing else does. When a write fails otherwise, for instance because a disk is full, that
    /// is told to `errors`, and the write is tried again.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the thread.
    pub fn to(output: impl Write + Send + 'static, errors: Log) -> io::Result<Log> {
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let log = Log {
            lines: Some(sender),
            dropped: Arc::default(),
        };
        let dropped = Arc::clone(&log.dropped);
        thread::Builder::new().name("log".into()).spawn(move || {
            // An error means that nobody reads any more. This drops the receiver, which ends the log.
            let _ = write_lines(&receiver, &dropped, output, &errors);
        })?;
        Ok(log)
    }

    /// Logs one line, without its line end: `log.line(format_args!("emit {n}"))`.
    pub fn line(&self, line: fmt::Arguments<'_>) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_)) = lines.try_send(line.to_string()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Writes lines as they come.
fn write_lines(
    lines: &Receiver<String>,
    dropped: &AtomicUsize,
    mut output: impl Write,
    errors: &Log,
) -> io::Result<()> {
    let mut trouble = Trouble::default();
    while let Ok(line) = lines.recv() {
        let mut text = line + "\n";
        // A count that comes too late for this line is told with a later one.
        let count = dropped.swap(0, Relaxed);
        if count > 0 {
            text += &format!("lines dropped: {count}\n");
        }
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match until_it_works(errors, &mut trouble, || output.write(rest))? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => rest = &rest[count..],
            }
        }
        until_it_works(errors, &mut trouble, || output.flush())?;
    }
    Ok(())
}

/// Tries until the output works. Only a reader that is gone is an error.
fn until_it_works<T>(
    errors: &Log,
    trouble: &mut Trouble,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // An output is in non-blocking mode if any process that shares it has set that, and then
            // says `WouldBlock` where it would wait otherwise.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() != ErrorKind::BrokenPipe => trouble.meet(
                || errors.line(format_args!("can't write the log, its lines wait: {error}")),
                || thread::sleep(PAUSE),
            ),
            result => return result,
        }
    }
}
