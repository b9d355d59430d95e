//! What the server does over loopback, beside a floor: `cargo bench --bench server`.
//!
//! The floor is a server of the same shape, one thread per connection, that parses nothing: it reads
//! whatever comes and writes the bytes of bare-sse's own response. The time that bare-sse needs
//! beyond the floor's is its own work; the rest is what system calls and threads cost.
//!
//! All of it runs on one processor where the system has `taskset`, so that a time is the work of
//! client and server together. On several processors it would mostly be the time in which one
//! wakes another, which can differ by a factor of ten from run to run.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use bare_sse::counter::Counter;
use bare_sse::events::Events;
use bare_sse::log::Log;
use bare_sse::page::Page;
use bare_sse::server::STACK;
use bare_sse::site::Site;
use criterion::{Criterion, SamplingMode, criterion_group};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use support::in_process::InProcess;
use support::table::PAGE;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const GET_EVENTS: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What the beginning of a stream ends with.
const RETRY: &[u8] = b"retry: 10000\n\n\r\n";

/// One GET after another on a connection that persists.
fn open_connection(criterion: &mut Criterion) {
    let server = start_server();
    let response = response_to(server, GET, PAGE);
    let floor = start_floor(&response, Then::ReadOn);

    let mut group = criterion.benchmark_group("GET on an open connection");
    for (name, address) in [("floor", floor), ("bare-sse", server)] {
        let mut socket = connect(address);
        group.bench_function(name, |bencher| {
            bencher.iter(|| exchange(&mut socket, GET, response.len()));
        });
    }
    group.finish();
}

/// Connect, GET, read to the end of the connection, close.
fn connection_per_request(criterion: &mut Criterion) {
    let server = start_server();
    let response = response_to(server, GET_AND_CLOSE, PAGE);
    let floor = start_floor(&response, Then::Close);

    let mut group = criterion.benchmark_group("connect, GET, close");
    // Short, because local ports can run out: there are some 16,000 to 28,000, and a connection that
    // has ended may keep its port for a minute (TIME-WAIT).
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    for (name, address) in [("floor", floor), ("bare-sse", server)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut socket = connect(address);
                exchange(&mut socket, GET_AND_CLOSE, response.len());
                assert_eq!(rest_of(&mut socket), b"");
            });
        });
    }
    group.finish();
}

/// From the request for a stream to its first bytes: its head, and the reconnection time.
fn first_bytes_of_a_stream(criterion: &mut Criterion) {
    let server = start_server();
    let page = response_to(server, GET, PAGE);
    let beginning = response_to(server, GET_EVENTS, RETRY);
    let floor = start_floor(&beginning, Then::ReadOn);

    let mut group = criterion.benchmark_group("request to first bytes of a stream");
    // What is not timed takes a hundred times as long as what is, hence the short times.
    group
        .sample_size(50)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(100));
    for (name, address, first_length) in [
        ("floor", floor, beginning.len()),
        ("bare-sse", server, page.len()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let mut time = Duration::ZERO;
                for _ in 0..count {
                    // After one response the connection's thread is there and waits.
                    let mut socket = connect(address);
                    exchange(&mut socket, GET, first_length);
                    let start = Instant::now();
                    let bytes = exchange(&mut socket, GET_EVENTS, beginning.len());
                    time += start.elapsed();
                    assert!(bytes.ends_with(RETRY));
                    // The stream ends before the next one begins, and disturbs nothing.
                    socket.shutdown(Shutdown::Write).expect("it is open");
                    rest_of(&mut socket);
                }
                time
            });
        });
    }
    group.finish();
}

/// Starts bare-sse in this process. It serves until the bench ends.
fn start_server() -> SocketAddr {
    // Streams end after one event.
    let counter = Counter::new(Duration::from_millis(1), Some(1));
    let events = Events::new(Arc::new(counter), Log::none());
    InProcess::start(Site::new(Page::built_in(), events), 1_000).address
}

/// What the floor does after a response.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    ReadOn,
    Close,
}

/// Starts a server that writes `response` after every read. It serves until the bench ends.
fn start_floor(response: &[u8], then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    // Leaked, so that threads can share it without counting references.
    let response: &'static [u8] = response.to_vec().leak();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let serve = move || {
                let mut bytes = [0; 4096];
                while let Ok(1..) = socket.read(&mut bytes) {
                    if socket.write_all(response).is_err() || then == Then::Close {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn(serve).expect("a thread");
        }
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("if no address is free, one is a minute later")
}

/// Sends a request and reads a response of this length.
fn exchange(socket: &mut TcpStream, request: &str, length: usize) -> Vec<u8> {
    let mut response = vec![0; length];
    let sent = socket.write_all(request.as_bytes());
    sent.expect("the server reads");
    socket.read_exact(&mut response).expect("a response");
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    response
}

/// Reads to the end of the connection.
fn rest_of(socket: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).expect("the server closes");
    rest
}

/// The response to a request, up to and with `end`.
fn response_to(server: SocketAddr, request: &str, end: &[u8]) -> Vec<u8> {
    let mut socket = connect(server);
    let sent = socket.write_all(request.as_bytes());
    sent.expect("the server reads");
    let mut response = Vec::new();
    while !response.ends_with(end) {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a response");
        response.extend(byte);
    }
    response
}

criterion_group!(
    benches,
    open_connection,
    connection_per_request,
    first_bytes_of_a_stream
);

fn main() {
    if !stay_on_one_processor() {
        eprintln!("taskset can't bind this to one processor: times may jump");
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Binds this process, and the threads that it will start, to the first processor.
fn stay_on_one_processor() -> bool {
    Command::new("taskset")
        .args(["--cpu-list", "--pid", "0", &process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
