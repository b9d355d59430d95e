//! How long a client may take, phase by phase, and what becomes of one that takes longer.

use crate::support::in_process::{InProcess, SHORT_LIMITS, log_of_texts, site, usual_site};
use crate::support::{Folder, PATIENCE, RawClient, Server, page_is_served, wait_until};
use bare_sse::client::Client;
use bare_sse::counter::Counter;
use bare_sse::page::Page;
use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

#[test]
#[ignore = "takes 75 s"]
fn the_program_keeps_these_limits() {
    let [fast, silent] = ["0s", "60m"].map(|interval| Server::start(&["--interval", interval]));
    let begin = Instant::now();
    let took = |seconds| {
        let (elapsed, limit) = (begin.elapsed(), Duration::from_secs(seconds));
        assert!(
            elapsed >= limit && elapsed < limit + PATIENCE,
            "{elapsed:?}"
        );
    };
    let patience = PATIENCE + Duration::from_secs(75);
    let connect = |server: &Server, bytes: &[u8]| {
        let mut client = server.connect();
        let timeout = client.socket.set_read_timeout(Some(patience));
        timeout.expect("a timeout");
        client.send(bytes);
        client
    };
    let get_events = b"GET /events HTTP/1.1\r\nHost:\r\n\r\n";
    thread::scope(|scope| {
        for (bytes, answer, seconds) in [
            (&b""[..], "", 10),
            (b"GET / HT", "HTTP/1.1 408 Request Timeout", 10),
            (b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n", "HTTP/1.1 200 OK", 75),
        ] {
            let mut client = connect(&fast, bytes);
            scope.spawn(move || {
                let mut read = Vec::new();
                client.socket.read_to_end(&mut read).expect("the end");
                let read = String::from_utf8(read).expect("text");
                let status_lines = read.lines().filter(|line| line.starts_with("HTTP/1.1 "));
                assert_eq!(status_lines.collect::<String>(), answer);
                took(seconds);
            });
        }
        let mut client = connect(&silent, get_events);
        scope.spawn(move || {
            client.read_until("retry: 10000\n\n\r\n");
            assert_eq!(client.read_bytes(18), b"d\r\n: keep-alive\n\r\n");
            took(15);
        });
        // It does not read.
        let _client = connect(&fast, get_events);
        let line = || fast.log.recv_timeout(patience).expect("it is told");
        while !line().contains("left after ") {}
        took(10);
    });
}

#[test]
fn a_head_that_dribbles_in_gets_408_at_its_limit_and_what_still_comes_is_read_for_a_moment() {
    let server = InProcess::start(usual_site(), 10);
    let begin = Instant::now();
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nA: ");
    let mut twin = client.twin();
    let dribbler = thread::spawn(move || {
        wait_until("the connection is closed", || twin.try_send(b"b").is_err());
    });
    assert_eq!(client.read_response(false).status(), 408);
    let elapsed = begin.elapsed();
    assert!(elapsed >= SHORT_LIMITS.head, "too early: {elapsed:?}");
    dribbler.join().expect("its connection ends");
}

#[test]
fn a_client_that_goes_on_sending_behind_the_last_response_or_stream_is_not_reset_at_once() {
    let mut site = site(Counter::new(Duration::ZERO, Some(1)));
    site.limits.linger = PATIENCE * 10;
    let server = InProcess::start(site, 10);
    let fields = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    for (sent, status) in [
        ("GET / HT".to_string(), 408),
        (format!("GET / {fields}Content-Length: 5\r\n\r\n"), 200),
        (
            format!("GET /events {fields}Content-Length: 5\r\n\r\n"),
            200,
        ),
        (format!("GET / {fields}\r\nGET /"), 200),
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
    let _clients = [(); 3].map(|()| {
        let mut client = server.connect();
        client.send_get("/", "Connection: close\r\n");
        assert_eq!(client.read_response(false).status(), 200);
        client
    });
}

#[test]
fn of_a_content_that_nobody_asked_for_16_mib_are_read_and_no_more() {
    let mut site = usual_site();
    site.limits.linger = PATIENCE;
    let server = InProcess::start(site, 10);
    let send = |client: &mut RawClient, mebibytes| {
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
        (0..mebibytes).try_for_each(|_| client.try_send(&[b'x'; 1024 * 1024]))
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
    // The two streams take all the slots, so that a third client is served only when the server has given
    // up the one that is stuck.
    let server = InProcess::start(site, 2);
    let [stuck, mut other] = [(); 2].map(|()| {
        let mut client = server.connect();
        client.send_get("/events", "");
        client.read_until("retry: 10000\n\n\r\n");
        client
    });
    let begin = Instant::now();
    let address = stuck.socket.local_addr().expect("an address");
    let left = format!("{address} left after");
    let mut numbers = 1..;
    let naps = wait_until("it is given up", || {
        // Not a single event of the other is missing.
        for number in numbers.by_ref().take(100) {
            let event = format!("id: {number}\ndata: {number}\n\n");
            assert_eq!(other.read_chunk(), Some(event.into_bytes()));
        }
        texts.try_iter().any(|text| text.contains(&left))
    });
    assert!(begin.elapsed() >= limit && naps < 5 * limit, "{naps:?}");
    page_is_served(server.address);
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
        let mut texts = texts.try_iter();
        texts.any(|text| text.contains("left after 0 events"))
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order_whatever_the_size_of_the_page() {
    for size in [0, 200_000] {
        let page = vec![b'x'; size];
        let folder = Folder::with_page(&page);
        let server = Server::start(&["--www", folder.0.to_str().expect("UTF-8")]);
        let mut client = server.connect();
        let request = |method| format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
        let requests = ["GET", "BREW", "HEAD", "GET"].map(request).concat();
        client.send(requests.repeat(25).as_bytes());
        for _ in 0..25 {
            assert!(client.read_response(false).content == page);
            assert_eq!(client.read_response(false).status(), 501);
            assert_eq!(client.read_response(true).status(), 200);
            assert!(client.read_response(false).content == page);
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
