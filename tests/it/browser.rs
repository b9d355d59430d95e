//! The page in real browsers: `cargo test --test it browser:: -- --ignored`. `.ci/run` installs what this
//! needs: Chromium, WebKit and Firefox, their drivers, and Xvfb.

use crate::support::event_stream_reader::Reader;
use crate::support::table::PAGE;
use crate::support::webdriver::{Browser, Engine, quoted};
use crate::support::{Folder, PATIENCE, Server, bare_sse, wait_until};
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const CONTENT: &str = "document.getElementById('content').textContent";
const STATE: &str = "document.getElementById('state').textContent";
const BREAK: &str = "document.getElementById('break').textContent";

/// The head of an event stream.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// The rows of the wire without their times: the line, and what EventSource does with it.
const WIRE: &str = "Array.from(document.querySelectorAll('#lines tbody tr'), (row) => \
                    Array.from(row.cells, (cell) => cell.textContent).slice(1).join(' | '))\
                    .join('\\n')";

/// The rows of the events without their times: type, data and last event ID, or what the type means.
const EVENTS: &str = "Array.from(document.querySelectorAll('#events tbody tr'), (row) => \
                      Array.from(row.cells, (cell) => cell.textContent).slice(1).join(' | '))\
                      .join('\\n')";

/// The number of the last event on the wire.
const NUMBER: &str = "Number(Array.from(document.querySelectorAll('#lines .good'))\
                      .at(-1)?.textContent.match(/\\d+/g).at(-1) ?? 0)";

/// Plays a scenario in all engines at once, each in a thread of its name.
pub fn in_each_engine(scenario: impl Fn(&Browser) + Sync) {
    let scenario = &scenario;
    thread::scope(|scope| {
        for engine in Engine::ALL {
            let thread = thread::Builder::new().name(format!("{engine:?}"));
            let play = move || scenario(&Browser::start(engine));
            thread.spawn_scoped(scope, play).expect("a thread");
        }
    });
}

pub fn page_of(server: &Server) -> String {
    format!("http://{}/", server.address)
}

/// Starts a server with these options, and opens its page.
pub fn open(browser: &Browser, options: &[&str]) -> Server {
    let server = Server::start(options);
    browser.open(&page_of(&server));
    server
}

/// Ends a server as a crash does, and starts another in its place.
fn replace(mut server: Server, options: &[&str]) -> Server {
    server.kill();
    let address = server.address.to_string();
    Server::listening(bare_sse(options).args(["--quiet", "--listen", &address]))
}

