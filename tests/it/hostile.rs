//! What one client can do, and what it must not do to another.

use crate::support::in_process::{InProcess, SHORT_LIMITS, log_of_texts, site, usual_site};
use crate::support::{
    Folder, PATIENCE, RawClient, Server, bare_sse, naps_until, page_is_served, run_program,
    wait_until,
};
use bare_sse::client::Client;
use bare_sse::counter::Counter;
use bare_sse::page::Page;
use bare_sse::site::Site;
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
    site(Counter::new(interval, None))
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
#[ignore = "takes 75 s"]
fn the_program_keeps_these_limits() {
    let server = Server::start(&["--interval", "0s"]);
    let address = server.address;
    let begin = Instant::now();
    // The upper bound of each is our patience.
    let at_least = |seconds| assert!(begin.elapsed() >= Duration::from_secs(seconds));
    let connect = || {
        let client = RawClient::connect(address);
        let timeout = PATIENCE + Duration::from_secs(75);
        client
            .socket
            .set_read_timeout(Some(timeout))
            .expect("a timeout");
        client
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(connect().read_to_end(), b"");
            at_least(10);
        });
        scope.spawn(|| {
            let mut client = connect();
            client.send(b"GET / HT");
            assert_eq!(client.read_response(false).status(), 408);
            at_least(10);
        });
        scope.spawn(|| {
            let mut client = connect();
            client.send_get("/", "");
            client.read_response(false);
            assert_eq!(client.read_to_end(), b"");
            at_least(75);
        });
        // It does not read.
        let mut client = connect();
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
fn an_idle_connection_is_closed_without_a_word() {
    let counter = Counter::new(Duration::from_millis(1), Some(1));
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
fn a_client_that_goes_on_sending_behind_the_last_response_is_not_reset_at_once() {
    let mut site = usual_site();
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
    let mut site = usual_site();
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
    let mut site = usual_site();
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
        let mut site = usual_site();
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

/// A copy of the binary where any user can run it, run by a user who may have this many threads. Root
/// may have any number.
fn with_threads(folder: &Folder, count: usize) -> Server {
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).expect("our folder");
    let program = folder.join("bare-sse");
    fs::copy(env!("CARGO_BIN_EXE_bare-sse"), &program).expect("a copy");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=61234", "--clear-groups", "prlimit"])
        .arg(format!("--nproc={count}"))
        .arg(program)
        .arg("--quiet")
        .stderr(Stdio::piped());
    Server::from_command(&mut command)
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn visitors_are_served_while_others_hold_all_threads_that_the_system_allows() {
    let folder = Folder::create();
    let mut server = with_threads(&folder, 40);
    let errors = server.errors();
    let is_over = hold_all(server.address, 60, b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n");
    let line = errors.recv_timeout(PATIENCE).expect("it is said");
    let expected = "can't start a thread, clients wait: ";
    assert!(line.starts_with(expected), "{line}");
    (0..20).for_each(|_| page_is_served(server.address));
    is_over.store(true, Relaxed);
    connections_persist_again(&server);
}

/// A refusal may pass: nothing is lowered for good.
fn connections_persist_again(server: &Server) {
    wait_until("connections persist again", || {
        let mut client = server.connect();
        client.send_get("/", "");
        client.read_response(false).field("Connection") == Some("keep-alive")
    });
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn clients_are_accepted_also_while_no_thread_can_be_started() {
    let folder = Folder::create();
    // Its first thread, two that write lines, and the one that starts others.
    let server = with_threads(&folder, 4);
    // The listen queue has 128 places, so who is not accepted can't connect.
    let clients: Vec<_> = (0..400)
        .map(|_| TcpStream::connect_timeout(&server.address, PATIENCE).expect("it is accepted"))
        .collect();
    drop(clients);
}

/// Lowers how many files a server may have open.
fn limit_files(server: &Server, count: usize) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args([
        format!("--pid={}", server.process.id()),
        format!("--nofile={count}:{count}"),
    ]);
    run_program(&mut prlimit);
}

fn open_files(server: &Server) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", server.process.id()));
    files.expect("its files").count()
}

#[test]
#[ignore = "needs prlimit"]
fn visitors_are_served_while_others_hold_all_files_that_the_system_allows() {
    for bytes in [&b""[..], b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n"] {
        let mut server = Server::from_command(bare_sse(&["--quiet"]).stderr(Stdio::piped()));
        let errors = server.errors();
        limit_files(&server, open_files(&server) + 50);
        let is_over = hold_all(server.address, 60, bytes);
        let line = errors.recv_timeout(PATIENCE).expect("it is said");
        let expected = "can't accept, new clients wait: ";
        assert!(line.starts_with(expected), "{line}");
        (0..20).for_each(|_| page_is_served(server.address));
        is_over.store(true, Relaxed);
        connections_persist_again(&server);
    }
}

#[test]
#[ignore = "needs prlimit"]
fn there_are_never_more_open_sockets_than_slots() {
    let mut command = bare_sse(&["--quiet", "--max-connections", "4"]);
    let mut server = Server::from_command(command.stderr(Stdio::piped()));
    let errors = server.errors();
    limit_files(&server, open_files(&server) + 4);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..500).for_each(|_| page_is_served(server.address)));
        }
    });
    server.kill();
    let lines: Vec<_> = errors.iter().collect();
    assert_eq!(
        lines,
        ["4 of 4 connections are taken: new clients wait for one to end"]
    );
}

