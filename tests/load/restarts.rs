//! A socket that outlives its servers, with a thousand clients.

use crate::alone;
use crate::support::event_stream_reader::Reader;
use crate::support::{RawClient, Server, bare_sse, wait_until};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Follows a stream to event `last`, on as many connections as it takes. No number may be missing or come
/// twice, and no connect may be refused.
fn follow(address: SocketAddr, last: usize, seen: &AtomicUsize) {
    let mut next = 1;
    while next <= last {
        let mut client = RawClient::connect(address);
        // In HTTP/1.0, which has no chunks. To a reader of the stream, the head is fields to ignore.
        let request = format!(
            "GET /events HTTP/1.0\r\nLast-Event-ID: {}\r\n\r\n",
            next - 1
        );
        client.send(request.as_bytes());
        let mut reader = Reader::default();
        // The end or a reset is a loss, after which an EventSource connects again.
        while next <= last
            && let Some(bytes) = client.try_read()
        {
            reader.feed(&bytes);
            for event in reader.dispatched.drain(..) {
                let number = next.to_string();
                assert_eq!((&event.data, &event.last_event_id), (&number, &number));
                seen.fetch_add(1, Relaxed);
                next += 1;
            }
        }
    }
}

#[test]
#[ignore = "needs 3000 file descriptors"]
fn across_restarts_no_client_is_refused_and_a_thousand_streams_miss_no_event() {
    const STREAMS: usize = 1_000;
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let start = || {
        let socket = listener.try_clone().expect("its other name");
        let mut command = bare_sse(&["--listen", "-", "-q", "--interval", "100ms"]);
        Server::listening(command.stdin(OwnedFd::from(socket)))
    };
    let seen = AtomicUsize::new(0);
    let mut server = start();
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            let thread = thread::Builder::new().stack_size(256 * 1024);
            let stream = || follow(address, 60, &seen);
            thread.spawn_scoped(scope, stream).expect("a thread");
        }
        for part in 1..=3 {
            wait_until("a part of all events has come", || {
                seen.load(Relaxed) > part * 15 * STREAMS
            });
            server.kill();
            // New clients wait for the next server meanwhile.
            thread::sleep(Duration::from_millis(200));
            server = start();
        }
    });
}