/// Waits until `log` has this text, in which … stands for any other.
pub fn wait_for_text(browser: &Browser, log: &str, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = browser.value(log);
        let mut parts = text.split('…');
        let rest = parts.try_fold(&*value, |rest, part| Some(rest.split_once(part)?.1));
        if rest.is_some() {
            return;
        }
        assert!(Instant::now() < deadline, "no {text:?} in {value}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn at_once_the_page_shows_its_events_the_wire_and_code_that_runs_on_any_page_with_its_content() {
    let folder = Folder::with_page(b"<!doctype html><title>mine</title><p id=content></p>");
    let directory = folder.0.to_str().expect("UTF-8");
    in_each_engine(|browser| {
        let server = open(browser, &["--quiet", "--interval", "300ms"]);
        browser.wait_for(&format!("{NUMBER} > 1 && Number({CONTENT}) > 1"));
        let wire = browser.value(WIRE);
        let begin = "GET /events | The request. The browser adds more fields.\n\
                     200 OK | The response, and fields that fetch shows:\n";
        assert!(wire.starts_with(begin), "{wire}");
        let lines = "\nretry: 10000LF | After a loss, EventSource now waits 10 s.\n\
                     LF | No data before it: fires nothing.\n\
                     id: 1LF | Once it fires, a reconnect sends ID 1.\n\
                     data: 1LF | The event's data so far: \"1\"\n\
                     LF | Fires message: data \"1\", lastEventId \"1\"\n\
                     id: 2LF | ";
        assert!(wire.contains(lines), "{wire}");
        let events = "open | The event stream begins.\nmessage | \"1\" | \"1\"";
        wait_for_text(browser, EVENTS, events);
        assert_eq!(browser.text("state"), "OPEN");
        let id = "document.getElementById('id').textContent";
        browser.wait_for(&format!("{id} === {CONTENT}"));

        // The code that is shown is the first of the page.
        let code = browser.text("code");
        let page = std::str::from_utf8(PAGE).expect("UTF-8");
        let (before, _) = page.split_once(&code).expect("the code");
        let (_, before) = before.split_once("<script").expect("a script");
        let mut before = before.lines().skip(1);
        assert!(before.all(|line| line.is_empty() || line.starts_with("//")));
        let text = browser.value("document.body.innerText");
        let content = "<div id=\"content\"></div>";
        assert!(text.contains(content), "what the code needs");
        assert!(!text.contains(" counts"), "not every stream counts");

        browser.click("curl");
        let selected = browser.value("getSelection()");
        assert_eq!(selected, format!("curl -iN {}events", page_of(&server)));
        let copied = "(getSelection().selectAllChildren(Array.from(document.querySelectorAll(\
                      '#lines .text')).find((cell) => cell.textContent.startsWith('id: 1'))), \
                      getSelection())";
        let copied = browser.value(copied);
        assert_eq!(copied, "id: 1", "without the mark of its end");
        let live = "Array.from(document.querySelectorAll('[aria-live], [role=log], [role=status], \
                    [role=alert]'), (element) => element.id)";
        assert_eq!(browser.value(live), "state");

        // A visitor copies the code, and runs it in the console of a page of their own.
        let options = ["--quiet", "--interval", "50ms", "--www", directory];
        let _other = open(browser, &options);
        browser.value(&format!("(0, eval)({})", quoted(&code)));
        browser.wait_for(&format!("Number({CONTENT}) > 2"));
    });
}

/// As behind a proxy that collects the response, or one that is slow.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn without_an_answer_the_wire_begins_and_says_what_may_be_the_matter() {
    in_each_engine(|browser| {
        let heads = open_response(browser, "");
        let late = "GET /events | …No response yet. A proxy may hold it back";
        wait_for_text(browser, WIRE, late);
        assert_eq!(heads.try_iter().count(), 2);
        assert_eq!(browser.text("state"), "CONNECTING");
    });
}

/// What `bare-sse --lines` sends.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn missed_events_are_heard_and_long_lines_wrap_on_each_screen() {
    let (long, number) = ("word ".repeat(200), "9".repeat(300));
    in_each_engine(|browser| {
        let response = format!(
            "{HEAD}event: missed\nid: 1764434536000-12\ndata: 12\n\n\
             id: {number}\ndata: {number}\n\nid: 1764434536000-13\ndata: {long}\n\n"
        );
        let _heads = open_response(browser, &response);
        let missed = "missed | \"12\" | \"1764434536000-12\"\nmessage | …\nmessage | \"word word…";
        wait_for_text(browser, EVENTS, missed);
        wait_for_text(browser, WIRE, "Fires message: data \"word word");
        assert_eq!(browser.text("content"), long);
        // The code scrolls sideways on a phone.
        let too_wide = "Array.from(document.querySelectorAll('html, #content, .box, table'))\
                        .filter((element) => element.scrollWidth > element.clientWidth).length";
        assert_eq!(browser.number(too_wide), 0);
        // The windows of the other engines can't be as narrow as a phone.
        if browser.engine == Engine::Chromium {
            for width in [320, 360, 768, 1280, 1920] {
                browser.resize(width, 800);
                assert_eq!(browser.number(too_wide), 0, "at {width} pixels");
            }
        }
        let size = "parseFloat(getComputedStyle(document.getElementById('content')).fontSize)";
        assert!(browser.number(size) <= 20, "it can be read");
    });
}

