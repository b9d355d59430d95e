//! The server as a value in the test's own process, where its limits can be short.

use super::{Client, PATIENCE};
use bare_sse::connection::Site;
use bare_sse::counter::Counter;
use bare_sse::log::Log;
use bare_sse::page::Page;
use bare_sse::server::Server;
use bare_sse::watchdog::Limits;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The limits of a server with a tick of 50 ms: half a second for a head, a second and a half
/// idle, half a second for a write, and two ticks to linger.
pub const SHORT_LIMITS: Limits = Limits {
    tick: Duration::from_millis(50),
    ..Limits::DEFAULT
};

/// A server that lives as long as the test's process.
pub struct InProcess {
    pub address: SocketAddr,
    /// What it says of trouble.
    pub errors: Receiver<String>,
}

impl InProcess {
    pub fn start(counter: Counter, max_connections: usize, limits: Limits) -> InProcess {
        InProcess::start_with_page(Page::built_in(), counter, max_connections, limits)
    }

    pub fn start_with_page(
        page: Page,
        counter: Counter,
        max_connections: usize,
        limits: Limits,
    ) -> InProcess {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let site = Site {
            page,
            counter,
            log: Log::none(),
            clock: Instant::now(),
        };
        let (sender, errors) = channel();
        let server = Server {
            site,
            max_connections,
            limits,
            errors: Log::to(Texts(sender)).expect("a thread"),
        };
        thread::spawn(move || server.serve(&listener).expect("a first thread"));
        InProcess { address, errors }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Waits for what is said of trouble next: a line, or several that waited together.
    pub fn error(&self) -> String {
        self.errors.recv_timeout(PATIENCE).expect("trouble is told")
    }
}

/// A writer that hands over each text that is written to it.
struct Texts(Sender<String>);

impl Write for Texts {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(octets).into_owned();
        self.0.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
