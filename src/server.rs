//! The server: accept a connection, give it a thread, and survive every failure of the two.
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
use std::fmt;
use std::io::{self, ErrorKind};
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

/// Trouble that comes back within this time is not told again.
const SAME_TROUBLE: Duration = Duration::from_secs(10);

/// A connection that waits for its thread.
struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    slot: Slot,
}

/// Serves every client of `listener`, at most `max_connections` at a time. More clients wait in the
/// system's listen queue. Trouble is told to `errors`.
///
/// Returns only if `listener` can't accept at all, because its socket does not listen.
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
    let site = Arc::new(site);
    let slots = Slots::new(max_connections);
    let (mut full, mut refused) = (Trouble::new(errors), Trouble::new(errors));
    let mut crowd = VecDeque::new();
    loop {
        let slot = slots.take().unwrap_or_else(|| {
            full.tell(format_args!(
                "all {max_connections} connections are taken: new clients wait for one to end"
            ));
            slots.wait()
        });
        match accept(listener, slot) {
            Ok(accepted) => crowd.push_back(accepted),
            Err(error) if is_passing(&error) => {}
            Err(error) if is_final(&error) => return error,
            Err(error) => {
                refused.tell(format_args!("can't accept, new clients wait: {error}"));
                thread::sleep(PAUSE);
            }
        }
        while let Some(accepted) = crowd.pop_front() {
            let accepted = Arc::new(accepted);
            while let Err(error) = start_thread(&accepted, &site) {
                refused.tell(format_args!("can't start a thread, clients wait: {error}"));
                thread::sleep(PAUSE);
            }
            // To start a thread takes longer than to open a connection, and the listen queue is
            // short: std asks for 128. So it is emptied before the next thread is started.
            accept_waiting(listener, &slots, &mut crowd);
        }
    }
}

fn accept(listener: &TcpListener, slot: Slot) -> io::Result<Accepted> {
    let (socket, address) = listener.accept()?;
    Ok(Accepted {
        socket,
        address,
        slot,
    })
}

/// Accepts all clients that wait and have a free slot, and waits for none. If something goes wrong,
/// it will go wrong again where the server waits for a client, and be dealt with there.
fn accept_waiting(listener: &TcpListener, slots: &Arc<Slots>, crowd: &mut VecDeque<Accepted>) {
    if listener.set_nonblocking(true).is_ok() {
        while let Some(slot) = slots.take()
            && let Ok(accepted) = accept(listener, slot)
            // On some systems the socket has inherited that it does not block.
            && accepted.socket.set_nonblocking(false).is_ok()
        {
            crowd.push_back(accepted);
        }
    }
    let _ = listener.set_nonblocking(false);
}

/// Gives a connection its thread. `thread::spawn` would panic when the system refuses one.
fn start_thread(accepted: &Arc<Accepted>, site: &Arc<Site>) -> io::Result<()> {
    let (accepted, site) = (Arc::clone(accepted), Arc::clone(site));
    let serve = move || {
        let Accepted {
            socket,
            address,
            slot,
        } = &*accepted;
        // An error means that the client has gone already.
        if let Ok(mut client) = Client::new(socket, *address, site.limits) {
            connection::serve(&mut client, &site, slot);
        }
    };
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(serve).map(drop)
}

/// The client has gone again, another process that shares the socket was faster, or a signal came.
fn is_passing(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | WouldBlock
    )
}

/// The socket does not listen.
fn is_final(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Unsupported
    )
}

/// Trouble of one kind, which is told when it begins and not each time it comes back.
struct Trouble<'a> {
    errors: &'a Log,
    last: Option<Instant>,
}

impl<'a> Trouble<'a> {
    fn new(errors: &'a Log) -> Self {
        Trouble { errors, last: None }
    }

    fn tell(&mut self, line: fmt::Arguments<'_>) {
        if self.last.is_none_or(|last| last.elapsed() > SAME_TROUBLE) {
            self.errors.line(line);
        }
        self.last = Some(Instant::now());
    }
}

/// How many connections `max_map_count` memory mappings are enough for.
///
/// On Linux a thread takes four mappings: its stack and its signal stack, and a guard page for each.
/// When they run out, a thread that starts ends the whole process. A fifth is left for threads whose
/// slots are free again while they end, and for all else.
pub const fn most_connections(max_map_count: usize) -> usize {
    max_map_count / 5
}

/// Says what is wrong with a number of connections that this system can't hold.
///
/// # Errors
///
/// One line that names the setting to raise, and to what.
pub fn check_max_connections(max_connections: usize) -> Result<(), String> {
    // Only Linux has this file, and this limit.
    let setting = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let Ok(max_map_count) = setting.trim().parse() else {
        return Ok(());
    };
    let most = most_connections(max_map_count);
    if max_connections <= most {
        return Ok(());
    }
    let needed = max_connections.saturating_mul(5);
    Err(format!(
        "--max-connections {max_connections} needs vm.max_map_count={needed}, which is \
         {max_map_count} here: raise it with sysctl, or allow {most} connections at most"
    ))
}
