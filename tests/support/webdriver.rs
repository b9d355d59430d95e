//! A headless Chromium, driven through chromedriver: the WebDriver protocol (W3C), which is JSON
//! over HTTP, as far as the tests need it.

use super::{Folder, PATIENCE, wait_until};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A browser with a profile of its own. It ends with the test, and so does all that it started.
pub struct Browser {
    driver: Child,
    port: u16,
    profile: Folder,
    /// The path of the WebDriver session, once there is one.
    path: String,
}

impl Browser {
    /// Starts chromedriver on a free port, and Chromium with an empty profile.
    pub fn start() -> Browser {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            // A process group, so that Chromium can be ended with it.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let driver = driver.unwrap_or_else(|error| {
            panic!(
                "chromedriver does not start ({error}): this test needs chromium and chromedriver"
            )
        });
        let mut browser = Browser {
            driver,
            port: 0,
            profile: Folder::create(),
            path: String::new(),
        };
        browser.port = browser.port_line();
        let arguments = [
            "--headless",
            // The sandbox refuses to start for root; only the project's own page is opened.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            &format!("--user-data-dir={}", browser.profile.0.display()),
        ];
        let arguments = arguments.map(quoted).join(",");
        let answer = browser.command(
            "POST",
            "/session",
            &format!(
                r#"{{"capabilities":{{"alwaysMatch":{{
                "goog:loggingPrefs":{{"browser":"ALL","performance":"ALL"}},
                "goog:chromeOptions":{{"args":[{arguments}]}}}}}}}}"#
            ),
        );
        browser.path = format!("/session/{}", string(&answer, "sessionId"));
        browser
    }

    /// Opens a page in the current tab, and returns when it has loaded.
    pub fn open(&self, address: &str) {
        let address = quoted(address);
        self.command("POST", &self.at("/url"), &format!(r#"{{"url":{address}}}"#));
    }

    /// The value of a JavaScript expression in the page, as a string.
    pub fn value(&self, expression: &str) -> String {
        let script = quoted(&format!("return String({expression})"));
        let body = format!(r#"{{"script":{script},"args":[]}}"#);
        string(
            &self.command("POST", &self.at("/execute/sync"), &body),
            "value",
        )
    }

    /// Waits until an expression is true.
    pub fn wait_for(&self, expression: &str) {
        wait_until(expression, || self.value(expression) == "true");
    }

    /// Clicks on the element of this id, as a user does: it must be in view and take clicks.
    pub fn click(&self, id: &str) {
        let body = format!(r##"{{"using":"css selector","value":"#{id}"}}"##);
        let element = self.command("POST", &self.at("/element"), &body);
        // The name of the member is the same in every WebDriver.
        let element = string(&element, "element-6066-11e4-a52e-4f735466cecf");
        self.command("POST", &self.at(&format!("/element/{element}/click")), "{}");
    }

    /// The entries since the last call: `browser` is the console, `performance` the DevTools
    /// events. JSON as it comes.
    pub fn log(&self, kind: &str) -> String {
        let body = format!(r#"{{"type":"{kind}"}}"#);
        self.command("POST", &self.at("/se/log"), &body)
    }

    /// Opens a tab and makes it the current one. Gives the one that was.
    pub fn open_tab(&self) -> String {
        let before = string(&self.command("GET", &self.at("/window"), ""), "value");
        let tab = self.command("POST", &self.at("/window/new"), r#"{"type":"tab"}"#);
        self.switch_to(&string(&tab, "handle"));
        before
    }

    /// Closes the current tab and makes another the current one.
    pub fn close_tab(&self, next: &str) {
        self.command("DELETE", &self.at("/window"), "");
        self.switch_to(next);
    }

    fn switch_to(&self, tab: &str) {
        let body = format!(r#"{{"handle":"{tab}"}}"#);
        self.command("POST", &self.at("/window"), &body);
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// Sends a command; gives the content of the answer, which must be 200.
    fn command(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.exchange(method, path, body);
        let (status, content) = answer.unwrap_or_else(|error| panic!("chromedriver: {error}"));
        assert!(
            status.starts_with("HTTP/1.1 200"),
            "{method} {path} {body}: {content}"
        );
        content
    }

    /// Status line and content. chromedriver keeps connections open, whatever it is asked.
    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(String, String)> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes())?;
        let mut answer = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && answer.read_line(&mut head)? > 0 {}
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("Content-Length");
            value.trim().parse().ok().filter(|_| is_length)
        });
        let mut content = vec![0; length.ok_or(io::ErrorKind::UnexpectedEof)?];
        answer.read_exact(&mut content)?;
        let status = head.lines().next().unwrap_or_default().to_string();
        Ok((status, String::from_utf8_lossy(&content).into_owned()))
    }

    /// `ChromeDriver was started successfully on port 40000.`
    fn port_line(&mut self) -> u16 {
        let output = BufReader::new(self.driver.stdout.take().expect("a pipe"));
        let mut lines = output.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("successfully on port"));
        let line = line.expect("chromedriver says which port it took");
        let number = line.trim_end_matches('.').rsplit(' ').next();
        number
            .and_then(|number| number.parse().ok())
            .expect("a port")
    }
}

impl Drop for Browser {
    /// The test may be panicking: nothing here may panic too.
    fn drop(&mut self) {
        if !self.path.is_empty() {
            let _ = self.exchange("DELETE", &self.path, "");
        }
        // Whatever is left of the process group.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.driver.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
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

/// The first string in a JSON text that is the value of a member of this name.
fn string(json: &str, name: &str) -> String {
    let begin = format!("\"{name}\":\"");
    let at = json.find(&begin);
    let at = at.unwrap_or_else(|| panic!("no {name} in {json}")) + begin.len();
    let mut units = Vec::new();
    let mut rest = json[at..].chars();
    while let Some(c) = rest.next().filter(|&c| c != '"') {
        let c = match c {
            '\\' => match rest.next().expect("an escape") {
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                    continue;
                }
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                c => c,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).expect("a text")
}
