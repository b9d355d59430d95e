//! How a crowd gets in: `cargo bench --bench crowd`.
//!
//! One client opens 3,000 connections, one after the other. A connection that finds the listen queue
//! full is tried again by the client's system after a second: such connections are counted. Two
//! servers take turns: one that listens for itself, where the standard library asks for a queue of
//! 128, and one that gets a socket with a queue as long as the system allows, from
//! `systemd-socket-activate` if that is installed.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use support::{Server, free_addresses};

fn main() {
    let has = |option: &str| std::env::args().any(|word| word == option);
    let is_bench = has("--bench") && !has("--test");
    let (rounds, count) = if is_bench { (5, 3_000) } else { (1, 100) };
    for (name, start) in [
        ("its own socket", own as fn() -> _),
        ("a handed socket", handed),
    ] {
        let Some(server) = start() else {
            println!("{name}: needs systemd-socket-activate");
            continue;
        };
        for _ in 0..rounds {
            let begin = Instant::now();
            let Some((slow, clients)) = connect(server.address, count) else {
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

fn own() -> Option<Server> {
    Some(Server::start(&["--quiet"]))
}

fn handed() -> Option<Server> {
    let [address] = free_addresses();
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={address}"));
    let program = env!("CARGO_BIN_EXE_bare-sse");
    command.args(["sh", "-c", "exec \"$0\" --quiet --listen - <&3", program]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server {
        process: command.spawn().ok()?,
        address,
        log: channel().1,
    };
    // The first client starts the server.
    while TcpStream::connect(address).is_err()
        && server.process.try_wait().is_ok_and(|end| end.is_none())
    {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    Some(server)
}
