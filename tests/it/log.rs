//! The log, and what becomes of it when its output is slow, full or gone.

use crate::support::in_process::log_of_texts;
use crate::support::{PATIENCE, Server, bare_sse, lines_of, wait_until};
use bare_sse::log::Log;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

#[test]
fn a_log_that_cannot_be_written_says_so_once_and_ends_nothing() {
    let full = File::options().write(true).open("/dev/full");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut command = bare_sse(&["--interval", "1ms", "--listen", "-"]);
    command
        .stdin(OwnedFd::from(listener))
        .stdout(full.expect("a device"))
        .stderr(Stdio::piped());
    let mut server = Server {
        process: command.spawn().expect("it starts"),
        address,
        log: channel().1,
    };
    let errors = server.errors();
    let line = errors.recv_timeout(PATIENCE).expect("it is said");
    let expected = "can't write the log, its lines wait: No space left on device (os error 28)";
    assert_eq!(line, expected);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until("id: 100\n");
    assert_eq!(errors.try_recv().ok(), None, "it is said once");
}

/// A disk that is full for a while.
struct Disk {
    is_full: Arc<AtomicBool>,
    content: Arc<Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full.load(SeqCst) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.content.lock().expect("the content").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_goes_on_when_the_disk_is_no_longer_full_and_counts_the_lines_that_are_missing() {
    let is_full = Arc::new(AtomicBool::new(true));
    let content = Arc::new(Mutex::default());
    let disk = Disk {
        is_full: Arc::clone(&is_full),
        content: Arc::clone(&content),
    };
    let (errors, texts) = log_of_texts();
    let log = Log::to(disk, errors).expect("a thread");
    // More than can wait.
    (0..10_000).for_each(|number| log.line(format_args!("{number}")));
    let said = texts.recv_timeout(PATIENCE).expect("it is said");
    assert!(
        said.starts_with("can't write the log, its lines wait: "),
        "{said}"
    );
    is_full.store(false, SeqCst);
    log.line(format_args!("the last"));
    wait_until("the log has gone on", || {
        let content = content.lock().expect("the content");
        let text = String::from_utf8_lossy(&content);
        let (mut lines, mut dropped) = (0, 0);
        for line in text.lines() {
            match line.strip_suffix(" lines dropped") {
                Some(count) => dropped += count.parse::<usize>().expect("a number"),
                None => lines += 1,
            }
        }
        lines >= 4_000 && lines + dropped >= 10_000
    });
    assert_eq!(texts.try_recv().ok(), None, "it is said once");
}

#[test]
fn a_closed_standard_output_ends_nothing() {
    let mut command = bare_sse(&["--listen", "127.0.0.1:0", "--interval", "1ms"]);
    let (mut server, output) = Server::unread(command.stderr(Stdio::piped()));
    drop(output);
    for _ in 0..3 {
        let mut client = server.connect();
        client.send_get("/events", "");
        client.read_until("id: 100\n");
    }
    let ended = server.process.try_wait().expect("a state");
    assert_eq!(ended, None, "it still runs");
    server.kill();
    let errors = server.process.stderr.take().expect("a pipe");
    let errors = io::read_to_string(errors).expect("text");
    assert_eq!(errors, "", "a reader that has gone is no trouble");
}

#[test]
fn a_full_standard_output_that_nobody_reads_stalls_no_stream() {
    let mut command = bare_sse(&["--listen", "127.0.0.1:0", "--interval", "0s"]);
    let (server, output) = Server::unread(&mut command);
    let mut client = server.connect();
    client.send_get("/events", "");
    // Some 25 bytes a line: far more than a pipe and the lines that wait can hold.
    client.read_until("id: 50000\n");
    drop(client);
    // When somebody reads again, it is said how many are missing.
    let lines = lines_of(output);
    let mut missing = 0;
    while missing < 10_000 {
        let line = lines.recv_timeout(PATIENCE).expect("they are counted");
        if let Some(count) = line.strip_suffix(" lines dropped") {
            missing += count.parse::<u64>().expect("a number");
        }
    }
}

#[test]
fn a_standard_output_in_non_blocking_mode_gets_every_line_when_it_is_read() {
    let (reader, writer) = UnixStream::pair().expect("a pair");
    writer.set_nonblocking(true).expect("an option");
    reader.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = bare_sse(&["--listen", "127.0.0.1:0", "--interval", "0s"]);
    command
        .args(["--count", "50000"])
        .stdout(OwnedFd::from(writer));
    let (server, output) = Server::of(command.spawn().expect("it starts"), reader);
    let mut client = server.connect();
    client.send_get("/events", "");
    // The socket is full long before this comes, and the log has found that it would block.
    client.read_until("event: end\nid: 50000\ndata: 50000\n\n");
    let (mut told, mut dropped) = (0, 0);
    for line in output.lines().map_while(Result::ok) {
        match line.split_once(' ').expect("two words") {
            (count, "lines dropped") => dropped += count.parse::<u64>().expect("a number"),
            _ => told += 1,
        }
        // `got`, the events, and `ended`.
        if told + dropped == 50_002 {
            break;
        }
    }
    assert_eq!(told + dropped, 50_002);
    assert!(told > 4_000, "{told} lines were told");
}

#[test]
fn a_stuck_standard_error_stalls_nobody() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
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
