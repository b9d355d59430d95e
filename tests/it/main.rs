//! The tests: a module for each matter. What loads the machine is in `tests/load`.

mod browser;
mod connection;
mod event_stream;
mod fuzz;
mod handed_socket;
mod hostile;
mod lab;
mod lines;
mod log;
mod nginx;
mod process;
mod proxies;
mod readme;
mod request;
mod response;
mod streams;
mod support;
mod thirty_lines;
mod wire;
mod wire_format;
