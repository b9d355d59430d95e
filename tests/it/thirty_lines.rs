//! The README's program in thirty lines: it sends what the server sends, and goes wrong as the README
//! says.

use crate::support::event_stream_reader::Reader;
use crate::support::{
    Folder, PATIENCE, Server, free_addresses, lines_of, readme_blocks, run_program, shell,
    start_program, wait_until,
};
use std::env;
use std::fs;
use std::io::BufReader;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Compiles the program with its address replaced, and other words too, and starts it after a command
/// of the shell such as `ulimit -n 9`. What it prints stays unread.
fn start(limit: &str, others: &[(&str, &str)]) -> Server {
    let folder = Folder::create();
    let [address] = free_addresses();
    let here = address.to_string();
    let mut program = readme_blocks("rust").concat();
    for (from, to) in [&[("127.0.0.1:3000", &*here)], others].concat() {
        assert_eq!(program.matches(from).count(), 1, "{from}");
        program = program.replace(from, to);
    }
    fs::write(folder.join("main.rs"), program).expect("it is written");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut rustc = Command::new(rustc);
    run_program(rustc.arg("main.rs").current_dir(&folder.0));
    let mut program = shell(&format!("{limit}\nexec ./main"));
    program.current_dir(&folder.0);
    let server = Server {
        process: start_program(program.stdout(Stdio::piped()).stderr(Stdio::null())),
        address,
        log: channel().1,
    };
    wait_until("it listens", || TcpStream::connect(address).is_ok());
    server
}

const GET: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What a server answers to these bytes, up to and with `end`.
fn answer(server: &Server, request: &str, end: &str) -> String {
    let mut client = server.connect();
    client.send(request.as_bytes());
    client.read_until(end)
}

#[test]
fn the_thirty_lines_send_what_the_server_sends() {
    let small = answer(&start("", &[]), GET, "data: 2\n\n");
    let (head, stream) = small.split_once("\r\n\r\n").expect("a head");
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(GET.as_bytes());
    let whole = client.read_until("\r\n\r\n");
    let (common, own) = whole.split_once("\r\nDate: ").expect("a date");
    assert_eq!(head, common);
    assert!(own.ends_with(" GMT\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let chunks = [(); 3].map(|()| client.read_chunk().expect("a chunk"));
    assert_eq!(stream, String::from_utf8_lossy(&chunks.concat()));
}

#[test]
fn they_send_the_stream_from_1_whatever_the_request_is() {
    let small = start("", &[]);
    let delete = GET.replace("GET /events", "DELETE /favicon.ico");
    let again = GET.replace("localhost\r\n", "localhost\r\nLast-Event-ID: 41\r\n");
    for request in ["noise", "GET /", &delete, &again] {
        let answer = answer(&small, request, "data: 1\n\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn they_make_two_events_of_a_text_with_line_ends() {
    let text = ("data: {number}", r"data: hi\n\ndata: {number}");
    let answer = answer(&start("", &[text]), GET, "data: 1\n\n");
    let (_, stream) = answer.split_once("\r\n\r\n").expect("a head");
    let reader = Reader::of(stream.as_bytes());
    assert_eq!(reader.dispatched.len(), 2, "{reader:?}");
}

/// Connects until the program has ended, and returns its status.
fn status_after_many_clients(mut small: Server) -> Option<i32> {
    let (mut clients, mut status) = (Vec::new(), None);
    wait_until("it ends", || {
        clients.extend(TcpStream::connect(small.address));
        status = small.process.try_wait().expect("its status");
        status.is_some()
    });
    status.expect("it has ended").code()
}

#[test]
fn they_end_at_the_first_accept_that_fails() {
    let small = start("ulimit -n 9", &[]);
    assert_eq!(status_after_many_clients(small), Some(1));
}

#[test]
fn they_panic_when_the_system_refuses_a_thread() {
    let small = start("ulimit -v 20000", &[]);
    assert_eq!(status_after_many_clients(small), Some(101));
}

#[test]
fn with_a_log_that_nobody_reads_their_streams_stop() {
    let write = "        socket.write_all(event";
    let all = format!("        println!(\"emit {{number}}\");\n{write}");
    let small = start("", &[("from_secs(1)", "from_secs(0)"), (write, &all)]);
    let mut client = small.connect();
    client.send(GET.as_bytes());
    let timeout = Some(Duration::from_secs(2));
    client.socket.set_read_timeout(timeout).expect("a timeout");
    // Otherwise it would go on for ever.
    while client.try_read().is_some() {}
}

#[test]
#[ignore = "needs curl"]
fn only_the_server_lets_curl_tell_an_end_from_a_loss() {
    for (mut server, status) in [(start("", &[]), 0), (Server::start(&[]), 18)] {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--noproxy", "*", "-sN"]);
        curl.arg(format!("http://{}/events", server.address));
        let mut curl = start_program(curl.stdout(Stdio::piped()));
        let lines = lines_of(BufReader::new(curl.stdout.take().expect("a pipe")));
        lines.recv_timeout(PATIENCE).expect("a line");
        server.process.kill().expect("it is killed");
        assert_eq!(curl.wait().expect("it ends").code(), Some(status));
    }
}
