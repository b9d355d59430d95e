//! The server: accept a connection, give it a thread, and keep running when either fails.
//!
//! ```text
//! one thread:            wait for a free slot -> accept -> send the connection on -> wait …
//! another one:           receive a connection -> start its thread -> receive …
//! each of these threads: connection::serve, until the connection ends
//! ```

use crate::client::Client;
use crate::connection::{self, Site};
use crate::log::{Log, Trouble};
use crate::slots::{Slot, Slots};
use std::io;
use std::io::ErrorKind::{
    ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, Unsupported, WouldBlock,
};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// The stack of a connection's thread in bytes. Only what is touched takes memory: two pages for a
/// stream. The most is needed by a panic that prints its backtrace in a debug build: 32 KiB are
/// enough for that and 24 KiB are not, so this is four times as much.
pub const STACK: usize = 128 * 1024;

/// How long the server waits when the system refuses a file descriptor, memory or a thread.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves every client of `listener`, at most `max_connections` at a time. More clients wait in the
/// system's listen queue. Trouble is told to `errors`.
///
/// Returns only an error: the socket can never accept, because it does not listen, or the system
/// refuses the second thread.
///
/// ```
/// use bare_sse::{connection::Site, counter::Counter, log::Log, page::Page, server};
/// use std::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?; // a free port
/// println!("http://{}", listener.local_addr()?);
/// let site = Site::new(Page::built_in(), Counter::default(), Log::none());
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
        // To start a thread takes longer than to connect, and the listen queue is short: the standard
        // library asks for 128. So one thread does nothing but accept.
        let starter = thread::Builder::new().name("starter".into());
        match starter.spawn_scoped(scope, || start_threads(receiver, site, &slots, errors)) {
            Ok(_) => accept_clients(listener, &slots, sender, errors),
            Err(error) => io::Error::other(format!("can't start a thread: {error}")),
        }
    })
}

/// Accepts clients, each when a slot is free for it, and sends them on. Returns only if none will
/// ever come.
fn accept_clients(
    listener: &TcpListener,
    slots: &Arc<Slots>,
    sender: Sender<Accepted>,
    errors: &Log,
) -> io::Error {
    let mut full = Trouble::new(errors);
    let mut no_client = Trouble::new(errors);
    loop {
        if !slots.has_free() {
            full.tell(format_args!(
                "all {} connections are taken: new clients wait for one to end",
                slots.count
            ));
            slots.wait_for_free();
            full.has_lasted();
        }
        match listener.accept() {
            Ok((socket, address)) => {
                let slot = slots.take();
                // It is received as long as this thread runs.
                let _ = sender.send(Accepted {
                    socket,
                    address,
                    slot,
                });
            }
            Err(error) => match error.kind() {
                // The client has gone again, or a signal came.
                ConnectionAborted | ConnectionReset | Interrupted => {}
                // Whoever handed over the socket, or shares it, has set it so.
                WouldBlock if listener.set_nonblocking(false).is_ok() => {}
                // The socket does not listen, or is of a kind that can't.
                InvalidInput | Unsupported => return error,
                _ => {
                    no_client.tell(format_args!("can't accept, new clients wait: {error}"));
                    thread::sleep(PAUSE);
                }
            },
        }
    }
}

/// Gives each connection its thread. When the system refuses one, waits until it allows it.
fn start_threads(receiver: Receiver<Accepted>, site: Site, slots: &Slots, errors: &Log) {
    let site = Arc::new(site);
    let mut no_thread = Trouble::new(errors);
    for accepted in receiver {
        // When the system refuses a thread, what was moved into it is dropped. So it gets a share.
        let accepted = Arc::new(accepted);
        let start = || {
            let (accepted, site) = (Arc::clone(&accepted), Arc::clone(&site));
            // `thread::spawn` would panic when the system refuses a thread.
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn(move || serve_connection(&accepted, &site))
        };
        while let Err(error) = start() {
            slots.set_threads_refused(true);
            no_thread.tell(format_args!("can't start a thread, clients wait: {error}"));
            thread::sleep(PAUSE);
        }
        slots.set_threads_refused(false);
    }
}

/// A connection and its slot. The socket is closed before the slot is free: fields are dropped in the
/// order in which they stand here.
struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    slot: Slot,
}

fn serve_connection(accepted: &Accepted, site: &Site) {
    // An error means that the client has gone already.
    if let Ok(mut client) = Client::new(&accepted.socket, accepted.address, site.limits) {
        connection::serve(&mut client, site, &accepted.slot);
    }
}
