//! A source of events: where a client begins, and what comes next for it.
//!
//! For events of your own, write these two functions, as [`counter`](crate::counter) does, and hand
//! your source to [`Events`](crate::events::Events). They answer four questions: Where does a client
//! without a last event ID begin? Which events are kept for clients that come back? What does a client
//! get whose next event is no longer kept? And what if its ID is from before a restart?

use std::fmt::Debug;
use std::time::Duration;

/// A source of events, from which each client's thread takes its own.
pub trait Source: Debug + Send + Sync {
    /// Where a client begins that sends this last event ID, which may be any bytes. `None` means that
    /// there is nothing left for it: it gets 204, which tells it not to come back.
    fn begin(&self, last_event_id: Option<&[u8]>) -> Option<Place>;

    /// Waits for what comes next for the client at this place, and moves the place on. Returns
    /// [`News::Silence`] when nothing has come for about as long as `longest_silence`.
    fn next(&self, place: &mut Place, longest_silence: Duration) -> News;
}

/// Where a client is among the events of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the last event that the client has seen. 0 for none.
    pub seen: u64,
    /// For a source that goes by a clock: when that event was due. Others leave it at zero.
    pub due: Duration,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An event: a whole block of the event stream.
    Event(Vec<u8>),
    /// Nothing for so long that a comment should show that the connection is alive.
    Silence,
    /// The end: no event will follow the one in this block, which says so.
    End(Vec<u8>),
}
