//! A server for server-sent events on the standard library alone: the tour of its source.
//!
//! # The life of a connection
//!
//! 1. [`server`] waits until there is room for one more connection, accepts it, and gives it a
//!    thread of its own.
//! 2. [`connection`] reads octets, and hands them to the parser in [`request`] as they come, until
//!    the head of a request is complete, or can't become one.
//! 3. The answer is a [`response`], which is written behind those that wait already; the one with
//!    the [`page`] is made once a second, for all connections. What one read has asked for leaves
//!    in one write, or in a few. Then it reads on.
//! 4. If the path is `/events`, the buffers are dropped and [`counter`] takes over: it sleeps until
//!    the next event is due, encodes it with [`event_stream`], writes it, and so on.
//! 5. A read that brings nothing, or a write that fails, is the end of it: the client has gone, or
//!    the [`watchdog`] has shut the socket down because the client took too long. The thread
//!    returns, the socket closes, and there is room again.
//!
//! # Reading order
//!
//! [`event_stream`], the format that all this is for; [`counter`], the stream on the wire;
//! [`request`] and [`response`], the two heads; [`page`]; [`log`]; [`watchdog`]; [`connection`],
//! which brings them together; [`server`]; [`options`]. Who uses whom follows the life above:
//! [`server`] uses [`connection`], that uses [`counter`], [`page`] and [`request`], and these use
//! [`response`]; [`event_stream`], [`log`] and [`watchdog`] use none. `main`, [`server`],
//! [`connection`], [`counter`], [`watchdog`] and [`log`] know of sockets, threads or time; the rest
//! turn octets into values and values into octets.
//!
//! # Glossary
//!
//! The words are those of the standards.
//!
//! | word | meaning | where |
//! | --- | --- | --- |
//! | head | start line, field lines and the empty line: all before the content | RFC 9112 2.1 |
//! | start line | request line (`GET / HTTP/1.1`) or status line (`HTTP/1.1 200 OK`) | RFC 9112 2.1 |
//! | request target | what a request line asks for; its path decides here | RFC 9112 3.2 |
//! | field line, field name, field value | `Host: localhost` | RFC 9110 5, RFC 9112 5 |
//! | content | the octets behind the head | RFC 9110 6.4 |
//! | persistent | of a connection: it serves more than one request | RFC 9112 9.3 |
//! | event stream | content of type `text/event-stream` | HTML 9.2.5 |
//! | field | a line of an event stream: `event`, `data`, `id` or `retry` | HTML 9.2.6 |
//! | comment | a line of an event stream that begins with a colon | HTML 9.2.5 |
//! | dispatch | what a client does with an event at the empty line | HTML 9.2.6 |
//! | last event ID | the value of the last `id`, which a client sends when it connects again | HTML 9.2.4 |
//! | reconnection time | how long a client waits before it connects again | HTML 9.2.3 |
//!
//! # What can go wrong
//!
//! | what | what happens |
//! | --- | --- |
//! | accept fails | it pauses, says so once, and tries again: [`server`] |
//! | the system refuses a thread | the connection waits for one: [`server`] |
//! | a read fails or ends | the connection ends: [`connection`] |
//! | a head is not valid | an answer that says why, then the connection ends: [`request`] |
//! | a head or a request does not come | 408, or a silent close: [`watchdog`] |
//! | a write fails | the connection ends: [`connection`], [`counter`] |
//! | a write waits too long | the connection ends: [`watchdog`] |
//! | the log is not read, or closed | lines are dropped and counted, or go nowhere: [`log`] |
//! | a thread panics | its connection ends, and no other: [`watchdog`] |

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
