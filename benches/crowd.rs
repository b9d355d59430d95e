//! How a crowd gets in: `cargo bench --bench crowd`.
//!
//! One client opens 3,000 connections, one after the other. A connection that finds the listen queue
//! full is tried again by the client's system after a second: such connections are counted. Two
//! servers take turns: one that listens for itself, where the standard library asks for a queue of
//! 128, and one that gets a socket with a queue as long as the system allows, from
//! `systemd-socket-activate` if that is installed.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SERVER: &str = env!("CARGO_BIN_EXE_bare-sse");

fn main() {
    let has = |option: &str| std::env::args().any(|word| word == option);
    let is_bench = has("--bench") && !has("--test");
    let (rounds, count) = if is_bench { (5, 3_000) } else { (1, 100) };
    for (name, start) in [
        ("its own socket", own as fn() -> _),
        ("a handed socket", handed),
    ] {
        let Some((_server, address)) = start() else {
            println!("{name}: needs systemd-socket-activate");
            continue;
        };
        for _ in 0..rounds {
            let begin = Instant::now();
            let Some((slow, clients)) = connect(address, count) else {
                println!(
                    "{name}: {count} connections need `ulimit -n {}`",
                    count + 50
                );
                break;
            };
            let time = begin.elapsed().as_secs_f64();
            println!(
                "{name}: {count} connections in {time:.2} s, {slow} of them after a second or more"
            );
            drop(clients);
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// The server in a process of its own, which ends when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens connections, and counts those that took a second or more. `None` if files run out.
fn connect(address: SocketAddr, count: usize) -> Option<(usize, Vec<TcpStream>)> {
    let mut slow = 0;
    let clients = (0..count).map(|_| {
        let begin = Instant::now();
        let client = TcpStream::connect(address);
        slow += usize::from(begin.elapsed() >= Duration::from_millis(900));
        client.ok()
    });
    let clients = clients.collect::<Option<_>>()?;
    Some((slow, clients))
}

fn own() -> Option<(Server, SocketAddr)> {
    let mut command = Command::new(SERVER);
    command
        .args(["--quiet", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped());
    let mut server = Server(command.spawn().expect("the server starts"));
    let mut line = String::new();
    let output = server.0.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("Listening on http://");
    Some((server, address?.parse().expect("an address")))
}

fn handed() -> Option<(Server, SocketAddr)> {
    // The port is free again when this listener is dropped, here.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|port| port.local_addr())
        .expect("a port");
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={address}"));
    command.args(["sh", "-c", "exec \"$0\" --quiet --listen - <&3", SERVER]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server(command.spawn().ok()?);
    // The first client starts the server.
    while TcpStream::connect(address).is_err() && server.0.try_wait().is_ok_and(|end| end.is_none())
    {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    Some((server, address))
}