/// Only Chromium's driver tells of requests and of the console.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_page_asks_nobody_else_and_the_console_has_what_it_got() {
    let server = Server::start(&["--quiet", "--interval", "20ms"]);
    let browser = Browser::start(Engine::Chromium);
    // What the browser opened on its own is not the page's.
    browser.open("about:blank");
    browser.log("performance");
    browser.open(&page_of(&server));
    browser.wait_for(&format!("{NUMBER} > 2 && Number({CONTENT}) > 2"));
    let log = browser.log("performance");
    // Events are JSON texts inside of JSON.
    let addresses = log.split(r#"\"url\":\""#).skip(1);
    let addresses = addresses.filter_map(|text| text.split(r#"\""#).next());
    // The page's icon and the text of the lab are not sent.
    let is_sent = |address: &&str| {
        let kinds = ["about:", "data:image/svg+xml,", "blob:"];
        address.contains(':') && !kinds.iter().any(|kind| address.starts_with(kind))
    };
    let page = page_of(&server);
    let expected = HashSet::from([page.clone(), page + "events"]);
    assert_eq!(
        addresses
            .filter(is_sent)
            .map(String::from)
            .collect::<HashSet<_>>(),
        expected
    );
    let console = browser.log("browser");
    let count = |text: &str| console.matches(text).count();
    let got = count(r#"\"Got\" \""#);
    assert!(got > 2 && got == count(r#""level":"#), "{console}");
    let more = "Array.from({ length: 20000 }, (_, number) => console.log('more', number)).length";
    browser.value(more);
    let more = browser.log("browser").matches(r#"\"more\""#).count();
    assert!((5_000..=10_000).contains(&more), "{more} lines");
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_visitor_breaks_the_connection_sees_the_wait_counted_down_and_can_cut_it_short() {
    in_each_engine(|browser| {
        let options = ["--quiet", "--interval", "300ms", "--retry", "60m"];
        let _server = open(browser, &options);
        browser.wait_for(&format!("{NUMBER} > 1"));
        browser.click("break");
        let broken = "You broke the connection. The next request follows in 3600 s.";
        wait_for_text(browser, WIRE, broken);
        let last = browser.number(NUMBER);
        browser.wait_for(&format!("/^Reconnect now .3[56].. s.$/.test({BREAK})"));
        let shown = browser.number(&format!("{BREAK}.match(/\\d+/)[0]"));
        browser.wait_for(&format!("{BREAK}.match(/\\d+/)[0] < {shown}"));
        browser.click("break");
        let again = format!(
            "{broken}\n\
             GET /events | The request. The browser adds more fields.\n\
             Last-Event-ID: {last} | Asks for what comes after this event.\n\
             200 OK | …\n\
             retry: 3600000LF | …\n\
             id: {}LF | ",
            last + 1
        );
        wait_for_text(browser, WIRE, &again);
        let events = browser.value(EVENTS);
        assert!(
            !events.contains("error"),
            "EventSource has its own connection: {events}"
        );
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_count_goes_on_where_the_server_was_killed_and_204_ends_it() {
    let options = ["--interval", "50ms", "--retry", "0s"];
    in_each_engine(|browser| {
        let mut server = open(browser, &[&options[..], &["--quiet"]].concat());
        browser.value(
            "window.seen = [], new MutationObserver((records) => records.forEach((record) => \
             record.addedNodes.forEach((node) => seen.push(node.data)))) \
             .observe(document.getElementById('content'), { childList: true })",
        );
        browser.wait_for(&format!("seen.length > 3 && {NUMBER} > 3"));

        server.kill();
        browser.wait_for(&format!("{STATE} === 'CONNECTING'"));
        let last = browser.number(CONTENT);
        let error = "error | No connection. EventSource reconnects by itself.";
        wait_for_text(browser, EVENTS, error);
        let lost = "The connection was lost. The next request follows in 0.5 s.";
        wait_for_text(browser, WIRE, lost);
        // EventSource does as it is told, which is at once; the wire waits.
        let requests = format!("{WIRE}.split('GET /events').length - 1");
        let (begin, before) = (Instant::now(), browser.number(&requests));
        thread::sleep(Duration::from_secs(1));
        let most = before + 2 + begin.elapsed().as_millis() as i64 / 500;
        assert!(browser.number(&requests) <= most, "at most two a second");
        let server = replace(server, &options);
        let next = last + 1;
        let event = format!("message | \"{next}\" | \"{next}\"");
        let again = format!("open | Reconnected, with Last-Event-ID: {last}\n{event}");
        wait_for_text(browser, EVENTS, &again);
        let is_next =
            "seen.every((number, i) => i === 0 || Number(number) === Number(seen[i - 1]) + 1)";
        assert_eq!(
            browser.value(is_next),
            "true",
            "no number is missing or comes twice"
        );

        // A server that has nothing more for this client answers 204.
        let _server = replace(server, &["--count", "1"]);
        browser.wait_for(&format!("{STATE} === 'CLOSED'"));
        let error = "error | EventSource gives up. It does not say why";
        wait_for_text(browser, EVENTS, error);
        let end = "Nothing more will come. EventSource does not reconnect.";
        wait_for_text(browser, WIRE, &format!("204 No Content | …{end}"));
        assert!(browser.value(WIRE).ends_with(end));
    });
}

/// EventSource reads no line of such a response, and neither does the wire.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_response_that_is_no_event_stream_fails_for_good_and_the_wire_says_why() {
    let status = "The status is not 200. ";
    let content_type = "The content type is not text/event-stream. ";
    let cases = [
        ("503 Busy", "text/event-stream", status),
        ("200 OK", "text/html", content_type),
        ("200 OK", "text/event-streams", content_type),
    ];
    in_each_engine(|browser| {
        for (status, content_type, why) in cases {
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n\r\nretry: 1\ndata: no\n\n"
            );
            let heads = open_response(browser, &response);
            let end = format!("{why}EventSource reads none of it and gives up.");
            wait_for_text(browser, WIRE, &format!("{status} | …{end}"));
            browser.wait_for(&format!("{STATE} === 'CLOSED'"));
            browser.wait_for(&format!("{BREAK} === 'Connect again'"));
            let error = "error | EventSource gives up. It does not say why; the lines may.";
            wait_for_text(browser, EVENTS, error);
            assert_eq!(heads.try_iter().count(), 2, "one for each column");
            assert!(browser.value(WIRE).ends_with(&end));
            assert!(!browser.value(WIRE).contains("data: no"));
            assert_eq!(browser.value(EVENTS), error);
            assert_eq!(browser.text("content"), "");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream;charset=utf-8\r\n\r\n";
        let _heads = open_response(browser, &format!("{head}id: 1\ndata: yes\n\n"));
        wait_for_text(browser, WIRE, "Fires message: data \"yes\"");
        browser.wait_for(&format!("{CONTENT} === 'yes'"));
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn at_an_end_event_both_columns_stop_and_start_again_when_asked() {
    in_each_engine(|browser| {
        let options = ["--count", "3", "--interval", "20ms", "--retry", "20ms"];
        let server = open(browser, &options);
        let closed = "end | \"3\" | \"3\"\nclose() | The code below calls it at this event.";
        wait_for_text(browser, EVENTS, closed);
        let end = "Fires end: data \"3\", lastEventId \"3\"\n\
                   Here the page closes its EventSource. Otherwise it would reconnect.";
        wait_for_text(browser, WIRE, end);
        assert_eq!(browser.text("state"), "CLOSED");
        let content = browser.text("content");
        assert_eq!(content, "3", "the data of end is no message");
        browser.wait_for(&format!("{BREAK} === 'Connect again'"));
        let log = server.log.try_iter();
        let requests = log.filter(|line| line.contains("got /events")).count();
        assert_eq!(requests, 2, "one for each column");
        browser.click("action");
        let again = format!("{closed}\nnew | …open | …{closed}");
        wait_for_text(browser, EVENTS, &again);
        // The wire keeps its last event ID, after which nothing is left.
        browser.click("break");
        let over = "Last-Event-ID: 3 | …204 No Content | …Nothing more will come.";
        wait_for_text(browser, WIRE, over);
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn after_close_and_open_the_count_begins_again_and_the_page_says_why() {
    in_each_engine(|browser| {
        let _server = open(browser, &["--quiet", "--interval", "100ms"]);
        browser.wait_for(&format!("Number({CONTENT}) > 1"));
        assert_eq!(browser.text("action"), "Close the EventSource");
        let place = "document.getElementById('break').getBoundingClientRect().top";
        let before = browser.value(place);
        browser.click("action");
        assert_eq!(browser.text("state"), "CLOSED");
        assert_eq!(browser.text("action"), "Open a new EventSource");
        assert_eq!(browser.value(place), before, "nothing moves");
        // Seen by the page itself, before any event can come.
        let at_once = "(document.getElementById('action').click(), \
                       ['state', 'content', 'id'].map((id) => \
                       document.getElementById(id).textContent).join())";
        assert_eq!(browser.value(at_once), "CONNECTING,,");
        let events = "close() | You closed it. That fires no event.\n\
                      new | Without a last event ID: a new client.\n\
                      open | The event stream begins.\nmessage | \"1\" | \"1\"";
        wait_for_text(browser, EVENTS, events);
    });
}

/// Firefox keeps no page while it is driven.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_page_that_comes_back_from_the_back_forward_cache_lives_and_holds_one_stream() {
    for engine in [Engine::Chromium, Engine::WebKit] {
        let browser = Browser::start(engine);
        let server = open(&browser, &["--interval", "50ms", "--retry", "100ms"]);
        browser.wait_for(&format!("{NUMBER} > 1 && Number({CONTENT}) > 1"));
        browser.value("window.kept = 'kept'");
        browser.open("about:blank");
        for _ in 0..2 {
            server.wait_for_log("left after");
        }
        browser.back();
        let kept = browser.value("window.kept");
        assert_eq!(kept, "kept", "it has not been loaded again");
        let back = "close() | You left the page.\nnew | …open | …message | ";
        wait_for_text(&browser, EVENTS, back);
        let last = browser.number(NUMBER);
        browser.wait_for(&format!("{NUMBER} > {last}"));
        // An EventSource too many would be back after the reconnection time.
        thread::sleep(Duration::from_millis(500));
        let log = server.log.try_iter();
        let requests = log.filter(|line| line.contains("got /events"));
        assert_eq!(requests.count(), 2, "one for each column");
    }
}

/// Browsers open six connections to a server over HTTP/1.1. Drivers hide windows, and not all of them
/// tabs.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_hidden_page_gives_up_its_second_connection_until_it_is_seen_so_that_a_sixth_tab_loads() {
    in_each_engine(|browser| {
        let options = ["--quiet", "--interval", "100ms", "--retry", "60m"];
        let server = open(browser, &options);
        let first = browser.window();
        browser.wait_for(&format!("{NUMBER} > 1"));
        browser.set_hidden(true);
        browser.wait_for(&format!("{BREAK}.startsWith('Reconnect now')"));
        let count = browser.number(CONTENT);
        browser.wait_for(&format!("Number({CONTENT}) > {count}"));
        browser.set_hidden(false);
        let back = "This page is hidden: it gives up its second connection. \
                    It reconnects when the page is visible again.\n\
                    GET /events | …\nLast-Event-ID: …Fires message";
        wait_for_text(browser, WIRE, back);

        for _ in 2..=6 {
            browser.set_hidden(true);
            browser.open_window();
            browser.open(&page_of(&server));
            browser.wait_for(&format!("Number({CONTENT}) > 0"));
        }
        let late = "No response yet. …other tabs use all connections.";
        wait_for_text(browser, WIRE, late);
        let sixth = browser.window();
        browser.switch_to(&first);
        browser.close_window(&sixth);
        browser.wait_for(&format!("{NUMBER} > 0"));
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_fast_stream_is_drawn_a_few_times_a_second_for_a_quick_page_and_an_undisturbed_reader() {
    in_each_engine(|browser| {
        let _server = open(browser, &["--quiet", "--interval", "1ms"]);
        browser.wait_for(&format!("Number({CONTENT}) > 1000"));
        // Each column has a count of its own, from the same time on.
        browser.wait_for(&format!("{NUMBER} > Number({CONTENT}) / 2"));
        for log in ["lines", "events"] {
            let rows = format!("document.querySelectorAll('#{log} tbody tr').length");
            assert_eq!(browser.number(&rows), 100, "rows are kept");
        }

        // However long ago they came, the newest request and response are in view.
        let lines = "document.getElementById('lines')";
        let head = "(() => {
            const box = document.getElementById('lines').getBoundingClientRect();
            const rows = Array.from(document.querySelectorAll('#lines .head'));
            return rows.filter((row) => row.getBoundingClientRect().top < box.bottom - 20
                && row.getBoundingClientRect().top > box.top).map((row) => row.cells[1].textContent);
        })()";
        let head = browser.value(head);
        let begin = "GET /events,200 OK,cache-control: no-cache,";
        assert!(head.starts_with(begin), "{head}");

        browser.value(&format!(
            "(window.draws = 0, window.begin = performance.now(), \
             new MutationObserver(() => window.draws++)\
             .observe({lines}.querySelector('tbody'), {{ childList: true }}))"
        ));
        // A nudge of the wheel does not stop it.
        browser.value(&format!("{lines}.scrollTop -= 20"));
        browser.wait_for("draws > 5");
        let draws = browser.value("draws + ' in ' + (performance.now() - begin)");
        let is_few = browser.value("draws < 2 + (performance.now() - begin) / 150");
        assert_eq!(is_few, "true", "{draws} ms");

        // Whoever scrolls up once more, as with a key that is pressed again, or pauses, stays there; and
        // rows that nobody sees are not made.
        browser.value(
            "(window.made = 0, document.createElement = (name) => { if (name === 'tr') window.made++; \
             return Document.prototype.createElement.call(document, name); })",
        );
        for (stop, go_on) in [("scrollTop -= 40", "scrollTop = 1e6"), ("", "")] {
            let act = |action: &str| match action {
                "" => browser.click("pause"),
                action => _ = browser.value(&format!("{lines}.{action}")),
            };
            act(stop);
            let in_view = format!("{lines}.scrollTop + {WIRE}");
            let (seen, made) = (browser.value(&in_view), browser.number("made"));
            let count = browser.number(CONTENT);
            browser.wait_for(&format!("Number({CONTENT}) > {count} + 500"));
            assert!(browser.value(&in_view) == seen, "nothing moves");
            // At most the other log's, one for an event.
            let made = browser.number("made") - made;
            let events = browser.number(CONTENT) - count;
            assert!(made < events + 300, "{made} rows for {events} events");
            act(go_on);
            browser.wait_for(&format!("{NUMBER} > {count}"));
        }

        // The fastest of some clicks: the machine has other work, too.
        browser.value(
            "(window.delays = [], document.getElementById('action').addEventListener('click', \
             (event) => delays.push(performance.now() - event.timeStamp)))",
        );
        wait_until("a click is answered within 200 ms", || {
            browser.click("action");
            browser.value("delays.some((delay) => delay < 200)") == "true"
        });
    });
}

/// Fonts differ from one system to the next; Chromium's window can have any width.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn on_a_phone_lines_are_in_view_and_on_a_wide_screen_each_has_its_meaning_beside_it() {
    let server = Server::start(&["--quiet", "--interval", "100ms", "--retry", "500ms"]);
    let browser = Browser::start(Engine::Chromium);
    browser.open(&page_of(&server));
    browser.resize(360, 740);
    let top = |selector: &str| {
        let element = format!("document.querySelector('{selector}')");
        let top = format!("Math.round({element}.getBoundingClientRect().top)");
        browser.number(&top)
    };
    assert!(top("#lines") < 740 - 60, "some lines are in view");
    // The wire comes before the code, and is explained before it is seen.
    assert!(top("#wire p") < top("#lines") && top("#lines") < top("#code"));
    let size = "parseFloat(getComputedStyle(document.getElementById('code')).fontSize)";
    assert!(browser.number(size) >= 12, "the code can be read");
    let number = "(() => {
        const content = document.getElementById('content');
        content.textContent = '100000';
        return content.scrollHeight <= content.clientHeight;
    })()";
    assert_eq!(browser.value(number), "true", "a number does not wrap");

    // The rows of a page that was opened long ago, too.
    for width in [960, 1280, 1920] {
        browser.resize(width, 800);
        browser.open(&page_of(&server));
        browser.wait_for(&format!("{NUMBER} > 1"));
        browser.value("performance.now = () => 1e8 + Performance.prototype.now.call(performance)");
        browser.click("break");
        wait_for_text(&browser, WIRE, "Last-Event-ID: …Fires");
        for log in ["lines", "events"] {
            let faults = format!(
                "(() => {{
                    const box = document.getElementById('{log}');
                    const at = (element) => element.getBoundingClientRect();
                    const rows = Array.from(box.querySelectorAll('tbody tr'));
                    const low = Math.min(...rows.map((row) => at(row).height));
                    const top = at(box.querySelector('th')).bottom;
                    const faults = rows.filter((row) => at(row).height > low + 1)
                        .map((row) => 'wraps: ' + row.textContent);
                    if (!rows.some((row) => Math.abs(at(row).top - top) < 1)) faults.push('cut');
                    const lefts = rows.map((row) => row.cells[1].firstElementChild)
                        .filter((first) => first).map((first) => Math.round(at(first).left));
                    if (new Set(lefts).size > 1) faults.push('indented: ' + lefts);
                    return faults.join();
                }})()"
            );
            assert_eq!(browser.value(&faults), "", "{log} at {width} pixels");
        }
    }
}

/// Chunks of one byte, through fetch. The lab shows how the page reads each case of the format.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_wire_explains_its_head_is_read_as_the_standard_says_and_resumes_after_its_last_id() {
    let head = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: text/event-stream\r\n\
                Connection: close\r\nDate: Tue, 24 Nov 2026 11:59:37 GMT\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let lines = "\u{feff}id\n: a comment\r\n\r\nretry: 60000\n\ndata: CR LF\r\n\r\ndata: CR\r\rdata: LF\n\n\
         id: €\ndata: é€🦀\n\nevent: other\ndata:  two spaces\ndata\n\nid: a\0b\ndata: after NUL\n\n\
         id: €9\n\ndata: after an id alone\n\ndata: cut off\n";
    let reader = Reader::of(lines.as_bytes());
    let fires = reader.dispatched.iter().map(|event| {
        let (data, id) = (quoted(&event.data), quoted(&event.last_event_id));
        let data = data.replace("\\u000a", "\\n");
        format!("Fires {}: data {data}, lastEventId {id}", event.event)
    });
    let fires: Vec<_> = fires.collect();
    in_each_engine(|browser| {
        let heads = open_response(browser, &format!("{head}{:x}\r\n{lines}\r\n", lines.len()));
        browser.wait_for(&format!("{WIRE}.includes('cut off')"));
        let wire = browser.value(WIRE);
        for line in wire.lines().take_while(|line| !line.contains("LF | ")) {
            let (_, meaning) = line.split_once(" | ").expect("two cells");
            assert!(meaning.len() > 10, "{line}");
        }
        for field in [
            "connection: close | It ends with this response.",
            "transfer-encoding: chunked | Chunk sizes are taken off: see curl -N --raw",
        ] {
            assert!(wire.contains(field), "{wire}");
        }
        let lines = wire.lines();
        let fired = lines.filter_map(|line| Some(&line[line.find("Fires")?..]));
        assert_eq!(fired.collect::<Vec<_>>(), fires);
        let ends = |end: &str| wire.lines().filter(|line| line.contains(end)).count();
        assert_eq!((ends("CR LF |"), ends("CR |")), (4, 2), "{wire}");
        browser.click("break");
        let broken = "this event is cut off…You broke the connection.";
        wait_for_text(browser, WIRE, broken);
        browser.click("break");
        let mut requests = Vec::new();
        wait_until("the wire asks again, after EventSource and itself", || {
            requests.extend(heads.try_iter());
            requests.len() == 3
        });
        // WebKitGTK's fetch encodes the value in UTF-8 once more; its EventSource does not.
        if browser.engine != Engine::WebKit {
            let last = requests[2].to_ascii_lowercase();
            assert!(last.contains("\r\nlast-event-id: €9\r\n"), "{last}");
        }
    });
}

/// A client that is built on fetch, as @microsoft/fetch-event-source is. It opens three streams, one
/// after the other, and asks each to resume where the last one stopped.
const FETCH_CLIENT: &str = "<!doctype html><title></title><script type='module'>
let last = 0;
for (let n = 0; n < 3; n++) {
  const stop = new AbortController();
  const headers = last ? { 'Last-Event-ID': last } : {};
  const { body } = await fetch(location.hash.slice(1), { headers, signal: stop.signal });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('data:') || !text.endsWith('\\n\\n')) text += (await reader.read()).value;
  const ids = text.match(/(?<=id: )\\d+/g).map(Number);
  if (ids[0] !== last + 1) throw new Error(text);
  last = ids.at(-1);
  stop.abort();
}
document.title = 'resumed twice';
</script>";

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn a_client_built_on_fetch_resumes_a_stream_of_another_origin() {
    in_each_engine(|browser| {
        let folder = Folder::with_page(FETCH_CLIENT.as_bytes());
        let page = Server::start(&["--www", folder.0.to_str().expect("UTF-8")]);
        let origin = page_of(&page);
        let origin = origin.trim_end_matches('/');
        let events = Server::start(&["--interval", "50ms", "--allow-origin", origin]);
        browser.open(&format!("{origin}/#{}events", page_of(&events)));
        browser.wait_for("document.title === 'resumed twice'");
        events.wait_for_log("last event ID");
        events.wait_for_log("last event ID");
    });
}

/// Opens our page on a server that answers all else with this response, a byte at a time, and returns
/// the heads of these requests.
pub fn open_response(browser: &Browser, response: &str) -> Receiver<String> {
    let (sender, heads) = channel();
    let response = response.to_string();
    let address = serve_with(move |head, socket| {
        if head.starts_with("GET / ") {
            return send_page(socket, std::str::from_utf8(PAGE).expect("UTF-8"));
        }
        let _ = sender.send(head.to_string());
        for byte in response.as_bytes().chunks(1) {
            socket.write_all(byte)?;
            thread::sleep(Duration::from_millis(1));
        }
        // Until the client leaves.
        socket.read_to_end(&mut Vec::new()).map(drop)
    });
    browser.open(&format!("http://{address}/"));
    heads
}

/// A server in the test's process, as long as that lives, and what it does with each head.
pub fn serve_with(
    answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let answer = Arc::clone(&answer);
            // A client that leaves is an error here, and the end of its thread.
            thread::spawn(move || -> io::Result<()> {
                let mut socket = socket?;
                socket.set_nodelay(true)?;
                let mut requests = BufReader::new(socket.try_clone()?);
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if requests.read_until(b'\n', &mut head)? == 0 {
                            return Ok(());
                        }
                    }
                    answer(&String::from_utf8_lossy(&head), &mut socket)?;
                }
            });
        }
    });
    address
}

pub fn send_page(socket: &mut TcpStream, page: &str) -> io::Result<()> {
    let length = page.len();
    write!(
        socket,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{page}"
    )
}
