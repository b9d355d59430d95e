//! The README's program in thirty lines: it sends what the server sends, and goes wrong as the README
//! says where the server does not.

use crate::support::{
    Folder, Server, free_addresses, readme_blocks, run_program, shell, wait_until,
};
use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Compiles the program with another address, and starts it after a command of the shell such as
/// `ulimit -n 9`.
fn start(limit: &str) -> Server {
    let folder = Folder::create();
    let [address] = free_addresses();
    let program = readme_blocks("rust").concat();
    let program = program.replace("127.0.0.1:3000", &address.to_string());
    fs::write(folder.join("main.rs"), program).expect("it is written");
    run_program(Command::new("rustc").arg("main.rs").current_dir(&folder.0));
    let mut program = shell(&format!("{limit}\nexec ./main"));
    program.current_dir(&folder.0).stderr(Stdio::null());
    Server::silent(&mut program, address)
}

const GET: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn the_thirty_lines_send_what_the_server_sends_without_date_and_chunks_whatever_the_request_is() {
    let server = Server::start(&[]);
    let begin = Instant::now();
    let mut client = server.connect();
    client.send(GET.as_bytes());
    let head = client.read_until("\r\n\r\n");
    let (head, own) = head.split_once("Date: ").expect("a date");
    assert!(own.ends_with(" GMT\r\nTransfer-Encoding: chunked\r\n\r\n"));
    // The beginning of the stream, and two events.
    let chunks = [(); 3].map(|()| client.read_chunk().expect("a chunk"));
    assert!(begin.elapsed() >= Duration::from_secs(2));
    let expected = format!("{head}\r\n{}", String::from_utf8_lossy(&chunks.concat()));

    let small = start("");
    let delete = GET.replace("GET /events", "DELETE /favicon.ico");
    let again = GET.replace("\r\n\r\n", "\r\nLast-Event-ID: 41\r\n\r\n");
    for request in [GET, "noise", "GET /", &delete, &again] {
        let mut client = small.connect();
        client.send(request.as_bytes());
        assert_eq!(client.read_until("data: 2\n\n"), expected, "{request}");
    }
}

#[test]
fn at_a_limit_of_the_system_they_end_or_panic_and_the_server_goes_on() {
    for (limit, status, streams) in [("ulimit -n 9", 1, 1), ("ulimit -v 20000", 101, 9)] {
        let mut small = start(limit);
        let (mut clients, mut ended) = (Vec::new(), None);
        wait_until("it ends", || {
            clients.extend(TcpStream::connect(small.address));
            ended = small.process.try_wait().expect("its status");
            ended.is_some()
        });
        assert_eq!(ended.and_then(|ended| ended.code()), Some(status));

        let program = env!("CARGO_BIN_EXE_bare-sse");
        let commands = format!("{limit}\nexec {program} --listen 127.0.0.1:0");
        let server = Server::listening(shell(&commands).stderr(Stdio::null()));
        let clients = [(); 9].map(|()| server.connect());
        for mut client in clients.into_iter().take(streams) {
            client.send_get("/events", "");
            client.read_until("id: 1\n");
        }
    }
}
