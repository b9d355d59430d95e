//! Slots: how many connections are open, and the most there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};

/// The slots of a server, one for each connection. They belong to the thread that accepts.
#[derive(Debug)]
pub struct Slots {
    /// How many there are.
    pub most: usize,
    taken: AtomicUsize,
    acceptor: Thread,
}

/// A slot that is taken. Dropping it frees it, however the connection's thread ends.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// `most` free slots for the thread that calls this. No other thread takes them.
    pub fn new(most: usize) -> Arc<Slots> {
        Arc::new(Slots {
            most,
            taken: AtomicUsize::new(0),
            acceptor: thread::current(),
        })
    }

    /// Takes a slot, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.taken.load(SeqCst) >= self.most {
            return None;
        }
        self.taken.fetch_add(1, SeqCst);
        Some(Slot(Arc::clone(self)))
    }

    /// Waits for a free slot, and takes it.
    pub fn wait(self: &Arc<Self>) -> Slot {
        loop {
            match self.take() {
                Some(slot) => return slot,
                // Returns at once if a slot was freed since the last time.
                None => thread::park(),
            }
        }
    }
}

impl Slot {
    /// Whether fewer than a tenth of all slots are free.
    pub fn is_scarce(&self) -> bool {
        let Slots { most, taken, .. } = &*self.0;
        10 * (most - taken.load(SeqCst)) < *most
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        self.0.acceptor.unpark();
    }
}
