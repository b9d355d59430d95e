//! A client: its socket, read and written within time limits.
//!
//! Each read and each write is bounded by a timeout of the socket.

use crate::limits::Limits;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How often a write is tried within its limit. Linux wakes a blocked writer only when a third of
/// the socket's buffer is free, which a slow client may need a minute for. Trying again sends what
/// fits, so it tells a client that is slow from one that has stopped.
const WRITE_TRIES: u32 = 10;

/// How many bytes of an unread request are discarded before the connection is closed anyway.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A client: its socket, which is closed when this is dropped.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    /// The client's address.
    pub address: SocketAddr,
    limits: Limits,
    read_timeout: Duration,
}

impl Client {
    /// The client at the other end of this socket.
    ///
    /// # Errors
    ///
    /// The system's; the connection is of no use then.
    pub fn new(socket: TcpStream, address: SocketAddr, limits: Limits) -> io::Result<Client> {
        // Some systems give it the mode of the listening socket.
        socket.set_nonblocking(false)?;
        // Each write is sent at once. Without this one that follows another could wait until the
        // client's system has acknowledged the first, which may take 40 ms.
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(limits.write / WRITE_TRIES))?;
        Ok(Client {
            socket,
            address,
            limits,
            read_timeout: Duration::ZERO,
        })
    }

    /// Reads what is there, or waits up to `timeout`, rounded up to 10 ms, for something. Returns how many
    /// bytes came. 0 is the end: the client will send no more.
    ///
    /// # Errors
    ///
    /// `TimedOut`, or the system's error.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        // For the system a timeout of zero is none at all.
        if timeout.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        // Setting the socket's timeout is a system call. Rounded, it is more often what it was.
        let timeout = Duration::from_millis(timeout.as_nanos().div_ceil(10_000_000) as u64 * 10);
        if self.read_timeout != timeout {
            self.socket.set_read_timeout(Some(timeout))?;
            self.read_timeout = timeout;
        }
        loop {
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(ErrorKind::TimedOut.into()),
                result => return result,
            }
        }
    }

    /// Writes all parts, one after the other, in one write if the system accepts that many bytes.
    ///
    /// # Errors
    ///
    /// The system's error. It is that of a timeout if no byte moved within the limit.
    pub fn write(&mut self, parts: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let parts = parts.iter().map(|part| IoSlice::new(part.as_ref()));
        let mut parts: Vec<_> = parts.collect();
        let (mut rest, mut tries) = (&mut parts[..], 0);
        while !rest.is_empty() {
            let written = match rest {
                // An event is one part. As a list of parts it would cost the system a quarter more.
                [part] => self.socket.write(part),
                _ => self.socket.write_vectored(rest),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    IoSlice::advance_slices(&mut rest, count);
                    tries = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && tries + 1 < WRITE_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Prepares to close a connection whose client may still be sending. Closing its socket outright
    /// would reset the connection, which can wipe out the response before the client has read it (RFC
    /// 9112 9.6). So this ends the sending half, then reads and discards, within bounds.
    ///
    /// # Errors
    ///
    /// The client has disconnected.
    pub fn linger(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        let begin = Instant::now();
        let mut buffer = vec![0; 4096];
        let mut discarded = 0;
        while discarded < LINGER_BYTES {
            let timeout = self.limits.linger.saturating_sub(begin.elapsed());
            match self.read(&mut buffer, timeout) {
                Ok(count @ 1..) => discarded += count,
                _ => break,
            }
        }
        Ok(())
    }
}

/// Unix says `WouldBlock` when a socket's timeout is over, Windows `TimedOut`.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
