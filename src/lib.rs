//! A server for server-sent events on the standard library alone.
#![doc(test(attr(deny(warnings))))]

pub mod connection;
pub mod counter;
pub mod event_stream;
pub mod log;
pub mod options;
pub mod page;
pub mod request;
pub mod response;
pub mod server;
pub mod watchdog;
