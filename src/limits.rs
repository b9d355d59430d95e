//! Time limits, one for each phase of a connection.

use std::time::Duration;

/// How long a client may take, phase by phase. None of them is zero. A stream has no limit, and neither
/// has the wait for a slot or a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a head to its last, and from the opening of the connection to the
    /// first byte. Clients send a head at once; one that sends a byte a second, to hold a thread,
    /// gets no more time than this.
    pub head: Duration,
    /// From a response to the first byte of the next head. Load balancers keep connections that they
    /// may need again for up to 60 s, browsers for longer, and each holds a thread here.
    pub idle: Duration,
    /// How long a write may go without progress, when the client's and the system's buffers are full.
    pub write: Duration,
    /// For what the client still sends after the last response.
    pub linger: Duration,
}

impl Limits {
    /// 10 s for a head, 75 s idle, 10 s for a write, 2 s to linger.
    pub const DEFAULT: Limits = Limits {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(10),
        linger: Duration::from_secs(2),
    };

    /// The limits while few slots are free: a tenth of the time for a head, and 0.3 s idle, which is enough
    /// for a client that sends one request after the other. One that is idle already goes up to 3 s later.
    pub fn when_few_are_free(self) -> Limits {
        Limits {
            head: self.head / 10,
            idle: self.idle / 250,
            ..self
        }
    }
}
