//! How long a client may take, phase by phase, and what becomes of one that takes longer.

use crate::support::in_process::{InProcess, SHORT_LIMITS, log_of_texts, site, usual_site};
use crate::support::{Folder, PATIENCE, RawClient, Server, page_is_served, wait_until};
use bare_sse::client::Client;
use bare_sse::counter::Counter;
use bare_sse::page::Page;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

#[test]
#[ignore = "takes 75 s"]
fn the_program_keeps_these_limits() {
    let server = Server::start(&["--interval", "0s"]);
    let silent = Server::start(&["--interval", "60m"]);
    let patience = PATIENCE + Duration::from_secs(75);
    let begin = Instant::now();
    let took = |seconds| {
        let elapsed = begin.elapsed();
        assert!(
            elapsed >= Duration::from_secs(seconds) && elapsed < patience,
            "{elapsed:?}"
        );
    };
    // A client that has sent these bytes, and what it reads next: nothing at the end.
    let [address, silent_address] = [server.address, silent.address];
    let connect = |address, bytes: &[u8]| {
        let mut client = RawClient::connect(address);
        let timeout = client.socket.set_read_timeout(Some(patience));
        timeout.expect("a timeout");
        client.send(bytes);
        client
    };
    let read = |client: &mut RawClient| client.try_read().unwrap_or_default();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(read(&mut connect(address, b"")), b"");
            took(10);
        });
        scope.spawn(|| {
            let answer = read(&mut connect(address, b"GET / HT"));
            assert!(answer.starts_with(b"HTTP/1.1 408 "));
            took(10);
        });
        scope.spawn(|| {
            let mut client = connect(address, b"GET / HTTP/1.1\r\nHost:\r\n\r\n");
            client.read_response(false);
            assert_eq!(read(&mut client), b"");
            took(75);
        });
        scope.spawn(|| {
            let mut client = connect(silent_address, b"GET /events HTTP/1.1\r\nHost:\r\n\r\n");
            client.read_until("retry: 10000\n\n\r\n");
            assert_eq!(read(&mut client), b"d\r\n: keep-alive\n\r\n");
            took(15);
        });
        // It does not read.
        let _client = connect(address, b"GET /events HTTP/1.1\r\nHost:\r\n\r\n");
        let line = || server.log.recv_timeout(patience).expect("it is told");
        while !line().contains("left after ") {}
        took(10);
    });
}

