//! The tests: a module for each matter. What loads the machine is in `tests/load`.

mod browser;
mod connection;
mod counter;
mod event_stream;
mod handed_socket;
mod lab;
mod limits;
mod lines;
mod log;
mod nginx;
mod process;
mod proxies;
mod readme;
mod request;
mod response;
mod slots;
mod streams;
mod support;
mod thirty_lines;
mod transcripts;
mod wire_format;
