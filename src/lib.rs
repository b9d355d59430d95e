//! A small server-sent events server that uses only Rust's standard library: the tour of its source.
//!
//! # The life of a connection
//!
//! 1. **Accept.** One thread of [`server`] waits for a free slot ([`slots`]) and accepts a client.
//!    Another one spawns a thread for it.
//! 2. **Read.** The thread runs [`connection`]. It reads bytes from its [`client`], within a time
//!    limit, and has [`request::parse`] look at them, until they hold the whole head of a request or
//!    can't become one.
//! 3. **Answer.** It writes a [`response`]: with the [`page`], with a refusal, or the beginning of the
//!    stream. Then it reads on, or closes.
//! 4. **Stream.** On `/events` it hands the client over to [`counter`], which sleeps until the next
//!    event is due, encodes it with [`event_stream`], writes it as a chunk, and sleeps again. After the
//!    last chunk, if there is one, the thread reads on.
//! 5. **End.** A response that says so, a read that brings nothing or a write that fails ends the
//!    connection. If the client may still be sending, the thread first reads and discards for a moment.
//!    Then it returns, which closes the socket and frees the slot.
//!
//! ```text
//! server                 connection                 counter
//!
//! wait for a slot   ┌──> read <──────┐ <──────────── last chunk
//!      │            │     │          │                  │
//!   accept          │   parse     persist     ┌───> sleep until the next event is due <─┐
//!      │            │     │          │        │       │                                 │
//!    spawn ─────────┘   answer ──────┘        │     write it ───────────────────────────┘
//!                         └── GET /events ────┘
//! ```
//!
//! # Reading order
//!
//! [`event_stream`], [`response`], [`counter`], [`slots`], [`log`], [`server`], [`client`],
//! [`connection`], [`request`], `host`, [`page`], [`system`], [`options`], and `main`.
//!
//! Only `main`, [`counter`], [`slots`], [`log`], [`server`], [`client`], [`connection`] and [`system`]
//! use sockets, threads, the clock or the system. The others turn bytes into values and values into
//! bytes; [`page`] also reads its file.
//!
//! # Glossary
//!
//! The words are those of the standards, except for two: a byte, which the RFCs call octet, and the head,
//! for which they have no short word.
//!
//! | word | meaning | where |
//! | --- | --- | --- |
//! | head | start line, field lines and the empty line: all that precedes the content | RFC 9112 2.1 |
//! | start line | request line (`GET / HTTP/1.1`) or status line (`HTTP/1.1 200 OK`) | RFC 9112 2.1 |
//! | request target | what a request line asks for; here its path decides | RFC 9112 3.2 |
//! | field line, field name, field value | `Host: localhost` | RFC 9110 5, RFC 9112 5 |
//! | content | the bytes after the head | RFC 9110 6.4 |
//! | chunk | a part of the content, with its size before it | RFC 9112 7.1 |
//! | persistent | of a connection: it serves more than one request | RFC 9112 9.3 |
//! | event stream | content of type `text/event-stream` | HTML 9.2.5 |
//! | field | a line of an event stream: `event`, `data`, `id` or `retry` | HTML 9.2.5 |
//! | comment | a line of an event stream that begins with a colon | HTML 9.2.5 |
//! | dispatch | what a client does with an event at the empty line | HTML 9.2.6 |
//! | last event ID | the value of the last `id`, which a client sends when it connects again | HTML 9.2.4 |
//! | reconnection time | how long a client waits before it connects again | HTML 9.2.2 |
//!
//! # What can go wrong
//!
//! | what | what happens |
//! | --- | --- |
//! | all slots are taken | clients wait in the listen queue: [`slots`] |
//! | accept fails | the server says so once, pauses, and tries again: [`server`] |
//! | the system refuses a thread | the connection waits for one, and others close after a response: [`server`] |
//! | a read fails, or ends between two heads | the connection ends: [`connection`] |
//! | a head is not valid, or cut off | the response says why, then the connection ends: [`request`] |
//! | a head does not come in time | 408, or a close without a response: [`connection`] |
//! | a write fails, or moves no byte in time | the connection ends: [`client`] |
//! | the log can't be written | lines wait, and then are dropped and counted: [`log`] |
//! | the log's reader has gone | the log ends: [`log`] |
//! | a thread panics | its connection ends, its slot is freed, nothing else happens: [`slots`] |

pub mod client;
pub mod connection;
pub mod counter;
pub mod event_stream;
mod host;
pub mod log;
pub mod options;
pub mod page;
pub mod request;
pub mod response;
pub mod server;
pub mod slots;
pub mod system;