#[test]
fn the_connection_that_takes_the_last_slot_closes_after_its_response_and_no_other() {
    for slots in [1, 2, 9, 20] {
        for path in ["/", "/events"] {
            let mut site = usual_site();
            // A 250th of it is left when few slots are free.
            (site.limits.head, site.limits.idle) = (PATIENCE, PATIENCE * 250);
            let server = InProcess::start(site, slots);
            let ask = |path: &str| {
                let mut client = server.connect();
                client.send_get(path, "");
                let head = client.read_until("\r\n\r\n");
                (client, head.contains("\r\nConnection: keep-alive\r\n"))
            };
            let others: Vec<_> = (1..slots).map(|_| ask("/")).collect();
            assert!(others.iter().all(|(_, persists)| *persists), "{slots}");
            assert!(!ask(path).1, "{path}, {slots} slots");
        }
    }
}

#[test]
fn a_client_that_is_idle_already_goes_when_slots_become_scarce_and_a_busy_one_stays() {
    let mut site = usual_site();
    site.limits.head = PATIENCE * 10;
    site.limits.idle = Duration::from_secs(250);
    let server = InProcess::start(site, 10);
    let ask = |client: &mut RawClient| {
        client.send_get("/", "");
        client.read_response(false).field("Connection") == Some("keep-alive")
    };
    let mut idle = server.connect();
    assert!(ask(&mut idle));
    // One slot is left, and their heads are not complete: nobody else is idle.
    let _others = [(); 8].map(|()| {
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\n");
        client
    });
    let ended = thread::spawn(move || idle.read_to_end());
    // A slot is free again when the idle client has gone. Until then it is the last that this takes.
    let mut busy = server.connect();
    while !ended.is_finished() {
        if !ask(&mut busy) {
            busy = server.connect();
        }
    }
    assert_eq!(ended.join().expect("it ends"), b"");
    for _ in 0..100 {
        assert!(ask(&mut busy), "a busy connection persists");
    }
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
fn a_stream_whose_client_stops_reading_ends_in_its_time_and_no_other_is_disturbed() {
    let limit = Duration::from_millis(1500);
    let (log, texts) = log_of_texts();
    let mut site = counting(Duration::ZERO);
    site.limits.write = limit;
    site.events.log = log;
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
    let mut site = counting(PATIENCE * 10);
    site.events.longest_silence = Duration::from_millis(50);
    site.events.log = log;
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
    let counter = Counter::new(Duration::from_millis(500), Some(1));
    let server = InProcess::start(site(counter), 10);
    let mut client = server.connect();
    client.send_get("/events", "Content-Length: 100000\r\n");
    client.send(&[b'x'; 100_000]);
    assert!(client.read_to_end().ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn of_a_content_that_nobody_asked_for_16_mib_are_read_and_no_more() {
    let mut site = usual_site();
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
fn what_the_server_writes_is_sent_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let _client = RawClient::connect(address);
    let (socket, address) = listener.accept().expect("a client");
    let twin = socket.try_clone().expect("the same socket");
    let _client = Client::new(socket, address, SHORT_LIMITS).expect("its options");
    // Otherwise an event could wait until the client's system has acknowledged the one before.
    assert!(twin.nodelay().expect("an option"));
}

#[test]
fn a_client_that_reads_no_answers_is_cut_off() {
    let server = InProcess::start(usual_site(), 10);
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
    let line = "3 of 3 connections are taken: new clients wait for one to end\n";
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
