//! A real browser, driven through its WebDriver (W3C): JSON over HTTP, as far as the tests need it.

use super::json::Json;
use super::{Folder, PATIENCE, RawClient, free_addresses, start_program, wait_until};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Chromium,
    WebKit,
    Firefox,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Chromium, Engine::WebKit, Engine::Firefox];

    fn driver(self) -> &'static str {
        match self {
            Engine::Chromium => "chromedriver",
            Engine::WebKit => "WebKitWebDriver",
            Engine::Firefox => "geckodriver",
        }
    }

    fn capabilities(self) -> &'static str {
        match self {
            // The sandbox refuses to start for root; only the project's own page is opened. Without
            // the other flags Chromium looks for hosts of its own. chromedriver would turn the
            // back/forward cache off.
            Engine::Chromium => {
                r#"{"goog:loggingPrefs":{"browser":"ALL","performance":"ALL"},
                "goog:chromeOptions":{"args":["--headless","--no-sandbox","--disable-gpu",
                "--disable-quic","--disable-sync","--disable-background-networking",
                "--disable-component-update","--no-first-run"],
                "excludeSwitches":["disable-back-forward-cache"]}}"#
            }
            Engine::WebKit => "{}",
            Engine::Firefox => {
                r#"{"moz:firefoxOptions":{"binary":"/usr/bin/firefox-esr","args":["-headless"]}}"#
            }
        }
    }
}

/// A browser with a profile of its own. It ends with the test, and so does all that it started.
pub struct Browser {
    pub engine: Engine,
    driver: Child,
    address: SocketAddr,
    /// The screen, for an engine that can't do without.
    screen: Option<Child>,
    /// The path of the WebDriver session, once there is one.
    path: String,
    /// Home and temporary files of driver and browser.
    _folder: Folder,
}

