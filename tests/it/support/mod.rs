//! What the tests share: the real binary on a free port, and a client that reads bytes.
//! It shares no code with src.

pub mod event_stream_reader;
pub mod in_process;
pub mod json;
pub mod table;
pub mod webdriver;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs, iter, thread};

/// How long a test waits for what must come. Only a test that fails waits so long: who looks for tests
/// that fail sets it to fewer seconds, with `PATIENCE=5 cargo test`.
pub const PATIENCE: Duration = Duration::from_secs(match option_env!("PATIENCE") {
    None => 60,
    Some(seconds) => match u64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds,
        Err(_) => panic!("PATIENCE is a number of seconds"),
    },
});

/// The binary with these options.
pub fn bare_sse(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bare-sse"));
    command.args(options);
    command
}

/// The server in a process of its own, ended with the test.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
    /// The lines of its log, if they are read.
    pub log: Receiver<String>,
}

impl Server {
    /// Starts the binary with these options on a free port of 127.0.0.1.
    pub fn start(options: &[&str]) -> Server {
        Server::from_command(&mut bare_sse(options))
    }

    /// Starts what ends in running the binary, with a listen option added.
    pub fn from_command(command: &mut Command) -> Server {
        Server::listening(command.args(["--listen", "127.0.0.1:0"]))
    }

    /// Starts what ends in running the binary, which is told where to listen.
    pub fn listening(command: &mut Command) -> Server {
        let (mut server, output) = Server::unread(command);
        server.log = lines_of(output);
        server
    }

    /// Starts it with its standard output in a pipe, of which only the first line is read.
    pub fn unread(command: &mut Command) -> (Server, BufReader<ChildStdout>) {
        let mut process = start_program(command.stdout(Stdio::piped()));
        let output = process.stdout.take().expect("a pipe");
        Server::of(process, output)
    }

    /// The server in this process, and its output after the line that says where it listens.
    pub fn of<R>(process: Child, output: R) -> (Server, BufReader<R>)
    where
        R: Read + Send + 'static,
    {
        let mut server = Server {
            process,
            address: SocketAddr::from(([0; 4], 0)),
            log: channel().1,
        };
        let (sender, first_line) = channel();
        thread::spawn(move || {
            let (mut output, mut line) = (BufReader::new(output), String::new());
            let read = output.read_line(&mut line);
            sender.send(read.map(|_| (line, output)))
        });
        let first_line = first_line.recv_timeout(PATIENCE);
        let (line, output) = first_line.expect("a line in time").expect("text");
        let address = line.trim_end().strip_prefix("Listening on http://");
        let address = address.unwrap_or_else(|| panic!("it printed {line:?}"));
        server.address = address.parse().expect("an address");
        (server, output)
    }

    /// Starts what listens on this address without saying so.
    pub fn silent(command: &mut Command, address: SocketAddr) -> Server {
        let server = Server {
            process: start_program(command),
            address,
            log: channel().1,
        };
        wait_until("it listens", || TcpStream::connect(address).is_ok());
        server
    }

    /// The lines that it writes to its standard error, which must be a pipe.
    pub fn errors(&mut self) -> Receiver<String> {
        let errors = self.process.stderr.take().expect("a pipe");
        lines_of(BufReader::new(errors))
    }

    pub fn connect(&self) -> RawClient {
        RawClient::connect(self.address)
    }

