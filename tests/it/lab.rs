//! The part of the page in which a visitor writes a stream: what the browser's own `EventSource` fires
//! for it, beside what each line means. Firefox's opens no `blob:`; there the page reads the text.

use crate::browser::{HEAD, in_each_engine, open, open_response, page_of, wait_for_text};
use crate::support::event_stream_reader::{Dispatched, Reader, TOO_LARGE};
use crate::support::json::Json;
use crate::support::webdriver::{Browser, Engine, quoted};
use crate::support::{README, Server, wait_until};
use crate::wire_format::{cases, events_of};
use std::sync::Mutex;

/// Line ends, as the page calls them and as bytes.
const LINE_ENDS: [(&str, &str); 3] = [("LF", "\n"), ("CR LF", "\r\n"), ("CR", "\r")];

/// The key, as WebDriver calls it.
const ENTER: &str = "\u{e007}";

const TEXT: &str = "document.getElementById('text').value";

/// The lines that the page shows, each with the mark of its end, and what each means.
const LINES: &str = "Array.from(document.querySelectorAll('#read .text'), (cell) => \
                     cell.textContent).join('\\n')";
const MEANINGS: &str = "document.getElementById('read').innerText";

/// What was fired before the first loss, and the whole table.
const FIRED: &str = "JSON.stringify(Array.from(document.querySelectorAll('#fired .event'), ({ cells }) => ({ \
                     type: cells[0].textContent, data: JSON.parse(cells[1].textContent), \
                     lastEventId: JSON.parse(cells[2].textContent) })))";
const TABLE: &str = "Array.from(document.querySelectorAll('#fired tbody tr'), (row) => \
                     Array.from(row.cells, (cell) => cell.textContent).join(' | ')).join('\\n')";

/// Opens the page, and waits until it shows its first example.
fn open_lab(browser: &Browser) -> Server {
    let server = open(browser, &["--quiet"]);
    browser.wait_for(&format!("{FIRED} !== '[]'"));
    server
}

/// Gives a field its value at once, as pasting and choosing do.
fn set(browser: &Browser, field: &str, value: &str) {
    browser.value(&format!(
        "(document.getElementById('{field}').value = {}, document.getElementById('{field}')\
         .dispatchEvent(new Event('input', {{ bubbles: true }})))",
        quoted(value)
    ));
}

/// Waits until the page shows the lines of this text, and compares the events.
fn check(browser: &Browser, text: &str, ends: &str, events: &[Dispatched]) {
    let lines = text.replace('\n', &format!("{ends}\n"));
    let lines = lines.trim_end_matches('\n');
    let lines = lines.strip_prefix('\u{feff}').unwrap_or(lines);
    wait_until(&format!("{lines:?} is shown"), || {
        browser.value(LINES) == lines
    });
    let fired = events_of(&Json::parse(&browser.value(FIRED)));
    assert_eq!(fired, events, "{text:?} with {ends}");
    let by_browser = browser.text("whose") == "Your browser fired just what the standard says:";
    assert_eq!(by_browser, browser.engine != Engine::Firefox, "{text:?}");
}

