//! The server: accept a connection, give it a thread, and keep running when either fails.
//!
//! ```text
//! one thread:            wait for a free slot -> accept -> send the connection on -> wait …
//! another one:           receive a connection -> start its thread -> receive …
//! each of these threads: connection::serve, until the connection ends
//! ```

use crate::client::Client;
use crate::connection;
use crate::log::Log;
use crate::site::Site;
use crate::slots::{Slot, Slots};
use crate::trouble::Trouble;
use std::io;
use std::io::ErrorKind::{
    ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, Unsupported, WouldBlock,
};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The stack of a connection's thread in bytes. Only what is touched takes memory: two pages for a
/// stream. The most is needed by a panic that prints its backtrace in a debug build: 32 KiB are
/// enough for that and 24 KiB are not, so this is four times as much.
pub const STACK: usize = 128 * 1024;

/// How long the server waits when the system refuses a file descriptor, memory or a thread.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves every client of `listener`, at most `max_connections` at a time, which is at least 1. More clients wait in the
/// system's listen queue. Trouble is told to `errors`.
///
/// Returns only an error: the socket can never accept, because it does not listen, or there is no thread
/// to start others.
///
/// ```
/// use bare_sse::{counter::Counter, events::Events, log::Log, page::Page, server, site::Site};
/// use std::{net::TcpListener, sync::Arc, time::Duration};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?; // a free port
/// println!("http://{}", listener.local_addr()?);
/// let counter = Counter::new(Duration::from_secs(1), None);
/// let site = Site::new(Page::built_in(), Events::new(Arc::new(counter), Log::none()));
/// let errors = Log::to(std::io::stderr(), Log::none())?;
/// std::thread::spawn(move || server::serve(&listener, site, 100, &errors));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve(
    listener: &TcpListener,
    site: Site,
    max_connections: usize,
    errors: &Log,
) -> io::Error {
    let slots = Slots::new(max_connections);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        // Starting a thread takes longer than connecting, and the listen queue is short: the standard
        // library asks for 128. So one thread does nothing but accept. Of 3,000 clients that connect one
        // after the other, 4 to 11 wait for a second; if the same thread did both, 13 to 15.
        let starter = thread::Builder::new().name("starter".into());
        match starter.spawn_scoped(scope, || start_threads(receiver, site, &slots, errors)) {
            Ok(_) => accept_clients(listener, &slots, sender, errors),
            Err(error) => io::Error::other(format!("can't start a thread: {error}")),
        }
    })
}

/// A client and the slot of its connection.
type Accepted = (TcpStream, SocketAddr, Slot);

/// Accepts clients, each when a slot is free for it, and sends them on. Returns only if none will
/// ever come.
fn accept_clients(
    listener: &TcpListener,
    slots: &Arc<Slots>,
    sender: Sender<Accepted>,
    errors: &Log,
) -> io::Error {
    let (mut full, mut no_client) = (Trouble::default(), Trouble::default());
    let mut has_accepted = false;
    loop {
        if slots.are_all_taken() {
            let (count, line) = (slots.count, "new clients wait for one to end");
            full.meet(
                || errors.line(format_args!("all connections are taken ({count}): {line}")),
                || slots.wait(),
            );
        }
        match listener.accept() {
            Ok((socket, address)) => {
                has_accepted = true;
                if sender.send((socket, address, slots.take())).is_err() {
                    return io::Error::other("the thread that starts others has panicked");
                }
            }
            Err(error) => match error.kind() {
                // The client has already disconnected, or a signal came.
                ConnectionAborted | ConnectionReset | Interrupted => {}
                // Whoever handed over the socket, or shares it, has set it so.
                WouldBlock if listener.set_nonblocking(false).is_ok() => {}
                // The socket does not listen, or is of a kind that can't. A client's own error may look
                // like that too, once there are clients.
                InvalidInput | Unsupported if !has_accepted => return error,
                _ => {
                    slots.system_refused();
                    no_client.meet(
                        || errors.line(format_args!("can't accept, new clients wait: {error}")),
                        || thread::sleep(PAUSE),
                    );
                }
            },
        }
    }
}

/// Gives each connection its thread. When the system refuses one, waits until it allows it.
fn start_threads(receiver: Receiver<Accepted>, site: Site, slots: &Slots, errors: &Log) {
    let site = Arc::new(site);
    let mut no_thread = Trouble::default();
    for accepted in receiver {
        // When the system refuses a thread, what was moved into its closure is dropped. So the closure
        // gets a shared handle, and takes the connection out of it.
        let accepted = Arc::new(Mutex::new(Some(accepted)));
        let start = || {
            let (accepted, site) = (Arc::clone(&accepted), Arc::clone(&site));
            // `thread::spawn` would panic when the system refuses a thread.
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn(move || {
                // The slot is freed last, when the socket is closed: otherwise there could be more
                // open sockets than slots. An error means that the client has disconnected.
                let (socket, address, slot) = accepted.lock().ok()?.take()?;
                let client = Client::new(socket, address, site.limits).ok()?;
                connection::serve(client, &site, &slot).ok()
            })
        };
        while let Err(error) = start() {
            slots.system_refused();
            no_thread.meet(
                || errors.line(format_args!("can't start a thread, clients wait: {error}")),
                || thread::sleep(PAUSE),
            );
        }
    }
}