impl Browser {
    pub fn start(engine: Engine) -> Browser {
        let folder = Folder::create();
        // Not every driver tells which port it has taken when it may choose.
        let [address] = free_addresses();
        let mut command = Command::new(engine.driver());
        command
            .arg(format!("--port={}", address.port()))
            .env("HOME", &folder.0)
            .env("TMPDIR", &folder.0)
            // A process group, so that the browser can be ended with it.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut screen = None;
        if engine == Engine::WebKit {
            let (process, display) = start_screen();
            command.env("DISPLAY", display);
            screen = Some(process);
        }
        let mut browser = Browser {
            engine,
            driver: start_program(&mut command),
            address,
            screen,
            path: String::new(),
            _folder: folder,
        };
        wait_until("the driver listens", || TcpStream::connect(address).is_ok());
        let capabilities = engine.capabilities();
        let body = format!(r#"{{"capabilities":{{"alwaysMatch":{capabilities}}}}}"#);
        let session = browser.command("POST", "/session", &body);
        browser.path = format!("/session/{}", session["sessionId"].text());
        browser
    }

    /// Opens a page in the current window, and returns when it has loaded.
    pub fn open(&self, address: &str) {
        let address = quoted(address);
        self.command("POST", &self.at("/url"), &format!(r#"{{"url":{address}}}"#));
    }

    /// Goes back in the history of the current window.
    pub fn back(&self) {
        self.command("POST", &self.at("/back"), "{}");
    }

    pub fn reload(&self) {
        self.command("POST", &self.at("/refresh"), "{}");
    }

    /// The value of a JavaScript expression in the page, as a string.
    pub fn value(&self, expression: &str) -> String {
        let script = quoted(&format!("return String({expression})"));
        let body = format!(r#"{{"script":{script},"args":[]}}"#);
        let value = self.command("POST", &self.at("/execute/sync"), &body);
        value.text().to_string()
    }

    /// The value of a JavaScript expression that is a whole number.
    pub fn number(&self, expression: &str) -> i64 {
        let value = self.value(expression);
        let number = value.parse();
        number.unwrap_or_else(|_| panic!("{expression} is {value:?}"))
    }

    /// The text of the element of this id.
    pub fn text(&self, id: &str) -> String {
        self.value(&format!("document.getElementById('{id}').textContent"))
    }

    /// Waits until an expression is true.
    pub fn wait_for(&self, expression: &str) {
        wait_until(expression, || self.value(expression) == "true");
    }

    /// Clicks on the element of this id, as a user does: it must be in view and take clicks.
    pub fn click(&self, id: &str) {
        self.element(id, "click", "{}");
    }

    /// Types a text into the field of this id, key by key, at its end.
    pub fn type_into(&self, id: &str, text: &str) {
        let text = quoted(text);
        self.element(id, "value", &format!(r#"{{"text":{text}}}"#));
    }

    fn element(&self, id: &str, command: &str, parameters: &str) {
        let body = format!(r##"{{"using":"css selector","value":"#{id}"}}"##);
        let element = self.command("POST", &self.at("/element"), &body);
        // The name of the member is the same in every WebDriver.
        let element = &element["element-6066-11e4-a52e-4f735466cecf"];
        let path = self.at(&format!("/element/{}/{command}", element.text()));
        self.command("POST", &path, parameters);
    }

    /// Hides the page, as if its window were put away, or shows it again.
    pub fn set_hidden(&self, is_hidden: bool) {
        if is_hidden {
            self.command("POST", &self.at("/window/minimize"), "{}");
        } else {
            let body = r#"{"width":1280,"height":800}"#;
            self.command("POST", &self.at("/window/rect"), body);
        }
        self.wait_for(&format!("document.hidden === {is_hidden}"));
    }

    /// The size of the window. Chromium takes any for the page; the windows of the others can't be
    /// as narrow as a phone.
    pub fn resize(&self, width: u32, height: u32) {
        assert_eq!(self.engine, Engine::Chromium);
        let parameters = format!(
            r#"{{"width":{width},"height":{height},"deviceScaleFactor":1,"mobile":{}}}"#,
            width < 600
        );
        let body =
            format!(r#"{{"cmd":"Emulation.setDeviceMetricsOverride","params":{parameters}}}"#);
        self.command("POST", &self.at("/goog/cdp/execute"), &body);
    }

    /// Chromium only: the entries since the last call. `browser` is the console, `performance` the
    /// DevTools events. JSON as it comes.
    pub fn log(&self, kind: &str) -> String {
        let body = format!(r#"{{"type":"{kind}"}}"#);
        self.answer("POST", &self.at("/se/log"), &body)
    }

    /// The current window.
    pub fn window(&self) -> String {
        let window = self.command("GET", &self.at("/window"), "");
        window.text().to_string()
    }

    /// Opens a window and makes it the current one.
    pub fn open_window(&self) {
        let window = self.command("POST", &self.at("/window/new"), r#"{"type":"window"}"#);
        self.switch_to(window["handle"].text());
    }

    /// Closes the current window and makes another the current one.
    pub fn close_window(&self, next: &str) {
        self.command("DELETE", &self.at("/window"), "");
        self.switch_to(next);
    }

    pub fn switch_to(&self, window: &str) {
        let body = format!(r#"{{"handle":"{window}"}}"#);
        self.command("POST", &self.at("/window"), &body);
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// Sends a command, and returns its value.
    fn command(&self, method: &str, path: &str, body: &str) -> Json {
        let answer = Json::parse(&self.answer(method, path, body));
        answer["value"].clone()
    }

    /// Sends a command, and returns the content of the answer, which must be 200.
    fn answer(&self, method: &str, path: &str, body: &str) -> String {
        let mut client = RawClient::connect(self.address);
        client.send(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.address,
                body.len()
            )
            .as_bytes(),
        );
        // To start a browser takes the longest.
        let timeout = client.socket.set_read_timeout(Some(3 * PATIENCE));
        timeout.expect("a timeout");
        client.bytes = client.try_read().unwrap_or_default();
        let head = client.read_until("\r\n\r\n");
        // chromedriver writes no space after the colon.
        let fields = head.to_ascii_lowercase();
        let (_, rest) = fields.split_once("content-length:").expect("a length");
        let length = rest.lines().next().expect("its line").trim().parse();
        let content = client.read_bytes(length.expect("a number"));
        let content = String::from_utf8(content).expect("UTF-8");
        let is_ok = head.starts_with("HTTP/1.1 200");
        assert!(
            is_ok,
            "{:?}: {method} {path} {body}: {content}",
            self.engine
        );
        content
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // While the test panics, nothing here may panic too.
        if !thread::panicking() {
            self.command("DELETE", &self.path, "");
        }
        // Whatever is left of the process group.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.driver.id())])
            .stderr(Stdio::null())
            .status();
        for process in [Some(&mut self.driver), self.screen.as_mut()] {
            let _ = process.map(|process| (process.kill(), process.wait()));
        }
    }
}

/// A screen that nobody sees, and what programs call it.
fn start_screen() -> (Child, String) {
    let mut screen = start_program(
        Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-nolisten",
                "tcp",
                "-screen",
                "0",
                "1920x1080x24",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let mut number = String::new();
    BufReader::new(screen.stdout.take().expect("a pipe"))
        .read_line(&mut number)
        .expect("Xvfb says which display it is");
    (screen, format!(":{}", number.trim()))
}

/// A text as a JSON string, which is a JavaScript string too.
pub fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..'\x20' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => json.push(c),
        }
    }
    json + "\""
}
