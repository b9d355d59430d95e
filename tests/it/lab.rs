//! The part of the page in which a visitor writes a stream: what the browser's own `EventSource` fires
//! for it, beside what each line means. Firefox's opens no `blob:`; there the page reads the text.

use crate::browser::{CONTENT, in_each_engine, is_for_the_stream, page_of, serve};
use crate::readme::table_of_bytes;
use crate::support::event_stream_reader::{Dispatched, Reader};
use crate::support::webdriver::{Browser, Engine, quoted};
use crate::support::{Server, wait_until};
use std::thread;
use std::time::Duration;

/// Line ends, as the page calls them and as bytes.
const LINE_ENDS: [(&str, &str); 3] = [("LF", "\n"), ("CR LF", "\r\n"), ("CR", "\r")];

/// The key, as WebDriver calls it.
const ENTER: &str = "\u{e007}";

/// What the page shows for a text: its lines, each with the mark of its end.
const LINES: &str = "Array.from(document.querySelectorAll('#read td:nth-child(2):not(:last-child)'), \
                     (cell) => cell.textContent).join('\\n')";

/// What was fired: type, data and last event ID as JSON, one event a line.
const FIRED: &str = "Array.from(document.querySelectorAll('#fired .event'), (row) => \
                     Array.from(row.cells, (cell) => cell.textContent).join(' ')).join('\\n')";

/// Opens the page, and waits until it shows its first example.
fn open(browser: &Browser, address: &str) {
    browser.open(address);
    browser.wait_for(&format!("{FIRED} !== ''"));
}

/// Gives a field its value at once, as pasting and choosing do.
fn set(browser: &Browser, field: &str, value: &str) {
    browser.value(&format!(
        "(document.getElementById('{field}').value = {}, document.getElementById('{field}')\
         .dispatchEvent(new Event('input', {{ bubbles: true }})))",
        quoted(value)
    ));
}

/// Waits until the page shows the lines of this text, and then compares the events with those of a
/// reader that was written from the standard alone.
fn check(browser: &Browser, text: &str, (name, end): (&str, &str)) {
    let mut lines: Vec<_> = text.split('\n').collect();
    let rest = lines.pop().filter(|rest| !rest.is_empty());
    let mut shown: Vec<_> = lines.iter().map(|line| format!("{line}{name}")).collect();
    shown.extend(rest.map(str::to_string));
    let shown = shown.join("\n");
    wait_until(&format!("{shown:?} is shown"), || {
        browser.value(LINES) == shown
    });
    let reader = Reader::of(text.replace('\n', end).as_bytes());
    assert_eq!(
        browser.value(FIRED),
        as_shown(&reader.dispatched),
        "{text:?}"
    );
}

