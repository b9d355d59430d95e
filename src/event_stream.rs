//! The wire format of server-sent events: values in, bytes out.
//!
//! An event stream is UTF-8 text, made of lines. Each line ends here in one LF ([HTML 9.2.5]):
//!
//! | line           | what a reader does with it ([HTML 9.2.6])                             |
//! | -------------- | --------------------------------------------------------------------- |
//! | `event: TYPE`  | the type of the event that is being built                             |
//! | `data: TEXT`   | one line of its data; several lines are joined by LF                  |
//! | `id: ID`       | the last event ID, which a client sends when it connects again        |
//! | `retry: MS`    | the reconnection time in milliseconds                                 |
//! | `: TEXT`       | a comment: ignored, but it keeps a silent connection alive            |
//! | *empty*        | dispatch: the event is complete, if it has any data                   |
//!
//! A reader removes one space after the colon. So a space is always written there, and a value that
//! begins with a space keeps it.
//!
//! [HTML 9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
//! [HTML 9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// One block of the stream: its fields, and the empty line that ends it.
///
/// A field that is `None` is not written. Without `data` a reader dispatches nothing, but `id` and
/// `retry` still count. With `data: Some("")` it dispatches an event whose data is empty.
///
/// ```
/// use bare_sse::event_stream::Event;
///
/// let event = Event { id: Some("7"), data: Some("two\nlines"), ..Event::default() };
/// assert_eq!(event.encode()?, b"id: 7\ndata: two\ndata: lines\n\n");
/// # Ok::<(), bare_sse::event_stream::Unwritable>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's type. Without it readers use `message`.
    pub event: Option<&'a str>,
    /// The last event ID from here on.
    pub id: Option<&'a str>,
    /// The reconnection time, written in whole milliseconds.
    pub retry: Option<Duration>,
    /// The event's data, in any number of lines.
    pub data: Option<&'a str>,
}

impl Event<'_> {
    /// The bytes of the block (HTML 9.2.5).
    ///
    /// # Errors
    ///
    /// [`Unwritable`] names the field whose value no line can hold. A CR or LF in `event` or `id`
    /// would end the line early and begin another one, and a reader ignores an `id` that holds NUL.
    pub fn encode(&self) -> Result<Vec<u8>, Unwritable> {
        let mut block = Vec::with_capacity(64);
        for (field, value, forbidden) in [("event", self.event, "\r\n"), ("id", self.id, "\r\n\0")]
        {
            let Some(value) = value else { continue };
            if value.contains(|c| forbidden.contains(c)) {
                return Err(Unwritable { field });
            }
            line(&mut block, field, value);
        }
        if let Some(time) = self.retry {
            line(&mut block, "retry", &time.as_millis().to_string());
        }
        if let Some(text) = self.data {
            lines(&mut block, "data", text);
        }
        block.push(b'\n');
        Ok(block)
    }
}

/// The bytes of a comment of one or more lines (HTML 9.2.5). No empty line follows: some readers would
/// dispatch an event without data there.
///
/// Readers ignore it. It keeps proxies from closing a silent connection (HTML 9.2.7).
///
/// ```
/// assert_eq!(bare_sse::event_stream::comment("keep-alive"), b": keep-alive\n");
/// ```
pub fn comment(text: &str) -> Vec<u8> {
    let mut block = Vec::new();
    lines(&mut block, "", text);
    block
}

/// A value that no line of an event stream can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable {
    /// The name of the field: `event` or `id`.
    pub field: &'static str,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no line can hold this value of the field {}", self.field)
    }
}

impl Error for Unwritable {}

/// `name ": " value LF`.
fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// One line for each line of the text. For a reader CR LF, LF and CR each end one line (HTML 9.2.5).
fn lines(out: &mut Vec<u8>, name: &str, text: &str) {
    for text in text.split("\r\n") {
        for value in text.split(['\r', '\n']) {
            line(out, name, value);
        }
    }
}