/// The README's table of bytes is among them.
#[test]
#[ignore = "needs browsers: see .ci/run"]
fn each_case_of_the_format_that_can_be_typed_is_read_and_explained_as_the_browser_reads_it() {
    in_each_engine(|browser| {
        let _server = open_lab(browser);
        let mut count = 0;
        for case in cases() {
            let Ok(text) = String::from_utf8(case.bytes) else {
                continue;
            };
            let typed = LINE_ENDS.iter().find_map(|(ends, end)| {
                let typed = text.replace(end, "\n");
                let is_typed = !typed.contains('\r') && typed.replace('\n', end) == text;
                is_typed.then_some((typed, *ends))
            });
            let Some((text, ends)) = typed else { continue };
            count += 1;
            set(browser, "ends", ends);
            set(browser, "text", &text);
            let outcome = case.outcome;
            check(browser, &text, ends, &outcome.events);
            let meanings = browser.value(MEANINGS);
            let or_none = |id: &str| if id.is_empty() { "none" } else { id }.to_string();
            let fired = outcome.events.last();
            let fired = fired.map_or("", |event| &event.last_event_id);
            let mut resume = format!("Last-Event-ID: {}", or_none(&outcome.last_event_id));
            if fired != outcome.last_event_id {
                resume += &format!(" in Chromium, {} elsewhere", or_none(fired));
            }
            let time = match outcome.retry {
                None | Some(TOO_LARGE) => "3 s (Firefox: 5 s)".to_string(),
                Some(ms) => format!("{} s", ms as f64 / 1000.0),
            };
            let end = format!("EventSource reconnects after {time}. {resume}");
            let rule = case.rule;
            assert!(meanings.contains(&end), "{rule}: no {end} in {meanings}");
            let name = format!("{:?}", browser.engine);
            let is_said = meanings.contains(&name) || meanings.contains("elsewhere");
            for (engine, _) in case.differs {
                let differs = engine.starts_with(&name) && !engine.contains(", if ");
                // Nobody waits for the times that are too large for Firefox alone.
                let is_firefox = browser.engine == Engine::Firefox;
                assert!(is_said || is_firefox || !differs, "{rule}: {meanings}");
            }
        }
        assert!(count >= 80, "{count} cases");
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn each_example_and_each_key_is_read_at_once_with_each_line_end() {
    in_each_engine(|browser| {
        let _server = open_lab(browser);
        let expect = |text: &str, (name, end): (&str, &str)| {
            let reader = Reader::of(text.replace('\n', end).as_bytes());
            check(browser, text, name, &reader.dispatched);
        };
        let count = browser.number("document.querySelectorAll('#examples button').length");
        for number in 1..=count {
            browser.click(&format!("examples button:nth-child({number})"));
            for ends in LINE_ENDS {
                set(browser, "ends", ends.0);
                expect(&browser.value(TEXT), ends);
            }
        }
        set(browser, "ends", "LF");
        set(browser, "text", "");
        browser.type_into("text", &format!("id: 1{ENTER}data: é€{ENTER}"));
        expect("id: 1\ndata: é€\n", LINE_ENDS[0]);
        browser.type_into("text", ENTER);
        expect("id: 1\ndata: é€\n\n", LINE_ENDS[0]);
        // What an event of EventSource itself is called, and what an object has.
        let names = "event: error\ndata\n\nevent: open\ndata\n\nevent: constructor\ndata\n\n";
        expect_text(browser, names);
        // Half an emoji, as JavaScript can write it.
        let half = "event: a\\ud83d\\ndata: x\\n\\n";
        browser.value(&format!(
            "(document.getElementById('text').value = '{half}', 0)"
        ));
        browser.type_into("text", ENTER);
        expect("event: a\u{fffd}\ndata: x\n\n\n", LINE_ENDS[0]);
    });
}

fn expect_text(browser: &Browser, text: &str) {
    set(browser, "text", text);
    check(browser, text, "LF", &Reader::of(text.as_bytes()).dispatched);
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn what_is_hard_to_see_is_shown_and_each_line_says_what_is_true_after_it() {
    in_each_engine(|browser| {
        let _server = open_lab(browser);
        expect_text(browser, "   data: y\ndata:  two\ndata:\ttab\u{feff}\n\n");
        let odd = "document.querySelectorAll('#read .odd')";
        let marks = format!("Array.from({odd}, ({{ title }}) => title).join()");
        assert_eq!(browser.value(&marks), r"   ,  ,\t,\ufeff");
        let space = "getComputedStyle(document.querySelector('#read .text')).whiteSpace";
        assert_eq!(browser.value(space), "pre-wrap");

        let meanings = [
            ("event: a\nevent: b\n", "The event's type is b."),
            ("event:\n", "The event's type is message."),
            ("data: a\ndata: b\n", r#"The event's data so far: "a\nb""#),
            ("id: 7\n", "sends ID 7"),
            ("id\n", "No ID any more"),
            ("id: 7\n\n", "Only Chromium would resume with the ID."),
            ("retry\n", "go back to 3 s, Firefox to 0.5 s."),
            ("retry: 0\n", "EventSource now waits 0 s (Firefox: 0.5)."),
            ("retry: 99999999999999999999\n", "Too large: Chromium"),
        ];
        for (text, meaning) in meanings {
            expect_text(browser, text);
            let meanings = browser.value(MEANINGS);
            assert!(meanings.contains(meaning), "{text:?}: {meanings}");
        }
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn at_the_end_of_the_text_the_browser_reconnects_twice_and_says_where_it_would_resume() {
    in_each_engine(|browser| {
        let _server = open_lab(browser);
        let text = "retry: 500\n\ndata: a\n\nid: 7\ndata: b\n\nid: 8\n\n";
        expect_text(browser, text);
        let first = "message | \"a\" | \"\"\nmessage | \"b\" | \"7\"\n\
                     error | The text ends: a loss.";
        if browser.engine == Engine::Firefox {
            assert_eq!(browser.value(TABLE), first);
            return;
        }
        let is_chromium = browser.engine == Engine::Chromium;
        let id = if is_chromium { 8 } else { 7 };
        let again = format!(
            "\nopen | again, … s after the loss. Last-Event-ID: 8 in Chromium, 7 elsewhere\n\
             message | \"a\" | \"{id}\"\nmessage | \"b\" | \"7\"\nerror | Another loss."
        );
        let end = "\nclose() | This page stops here.";
        wait_for_text(browser, TABLE, &format!("{first}{again}{again}{end}"));
        for part in browser.value(TABLE).split("again, ").skip(1) {
            let (seconds, _) = part.split_once(' ').expect("a time");
            let seconds: f64 = seconds.parse().expect("a number");
            assert!((0.45..5.0).contains(&seconds), "{seconds}");
        }
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn what_one_wrote_is_kept_by_examples_reload_and_back_and_opens_in_another_engine() {
    let server = Server::start(&["--quiet"]);
    let page = page_of(&server);
    let readme = README.split("(http://127.0.0.1:3000/").nth(1);
    let (readme, _) = readme
        .and_then(|rest| rest.split_once(')'))
        .expect("a link");
    let text = "data:  é🦀 &#%+\ndata: a\0b \n\nid: 7\n";
    let links = Mutex::new(Vec::new());
    in_each_engine(|browser| {
        browser.open(&page);
        browser.wait_for(&format!("{TEXT} !== ''"));
        // The click on an example takes so long that what was typed is about to get into the address.
        browser.value(
            "document.getElementById('examples').addEventListener('click', () => {
                const end = performance.now() + 600;
                while (performance.now() < end);
            }, { capture: true })",
        );
        set(browser, "ends", "CR LF");
        set(browser, "text", text);
        let is_kept = || {
            browser.wait_for(&format!("{TEXT} === {}", quoted(text)));
            browser.wait_for("document.getElementById('ends').value === 'CR LF'");
        };
        browser.click("examples button:nth-child(2)");
        browser.wait_for(&format!("{TEXT}.startsWith('retry: 500')"));
        browser.back();
        is_kept();
        links
            .lock()
            .expect("no panic")
            .push(browser.value("location.href"));
        browser.reload();
        is_kept();
        // The page's own link to the lab keeps it, too.
        browser.value("document.querySelector('[href=\"#lab\"]').click()");
        browser.wait_for("location.hash.startsWith('#lab=')");
        is_kept();

        let links = || links.lock().expect("no panic").clone();
        wait_until("there is a link from each engine", || links().len() == 3);
        for link in links() {
            browser.open("about:blank");
            browser.open(&link);
            is_kept();
            browser.wait_for("scrollY > 100");
        }
        browser.open("about:blank");
        browser.open(&format!("{page}{readme}"));
        browser.wait_for(&format!("{TEXT} === 'id: 7\\ndata: a\\ndata:  b\\n\\n'"));
    });
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn of_200_changes_the_last_wins_nothing_is_asked_and_10000_lines_do_not_lengthen_the_page() {
    in_each_engine(|browser| {
        let heads = open_response(browser, &format!("{HEAD}data: 1\n\n"));
        let mut asked = 0;
        wait_until("both columns have asked", || {
            asked += heads.try_iter().count();
            asked == 2
        });
        browser.value(
            "(window.sources = [], window.EventSource = class extends EventSource { \
             constructor(address) { super(address); sources.push(this); } })",
        );
        browser.value(
            "Array.from({ length: 200 }, (_, number) => { \
             const field = document.getElementById('text'); \
             field.value = `retry: 1\\nid: ${number}\\ndata: ${number}\\n\\n`; \
             field.dispatchEvent(new Event('input', { bubbles: true })); })",
        );
        expect_text(browser, "retry: 1\nid: 199\ndata: 199\n\n");
        // Firefox opens none of them; elsewhere the last one ends after two reconnects.
        browser.wait_for("sources.every((source) => source.readyState === 2)");
        let is_firefox = browser.engine == Engine::Firefox;
        let opened = if is_firefox { 0 } else { 201 };
        assert_eq!(browser.number("sources.length"), opened);
        assert_eq!(heads.try_iter().count(), 0, "no request was sent");

        let lines = "data: x\n\n".repeat(5000);
        set(browser, "text", &lines);
        browser.wait_for("document.querySelectorAll('#read tr').length > 10000");
        let height = browser.number("document.documentElement.scrollHeight");
        assert!(height < 4000, "{height} pixels");
    });
}
