//! The log, and what becomes of it when its output is slow, full or gone.

use crate::support::in_process::log_of_texts;
use crate::support::{PATIENCE, Server, bare_sse, free_addresses, start_program, wait_until};
use bare_sse::log::Log;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

#[test]
fn a_log_that_cannot_be_written_says_so_once_and_ends_nothing() {
    let full = File::options().write(true).open("/dev/full");
    let [address] = free_addresses();
    let mut command = bare_sse(&["--interval", "1ms", "--listen", &address.to_string()]);
    command
        .stdout(full.expect("a device"))
        .stderr(Stdio::piped());
    let mut server = Server::silent(&mut command, address);
    let errors = server.errors();
    let line = errors.recv_timeout(PATIENCE).expect("it is said");
    let expected = "can't write the log, its lines wait: No space left on device (os error 28)";
    assert_eq!(line, expected);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until("id: 100\n");
    assert_eq!(errors.try_recv().ok(), None, "it is said once");
}

/// How many lines one line of the log stands for: those that it says were dropped, or itself.
fn stands_for(line: &str) -> usize {
    let dropped = line.strip_prefix("lines dropped: ");
    dropped.map_or(1, |count| count.parse().expect("a number"))
}

/// A disk that is full while it has no content.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Option<Vec<u8>>>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.0.lock().expect("the content");
        let content = content.as_mut().ok_or(ErrorKind::StorageFull)?;
        content.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_goes_on_when_the_disk_is_no_longer_full_and_counts_the_lines_that_are_missing() {
    let disk = Disk::default();
    let (errors, texts) = log_of_texts();
    let log = Log::to(disk.clone(), errors).expect("a thread");
    // More than can wait.
    (0..10_000).for_each(|number| log.line(format_args!("{number}")));
    texts.recv_timeout(PATIENCE).expect("it is said");
    *disk.0.lock().expect("the content") = Some(Vec::new());
    log.line(format_args!("the last"));
    wait_until("the log has gone on", || {
        let content = disk.0.lock().expect("the content");
        let content = content.as_deref().map(String::from_utf8_lossy);
        let lines = content.as_deref().unwrap_or_default().lines();
        lines.clone().count() > 4_000 && lines.map(stands_for).sum::<usize>() >= 10_000
    });
    assert_eq!(texts.try_recv().ok(), None, "it is said once");
}

#[test]
fn a_log_that_nobody_reads_stalls_no_stream_and_tells_or_counts_each_line_when_it_is_read() {
    for is_nonblocking in [false, true] {
        let (reader, writer) = UnixStream::pair().expect("a pair");
        writer.set_nonblocking(is_nonblocking).expect("an option");
        reader.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = bare_sse(&["--listen", "127.0.0.1:0", "--interval", "0s"]);
        command.args(["--count", "50000"]);
        command.stdout(OwnedFd::from(writer)).stderr(Stdio::piped());
        let (mut server, output) = Server::of(start_program(&mut command), reader);
        let mut client = server.connect();
        client.send_get("/events", "");
        // Far more lines than fit into the socket and the log.
        client.read_until("event: end\n");
        let (mut told, mut lines) = (0, 0);
        let mut output = output.lines();
        // `got`, the events, and `ended`.
        while lines < 50_002 {
            let line = output.next().expect("the log goes on").expect("a line");
            lines += stands_for(&line);
            told += 1;
        }
        assert_eq!(lines, 50_002);
        assert!(told > 4_000, "{told} lines were told");
        let errors = server.errors();
        server.kill();
        assert_eq!(errors.iter().next(), None, "to wait is no trouble");
    }
}

#[test]
fn a_closed_standard_output_ends_nothing_and_is_no_trouble() {
    let mut command = bare_sse(&["--listen", "127.0.0.1:0", "--interval", "1ms"]);
    let (mut server, output) = Server::unread(command.stderr(Stdio::piped()));
    drop(output);
    for _ in 0..2 {
        let mut client = server.connect();
        client.send_get("/events", "");
        client.read_until("id: 100\n");
    }
    let errors = server.errors();
    server.kill();
    assert_eq!(Vec::from_iter(errors), [""; 0]);
}

#[test]
fn a_stuck_standard_error_stalls_nobody() {
    let (_reader, mut writer) = io::pipe().expect("a pipe");
    let stderr = writer.try_clone().expect("its other name");
    // Fills the pipe, which nobody reads, and is stuck in it until the test ends.
    thread::spawn(move || writer.write_all(&[0; 1 << 20]));
    let mut command = bare_sse(&["--max-connections", "1", "--interval", "10ms"]);
    let server = Server::from_command(command.stderr(stderr));
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
