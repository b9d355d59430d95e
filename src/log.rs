//! The log: lines from many threads to one reader, who may be slow, stuck or gone.
//!
//! A thread that writes to a pipe waits when nobody reads the pipe. So connections do not write:
//! they hand each line to one writer thread over a bounded channel, and a line that finds the
//! channel full is dropped and counted. `bare-sse | less` stalls no stream.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// How many lines wait for the writer at most: a second of 4,000 streams.
const WAITING_LINES: usize = 4096;

/// After about this many octets the lines that wait are written, and the rest next time.
const WRITE_OCTETS: usize = 64 * 1024;

/// Where lines go. It is never waited for.
#[derive(Debug)]
pub struct Log {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicUsize>,
}

impl Log {
    /// A log that drops every line.
    pub fn none() -> Log {
        Log {
            lines: None,
            dropped: Arc::default(),
        }
    }

    /// A log to `output`, which belongs to a thread of its own from here on. When a write to it
    /// fails, for instance because whoever read it has left, the log ends and nothing else does.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the thread.
    pub fn to(output: impl Write + Send + 'static) -> io::Result<Log> {
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let dropped = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&dropped);
        thread::Builder::new().name("log".into()).spawn(move || {
            // An error means that nobody reads any more: the receiver goes, and with it the log.
            let _ = write_lines(&receiver, &counter, output);
        })?;
        Ok(Log {
            lines: Some(sender),
            dropped,
        })
    }

    /// Hands over one line, without its line end: `log.line(format_args!("emit {n}"))`.
    pub fn line(&self, line: fmt::Arguments<'_>) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_)) = lines.try_send(line.to_string()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Writes lines as they come, those that wait together in one write.
fn write_lines(
    lines: &Receiver<String>,
    dropped: &AtomicUsize,
    mut output: impl Write,
) -> io::Result<()> {
    let mut octets = Vec::new();
    while let Ok(line) = lines.recv() {
        octets.clear();
        writeln!(octets, "{line}")?;
        while octets.len() < WRITE_OCTETS
            && let Ok(line) = lines.try_recv()
        {
            writeln!(octets, "{line}")?;
        }
        // Lines are dropped only while others wait, so a count that comes too late for this time
        // is told at the next.
        let count = dropped.swap(0, Relaxed);
        if count > 0 {
            writeln!(octets, "{count} lines dropped")?;
        }
        output.write_all(&octets)?;
        output.flush()?;
    }
    Ok(())
}
