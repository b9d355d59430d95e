//! Slots: one for each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a refusal by the system counts. Nothing signals that it is over: accept blocks just the same
/// when no client waits. So it expires.
const REFUSAL: Duration = Duration::from_secs(1);

/// The slots of a server. One thread creates them and takes them; any thread frees them.
#[derive(Debug)]
pub struct Slots {
    /// How many there are.
    pub count: usize,
    taken: AtomicUsize,
    /// The thread that takes slots, and is parked while none is free.
    taker: Thread,
    clock: Instant,
    /// Until when the last refusal by the system counts, in milliseconds on the clock.
    refused_until: AtomicU64,
}

/// A slot that is taken. Dropping it frees it, however the connection's thread ends.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

/// How many slots are free, as far as a connection needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// More than a tenth.
    Many,
    /// At most a tenth: clients get less time.
    Few,
    /// None, or the system refuses files or threads. So somebody may be waiting, and a connection ends
    /// with its next response.
    None,
}

impl Slots {
    /// Creates `count` free slots, at least 1, for the current thread to take.
    pub fn new(count: usize) -> Arc<Slots> {
        Arc::new(Slots {
            count,
            taken: AtomicUsize::new(0),
            taker: thread::current(),
            clock: Instant::now(),
            refused_until: AtomicU64::new(0),
        })
    }

    /// Whether all slots are taken.
    pub fn are_all_taken(&self) -> bool {
        self.taken.load(SeqCst) == self.count
    }

    /// Waits until a slot is free.
    pub fn wait(&self) {
        while self.are_all_taken() {
            thread::park();
        }
    }

    /// Takes a slot, which must be free.
    pub fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, SeqCst);
        Slot(Arc::clone(self))
    }

    /// Notes that the system refused a file or a thread. For a second it is then as if no slot were free.
    pub fn system_refused(&self) {
        let until = self.clock.elapsed() + REFUSAL;
        self.refused_until.store(until.as_millis() as u64, SeqCst);
    }
}

impl Slot {
    /// How many slots are free.
    pub fn free(&self) -> Free {
        let slots = &self.0;
        let refused_until = slots.refused_until.load(SeqCst);
        // Nearly always 0: then the clock need not be read.
        let is_refused =
            refused_until > 0 && slots.clock.elapsed().as_millis() < refused_until.into();
        if is_refused {
            return Free::None;
        }
        match slots.count - slots.taken.load(SeqCst) {
            0 => Free::None,
            free if free <= slots.count / 10 => Free::Few,
            _ => Free::Many,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        // A system call only if the thread is parked.
        self.0.taker.unpark();
    }
}
