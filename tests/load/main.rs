//! The tests that load the machine, or measure time under load. They are a crate of their own, so
//! that no other test runs beside them: cargo runs one crate after the other. And each is `alone`.

mod crowd;
mod restarts;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;
mod wrk_and_hey;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each of these tests.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
