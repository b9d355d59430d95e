//! Slots: one for each connection.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The slots of a server. One thread waits for them and takes them; any thread frees them.
#[derive(Debug)]
pub struct Slots {
    /// How many there are.
    pub count: usize,
    free: Mutex<usize>,
    one_is_free: Condvar,
    /// Whether at most a tenth is free. Each request asks, so it does not wait for the mutex.
    few_free: AtomicBool,
    threads_refused: AtomicBool,
}

/// A slot that is taken. Dropping it frees it, however the connection's thread ends.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    /// So many free slots. `count` is at least 1.
    pub fn new(count: usize) -> Arc<Slots> {
        Arc::new(Slots {
            count,
            free: Mutex::new(count),
            one_is_free: Condvar::new(),
            few_free: AtomicBool::new(false),
            threads_refused: AtomicBool::new(false),
        })
    }

    /// Whether a slot is free.
    pub fn has_free(&self) -> bool {
        *self.lock() > 0
    }

    /// Waits until a slot is free.
    pub fn wait_for_free(&self) {
        let taken = |free: &mut usize| *free == 0;
        drop(self.one_is_free.wait_while(self.lock(), taken));
    }

    /// Takes a slot, which must be free.
    pub fn take(self: &Arc<Self>) -> Slot {
        self.change(|free| free - 1);
        Slot(Arc::clone(self))
    }

    /// Makes slots scarce while the system refuses threads.
    pub fn set_threads_refused(&self, refused: bool) {
        self.threads_refused.store(refused, Relaxed);
    }

    /// Returns how many were free before.
    fn change(&self, change: fn(usize) -> usize) -> usize {
        let mut free = self.lock();
        let before = *free;
        *free = change(before);
        self.few_free.store(*free <= self.count / 10, Relaxed);
        before
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().expect("no thread panics while it counts")
    }
}

impl Slot {
    /// Whether at most a tenth of all slots is free, or threads run out before slots do.
    pub fn is_scarce(&self) -> bool {
        self.0.few_free.load(Relaxed) || self.0.threads_refused.load(Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // To notify is a system call, even if nobody waits.
        if self.0.change(|free| free + 1) == 0 {
            self.0.one_is_free.notify_one();
        }
    }
}
