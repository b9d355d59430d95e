//! The server as a value in the test's own process, where its limits can be short.

use super::RawClient;
use bare_sse::counter::Counter;
use bare_sse::events::Events;
use bare_sse::limits::Limits;
use bare_sse::log::Log;
use bare_sse::page::Page;
use bare_sse::server;
use bare_sse::site::Site;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Limits that are shorter than the default. While few slots are free, a tenth of the time for a head must
/// still be enough for a client on a busy machine.
pub const SHORT_LIMITS: Limits = Limits {
    head: Duration::from_millis(3000),
    idle: Duration::from_millis(1000),
    write: Duration::from_millis(500),
    linger: Duration::from_millis(100),
};

/// A site with the built-in page, no log, and short limits.
pub fn site(counter: Counter) -> Site {
    Site {
        limits: SHORT_LIMITS,
        ..Site::new(
            Page::built_in(),
            Events::new(Arc::new(counter), Log::none()),
        )
    }
}

/// One whose events come a second apart, if anybody waits for them.
pub fn usual_site() -> Site {
    site(Counter::new(Duration::from_secs(1), None))
}

/// A server that lives as long as the test's process.
pub struct InProcess {
    pub address: SocketAddr,
    /// What it says of trouble.
    pub errors: Receiver<String>,
}

impl InProcess {
    pub fn start(site: Site, max_connections: usize) -> InProcess {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (log, errors) = log_of_texts();
        thread::spawn(move || server::serve(&listener, site, max_connections, &log));
        InProcess { address, errors }
    }

    pub fn connect(&self) -> RawClient {
        RawClient::connect(self.address)
    }
}

/// A log, and the texts that are written to it: a line, or several that waited together.
pub fn log_of_texts() -> (Log, Receiver<String>) {
    let (sender, texts) = channel();
    let log = Log::to(Texts(sender), Log::none());
    (log.expect("a thread"), texts)
}

/// A writer that hands over each text that is written to it.
struct Texts(Sender<String>);

impl Write for Texts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
