//! A listening socket that the server gets as its standard input, from this test or from systemd.

use crate::support::{
    Folder, RawClient, Server, bare_sse, failure, page_is_served, run_to_end, start_program,
    wait_until,
};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The binary with standard input as its socket, and these options.
fn on_input(options: &[&str]) -> Command {
    bare_sse(&[&["--listen", "-"], options].concat())
}

fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn input(socket: impl Into<OwnedFd>) -> Stdio {
    socket.into().into()
}

#[test]
fn a_socket_on_standard_input_is_served() {
    let (listener, address) = socket();
    // It comes in the mode that systemd makes sockets in.
    listener.set_nonblocking(true).expect("an option");
    let server = Server::listening(on_input(&["--interval", "10ms"]).stdin(input(listener)));
    assert_eq!(server.address, address);
    page_is_served(address);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_until("id: 3\n");
}

#[test]
fn a_client_that_came_before_the_server_is_served() {
    let (listener, address) = socket();
    let mut client = RawClient::connect(address);
    client.send_get("/", "");
    let _server = Server::listening(on_input(&[]).stdin(input(listener)));
    assert_eq!(client.read_response(false).status(), 200);
}

#[test]
fn a_standard_input_that_is_not_a_listening_socket_ends_the_program_with_1_and_a_line() {
    let (_listener, address) = socket();
    let connected = TcpStream::connect(address).expect("a connection");
    let (pair, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    for stdin in [
        Stdio::null(),
        input(File::open("/dev/zero").expect("a device")),
        input(connected),
        input(pair),
    ] {
        let line = "can't listen on standard input: it is not a listening TCP socket";
        assert_eq!(failure(on_input(&["-q"]).stdin(stdin)), (1, line.into()));
    }
}

#[test]
fn a_socket_that_can_never_accept_ends_the_program_with_1_and_a_line() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut command = on_input(&["-q"]);
    // It has said already where it listens.
    let output = run_to_end(command.stdin(input(datagrams)).stdout(Stdio::piped()));
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).expect("text");
    let begin = "bare-sse: can't listen on standard input: ";
    assert!(
        line.starts_with(begin) && line.lines().count() == 1,
        "{line}"
    );
}

/// The units that a user installs, with another path of the program.
fn units() -> [(&'static str, String); 2] {
    let path = |unit: &str| unit.replace("/usr/local/bin/bare-sse", env!("CARGO_BIN_EXE_bare-sse"));
    [
        (
            "bare-sse.socket",
            path(include_str!("../configurations/bare-sse.socket")),
        ),
        (
            "bare-sse.service",
            path(include_str!("../configurations/bare-sse.service")),
        ),
    ]
}

#[test]
#[ignore = "needs systemd"]
fn systemd_finds_no_fault_in_the_units() {
    let folder = Folder::create();
    let units = units().map(|(name, text)| {
        fs::write(folder.join(name), text).expect("it is written");
        folder.join(name)
    });
    let mut verify = Command::new("systemd-analyze");
    let output = verify.arg("verify").args(units).stderr(Stdio::piped());
    let output = start_program(output)
        .wait_with_output()
        .expect("its output");
    let faults = String::from_utf8_lossy(&output.stderr);
    // Of other units on the machine it may have something to say.
    let faults: Vec<_> = faults
        .lines()
        .filter(|line| line.contains("bare-sse"))
        .collect();
    assert!(faults.is_empty() && output.status.success(), "{faults:?}");
}

#[test]
#[ignore = "needs systemd"]
fn the_service_is_started_by_the_first_client_of_its_socket() {
    let (listener, address) = socket();
    drop(listener);
    let [_, (_, service)] = units();
    let command = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let command = command.expect("a command");
    let mut activate = Command::new("systemd-socket-activate");
    activate.arg(format!("--listen={address}"));
    activate
        .args(["sh", "-c", &format!("exec {command} <&3")])
        .stderr(Stdio::piped());
    let mut process = start_program(&mut activate);
    let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    lines.next().expect("it listens").expect("a line");
    let connected = TcpStream::connect(address);
    let mut client = RawClient::of(connected.expect("the socket listens"));
    client.send_get("/events", "");
    client.read_until("id: 1\n");
    process.kill().expect("it is killed");
    process.wait().expect("it ends");
}

#[test]
fn another_process_that_changes_the_mode_of_the_socket_disturbs_nothing() {
    let (listener, address) = socket();
    let stdin = input(listener.try_clone().expect("its other name"));
    let mut command = on_input(&["-q"]);
    let mut server = Server::listening(command.stdin(stdin).stderr(Stdio::piped()));
    let errors = server.errors();
    for _ in 0..10 {
        listener.set_nonblocking(true).expect("an option");
        page_is_served(address);
    }
    // It waits for the next client, and does not ask again and again.
    let info = format!("/proc/self/fdinfo/{}", listener.as_raw_fd());
    wait_until("the socket is in blocking mode again", || {
        let info = fs::read_to_string(&info).expect("what Linux tells of it");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.expect("its flags").trim();
        let o_nonblock = 0o4000;
        u32::from_str_radix(flags, 8).expect("octal digits") & o_nonblock == 0
    });
    assert_eq!(errors.try_recv().ok(), None, "nothing is wrong");
}

#[test]
fn two_servers_that_share_a_socket_answer_every_client() {
    let (listener, address) = socket();
    let start = || {
        let stdin = input(listener.try_clone().expect("its other name"));
        Server::listening(on_input(&["-q"]).stdin(stdin))
    };
    let _servers = [start(), start()];
    for _ in 0..200 {
        // So many at once that a server accepts several before it starts their threads.
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let mut client = RawClient::connect(address);
                client.send_get("/", "Connection: close\r\n");
                client
            })
            .collect();
        for mut client in clients {
            assert_eq!(client.read_response(false).status(), 200);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
