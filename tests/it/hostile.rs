//! What one client can do, and what it must not do to another.

use crate::support::in_process::{InProcess, SHORT_LIMITS, log_of_texts, site};
use crate::support::{
    Folder, PATIENCE, RawClient, Server, bare_sse, naps_until, page_is_served, run_program,
    wait_until,
};
use bare_sse::client::Client;
use bare_sse::connection::Site;
use bare_sse::counter::Counter;
use bare_sse::log::Log;
use bare_sse::page::Page;
use std::env;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// A site with short limits and this interval.
fn counting(interval: Duration) -> Site {
    site(Counter {
        interval,
        ..Counter::default()
    })
}

/// A stream that another thread reads until it is told to stop, and that misses no event.
struct WatchedStream {
    is_over: Arc<AtomicBool>,
    reader: thread::JoinHandle<()>,
}

impl WatchedStream {
    fn start(address: SocketAddr) -> WatchedStream {
        let mut client = RawClient::connect(address);
        client.send_get("/events", "");
        client.read_until("retry: 10000\n\n\r\n");
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let reader = thread::spawn(move || {
            let mut numbers = 1..;
            while !stop.load(Relaxed) {
                let number = numbers.next().expect("numbers do not end");
                let event = format!("id: {number}\ndata: {number}\n\n");
                assert_eq!(client.read_chunk(), Some(event.into_bytes()));
            }
        });
        WatchedStream { is_over, reader }
    }

    fn missed_nothing(self) {
        self.is_over.store(true, Relaxed);
        self.reader.join().expect("no event is missing");
    }
}

#[test]
fn the_limits_are_those_that_the_readme_promises() {
    let limits = Site::new(Page::built_in(), Counter::default(), Log::none()).limits;
    assert_eq!(limits.head, Duration::from_secs(10));
    assert_eq!(limits.idle, Duration::from_secs(30));
    assert_eq!(limits.write, Duration::from_secs(10));
    assert_eq!(limits.linger, Duration::from_secs(2));
}

#[test]
#[ignore = "takes 30 s"]
fn the_program_keeps_these_limits() {
    let server = Server::start(&["--interval", "0s"]);
    let address = server.address;
    let begin = Instant::now();
    // The upper bound of each is our patience.
    let at_least = |seconds| assert!(begin.elapsed() >= Duration::from_secs(seconds));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(RawClient::connect(address).read_to_end(), b"");
            at_least(10);
        });
        scope.spawn(|| {
            let mut client = RawClient::connect(address);
            client.send(b"GET / HT");
            assert_eq!(client.read_response(false).status(), 408);
            at_least(10);
        });
        scope.spawn(|| {
            let mut client = RawClient::connect(address);
            client.send_get("/", "");
            client.read_response(false);
            assert_eq!(client.read_to_end(), b"");
            at_least(30);
        });
        // It does not read.
        let mut client = server.connect();
        client.send_get("/events", "");
        server.wait_for_log("left after ");
        at_least(10);
    });
}

