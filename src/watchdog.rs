//! The open connections, and the deadline of each.
//!
//! A blocking read of a client that sends nothing lasts forever, and so does a write to one that
//! reads nothing. A socket timeout would end them, at the price of a kernel timer armed for every
//! read. Here every connection has one number beside its socket instead, the tick by which it
//! must be done, and storing it costs nothing. One thread counts ticks, walks the open
//! connections at each, and shuts down the sockets that are past their deadline: the blocked read
//! or write then returns.
//!
//! The same table of open connections bounds how many there are.

use std::collections::HashMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long a client may take for what, in ticks. It is cut off after that, and not more than
/// two ticks later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a tick is; not zero.
    pub tick: Duration,
    /// From the first octet of a head to its last. Real clients send a head at once; one that sends
    /// an octet a second, to hold a thread, gets no more than this.
    pub head: u32,
    /// From an answer, or the opening of the connection, to the first octet of the next head.
    /// Browsers open connections ahead of need and keep them; each holds a thread here.
    pub idle: u32,
    /// For one write that does not move, because the client's and the system's buffers are full.
    /// A client that was only slow comes back with its last event ID.
    pub write: u32,
    /// For the rest of a request that was answered before it was read whole.
    pub linger: u32,
}

impl Limits {
    /// 10 s for a head, 30 s idle, 10 s for a write, 2 s to linger.
    pub const DEFAULT: Limits = Limits {
        tick: Duration::from_secs(1),
        head: 10,
        idle: 30,
        write: 10,
        linger: 2,
    };
}

/// How many octets of an unread request are discarded before the connection is closed anyway.
const LINGER_OCTETS: usize = 16 * 1024 * 1024;

/// The open connections. See the [module](self).
#[derive(Debug)]
pub struct Watchdog {
    limits: Limits,
    most: usize,
    /// Ticks since the start.
    ticks: AtomicU32,
    open: Mutex<HashMap<u64, Weak<Connection>>>,
    freed: Condvar,
}

/// An open connection: its socket, and the deadline that the watchdog looks at.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    /// The address of the client.
    pub client: SocketAddr,
    /// [`NO_DEADLINE`], or a tick, doubled, and 1 more where a write is waited for.
    deadline: AtomicU32,
    /// Whether the watchdog has cut the client off.
    is_cut: AtomicBool,
    number: u64,
    watchdog: Arc<Watchdog>,
}

/// The most octets of one write, and of one slice. A write returns when the system has taken all of
/// it, so the limit for one would else be a limit for all that waits: with this one, a client that
/// reads 26 kB a second is fast enough.
pub const WRITE_OCTETS: usize = 256 * 1024;

const NO_DEADLINE: u32 = u32::MAX;

