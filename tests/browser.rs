//! The page in a real browser. Needs chromium and chromedriver:
//! `cargo test --test browser -- --ignored`

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use support::webdriver::Browser;
use support::{Server, wait_until};

const CONTENT: &str = "document.getElementById('content').textContent";
const STATE: &str = "document.getElementById('state').textContent";
const WHY: &str = "document.getElementById('why').textContent";

/// The rows of the wire view, as the text of the line and what it says about it.
const WIRE: &str = "Array.from(document.getElementById('lines').rows, \
                    (row) => Array.from(row.cells, (cell) => cell.innerText).join(' | ')).join('\\n')";

fn page_of(server: &Server) -> String {
    format!("http://{}/", server.address)
}

/// Ends a server as a crash does.
fn kill(mut server: Server) -> SocketAddr {
    server.process.kill().expect("it is killed");
    server.process.wait().expect("it ends");
    server.address
}

/// Starts a server where another was.
fn start_again(address: SocketAddr, options: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bare-sse"));
    command.args(["--quiet", "--listen", &address.to_string()]);
    let server = Server::listening(command.args(options));
    assert_eq!(server.address, address);
    server
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_page_counts_and_shows_the_wire_and_asks_nobody_else() {
    let server = Server::start(&["--interval", "250ms"]);
    let browser = Browser::start();
    // What the browser opened on its own is not the page's.
    browser.open("about:blank");
    browser.log("performance");
    browser.open(&page_of(&server));
    browser.wait_for(&format!("Number({CONTENT}) > 0"));
    let count: u64 = browser.value(CONTENT).parse().expect("a number");
    browser.wait_for(&format!("Number({CONTENT}) > {count}"));
    assert_eq!(browser.value(STATE), "OPEN");
    assert_eq!(
        browser.value("document.getElementById('wire').hidden"),
        "true",
        "the wire view is off until asked for"
    );

    browser.click("watch");
    browser.wait_for(&format!("{WIRE}.split('Dispatched').length > 3"));
    let wire = browser.value(WIRE);
    let mut lines = wire.lines();
    let mut next = || lines.next().expect("a line");
    assert_eq!(
        next(),
        "retry: 10000LF | The reconnection time in milliseconds."
    );
    assert_eq!(
        next(),
        "LF | The block ends. It had no data: nothing dispatched."
    );
    let id = next();
    let (id, meaning) = id.split_once("LF | ").expect("an id");
    let id: u64 = id
        .strip_prefix("id: ")
        .expect("an id")
        .parse()
        .expect("a number");
    assert!(
        id > count,
        "the wire view goes on from the page's last event ID"
    );
    assert_eq!(meaning, "The ID of this event. A client sends it to go on.");
    assert_eq!(
        next(),
        format!("data: {id}LF | One line of the data of this event.")
    );
    assert_eq!(
        next(),
        format!("LF | Dispatched: type message, data \"{id}\", lastEventId \"{id}\"")
    );
    assert!(next().starts_with(&format!("id: {}LF", id + 1)));
    let head = browser.value("document.getElementById('head').textContent");
    let sent = format!("GET /events\nLast-Event-ID: {}\n", id - 1);
    assert!(head.starts_with(&sent), "{head}");
    assert!(head.contains("\n200 OK\n"), "{head}");
    assert!(
        head.contains("\ncontent-type: text/event-stream\n"),
        "{head}"
    );

    browser.click("watch");
    server.wait_for_log("left after");
    assert_eq!(
        browser.value(STATE),
        "OPEN",
        "the page's own stream goes on"
    );

    browser.click("action");
    server.wait_for_log("left after");
    assert_eq!(browser.value(STATE), "CLOSED");
    browser.click("action");
    browser.wait_for(&format!("{STATE} === 'OPEN'"));

    assert_eq!(browser.log("browser"), r#"{"value":[]}"#, "the console");
    let log = browser.log("performance");
    // Events are JSON texts inside of JSON.
    let mut requests: HashSet<&str> = log
        .split(r#"\"url\":\""#)
        .skip(1)
        .filter_map(|text| text.split(r#"\""#).next())
        .filter(|address| address.contains(':') && !address.starts_with("about:"))
        .collect();
    requests.retain(|address| !address.starts_with("data:image/svg+xml,"));
    let page = page_of(&server);
    let stream = format!("{page}events");
    assert_eq!(requests, HashSet::from([&*page, &*stream]));

    let fast = Server::start(&["--quiet", "--interval", "1ms"]);
    browser.open(&page_of(&fast));
    browser.click("watch");
    browser.wait_for(&format!("Number({CONTENT}) > 1000"));
    let count: usize = browser
        .value("document.getElementById('lines').rows.length")
        .parse()
        .expect("a number");
    assert_eq!(count, 300, "the lines that are kept are bounded");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_count_goes_on_where_the_server_was_killed() {
    let server = Server::start(&["--quiet", "--interval", "50ms"]);
    let browser = Browser::start();
    browser.open(&page_of(&server));
    browser.value(
        "window.seen = [], new MutationObserver((records) => records.forEach((record) => \
         record.addedNodes.forEach((node) => seen.push(node.data)))) \
         .observe(document.getElementById('content'), { childList: true })",
    );
    browser.wait_for("seen.length > 3");

    let address = kill(server);
    browser.wait_for(&format!("{STATE} === 'CONNECTING'"));
    let last: u64 = browser.value(CONTENT).parse().expect("a number");
    let wait = browser.value("document.getElementById('wait').textContent");
    assert!(wait.ends_with(" s left of 10 s"), "{wait}");
    let server = start_again(address, &["--interval", "50ms", "--retry", "1s"]);
    browser.wait_for(&format!("{STATE} === 'OPEN'"));
    browser.wait_for(&format!("Number({CONTENT}) > {last} + 3"));
    assert_eq!(
        browser.value(WHY),
        format!(
            "Connected again, with Last-Event-ID: {last}. The first event was {}: \
             the count went on where it stopped.",
            last + 1
        )
    );
    let seen = browser.value("seen.join(' ')");
    let seen: Vec<u64> = seen
        .split(' ')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let each: Vec<u64> = (seen[0]..).take(seen.len()).collect();
    assert_eq!(seen, each, "no number is missing or comes twice");

    // A server that has nothing more for this client answers 204.
    let address = kill(server);
    let _server = start_again(address, &["--count", "1"]);
    browser.wait_for(&format!("{STATE} === 'CLOSED'"));
    assert!(
        browser
            .value(WHY)
            .starts_with("The stream is over. The answer was no event stream.")
    );
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_page_says_that_the_stream_is_over_and_starts_again_when_asked() {
    let server = Server::start(&["--count", "3", "--interval", "20ms", "--retry", "20ms"]);
    let browser = Browser::start();
    browser.open(&page_of(&server));
    for _ in 0..2 {
        browser.wait_for(&format!("{STATE} === 'CLOSED'"));
        assert_eq!(browser.value(CONTENT), "3");
        assert_eq!(
            browser.value(WHY),
            "The stream is over. The server sent an event of type end, \
             and the page closed the EventSource."
        );
        let got = server.wait_for_log("got /events");
        assert!(
            got.ends_with("got /events"),
            "without a last event ID: {got}"
        );
        server.wait_for_log("ended after 3 events");
        // An EventSource that nobody closed would be back in 20 ms.
        thread::sleep(Duration::from_secs(1));
        let more: Vec<String> = server.log.try_iter().collect();
        assert!(more.is_empty(), "{more:?}");
        assert_eq!(
            browser.value("document.getElementById('action').textContent"),
            "Start again"
        );
        browser.click("action");
    }
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_hundred_pages_that_are_closed_leave_no_thread() {
    let server = Server::start(&["--interval", "50ms"]);
    let task = format!("/proc/{}/task", server.process.id());
    let threads = || fs::read_dir(&task).expect("a process").count();
    // When a request is answered, all threads have started; one of them is its own.
    let mut client = server.connect();
    client.send_get("/", "");
    client.read_response(false);
    let before = threads() - 1;
    drop(client);
    let browser = Browser::start();
    for number in 0..100 {
        let first = browser.open_tab();
        browser.open(&page_of(&server));
        browser.wait_for(&format!("{CONTENT} !== ''"));
        if number % 2 == 0 {
            browser.click("watch");
            browser.wait_for(&format!("{WIRE} !== ''"));
        }
        browser.close_tab(&first);
    }
    // While the browser lives, all 150 streams end: that a browser which quits closes them would
    // be no wonder.
    let mut streams = (0, 0);
    wait_until("every stream has ended", || {
        for line in server.log.try_iter() {
            streams.0 += usize::from(line.contains("got /events"));
            streams.1 += usize::from(line.contains("left after"));
        }
        streams == (150, 150)
    });
    // It may keep idle connections for the next page.
    drop(browser);
    wait_until("every thread has ended", || threads() == before);
}

/// The wire view has its own reading of the stream: it must be the browser's.
#[test]
#[ignore = "needs chromium and chromedriver"]
fn the_wire_view_makes_of_a_stream_what_eventsource_does() {
    let (address, heads) = serve_an_octet_at_a_time(
        "\u{feff}id\n: a comment\r\n\r\nretry: 60000\n\n\
         data: CR LF\r\n\r\ndata: CR\r\rdata: LF\n\n\
         id: €\ndata: é€🦀\n\n\
         data:no space\ndata:  two spaces\ndata\ndata: a:b\n\n\
         event: other\ndata: of another type\n\nevent: other\n\ndata: a message again\n\n\
         id: a\0b\ndata: an id with NUL\n\nretry: 1x\ndata\n\n\
         Data: wrong case\nnonsense\n : no comment\n\n\
         id: €9\n\ndata: after an id alone\n\nevent: other\ndata: the last\n\ndata: cut off\n",
    );
    let browser = Browser::start();
    browser.open(&format!("http://{address}/"));
    browser.wait_for(&format!("{CONTENT} === 'after an id alone'"));
    browser.click("watch");
    browser.value(
        "window.events = [], window.source = new EventSource('/events'), \
         ['message', 'other'].forEach((type) => source.addEventListener(type, (event) => \
         events.push(`Dispatched: type ${event.type}, data ${JSON.stringify(event.data)}, \
         lastEventId ${JSON.stringify(event.lastEventId)}`)))",
    );
    browser.wait_for("events.join('').includes('the last')");
    browser.wait_for(&format!("{WIRE}.includes('cut off')"));
    let wire = browser.value(WIRE);
    let dispatched: Vec<&str> = wire
        .lines()
        .filter_map(|line| line.find("Dispatched").map(|at| &line[at..]))
        .collect();
    let events = browser.value("events.join('\\n')");
    assert_eq!(dispatched, events.lines().collect::<Vec<_>>());
    assert_eq!(dispatched.len(), 11);
    let ends = |end: &str| wire.lines().filter(|line| line.contains(end)).count();
    assert_eq!((ends("CR LF |"), ends("CR |")), (4, 2), "{wire}");
    assert!(wire.contains(": a commentCR LF | A comment"), "{wire}");
    assert!(wire.contains("data: é€🦀LF |"), "{wire}");
    let heads: Vec<String> = heads.try_iter().collect();
    let sent = |head: &&String| {
        head.to_ascii_lowercase()
            .contains("\r\nlast-event-id: €9\r\n")
    };
    assert_eq!(heads.iter().filter(sent).count(), 1, "{heads:?}");
    assert_eq!(browser.log("browser"), r#"{"value":[]}"#, "the console");
}

/// A server with our page and this stream, and the heads that it gets. It lives as long as the
/// test's process.
fn serve_an_octet_at_a_time(stream: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, heads) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            // A client that leaves is an error here, and the end of its thread.
            let sender = sender.clone();
            thread::spawn(move || answer(socket?, stream, &sender));
        }
    });
    (address, heads)
}

fn answer(mut socket: TcpStream, stream: &str, heads: &Sender<String>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        socket.read_exact(&mut octet)?;
        head.extend(octet);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let is_stream = head.starts_with("GET /events ");
    let _ = heads.send(head);
    if is_stream {
        socket.set_nodelay(true)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
        for octet in stream.as_bytes() {
            socket.write_all(&[*octet])?;
            thread::sleep(Duration::from_millis(1));
        }
        // Until the client leaves.
        socket.read_to_end(&mut Vec::new())?;
        Ok(())
    } else {
        let page = include_str!("../www/index.html");
        let length = page.len();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{page}"
        )
    }
}
