//! What the server does over loopback, beside a floor: `cargo bench --bench server`.
//!
//! The floor is a server of the same shape, one thread per connection, that parses nothing: it
//! reads whatever comes and writes the bytes that the real server wrote when it was asked before.
//! What "bare-sse" takes longer than "floor" in the same group is ours; all else is what system
//! calls and threads cost.
//!
//! All of it runs on one processor where the system has `taskset`, so a time is the work of client
//! and server together, up to where the server waits again. On several processors it would be
//! mostly the time in which one processor wakes another from its sleep, or not, as the scheduler
//! likes: that can differ by a factor of ten from run to run, and says nothing of the server.

use bare_sse::connection::Site;
use bare_sse::counter::{Counter, HEAD};
use bare_sse::log::Log;
use bare_sse::page::Page;
use bare_sse::server::{STACK, Server};
use bare_sse::watchdog::Limits;
use criterion::{Criterion, SamplingMode, criterion_group};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const GET_EVENTS: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One GET after another on a connection that persists.
fn open_connection(criterion: &mut Criterion) {
    let server = start_server();
    let response = ask(server, GET);
    assert_is_page(&response);
    let floor = start_floor(&response, Then::ReadOn);

    let mut group = criterion.benchmark_group("GET on an open connection");
    for (name, address) in [("floor", floor), ("bare-sse", server)] {
        let mut socket = connect(address);
        let mut bytes = vec![0; response.len()];
        group.bench_function(name, |bencher| {
            bencher.iter(|| exchange(&mut socket, GET, &mut bytes));
        });
        assert_is_page(&bytes);
    }
    group.finish();
}

/// Connect, GET, read to the end of the connection, close.
fn connection_per_request(criterion: &mut Criterion) {
    let server = start_server();
    let response = ask(server, GET_AND_CLOSE);
    assert_is_page(&response);
    let floor = start_floor(&response, Then::Close);

    let mut group = criterion.benchmark_group("connect, GET, close");
    // The server closes first, so that the state TIME-WAIT is on its side and not in the way of the
    // client's next connect. Systems differ in that, and local ports are some 16,000 to 28,000:
    // so there are fewer connections in all than that.
    group
        .sample_size(50)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    for (name, address) in [("floor", floor), ("bare-sse", server)] {
        let mut bytes = Vec::with_capacity(response.len());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut socket = connect(address);
                send(&mut socket, GET_AND_CLOSE);
                bytes.clear();
                socket.read_to_end(&mut bytes).expect("the server answers");
                assert_eq!(bytes.len(), response.len());
            });
        });
        assert_is_page(&bytes);
    }
    group.finish();
}

/// From the request for a stream to its first bytes: its head, and the reconnection time.
///
/// The connection is open and has answered one GET, so that its thread is there and waits. Both
/// are not timed; nor is the rest of the stream, which ends of itself after one event, so that no
/// more than one is ever open.
fn first_bytes_of_a_stream(criterion: &mut Criterion) {
    let server = start_server();
    let response = ask(server, GET);
    let stream = ask(server, GET_EVENTS);
    let begin = format!("{HEAD}\r\nretry: 10000\n\n");
    let events = "id: 1\ndata: 1\n\nevent: end\ndata: 1\n\n";
    assert_eq!(String::from_utf8_lossy(&stream), format!("{begin}{events}"));
    let floor = start_floor(begin.as_bytes(), Then::ReadOn);

    let mut group = criterion.benchmark_group("request to first bytes of a stream");
    // What is not timed takes a hundred times as long as what is, hence the short times.
    group
        .sample_size(50)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(50));
    for (name, address, first) in [
        ("floor", floor, begin.len()),
        ("bare-sse", server, response.len()),
    ] {
        let mut first = vec![0; first];
        let mut bytes = vec![0; begin.len()];
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let mut time = Duration::ZERO;
                for _ in 0..count {
                    let mut socket = connect(address);
                    exchange(&mut socket, GET, &mut first);
                    let start = Instant::now();
                    exchange(&mut socket, GET_EVENTS, &mut bytes);
                    time += start.elapsed();
                    if name == "bare-sse" {
                        let mut rest = Vec::new();
                        socket.read_to_end(&mut rest).expect("the stream ends");
                        assert_eq!(rest, events.as_bytes());
                    }
                }
                time
            });
        });
        assert_eq!(String::from_utf8_lossy(&bytes), begin);
    }
    group.finish();
}

/// The real server, in this process, until the bench ends. Its streams end after one event.
fn start_server() -> SocketAddr {
    let (listener, address) = listen();
    let counter = Counter {
        interval: Duration::from_millis(1),
        last: Some(1),
        ..Counter::default()
    };
    let server = Server {
        site: Site {
            page: Page::built_in(),
            counter,
            log: Log::none(),
            clock: Instant::now(),
        },
        max_connections: 1_000,
        limits: Limits::DEFAULT,
        errors: Log::to(io::stderr()).expect("a thread"),
    };
    thread::spawn(move || server.serve(&listener));
    address
}

/// What the floor does when it has answered.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    ReadOn,
    Close,
}

/// A server that answers every read with these bytes, until the bench ends.
fn start_floor(answer: &[u8], then: Then) -> SocketAddr {
    let (listener, address) = listen();
    // Never freed, so that its threads need not count who uses it.
    let answer: &'static [u8] = answer.to_vec().leak();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let thread = thread::Builder::new().stack_size(STACK);
            let serve = move || {
                let mut bytes = [0; 4096];
                while let Ok(1..) = socket.read(&mut bytes) {
                    if socket.write_all(answer).is_err() || then == Then::Close {
                        break;
                    }
                }
            };
            thread.spawn(serve).expect("a thread");
        }
    });
    address
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address);
    socket.unwrap_or_else(|error| match error.kind() {
        ErrorKind::AddrNotAvailable => {
            panic!("all local ports are in TIME-WAIT: run this again a minute later")
        }
        _ => panic!("can't connect: {error}"),
    })
}

fn send(socket: &mut TcpStream, request: &str) {
    let result = socket.write_all(request.as_bytes());
    result.expect("the server reads");
}

/// Sends a request and reads as many bytes as its answer has.
fn exchange(socket: &mut TcpStream, request: &str, answer: &mut [u8]) {
    send(socket, request);
    socket.read_exact(answer).expect("the server answers");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// What the server answers to one request before the connection ends, or before it persists
/// for a while in silence.
fn ask(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut socket = connect(address);
    let silence = Some(Duration::from_millis(500));
    socket.set_read_timeout(silence).expect("a timeout");
    send(&mut socket, request);
    let mut answer = Vec::new();
    // An error is that silence, or shows in the answer.
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// The response is the page, whole.
fn assert_is_page(response: &[u8]) {
    let text = String::from_utf8_lossy(response);
    let (head, content) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(content, include_str!("../www/index.html"));
}

criterion_group!(
    benches,
    open_connection,
    connection_per_request,
    first_bytes_of_a_stream
);

fn main() {
    if !stay_on_one_processor() {
        eprintln!("No taskset here: times depend on which processor wakes which, and jump.");
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Binds this process to the first processor that it may use; threads inherit that. The standard
/// library can't, so a tool of Linux does it.
fn stay_on_one_processor() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    // Such as `0-3,8`.
    let Some(first) = allowed.and_then(|list| list.trim().split(['-', ',']).next()) else {
        return false;
    };
    Command::new("taskset")
        .args(["--cpu-list", "--pid", first, &process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