#[test]
fn a_head_that_dribbles_in_is_cut_off_at_its_limit_with_408() {
    let server = InProcess::start(usual_site(), 10);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send(b"GET / HTTP/1.1\r\nA: ");
    let mut dribbling = client.twin();
    let dribbler = thread::spawn(move || {
        while dribbling.try_send(b"b").is_ok() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(client.read_response(false).status(), 408);
    let elapsed = begin.elapsed();
    assert!(elapsed >= SHORT_LIMITS.head, "too early: {elapsed:?}");
    drop(client);
    dribbler.join().expect("its connection ends");
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
fn a_client_that_sends_for_ever_after_the_last_response_is_cut_off() {
    let server = InProcess::start(usual_site(), 10);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
    wait_until("the connection is closed", || {
        client.try_send(b"x").is_err()
    });
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
fn a_client_that_goes_on_sending_when_its_stream_ends_sees_the_end_and_no_reset() {
    let counter = Counter::new(Duration::from_millis(500), Some(1));
    let server = InProcess::start(site(counter), 10);
    let mut client = server.connect();
    client.send_get("/events", "Content-Length: 100000\r\n");
    client.send(&[b'x'; 100_000]);
    assert!(client.read_to_end().ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_all() {
    // Linux tells a client's system of free room when a sixteenth of 6 MB is free, which takes this
    // client three quarters of the limit; and it wakes a writer when a third of 4 MB is free, which takes
    // more than twice the limit. So many tries find no room, and never as many as the limit is long.
    const RATE: f64 = 500e3;
    const SIZE: usize = 20_000_000;
    let limit = Duration::from_secs(1);
    let folder = Folder::with_page(&vec![b'x'; SIZE]);
    let mut site = usual_site();
    site.page = Page::from_directory(&folder.0).expect("the page");
    site.limits.write = limit;
    let server = InProcess::start(site, 10);
    let gets_all = || {
        let mut client = server.connect();
        client.send_get("/", "Connection: close\r\n");
        let (begin, mut count) = (Instant::now(), 0);
        while let Some(bytes) = client.try_read() {
            count += bytes.len();
            // After this time it reads as fast as it can.
            while begin.elapsed() < 4 * limit && count as f64 > begin.elapsed().as_secs_f64() * RATE
            {
                thread::sleep(Duration::from_millis(20));
            }
        }
        count > SIZE
    };
    // A stall of the machine makes the client slower. The server's fault would show every time.
    assert!((0..5).any(|_| gets_all()));
}

#[test]
fn a_stream_whose_client_stops_reading_ends_in_its_time_and_no_other_is_disturbed() {
    let limit = Duration::from_millis(1500);
    let (log, texts) = log_of_texts();
    let mut site = site(Counter::new(Duration::ZERO, None));
    site.limits.write = limit;
    site.events.log = log;
    let server = InProcess::start(site, 2);
    let [mut stuck, mut other] = [(); 2].map(|()| {
        let mut client = server.connect();
        client.send_get("/events", "");
        client.read_until("retry: 10000\n\n\r\n");
        client
    });
    // Nobody reads it from here on. The two streams take all the slots, so that a third client is served
    // only when the server has given up the one that is stuck.
    let begin = Instant::now();
    let left = format!(
        "{} left after",
        stuck.socket.local_addr().expect("an address")
    );
    let mut number = 0;
    let naps = wait_until("it is given up", || {
        // Not a single event of the other is missing.
        for _ in 0..100 {
            number += 1;
            let event = format!("id: {number}\ndata: {number}\n\n");
            assert_eq!(other.read_chunk(), Some(event.into_bytes()));
        }
        texts.try_iter().any(|text| text.contains(&left))
    });
    assert!(begin.elapsed() >= limit && naps < 5 * limit, "{naps:?}");
    page_is_served(server.address);
    // What was on the way to it is all that it gets.
    while stuck.try_read().is_some() {}
}

#[test]
fn a_client_that_leaves_a_silent_stream_is_noticed_at_the_next_comment() {
    let (log, texts) = log_of_texts();
    let mut site = site(Counter::new(PATIENCE * 10, None));
    site.events.longest_silence = Duration::from_millis(50);
    site.events.log = log;
    let server = InProcess::start(site, 10);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until("\n\n\r\nd\r\n: keep-alive\n\r\n");
    drop(client);
    wait_until("it has left", || {
        texts
            .try_iter()
            .any(|text| text.contains("left after 0 events"))
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order_whatever_the_size_of_the_page() {
    for size in [0, 200_000] {
        let page = vec![b'x'; size];
        let folder = Folder::with_page(&page);
        let server = Server::start(&["--www", folder.0.to_str().expect("UTF-8")]);
        let mut client = server.connect();
        let requests = [
            ("GET / HTTP/1.1", 200),
            ("HEAD / HTTP/1.1", 200),
            ("GET / HTTP/1.0", 200),
            ("BREW / HTTP/1.1", 501),
            ("POST / HTTP/1.1", 405),
        ];
        let order: Vec<_> = (0..100).map(|n| requests[n * n % 7 % 5]).collect();
        let fields = "Host: x\r\nConnection: keep-alive";
        let all = order
            .iter()
            .map(|(line, _)| format!("{line}\r\n{fields}\r\n\r\n"));
        client.send(all.collect::<String>().as_bytes());
        for (line, status) in order {
            let answer = client.read_response(line.starts_with("HEAD"));
            assert_eq!(answer.status(), status, "{line}");
            assert_eq!(answer.field("Connection"), Some("keep-alive"), "{line}");
            if line.starts_with("GET") {
                assert!(answer.content == page, "{line}: not the page");
            }
        }
    }
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
