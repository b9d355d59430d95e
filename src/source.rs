//! A source of events: where a client begins, and what comes next for it.
//!
//! For events of your own, write these two functions, and hand your source to
//! [`Events`](crate::events::Events). They answer four questions: Where does a client without a last
//! event ID begin? Which events are kept for clients that come back? What does a client get whose next
//! event is no longer kept? And what if its ID is from before a restart?
//!
//! [`counter`](crate::counter) and [`lines`](crate::lines) answer them in two ways. Begin with the first
//! if each client has events of its own, with the second if all clients share them. If shared events are
//! all that you need, write no source: give [`Lines::of`](crate::lines::Lines::of) the reading end of an
//! [`std::io::pipe`], and write a line into the other end for each event.
//!
//! All that a source learns of a client is its last event ID: no path, query or user.
//!
//! Give each event an `id` and data. A client that has seen no `id` comes back without one.

use std::fmt::Debug;
use std::time::Duration;

/// A source of events, from which each client's thread takes its own.
pub trait Source: Debug + Send + Sync {
    /// Where a client begins that sends this last event ID: any bytes, at least one, perhaps of another
    /// run or nobody's. From the query they come as they are written there. `None` means that nothing is
    /// left for the client: it gets 204, which tells it not to come back.
    ///
    /// The place is kept until the first `next`, so nothing is lost between the two. This must change
    /// nothing: a HEAD request calls it, too.
    fn begin(&self, last_event_id: Option<&[u8]>) -> Option<Place>;

    /// Waits for what comes next for the client at this place. For an event, add 1 to `place.seen`, plus
    /// the number of events that the client has missed; otherwise leave it as it is. Returns
    /// [`News::Silence`] when nothing has come for about as long as `longest_silence`.
    ///
    /// It runs in the client's own thread, beside those of all others.
    fn next(&self, place: &mut Place, longest_silence: Duration) -> News;
}

/// Where a client is among the events of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of the last event that the client has seen, by the source's own count. 0 for none.
    pub seen: u64,
    /// For a source that goes by a clock: when that event was due. Others leave it at zero.
    pub due: Duration,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An event: a whole block of the event stream, as [`encode`](crate::event_stream::Event::encode)
    /// makes it, or two if the first tells what was missed.
    Event(Vec<u8>),
    /// Nothing for so long that a comment should show that the connection is alive.
    Silence,
    /// The end: no event will follow the one in this block, which says so.
    End(Vec<u8>),
}
