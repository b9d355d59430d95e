//! The server: accept a connection, give it a thread, and survive every failure of the two.
//!
//! ```text
//! wait for room -> accept -> spawn a thread -> wait for room -> …
//!                                 |
//!                                 connection::serve, in the new thread, until the connection ends
//! ```

use crate::connection::{self, Site};
use crate::log::Log;
use crate::watchdog::{Connection, Limits, Watchdog};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The stack of a connection's thread, in octets. Only what is touched takes memory: two pages of a
/// stream's. The most is needed by a panic that prints its backtrace, in a debug build: 32 KiB are
/// enough for that and 24 are not, so this is four times as much.
pub const STACK: usize = 128 * 1024;

/// How long accepting pauses when the system refuses a file descriptor, memory or a thread.
const PAUSE: Duration = Duration::from_millis(50);

/// Trouble that returns within this time is still the same trouble, and not told again.
const EPISODE: Duration = Duration::from_secs(10);

/// A server, ready to serve on a listener.
///
/// ```
/// use bare_sse::{connection::Site, counter::Counter, log::Log, page::Page};
/// use bare_sse::{server::Server, watchdog::Limits};
/// use std::net::TcpListener;
/// use std::time::Instant;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?; // a free port
/// println!("http://{}", listener.local_addr()?);
/// let site = Site {
///     page: Page::built_in(),
///     counter: Counter::default(),
///     log: Log::none(),
///     clock: Instant::now(),
/// };
/// let server = Server {
///     site,
///     max_connections: 100,
///     limits: Limits::DEFAULT,
///     errors: Log::to(std::io::stderr())?,
/// };
/// std::thread::spawn(move || server.serve(&listener));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    /// What it answers.
    pub site: Site,
    /// How many connections, and so threads, it holds at most, from 1. More clients wait in the
    /// system's listen queue.
    pub max_connections: usize,
    /// How long clients may take for what.
    pub limits: Limits,
    /// Where trouble is told.
    pub errors: Log,
}

impl Server {
    /// Serves every client of `listener`, until the process ends.
    ///
    /// # Errors
    ///
    /// The system's, when it refuses the first thread. After that no error ends the server.
    pub fn serve(self, listener: &TcpListener) -> io::Result<()> {
        let watchdog = Watchdog::start(self.max_connections, self.limits)?;
        let site = Arc::new(self.site);
        let [mut full, mut refused] = [Episodes::new(&self.errors), Episodes::new(&self.errors)];
        for number in 0.. {
            if watchdog.is_full() {
                full.report(format_args!(
                    "all {} connections are taken: new clients wait for one to end",
                    self.max_connections
                ));
                watchdog.wait_for_room();
            }
            let (socket, client) = match listener.accept() {
                Ok(accepted) => accepted,
                // The client has gone again, or a signal came.
                Err(error) if is_passing(error.kind()) => continue,
                Err(error) => {
                    refused.report(format_args!("can't accept, new clients wait: {error}"));
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            let connection = watchdog.watch(number, socket, client);
            while let Err(error) = start_thread(&connection, &site) {
                refused.report(format_args!("can't start a thread, clients wait: {error}"));
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

/// Gives a connection its thread.
fn start_thread(connection: &Arc<Connection>, site: &Arc<Site>) -> io::Result<()> {
    let (connection, site) = (Arc::clone(connection), Arc::clone(site));
    let thread = thread::Builder::new().stack_size(STACK);
    thread
        .spawn(move || connection::serve(&connection, &site))
        .map(drop)
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Trouble of one kind, which is told when it begins and not each time it is met.
struct Episodes<'a> {
    errors: &'a Log,
    last: Option<Instant>,
}

impl<'a> Episodes<'a> {
    fn new(errors: &'a Log) -> Self {
        Episodes { errors, last: None }
    }

    fn report(&mut self, line: fmt::Arguments<'_>) {
        if self.last.is_none_or(|last| last.elapsed() > EPISODE) {
            self.errors.line(line);
        }
        self.last = Some(Instant::now());
    }
}

/// How many threads `max_map_count` memory mappings are enough for.
///
/// On Linux every thread takes four: its stack and its signal stack, with a guard page to each.
/// Where they run out, a thread that starts ends the whole process, so it must not come to that.
/// 512 are left for all else.
pub const fn most_threads(max_map_count: usize) -> usize {
    max_map_count.saturating_sub(512) / 4
}

/// Says what is wrong with a number of connections that this system can't hold.
///
/// # Errors
///
/// One line that names the setting to raise, and to what.
pub fn check_room(max_connections: usize) -> Result<(), String> {
    // Linux alone has this file, and this limit.
    let setting = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let Ok(max_map_count) = setting.trim().parse() else {
        return Ok(());
    };
    let most = most_threads(max_map_count);
    if max_connections <= most {
        return Ok(());
    }
    let needed = max_connections.saturating_mul(4).saturating_add(512);
    Err(format!(
        "--max-connections {max_connections} needs vm.max_map_count={needed}, which is \
         {max_map_count} here: raise it with sysctl, or take {most} connections at most"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Counter;
    use crate::page::Page;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    /// The answer to a request for a path, up to the end of the connection.
    fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(address).expect("the server accepts");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = String::new();
        socket
            .read_to_string(&mut answer)
            .expect("the server writes");
        answer
    }

    #[test]
    fn a_panic_stays_in_its_connection_and_its_slot_is_free_again() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let site = Site {
            page: Page::built_in(),
            counter: Counter {
                interval: Duration::from_millis(5),
                ..Counter::default()
            },
            log: Log::none(),
            clock: Instant::now(),
        };
        let errors = Log::none();
        let server = Server {
            site,
            max_connections: 2,
            limits: Limits::DEFAULT,
            errors,
        };
        thread::spawn(move || server.serve(&listener));

        let mut stream = TcpStream::connect(address).expect("the server accepts");
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("the server reads");
        for _ in 0..5 {
            // One slot is left. Were it lost, the next client would wait forever.
            assert_eq!(get(address, "/panic"), "");
            assert!(get(address, "/").starts_with("HTTP/1.1 200 OK\r\n"));
        }
        let mut octets = String::new();
        while !octets.contains("id: 50\n") {
            let mut more = [0; 1024];
            let count = stream.read(&mut more).expect("the stream goes on");
            assert!(count > 0, "the stream ended");
            octets += std::str::from_utf8(&more[..count]).expect("text");
        }
    }
}