impl Watchdog {
    /// An empty table of at most `most` connections, from 1, and the thread that watches it.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the thread.
    pub fn start(most: usize, limits: Limits) -> io::Result<Arc<Watchdog>> {
        let watchdog = Arc::new(Watchdog {
            limits,
            most,
            ticks: AtomicU32::new(0),
            open: Mutex::default(),
            freed: Condvar::new(),
        });
        let watching = Arc::downgrade(&watchdog);
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                while let Some(watchdog) = watching.upgrade() {
                    watchdog.tick();
                    drop(watchdog);
                    thread::sleep(limits.tick);
                }
            })?;
        Ok(watchdog)
    }

    /// Whether as many connections are open as may be.
    pub fn is_full(&self) -> bool {
        self.lock().len() >= self.most
    }

    /// Returns when there is room for one more connection.
    pub fn wait_for_room(&self) {
        let full = |open: &mut HashMap<_, _>| open.len() >= self.most;
        drop(self.freed.wait_while(self.lock(), full));
    }

    /// Takes a connection into the table; `number` is that of no other open connection. It leaves
    /// the table, and makes room, when the last reference to it is dropped, however that happens.
    pub fn watch(
        self: &Arc<Self>,
        number: u64,
        socket: TcpStream,
        client: SocketAddr,
    ) -> Arc<Connection> {
        let deadline = AtomicU32::new(NO_DEADLINE);
        let watchdog = Arc::clone(self);
        let connection = Arc::new(Connection {
            socket,
            client,
            deadline,
            is_cut: AtomicBool::new(false),
            number,
            watchdog,
        });
        self.lock().insert(number, Arc::downgrade(&connection));
        connection
    }

    /// Counts a tick and cuts off whoever is late.
    fn tick(&self) {
        let now = self.ticks.fetch_add(1, Relaxed) + 1;
        // The references are dropped after the lock is, for the last one takes the lock.
        let open: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        for connection in open {
            connection.cut_off_if_late(now);
        }
    }

    /// The table holds no half-done change, so a thread that panicked with the lock did no harm.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// How long the client may take for what.
    pub fn limits(&self) -> &Limits {
        &self.watchdog.limits
    }

    /// The number of the tick that was last.
    pub fn tick(&self) -> u32 {
        self.watchdog.ticks.load(Relaxed)
    }

    /// From here on reads must be done within `limit` ticks: they give 0 octets after that.
    pub fn allow_reads(&self, limit: u32) {
        self.deadline.store(self.tick_after(limit) << 1, Relaxed);
    }

    /// Whether the watchdog has ended its reads, so that 0 octets are not the client's end.
    pub fn is_late(&self) -> bool {
        self.is_cut.load(Relaxed)
    }

    /// Reads what is there, and waits when nothing is. 0 octets are the end.
    ///
    /// # Errors
    ///
    /// The system's; the connection is of no more use then.
    pub fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.socket).read(octets) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes all octets: [`Connection::write_all`] for those that stand in a row.
    ///
    /// # Errors
    ///
    /// The system's; the connection is of no more use then.
    pub fn write(&self, octets: &[u8]) -> io::Result<()> {
        self.write_all(&mut [IoSlice::new(octets)])
    }

    /// Writes all octets of all slices, [`WRITE_OCTETS`] at a time at most. No write may wait
    /// longer than the limit for one; afterwards there is no deadline.
    ///
    /// # Errors
    ///
    /// The system's; the connection is of no more use then.
    pub fn write_all(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !slices.is_empty() {
            let limit = self.tick_after(self.watchdog.limits.write);
            self.deadline.store(limit << 1 | 1, Relaxed);
            let mut octets = 0;
            let count = slices.iter().take_while(|slice| {
                octets += slice.len();
                octets <= WRITE_OCTETS
            });
            let count = count.count().max(1);
            // A plain write takes the system less than a vectored one.
            let written = match &slices[..count] {
                [octets] => (&self.socket).write(octets),
                slices => (&self.socket).write_vectored(slices),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.deadline.store(NO_DEADLINE, Relaxed);
        Ok(())
    }

    /// Sends each write at once from here on, as a stream needs, instead of waiting until more
    /// comes or the client has acknowledged the last.
    pub fn send_at_once(&self) {
        // Where the system refuses, events are at worst late.
        let _ = self.socket.set_nodelay(true);
    }

    /// The closing that lets the client read the last answer although not all that it sent was
    /// read: to close such a socket outright resets the connection, which can wipe out the answer
    /// (RFC 9112 9.6). Ends the sending half, then reads and discards, within bounds.
    pub fn linger(&self) {
        if self.is_late() {
            // The receiving half is shut down: as soon as the sending half is too, the system may
            // answer what still comes with a reset. So the client's time to read comes first.
            thread::sleep(self.watchdog.limits.tick);
        }
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        self.allow_reads(self.watchdog.limits.linger);
        let mut octets = vec![0; 4096];
        let mut discarded = 0;
        while discarded < LINGER_OCTETS
            && let Ok(read @ 1..) = self.read(&mut octets)
        {
            discarded += read;
        }
    }

    /// Ends what the connection waits for: a read, but so that an answer can still be written,
    /// or a write.
    fn cut_off_if_late(&self, now: u32) {
        let deadline = self.deadline.load(Relaxed);
        if deadline >> 1 <= now {
            let half = if deadline & 1 == 0 {
                Shutdown::Read
            } else {
                Shutdown::Both
            };
            self.is_cut.store(true, Relaxed);
            // It fails when the client has left, which ends the wait too.
            let _ = self.socket.shutdown(half);
        }
    }

    /// The first tick that is at least `limit` whole ticks away.
    fn tick_after(&self, limit: u32) -> u32 {
        self.tick() + limit + 1
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watchdog.lock().remove(&self.number);
        self.watchdog.freed.notify_one();
    }
}
