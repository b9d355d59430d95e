//! Slots: one for each connection, and how many there can be.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};

/// The slots of a server. Only the accepting thread may take one, which it does before it waits for the
/// client.
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
    /// `most` free slots, at least one, for the thread that calls this.
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
    /// Whether fewer than a tenth of all slots are free. With fewer than ten slots they never are.
    pub fn is_scarce(&self) -> bool {
        let Slots { most, taken, .. } = &*self.0;
        most - taken.load(SeqCst) < most / 10
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        self.0.acceptor.unpark();
    }
}

/// How many files the server has open beside its connections, at most.
const OTHER_FILES: usize = 32;

/// How many connections `max_map_count` memory mappings are enough for.
///
/// On Linux a thread takes four mappings: its stack and its signal stack, and a guard page for each.
/// When they run out, a thread that starts ends the whole process. A fifth is left for threads whose
/// slots are free again while they end, and for all else.
pub const fn most_connections(max_map_count: usize) -> usize {
    max_map_count / 5
}

/// How many slots there can be for `max_connections`: as many, or fewer if the process may not have so
/// many files open. Otherwise files would run out before slots became scarce.
///
/// # Errors
///
/// One line that names the system's setting to raise, and to what.
pub fn possible(max_connections: usize) -> Result<usize, String> {
    // Only Linux has these files, and the first of the two limits.
    let setting = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    if let Ok(max_map_count) = setting.trim().parse()
        && max_connections > most_connections(max_map_count)
    {
        let needed = max_connections.saturating_mul(5);
        let most = most_connections(max_map_count);
        return Err(format!(
            "--max-connections {max_connections} needs vm.max_map_count={needed}, which is \
             {max_map_count} here: raise it with sysctl, or allow {most} connections at most"
        ));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut lines = limits.lines();
    let files = lines.find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next());
    Ok(match files.map(str::parse::<usize>) {
        Some(Ok(files)) => max_connections.min(files.saturating_sub(OTHER_FILES).max(1)),
        _ => max_connections,
    })
}
