//! A small server-sent events server that uses only Rust's standard library: the tour of its source.
//!
//! # The life of a connection
//!
//! 1. **Accept.** One thread of [`server`] waits for a free slot ([`slots`]) and accepts a client. A
//!    second one spawns a thread for it.
//! 2. **Read.** The thread runs [`connection::serve`]. It reads bytes from its [`client`], within a
//!    time limit, and hands them to a [`connection`], which has [`request::parse`] look at them, until
//!    they hold the whole head of a request or can't become one.
//! 3. **Answer.** The [`site`] knows which [`response`] the request gets: the [`page`], a refusal, or
//!    the beginning of the stream. The thread writes it. Then it reads on, or closes.
//! 4. **Stream.** On `/events` it runs [`events`], which asks a [`source`] what comes next, writes it
//!    as a chunk, and asks again. The source is the [`counter`], which sleeps until the next event is
//!    due, or [`lines`], which waits for a line. After the last chunk, if there is one, the thread reads
//!    on.
//! 5. **End.** A response that says so, a read that brings nothing or a write that fails ends the
//!    connection. If the client may still be sending, the thread first reads and discards for a moment.
//!    Then it closes the socket and frees the slot.
//!
//! ```text
//! server                 connection                 events              source
//!
//! wait for a slot   ┌──> read <──────┐ <─────────── last chunk
//!      │            │     │          │                 │ the end
//!   accept          │   parse     persist     ┌───> what comes next? ──> wait
//!      │            │     │          │        │        │ an event, silence   │
//!    spawn ─────────┘   answer ──────┘        │     write <────────────────┘
//!                         └── GET /events ────┘
//! ```
//!
//! # Reading order
//!
//! In this order nothing is needed before it was read. An import points back in it, never ahead.
//!
//! 1. The formats, bytes and values: [`event_stream`], [`response`], [`request_error`], `authority`,
//!    [`fields`], [`request`].
//! 2. What the rest stands on: [`limits`], [`trouble`], [`log`], [`client`], [`slots`].
//! 3. The events: [`source`], [`counter`], [`lines`], [`events`].
//! 4. The server: [`page`], [`site`], [`connection`], [`server`].
//! 5. The process: [`system`], [`options`], `main`.
//!
//! Sockets, threads, the clock and the system are known to [`log`], [`trouble`], [`client`], [`slots`],
//! [`counter`], [`lines`], [`events`], [`server`], [`system`], `main`, and the loop of [`connection`].
//! All else turns bytes into values and values into bytes; [`page`] also reads its file.
//!
//! # Glossary
//!
//! What is on the wire has the names of the standards, except for two: a byte, which the RFCs call octet,
//! and the head, for which they have no short word.
//!
//! | word | meaning | where |
//! | --- | --- | --- |
//! | head | start line, field lines and the empty line: all that precedes the content | RFC 9112 2.1 |
//! | start line | request line (`GET / HTTP/1.1`) or status line (`HTTP/1.1 200 OK`) | RFC 9112 2.1 |
//! | request target | what a request line asks for; here its path decides | RFC 9112 3.2 |
//! | field (of a head), field line, field name, field value | `Host: localhost` | RFC 9110 5, RFC 9112 5 |
//! | content | the bytes after the head | RFC 9110 6.4 |
//! | chunk | a part of the content, with its size before it | RFC 9112 7.1 |
//! | persistent | of a connection: it serves more than one request | RFC 9112 9.3 |
//! | event stream | content of type `text/event-stream` | HTML 9.2.5 |
//! | field (of an event stream) | a line: `event`, `data`, `id` or `retry` | HTML 9.2.5 |
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
//! | few slots are left | heads and idle connections have less time: [`limits`] |
//! | accept fails | the server says so once, pauses, and tries again: [`server`] |
//! | the system refuses a file or a thread | clients wait, and for a second others close after a response: [`slots`] |
//! | a read fails, or the client closes between two requests | the connection ends: [`connection`] |
//! | a head is not valid, or cut off | the response says why, then the connection ends: [`request`] |
//! | a head does not come in time | 408, or a close without a response: [`connection`] |
//! | a write fails, or moves no byte in time | the connection ends: [`client`] |
//! | the log can't be written | lines wait, and then are dropped and counted: [`log`] |
//! | the log's reader is gone | the log ends: [`log`] |
//! | the input of `--lines` can't be read | that is told, and is its end: [`lines`] |
//! | a thread panics | its connection ends, its slot is freed, nothing else happens: [`slots`] |
//! | memory runs out | the standard library ends the process |

mod authority;
// Public, because tests, benches and the program use them.
pub mod client;
pub mod connection;
pub mod counter;
pub mod event_stream;
pub mod events;
pub mod fields;
pub mod limits;
pub mod lines;
pub mod log;
pub mod options;
pub mod page;
pub mod request;
pub mod request_error;
pub mod response;
pub mod server;
pub mod site;
pub mod slots;
pub mod source;
pub mod system;
pub mod trouble;