fn as_shown(events: &[Dispatched]) -> String {
    let lines = events.iter().map(|event| {
        let (data, id) = (quoted(&event.data), quoted(&event.last_event_id));
        format!("{} {data} {id}", event.event).replace("\\u000a", "\\n")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn each_example_fires_what_the_standard_says_with_each_line_end() {
    let server = Server::start(&["--quiet"]);
    in_each_engine(|browser| {
        open(browser, &page_of(&server));
        let count = browser.number("document.querySelectorAll('#examples button').length");
        assert!(count >= 7);
        for number in 1..=count {
            browser.click(&format!("examples button:nth-child({number})"));
            let text = browser.value("document.getElementById('text').value");
            for (name, end) in LINE_ENDS {
                set(browser, "ends", name);
                check(browser, &text, (name, end));
            }
        }
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn what_is_typed_is_read_at_each_key_and_the_page_says_by_whom() {
    let server = Server::start(&["--quiet"]);
    in_each_engine(|browser| {
        open(browser, &page_of(&server));
        set(browser, "text", "");
        check(browser, "", LINE_ENDS[0]);
        browser.type_into("text", &format!("id: 1{ENTER}data: é€{ENTER}"));
        check(browser, "id: 1\ndata: é€\n", LINE_ENDS[0]);
        browser.type_into("text", ENTER);
        check(browser, "id: 1\ndata: é€\n\n", LINE_ENDS[0]);
        set(browser, "text", "");
        check(browser, "", LINE_ENDS[0]);
        let by_browser = browser.text("whose").starts_with("Your browser fired");
        assert_eq!(by_browser, browser.engine != Engine::Firefox);
    });
}

/// All that a browser could read otherwise than the page does.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_browser_and_the_page_agree_on_strange_streams() {
    let server = Server::start(&["--quiet"]);
    in_each_engine(|browser| {
        open(browser, &page_of(&server));
        for text in [
            "event: error\ndata: an event of the stream, not a loss\n\n",
            "event: open\ndata\n\nevent: constructor\ndata\n\n",
            "event:x\u{2028}y\ndata: a type with a line separator\n\n",
            "data: a: b\ndata:  two spaces\ndata:none\ndata\n\nData: wrong case\n\n : no comment\n\n",
            "retry: 0\nretry: 1x\nretry\ndata: \"quoted\" \\ backslash\n\n",
            "id: 7\ndata: seven\n\nid\ndata: none\n\nid: 8\ndata: cut off\n",
            "\n\n\ndata: after empty lines\n\n\n\n",
            "data: the last line has no end\n\ndata",
        ] {
            for line_end in LINE_ENDS {
                set(browser, "ends", line_end.0);
                set(browser, "text", text);
                check(browser, text, line_end);
            }
        }
        set(browser, "ends", "LF");
        set(browser, "text", "\u{feff}event: x\ndata: after a mark\n\n");
        wait_until("the byte order mark is skipped", || {
            browser.value(FIRED) == "x \"after a mark\" \"\""
        });
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn of_200_changes_at_once_the_last_wins_and_nothing_reconnects_or_asks_the_server() {
    let (address, heads) =
        serve("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".to_string());
    in_each_engine(|browser| {
        open(browser, &format!("http://{address}/"));
        browser.wait_for(&format!("{CONTENT} === '1'"));
        let mut asked = 0;
        wait_until("both columns have asked", || {
            asked += heads
                .try_iter()
                .filter(|head| is_for_the_stream(head))
                .count();
            asked == 2
        });
        browser.value(
            "(window.sources = [], window.EventSource = class extends EventSource { \
             constructor(address) { super(address); sources.push(this); this.opened = 0; \
             this.addEventListener('open', () => this.opened++); } })",
        );
        browser.value(
            "Array.from({ length: 200 }, (_, number) => { \
             const field = document.getElementById('text'); \
             field.value = `retry: 1\\nid: ${number}\\ndata: ${number}\\n\\n`; \
             field.dispatchEvent(new Event('input', { bubbles: true })); })",
        );
        check(browser, "retry: 1\nid: 199\ndata: 199\n\n", LINE_ENDS[0]);
        // What was not closed would be back in a millisecond.
        thread::sleep(Duration::from_millis(500));
        assert_eq!(browser.value(FIRED), "message \"199\" \"199\"");
        let closed = "sources.filter((source) => source.readyState === 2).length";
        assert_eq!(browser.number(closed), 200);
        assert_eq!(
            browser.value("sources.some((source) => source.opened > 1)"),
            "false"
        );
        assert_eq!(heads.try_iter().count(), 0, "no request was sent");
    });
}

/// The README says what each stream of its table fires. Firefox's `EventSource` can't be asked here.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn the_browser_fires_what_the_readme_says_byte_by_byte() {
    let server = Server::start(&["--quiet"]);
    for engine in [Engine::Chromium, Engine::WebKit] {
        println!("{engine:?}");
        let browser = Browser::start(engine);
        open(&browser, &page_of(&server));
        for row in table_of_bytes() {
            let [bytes, event, data, id, _] = &row;
            let mut text = bytes.clone().expect("bytes");
            let mut events = Vec::new();
            let mut fires = |event: &str, data: &str| {
                events.push(Dispatched {
                    event: event.to_string(),
                    data: data.to_string(),
                    last_event_id: id.clone().unwrap_or_default(),
                });
            };
            if let Some(event) = event {
                fires(event, data.as_deref().unwrap_or_default());
            } else if id.is_some() {
                // An event after it shows the ID.
                text.push_str("data: next\n\n");
                fires("message", "next");
            }
            set(&browser, "text", &text);
            check(&browser, &text, LINE_ENDS[0]);
            assert_eq!(
                browser.value(FIRED),
                as_shown(&events),
                "{engine:?}: {row:?}"
            );
        }
    }
}
