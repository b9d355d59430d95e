//! A listening socket that the server gets as its standard input, from this test or from systemd.

use crate::support::{
    Folder, RawClient, Server, bare_sse, page_is_served, run_to_end, start_program, wait_until,
};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

/// The binary with standard input as its socket.
fn on_input(socket: impl Into<OwnedFd>) -> Command {
    let mut command = bare_sse(&["--listen", "-", "--interval", "10ms"]);
    command.stdin(socket.into());
    command
}

fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[test]
fn a_socket_on_standard_input_is_served_and_so_is_a_client_that_came_before_the_server() {
    let (listener, address) = socket();
    // It comes in the mode that systemd makes sockets in.
    listener.set_nonblocking(true).expect("an option");
    let mut client = RawClient::connect(address);
    client.send_get("/events", "");
    let server = Server::listening(&mut on_input(listener));
    assert_eq!(server.address, address);
    client.read_until("id: 3\n");
    page_is_served(address);
}

#[test]
fn a_standard_input_that_can_never_accept_ends_the_program_with_1_and_a_line() {
    let (_listener, address) = socket();
    let null = fs::File::open("/dev/null").expect("a device");
    let connected = TcpStream::connect(address).expect("a connection");
    let (pair, _other) = UnixStream::pair().expect("a pair");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let no_socket = "it is not a listening TCP socket";
    for (stdin, reason) in [
        (OwnedFd::from(null), no_socket),
        (connected.into(), no_socket),
        (pair.into(), no_socket),
        (datagrams.into(), "Operation not supported (os error 95)"),
    ] {
        let output = run_to_end(on_input(stdin).stdout(Stdio::null()));
        let line = format!("bare-sse: can't listen on standard input: {reason}\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), line);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn another_process_that_changes_the_mode_of_the_socket_disturbs_nothing() {
    let (listener, address) = socket();
    let info = format!("/proc/self/fdinfo/{}", listener.as_raw_fd());
    let info = || fs::read_to_string(&info).expect("what Linux tells of it");
    let blocking = info();
    let mut command = on_input(listener.try_clone().expect("its other name"));
    let mut server = Server::listening(command.stderr(Stdio::piped()));
    let errors = server.errors();
    for _ in 0..10 {
        listener.set_nonblocking(true).expect("an option");
        page_is_served(address);
    }
    // It waits for the next client, and does not ask again and again.
    wait_until("the socket is in blocking mode again", || {
        info() == blocking
    });
    assert_eq!(errors.try_recv().ok(), None, "nothing is wrong");
}

/// The unit that runs the program, which is not installed at its path here.
fn service() -> String {
    let service = include_str!("../configurations/bare-sse.service");
    service.replace("/usr/local/bin/bare-sse", env!("CARGO_BIN_EXE_bare-sse"))
}

#[test]
#[ignore = "needs systemd"]
fn systemd_finds_no_fault_in_the_units() {
    let folder = Folder::create();
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").stderr(Stdio::piped());
    let socket = include_str!("../configurations/bare-sse.socket");
    for (name, unit) in [
        ("bare-sse.socket", socket),
        ("bare-sse.service", &service()),
    ] {
        fs::write(folder.join(name), unit).expect("it is written");
        verify.arg(folder.join(name));
    }
    let output = start_program(&mut verify).wait_with_output();
    let output = output.expect("its output");
    // Of other units on the machine it may have something to say.
    let faults = String::from_utf8_lossy(&output.stderr);
    let is_about_ours = faults.contains("bare-sse");
    assert!(!is_about_ours && output.status.success(), "{faults}");
}

#[test]
#[ignore = "needs systemd"]
fn the_service_is_started_by_the_first_client_of_its_socket() {
    let (listener, address) = socket();
    drop(listener);
    let service = service();
    let (_, command) = service.split_once("\nExecStart=").expect("a command");
    let command = format!("exec {} <&3", command.lines().next().expect("its line"));
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg(format!("--listen={address}"));
    let activate = activate.args(["sh", "-c", &command]);
    let mut process = start_program(activate.stderr(Stdio::piped()));
    let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    lines.next().expect("it listens").expect("a line");
    let mut client = RawClient::connect(address);
    client.send_get("/events", "");
    client.read_until("id: 1\n");
    process.kill().expect("it is killed");
    process.wait().expect("it ends");
}
