//! The wire format of server-sent events: values in, octets out.
//!
//! An event stream is UTF-8 text made of lines, each ended here by one LF ([HTML 9.2.5]):
//!
//! | line           | what a reader makes of it ([HTML 9.2.6])                              |
//! | -------------- | --------------------------------------------------------------------- |
//! | `event: TYPE`  | the type of the event being built                                     |
//! | `data: TEXT`   | one line of its data; several lines are joined by LF                  |
//! | `id: ID`       | the last event ID, which a client sends when it connects again        |
//! | `retry: MS`    | the reconnection time in milliseconds                                 |
//! | `: TEXT`       | a comment: ignored, but it keeps a silent connection alive            |
//! | *empty*        | dispatch: the event is complete, if it has any data                   |
//!
//! A reader takes one space away after the colon, so that space is always written: a value that
//! begins with a space of its own then keeps it.
//!
//! [HTML 9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
//! [HTML 9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use std::fmt;
use std::time::Duration;

/// One block of the stream: its fields, and the empty line that ends it.
///
/// A field that is `None` is not written. Without `data` a reader dispatches nothing, but it
/// still takes the `id` and the `retry`; with `data: Some("")` it dispatches an event whose data
/// is empty.
///
/// ```
/// use bare_sse::event_stream::Event;
///
/// let mut octets = Vec::new();
/// let event = Event { id: Some("7"), data: Some("two\nlines"), ..Event::default() };
/// event.encode(&mut octets)?;
/// assert_eq!(octets, b"id: 7\ndata: two\ndata: lines\n\n");
/// # Ok::<(), bare_sse::event_stream::Unwritable>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's type; a reader takes `message` where there is none.
    pub event: Option<&'a str>,
    /// The last event ID from here on.
    pub id: Option<&'a str>,
    /// The reconnection time, written in whole milliseconds.
    pub retry: Option<Duration>,
    /// The event's data, of any number of lines.
    pub data: Option<&'a str>,
}

impl Event<'_> {
    /// Appends the block's octets to `out` ([HTML 9.2.5]).
    ///
    /// # Errors
    ///
    /// [`Unwritable`] names the field whose value no line can hold: CR or LF in `event` or `id`
    /// would end the line early and begin another, and a reader ignores an `id` with NUL in it.
    /// Nothing is appended then.
    ///
    /// [HTML 9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        if self.event.is_some_and(|value| value.contains(['\r', '\n'])) {
            return Err(Unwritable { field: "event" });
        }
        if self
            .id
            .is_some_and(|value| value.contains(['\r', '\n', '\0']))
        {
            return Err(Unwritable { field: "id" });
        }
        if let Some(value) = self.event {
            line(out, "event", value);
        }
        if let Some(value) = self.id {
            line(out, "id", value);
        }
        if let Some(time) = self.retry {
            line(out, "retry", &time.as_millis().to_string());
        }
        for value in self.data.into_iter().flat_map(lines) {
            line(out, "data", value);
        }
        out.push(b'\n');
        Ok(())
    }
}

/// Appends a comment of one or more lines and an empty line to `out` ([HTML 9.2.5]).
///
/// Readers ignore it; proxies and dead connections notice it ([HTML 9.2.7]).
///
/// ```
/// let mut octets = Vec::new();
/// bare_sse::event_stream::comment("keep-alive", &mut octets);
/// assert_eq!(octets, b": keep-alive\n\n");
/// ```
///
/// [HTML 9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
/// [HTML 9.2.7]: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
pub fn comment(text: &str, out: &mut Vec<u8>) {
    for value in lines(text) {
        line(out, "", value);
    }
    out.push(b'\n');
}

/// A value that no line of an event stream can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable {
    /// The name of the field: `event` or `id`.
    pub field: &'static str,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of {} holds a CR, LF or NUL", self.field)
    }
}

impl std::error::Error for Unwritable {}

/// `name ": " value LF`.
fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// The lines of a text: CR LF, LF and CR each end one, as they do for a reader (HTML 9.2.5).
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            return rest.take();
        };
        let line_end = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + line_end..]);
        Some(&text[..end])
    })
}