    /// Sends it a signal: `STOP` suspends it, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        run_program(&mut shell(&format!("kill -{name} {}", self.process.id())));
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is killed");
        self.process.wait().expect("it ends");
    }

    /// Waits for a line of the log that has this in it.
    pub fn wait_for_log(&self, part: &str) -> String {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with {part:?} came"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks a server for the page on a connection of its own.
pub fn page_is_served(address: SocketAddr) {
    let mut client = RawClient::connect(address);
    client.send_get("/", "Connection: close\r\n");
    assert_eq!(client.read_response(false).status(), 200);
}

pub const README: &str = include_str!("../../../README.md");

/// The blocks of the README that are fenced as this kind of text.
pub fn readme_blocks(kind: &str) -> Vec<String> {
    blocks(README, kind)
}

/// The blocks of a text that are fenced as this kind.
pub fn blocks(text: &str, kind: &str) -> Vec<String> {
    let fence = format!("\n```{kind}\n");
    let block = |rest: &str| rest.split_once("```\n").expect("its end").0.to_string();
    text.split(&fence).skip(1).map(block).collect()
}

/// A folder of the test's own, which is removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn create() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let folder = env::temp_dir().join(format!("bare-sse-test-{}-{count}", process::id()));
        // A run that was killed may have left one of this name.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder of our own");
        Folder(folder)
    }

    /// One with this page in it.
    pub fn with_page(page: &[u8]) -> Folder {
        let folder = Folder::create();
        fs::write(folder.join("index.html"), page).expect("a page");
        folder
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lines of what a process writes, as they come.
pub fn lines_of(output: impl BufRead + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    lines
}

/// A client that sends and reads bytes: a socket, and what has been read and not yet taken.
pub struct RawClient {
    pub socket: TcpStream,
    pub bytes: Vec<u8>,
}

impl RawClient {
    pub fn connect(address: SocketAddr) -> RawClient {
        RawClient::of(TcpStream::connect(address).expect("the server accepts"))
    }

    /// The client that has this socket.
    pub fn of(socket: TcpStream) -> RawClient {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        RawClient {
            socket,
            bytes: Vec::new(),
        }
    }

    /// Another one on the same connection, for a thread that sends while this one reads.
    pub fn twin(&self) -> RawClient {
        RawClient::of(self.socket.try_clone().expect("the same connection"))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server reads");
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Ends the half of the connection on which it sends.
    pub fn end_its_half(&mut self) {
        let ended = self.socket.shutdown(Shutdown::Write);
        ended.expect("a half to end");
    }

    /// Sends a GET; `fields` are whole field lines.
    pub fn send_get(&mut self, path: &str, fields: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
    }

    /// Reads until `count` bytes are there, and takes them.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.bytes.len() < count {
            let is_open = self.read_more();
            assert!(is_open, "the connection ended after {:?}", self.text());
        }
        self.bytes.drain(..count).collect()
    }

    /// Reads up to and with `end`, and takes it.
    pub fn read_until(&mut self, end: &str) -> String {
        let begin = Instant::now();
        let is_end = |part: &[u8]| part == end.as_bytes();
        loop {
            if let Some(at) = self.bytes.windows(end.len()).position(is_end) {
                let bytes = self.read_bytes(at + end.len());
                return String::from_utf8(bytes).expect("text");
            }
            // An endless stream without it would go on.
            let goes_on = self.read_more() && begin.elapsed() < PATIENCE;
            assert!(goes_on, "no {end:?} in {:?}", self.text());
        }
    }

    /// Reads to the end of the connection. A reset is not an end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let begin = Instant::now();
        while self.read_more() {
            assert!(begin.elapsed() < PATIENCE, "no end of {:?}", self.text());
        }
        std::mem::take(&mut self.bytes)
    }

    /// Reads one response, by its Content-Length or its chunks. `to_head`: it answers HEAD.
    pub fn read_response(&mut self, to_head: bool) -> Response {
        let head = self.read_until("\r\n\r\n");
        let mut content = Vec::new();
        if to_head {
        } else if field(&head, "Transfer-Encoding") == Some("chunked") {
            let begin = Instant::now();
            while let Some(chunk) = self.read_chunk() {
                assert!(begin.elapsed() < PATIENCE, "no last chunk comes");
                content.extend(chunk);
            }
        } else if let Some(length) = field(&head, "Content-Length") {
            content = self.read_bytes(length.parse().expect("a length"));
        }
        Response { head, content }
    }

    /// Reads a chunk: its size in hexadecimal, perhaps an extension, CR LF, so many bytes, CR LF. The
    /// last has size 0, and field lines and an empty line follow; it is `None` (RFC 9112 7.1).
    pub fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.read_until("\r\n");
        let size = line.split([';', '\r']).next().expect("a part").trim_end();
        let is_size = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_size, "{line:?} is no size of a chunk");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            while self.read_until("\r\n") != "\r\n" {}
            return None;
        }
        let chunk = self.read_bytes(size);
        assert_eq!(self.read_bytes(2), b"\r\n");
        Some(chunk)
    }

    /// Reads what comes next. `None` is the end of the connection, or its loss.
    pub fn try_read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = [0; 4096];
        let count = self.socket.read(&mut bytes).ok()?;
        (count > 0).then(|| bytes[..count].to_vec())
    }

    /// Checks that nothing comes for so long.
    pub fn gets_nothing_for(&mut self, time: Duration) {
        let timeout = |time| self.socket.set_read_timeout(Some(time)).expect("a timeout");
        timeout(time);
        let error = self.socket.peek(&mut [0]).expect_err("nothing");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock), "{error}");
        timeout(PATIENCE);
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 65536];
        let count = loop {
            match self.socket.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.unwrap_or_else(|e| panic!("{e} after {:?}", self.text())),
            }
        };
        self.bytes.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// The end of what was read and not taken.
    fn text(&self) -> String {
        let end = self.bytes.len().saturating_sub(200);
        String::from_utf8_lossy(&self.bytes[end..]).into_owned()
    }
}

