//! The tests that load the machine, or measure time under load. They are a crate of their own, so
//! that no other test runs beside them: cargo runs one crate after the other. And each is `alone`.

mod crowd;
#[path = "../it/support/mod.rs"]
mod support;
mod wrk_and_hey;