#[test]
fn a_head_that_dribbles_in_is_cut_off_at_its_limit_with_408() {
    let server = InProcess::start(counting(Duration::from_millis(10)), 10);
    let other = WatchedStream::start(server.address);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send(b"GET / HTTP/1.1\r\nA: ");
    let mut dribbling = client.twin();
    let dribbler = thread::spawn(move || {
        while dribbling.try_send(b"b").is_ok() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = client.read_response(false);
    assert!(
        begin.elapsed() >= SHORT_LIMITS.head,
        "cut off too early: {:?}",
        begin.elapsed()
    );
    assert_eq!(
        (answer.status(), answer.field("Connection")),
        (408, Some("close"))
    );
    assert_eq!(
        answer.content,
        b"408 Request Timeout: the head was not complete in time\n"
    );
    drop(client);
    dribbler.join().expect("its connection ends");
    other.missed_nothing();
}

#[test]
fn every_head_has_the_limit_for_itself() {
    let head = Duration::from_secs(2);
    let mut site = site(Counter::default());
    site.limits.head = head;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    let begin = Instant::now();
    // Each head takes an eighth of its limit, all together take more than the limit.
    while begin.elapsed() < head * 5 / 4 {
        client.send(b"GET / HTTP/1.1\r\n");
        thread::sleep(head / 8);
        client.send(b"Host: x\r\n\r\n");
        assert_eq!(client.read_response(false).status(), 200);
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let counter = Counter {
        interval: Duration::from_millis(1),
        count: Some(1),
        ..Counter::default()
    };
    let address = InProcess::start(site(counter), 10).address;
    // Closed after the answer on this path, or without one.
    let is_closed = |path: Option<&str>, limit: Duration| {
        let begin = Instant::now();
        let mut client = RawClient::connect(address);
        if let Some(path) = path {
            client.send_get(path, "");
            client.read_response(false);
        }
        assert_eq!(client.read_to_end(), b"");
        let elapsed = begin.elapsed();
        assert!(elapsed >= limit, "closed too early: {elapsed:?}");
    };
    thread::scope(|scope| {
        scope.spawn(|| is_closed(None, SHORT_LIMITS.head));
        scope.spawn(|| is_closed(Some("/"), SHORT_LIMITS.idle));
        scope.spawn(|| is_closed(Some("/events"), SHORT_LIMITS.idle));
    });
}

#[test]
fn limits_hold_behind_any_number_of_pipelined_requests() {
    let address = InProcess::start(site(Counter::default()), 10).address;
    // Sends as many requests and then these bytes, and reads the answers to the requests.
    let ask = |count, rest: &[u8]| {
        let head = b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
        let mut client = RawClient::connect(address);
        client.send(&[&head.repeat(count)[..], rest].concat());
        (0..count).for_each(|_| drop(client.read_response(true)));
        client
    };
    thread::scope(|scope| {
        for count in [1, 64] {
            scope.spawn(move || assert_eq!(ask(count, b"").read_to_end(), b"", "it is idle"));
            scope.spawn(move || {
                let answer = ask(count, b"G").read_response(false);
                assert_eq!(answer.status(), 408, "a head has begun");
            });
        }
    });
}

#[test]
fn a_client_that_goes_on_sending_behind_the_last_response_is_not_reset_at_once() {
    let mut site = site(Counter::default());
    site.limits.linger = PATIENCE * 10;
    let server = InProcess::start(site, 10);
    let close = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    for (sent, status) in [
        ("GET / HT".to_string(), 408),
        (format!("{close}Content-Length: 5\r\n\r\n"), 200),
        (format!("{close}\r\nGET /"), 200),
    ] {
        let mut client = server.connect();
        client.send(sent.as_bytes());
        assert_eq!(client.read_response(false).status(), status);
        // A byte that meets a closed connection is answered by a reset, and the one behind it fails.
        for byte in b"TP/1." {
            client.send(&[*byte]);
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn a_client_that_asked_for_the_close_holds_no_slot_after_it() {
    let mut site = site(Counter::default());
    site.limits.linger = PATIENCE * 10;
    let server = InProcess::start(site, 1);
    let clients = [(); 3].map(|()| {
        let mut client = server.connect();
        client.send_get("/", "Connection: close\r\n");
        assert_eq!(client.read_response(false).status(), 200);
        client
    });
    drop(clients);
}

#[test]
fn a_client_that_reads_a_large_page_slowly_but_steadily_gets_it_whole() {
    const SIZE: usize = 20 * 1024 * 1024;
    let folder = Folder::with_page(&vec![b'x'; SIZE]);
    let page = Page::from_directory(&folder.0).expect("the page");
    drop(folder);
    let mut site = site(Counter::default());
    site.page = page;
    let limit = Duration::from_secs(1);
    site.limits.write = limit;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    client.send_get("/", "Connection: close\r\n");
    client.read_until("\r\n\r\n");
    let (begin, mut rest) = (Instant::now(), SIZE);
    while rest > 0 {
        let piece = rest.min(64 * 1024);
        client.read_bytes(piece);
        rest -= piece;
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begin.elapsed() > 2 * limit, "it was not slow");
}

#[test]
fn a_client_that_reads_a_fast_stream_slowly_but_steadily_stays() {
    // Linux tells a client's system of free room when a sixteenth of 6 MB is free, which takes this
    // client half of the limit; and it wakes a writer when a third of 4 MB is free, which takes twice
    // the limit.
    const RATE: f64 = 700e3;
    let limit = Duration::from_secs(1);
    let mut site = counting(Duration::ZERO);
    site.limits.write = limit;
    let server = InProcess::start(site, 10);
    let stays = || {
        let mut client = server.connect();
        client.send_get("/events", "");
        let (begin, mut count) = (Instant::now(), 0.0);
        // Reads until so many bytes have come in all, if they do.
        let mut read_to = |due: f64| {
            while count < due
                && let Some(bytes) = client.try_read()
            {
                count += bytes.len() as f64;
            }
            count >= due
        };
        while begin.elapsed() < 4 * limit {
            if !read_to(begin.elapsed().as_secs_f64() * RATE) {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Had it been cut off, then no more would come than the buffers hold.
        read_to(begin.elapsed().as_secs_f64() * RATE + 16e6)
    };
    // A stall of the machine makes the client slower. The server's fault would show every time.
    assert!((0..5).any(|_| stays()));
}

#[test]
fn a_head_that_begins_within_the_idle_limit_may_end_after_it() {
    let mut site = site(Counter::default());
    site.limits.head = PATIENCE;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    client.send_get("/", "");
    client.read_response(false);
    client.send(b"GET / HTTP/1.1\r\n");
    thread::sleep(SHORT_LIMITS.idle * 4 / 3);
    client.send(b"Host: x\r\n\r\n");
    assert_eq!(client.read_response(false).status(), 200);
}

/// So many connections, which hold all slots or threads, and open again whenever they are closed.
/// They send these bytes now and then.
fn hold_all(address: SocketAddr, count: usize, bytes: &'static [u8]) -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let connect = move || {
        let mut socket = TcpStream::connect(address).expect("the server listens");
        let _ = socket.write_all(bytes);
        socket.set_nonblocking(true).expect("an option");
        (socket, Instant::now())
    };
    thread::spawn(move || {
        let mut sockets: Vec<_> = (0..count).map(|_| connect()).collect();
        while !stop.load(Relaxed) {
            for connection in &mut sockets {
                let (socket, sent) = connection;
                let is_closed = match socket.read(&mut [0; 4096]) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() != ErrorKind::WouldBlock,
                };
                if is_closed {
                    *connection = connect();
                } else if sent.elapsed() > SHORT_LIMITS.idle * 4 / 5 {
                    let _ = socket.write_all(bytes);
                    *sent = Instant::now();
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    is_over
}

#[test]
fn visitors_are_served_while_others_hold_all_slots() {
    let are_served = |slots, bytes| {
        let mut site = site(Counter::default());
        site.limits.head = Duration::from_secs(2);
        let server = InProcess::start(site, slots);
        let is_over = hold_all(server.address, slots, bytes);
        thread::sleep(2 * SHORT_LIMITS.idle);
        (0..20).for_each(|_| page_is_served(server.address));
        is_over.store(true, Relaxed);
    };
    let head = b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    thread::scope(|scope| {
        for (slots, bytes) in [
            (100, &b""[..]),
            (100, b"GET"),
            (100, head),
            (9, head),
            (1, head),
        ] {
            scope.spawn(move || are_served(slots, bytes));
        }
    });
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn visitors_are_served_while_others_hold_all_threads_that_the_system_allows() {
    // Root may start any number of threads, and another user can't reach the binary everywhere.
    let folder = Folder::create();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).expect("our folder");
    let program = folder.join("bare-sse");
    fs::copy(env!("CARGO_BIN_EXE_bare-sse"), &program).expect("a copy");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=61234", "--clear-groups", "prlimit", "--nproc=40"])
        .arg(program)
        .arg("--quiet")
        .stderr(Stdio::piped());
    let mut server = Server::from_command(&mut command);
    let errors = server.errors();
    let is_over = hold_all(server.address, 60, b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n");
    let line = errors.recv_timeout(PATIENCE).expect("it is said");
    let expected = "can't start a thread, clients wait: ";
    assert!(line.starts_with(expected), "{line}");
    (0..20).for_each(|_| page_is_served(server.address));
    is_over.store(true, Relaxed);
    // A refusal may pass: nothing is lowered for good.
    wait_until("connections persist again", || {
        let mut client = server.connect();
        client.send_get("/", "");
        client.read_response(false).field("Connection") == Some("keep-alive")
    });
}

#[test]
fn when_at_most_a_tenth_of_the_slots_is_free_responses_close_their_connections() {
    for (slots, persistent) in [(1, 0), (2, 1), (9, 8), (10, 8), (20, 17)] {
        for path in ["/", "/events"] {
            let mut site = site(Counter::default());
            (site.limits.head, site.limits.idle) = (PATIENCE, PATIENCE);
            let server = InProcess::start(site, slots);
            let ask = |path: &str| {
                let mut client = server.connect();
                client.send_get(path, "");
                let head = client.read_until("\r\n\r\n");
                (client, head.contains("\r\nConnection: keep-alive\r\n"))
            };
            let others: Vec<_> = (0..persistent).map(|_| ask("/")).collect();
            assert!(
                others.iter().all(|(_, persists)| *persists),
                "{slots} slots"
            );
            let (_client, persists) = ask(path);
            assert!(!persists, "{path} with {persistent} of {slots} slots taken");
        }
    }
}

#[test]
fn when_slots_are_scarce_a_head_has_a_tenth_of_its_time() {
    let mut site = site(Counter::default());
    site.limits.head = Duration::from_secs(5);
    let server = InProcess::start(site, 1);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send(b"GET");
    let naps = naps_until(|| client.has_more());
    assert_eq!(client.read_response(false).status(), 408);
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert!(naps < Duration::from_millis(2500), "{naps:?}");
}

#[test]
fn a_thread_that_panics_ends_its_connection_and_frees_its_slot() {
    // The first event would be due after the end of time.
    let server = InProcess::start(counting(Duration::MAX), 1);
    for _ in 0..5 {
        let mut client = server.connect();
        client.send_get("/events", "");
        assert!(client.read_to_end().ends_with(b"retry: 10000\n\n\r\n"));
        page_is_served(server.address);
    }
}

#[test]
fn a_panic_that_prints_its_backtrace_fits_into_the_stack_of_its_thread() {
    // Otherwise the whole process would end.
    let panics = "hostile::a_thread_that_panics_ends_its_connection_and_frees_its_slot";
    let mut test = Command::new(env::current_exe().expect("this program"));
    test.args(["--exact", panics]).env("RUST_BACKTRACE", "full");
    assert!(run_program(&mut test).contains("1 passed"));
}

#[test]
fn empty_lines_do_not_keep_an_idle_connection() {
    let server = InProcess::start(site(Counter::default()), 10);
    let mut client = server.connect();
    let mut sender = client.twin();
    let begin = Instant::now();
    thread::spawn(move || {
        while sender.try_send(b"\r\n").is_ok() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
    });
    // What arrives behind the close is answered by a reset.
    let mut byte = [0];
    let end = client.socket.read(&mut byte);
    let is_end = match &end {
        Ok(count) => *count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(is_end, "{end:?}");
}

#[test]
fn a_stream_whose_client_stops_reading_ends_in_its_time_and_no_other_is_disturbed() {
    let limit = Duration::from_millis(1500);
    let (log, texts) = log_of_texts();
    let mut site = counting(Duration::ZERO);
    site.limits.write = limit;
    site.log = log;
    let server = InProcess::start(site, 2);
    let mut stuck = server.connect();
    let address = stuck.socket.local_addr().expect("an address");
    stuck.send_get("/events", "");
    stuck.read_until("retry: 10000\n\n");
    // Nobody reads it from here on. The two streams take all the room there is, so that a third
    // client is served only when the server has given up the one that is stuck.
    let begin = Instant::now();
    let other = WatchedStream::start(server.address);
    let left = format!("{address} left after");
    let naps = naps_until(|| texts.try_iter().any(|text| text.contains(&left)));
    assert!(begin.elapsed() >= limit);
    assert!(naps < 5 * limit, "{naps:?}");
    page_is_served(server.address);
    other.missed_nothing();
}

#[test]
fn a_client_that_leaves_a_silent_stream_is_noticed_at_the_next_comment() {
    let (log, texts) = log_of_texts();
    let mut site = site(Counter {
        interval: PATIENCE * 10,
        keep_alive: Duration::from_millis(50),
        ..Counter::default()
    });
    site.log = log;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until(": keep-alive\n");
    drop(client);
    wait_until("it has left", || {
        texts
            .try_iter()
            .any(|text| text.contains("left after 0 events"))
    });
}

#[test]
fn a_client_that_goes_on_sending_when_its_stream_ends_sees_the_end_and_no_reset() {
    let counter = Counter {
        interval: Duration::from_millis(500),
        count: Some(1),
        ..Counter::default()
    };
    let server = InProcess::start(site(counter), 10);
    let mut client = server.connect();
    client.send_get("/events", "Content-Length: 100000\r\n");
    client.send(&[b'x'; 100_000]);
    assert!(client.read_to_end().ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn of_a_content_that_nobody_asked_for_16_mib_are_read_and_no_more() {
    let mut site = site(Counter::default());
    site.limits.linger = PATIENCE;
    let server = InProcess::start(site, 10);
    // Sends so many MiB.
    let send = |client: &mut RawClient, count| {
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
        (0..count).try_for_each(|_| client.try_send(&[b'x'; 1024 * 1024]))
    };
    let mut client = server.connect();
    send(&mut client, 15).expect("it is read");
    client.end_its_half();
    assert_eq!(client.read_response(false).status(), 405);
    assert_eq!(client.read_to_end(), b"");
    // The buffers of both systems hold a few more.
    send(&mut server.connect(), 64).expect_err("the connection is closed");
}

#[test]
fn a_line_end_that_comes_while_a_long_page_is_sent_costs_nothing_of_it() {
    const SIZE: usize = 3_000_000;
    let folder = Folder::with_page(&vec![b'x'; SIZE]);
    let mut site = site(Counter::default());
    site.page = Page::from_directory(&folder.0).expect("the page");
    site.limits.write = PATIENCE;
    site.limits.linger = PATIENCE;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    client.send_get("/", "Connection: close\r\n");
    client.read_until("\r\n\r\n");
    client.send(b"\r\n");
    assert_eq!(client.read_to_end().len(), SIZE);
}

#[test]
fn what_the_server_writes_is_sent_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let _client = RawClient::connect(address);
    let (socket, address) = listener.accept().expect("a client");
    Client::new(&socket, address, SHORT_LIMITS).expect("its options");
    // Otherwise an event could wait until the client's system has acknowledged the one before.
    assert!(socket.nodelay().expect("an option"));
}

#[test]
fn a_client_that_reads_no_answers_is_cut_off() {
    let server = InProcess::start(site(Counter::default()), 10);
    let mut client = server.connect();
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    // At first the server answers into the buffers, then it waits, then it gives up.
    let error = (0..1_000_000).find_map(|_| client.try_send(&requests).err());
    let kind = error.expect("no end").kind();
    assert!(
        matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{kind}"
    );
    page_is_served(server.address);
}

#[test]
fn when_all_slots_are_taken_new_clients_wait_until_one_is_free() {
    let server = InProcess::start(counting(Duration::from_millis(50)), 3);
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.send_get("/events", "");
            client.read_until("retry: 10000\n\n");
            client
        })
        .collect();
    let mut waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send_get("/", "Connection: close\r\n");
        client.gets_nothing_for(Duration::from_millis(50));
    }
    drop(streams);
    for client in &mut waiting {
        assert_eq!(client.read_response(false).status(), 200);
    }
    let line = "all 3 connections are taken: new clients wait for one to end\n";
    assert_eq!(server.error(), line);
    assert_eq!(server.errors.try_recv().ok(), None, "it is said once");
}

#[test]
fn a_stuck_standard_error_stalls_nobody() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let stderr = writer.try_clone().expect("its other name");
    // Fills the pipe, which nobody reads, and is stuck in it until the test ends.
    thread::spawn(move || while writer.write_all(b"full ").is_ok() {});
    let mut command = bare_sse(&["--max-connections", "1", "--interval", "10ms"]);
    let server = Server::from_command(command.stderr(stderr));
    for _ in 0..3 {
        let mut stream = server.connect();
        stream.send_get("/events", "");
        stream.read_until("id: 10\n");
        // The server now wants to say that it is full.
        let mut waiting = server.connect();
        waiting.send_get("/", "Connection: close\r\n");
        stream.read_until("id: 20\n");
        drop(stream);
        assert_eq!(waiting.read_response(false).status(), 200);
    }
    drop(reader);
}