/// A response as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub head: String,
    pub content: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        let digits = self.head.strip_prefix("HTTP/1.1 ").expect("a status line");
        digits[..3].parse().expect("a status code")
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// The value of the first field of this name.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let field = fields.find(|field| field.0.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value)
}

/// Waits until something is so, and returns how long that took on a clock of the test's own: it counts
/// naps, so it stands still while the machine does.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    const NAP: Duration = Duration::from_millis(10);
    let mut time = Duration::ZERO;
    while !is_so() {
        assert!(time < PATIENCE, "it never came to be that {what}");
        thread::sleep(NAP);
        time += NAP;
    }
    time
}

/// A generator of numbers that are the same in every run: xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Starts a program that is not part of this project.
pub fn start_program(command: &mut Command) -> Child {
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("this test needs {:?}: {error}", command.get_program()))
}

/// Runs the binary, which must end by itself. What it prints fits into a pipe.
pub fn run_to_end(command: &mut Command) -> Output {
    let mut process = start_program(command.stderr(Stdio::piped()));
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait().expect("a state").is_none() {
        if Instant::now() > deadline {
            process.kill().expect("it is killed");
            panic!("{command:?} did not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().expect("its output")
}

/// Runs the binary, which must fail with a line that begins with its name. Returns its status and the
/// line.
pub fn failure(command: &mut Command) -> (i32, String) {
    let output = run_to_end(command.stdout(Stdio::piped()));
    assert_eq!(output.stdout, b"");
    let errors = String::from_utf8(output.stderr).expect("text");
    let line = errors.strip_prefix("bare-sse: ").expect(&errors);
    let line = line.strip_suffix('\n').expect("a line end");
    assert_eq!(line.lines().count(), 1, "{errors}");
    (output.status.code().expect("no signal"), line.into())
}

/// Runs a program that is not part of this project, and gives what it printed.
pub fn run_program(command: &mut Command) -> String {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = start_program(command).wait_with_output();
    let output = output.expect("its output can be read");
    let [printed, errors] = [output.stdout, output.stderr].map(|o| String::from_utf8(o).unwrap());
    assert!(output.status.success(), "{command:?}: {printed}{errors}");
    printed
}

/// A program that Debian may have where only root looks for it.
pub fn program(name: &str) -> Command {
    let mut program = Command::new(name);
    program.env("PATH", env::var("PATH").unwrap_or_default() + ":/usr/sbin");
    program
}

/// Commands for the shell, which every Unix has at this path.
pub fn shell(commands: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", commands]);
    shell
}

/// A process in a group of its own, which is ended with all that it has started.
pub struct Group(pub Child);

impl Group {
    pub fn start(command: &mut Command) -> Group {
        Group(start_program(command.process_group(0)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let kill = format!("kill -- -{} 2> /dev/null", self.0.id());
        let _ = shell(&kill).status();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && self.0.try_wait().is_ok_and(|exit| exit.is_none()) {
            thread::sleep(Duration::from_millis(10));
        }
        // One that does not end when it is asked to.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Addresses on which nobody listens, each another one. By default no system gives such a port to a socket
/// that asks for any, as it does with those from 32768 on: so nobody has it before its user listens.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = || {
        let number = process::id() as usize * 100 + NEXT.fetch_add(1, Relaxed);
        SocketAddr::from(([127, 0, 0, 1], 20_000 + (number % 10_000) as u16))
    };
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let free = || {
        iter::repeat_with(next)
            .find(is_free)
            .expect("there are more")
    };
    [(); COUNT].map(|()| free())
}
