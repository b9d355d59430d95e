//! Trouble: what goes wrong for a while is reported once, not each time that it is met.

use std::time::{Duration, Instant};

/// How long trouble must have been absent before it is reported again.
const ABSENCE: Duration = Duration::from_secs(10);

/// Trouble of one kind.
#[derive(Debug, Default)]
pub struct Trouble {
    /// When it was last there.
    last: Option<Instant>,
}

impl Trouble {
    /// Reports it, unless it has been reported and not been absent since. Then waits: `wait` returns when
    /// the trouble may be over.
    pub fn meet(&mut self, report: impl FnOnce(), wait: impl FnOnce()) {
        if self.last.is_none_or(|last| last.elapsed() > ABSENCE) {
            report();
        }
        wait();
        self.last = Some(Instant::now());
    }
}
