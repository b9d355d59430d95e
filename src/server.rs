//! The server: accept a connection, give it a thread, and keep running when either fails.
//!
//! ```text
//! wait for a free slot -> accept -> spawn a thread -> wait for a free slot -> …
//!                                        |
//!                                        connection::serve, until the connection ends
//! ```

use crate::client::Client;
use crate::connection::{self, Site};
use crate::log::Log;
use crate::slots::{Slot, Slots};
use std::collections::VecDeque;
use std::io;
use std::io::ErrorKind::{
    ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, WouldBlock,
};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The stack of a connection's thread in bytes. Only what is touched takes memory: two pages for a
/// stream. The most is needed by a panic that prints its backtrace in a debug build: 32 KiB are
/// enough for that and 24 KiB are not, so this is four times as much.
pub const STACK: usize = 128 * 1024;

/// How long the server waits when the system refuses a file descriptor, memory or a thread.
const PAUSE: Duration = Duration::from_millis(50);

/// This many clients that came while one thread was started are a crowd.
const CROWD: usize = 8;

/// How long to wait for more of a crowd.
const CROWD_PAUSE: Duration = Duration::from_micros(100);

/// The same kind of trouble is told once, until it has been absent for this time.
const SAME_TROUBLE: Duration = Duration::from_secs(10);

/// Serves every client of `listener`, at most `max_connections` at a time. More clients wait in the
/// system's listen queue. Trouble is told to `errors`.
///
/// Returns only if `listener` can never accept, because its socket does not listen.
///
/// ```
/// use bare_sse::{connection::Site, counter::Counter, log::Log, page::Page, server};
/// use std::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?; // a free port
/// println!("http://{}", listener.local_addr()?);
/// let site = Site::new(Page::built_in(), Counter::default(), Log::none());
/// let errors = Log::to(std::io::stderr())?;
/// std::thread::spawn(move || server::serve(&listener, site, 100, &errors));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve(
    listener: &TcpListener,
    site: Site,
    max_connections: usize,
    errors: &Log,
) -> io::Error {
    let mut server = Server {
        listener,
        site: Arc::new(site),
        slots: Slots::new(max_connections),
        accepted: VecDeque::new(),
        full: Trouble { errors, last: None },
        no_client: Trouble { errors, last: None },
        no_thread: Trouble { errors, last: None },
    };
    loop {
        if let Err(error) = server.wait_for_client() {
            return error;
        }
        while let Some(next) = server.accepted.pop_front() {
            server.start_thread(next);
            // To start a thread takes longer than to connect, and the listen queue is short: the
            // standard library asks for 128. So it is emptied before the next thread is started.
            server.accept_all_that_wait();
        }
    }
}

/// Makes the process's table of open files large enough for `max_connections`, by opening as many at
/// once and closing them again. Linux doubles the table when it is full. A process that has several
/// threads waits for milliseconds each time, in `accept`, and the listen queue overflows. So call this
/// before other threads start. Errors are ignored: the table grows later then. Other systems have no
/// such table.
pub fn reserve_files(listener: &TcpListener, max_connections: usize) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let files = (0..max_connections).map_while(|_| listener.try_clone().ok());
    drop(files.collect::<Vec<_>>());
}

struct Server<'a> {
    listener: &'a TcpListener,
    site: Arc<Site>,
    slots: Arc<Slots>,
    /// Connections that wait for their threads.
    accepted: VecDeque<Accepted>,
    full: Trouble<'a>,
    no_client: Trouble<'a>,
    no_thread: Trouble<'a>,
}

/// A connection and its slot. The socket is closed before the slot is free.
struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    slot: Slot,
}

impl Server<'_> {
    /// Waits for a free slot, then for a client. An error says that none will ever come.
    fn wait_for_client(&mut self) -> io::Result<()> {
        let slot = self.slots.take().unwrap_or_else(|| {
            let most = self.slots.most;
            self.full.tell(&format!(
                "all {most} connections are taken: new clients wait for one to end"
            ));
            self.slots.wait()
        });
        let Err(error) = self.accept(slot) else {
            return Ok(());
        };
        match error.kind() {
            // The client has gone again, or a signal came.
            ConnectionAborted | ConnectionReset | Interrupted => {}
            // Another process that shares the socket has changed its mode.
            WouldBlock => self.listener.set_nonblocking(false)?,
            // The socket does not listen.
            InvalidInput => return Err(error),
            _ => {
                self.no_client
                    .tell(&format!("can't accept, new clients wait: {error}"));
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Accepts the clients that wait already. As long as they come in a crowd, no thread is started:
    /// threads that start would keep this one from accepting.
    fn accept_all_that_wait(&mut self) {
        if self.listener.set_nonblocking(true).is_ok() {
            while self.accept_without_waiting() >= CROWD {
                thread::sleep(CROWD_PAUSE);
            }
        }
        let _ = self.listener.set_nonblocking(false);
    }

    /// Accepts clients until none waits or no slot is free. Returns how many. Errors are ignored: the
    /// blocking accept will meet them again.
    fn accept_without_waiting(&mut self) -> usize {
        let before = self.accepted.len();
        while let Some(slot) = self.slots.take()
            && self.accept(slot).is_ok()
        {}
        self.accepted.len() - before
    }

    fn accept(&mut self, slot: Slot) -> io::Result<()> {
        let (socket, address) = self.listener.accept()?;
        // Some systems give it the listener's mode.
        let _ = socket.set_nonblocking(false);
        self.accepted.push_back(Accepted {
            socket,
            address,
            slot,
        });
        Ok(())
    }

    /// Gives a connection its thread, and waits until the system allows one.
    fn start_thread(&mut self, accepted: Accepted) {
        // A thread that the system refuses drops its share.
        let accepted = Arc::new(accepted);
        loop {
            let (accepted, site) = (Arc::clone(&accepted), Arc::clone(&self.site));
            // `thread::spawn` would panic when the system refuses a thread.
            let thread = thread::Builder::new().stack_size(STACK);
            match thread.spawn(move || serve_connection(&accepted, &site)) {
                Ok(_) => return,
                Err(error) => {
                    self.no_thread
                        .tell(&format!("can't start a thread, clients wait: {error}"));
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

fn serve_connection(accepted: &Accepted, site: &Site) {
    // An error means that the client has gone already.
    if let Ok(mut client) = Client::new(&accepted.socket, accepted.address, site.limits) {
        connection::serve(&mut client, site, &accepted.slot);
    }
}

/// Trouble of one kind, which is told when it begins and not each time it comes back.
struct Trouble<'a> {
    errors: &'a Log,
    last: Option<Instant>,
}

impl Trouble<'_> {
    fn tell(&mut self, line: &str) {
        if self.last.is_none_or(|last| last.elapsed() > SAME_TROUBLE) {
            self.errors.line(format_args!("{line}"));
        }
        self.last = Some(Instant::now());
    }
}
