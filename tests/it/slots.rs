//! Slots: how many connections there are, and who is served when they are taken, or when the system
//! refuses files or threads.

use crate::support::in_process::{InProcess, SHORT_LIMITS, site, usual_site};
use crate::support::{
    Folder, PATIENCE, RawClient, Server, bare_sse, page_is_served, run_program, wait_until,
};
use bare_sse::counter::Counter;
use bare_sse::slots::{Free, Slots};
use bare_sse::trouble::Trouble;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, thread};

#[test]
fn few_slots_are_free_when_a_tenth_is_and_each_that_is_freed_can_be_taken_again() {
    for count in [1, 2, 9, 10, 19, 20, 100] {
        let slots = Slots::new(count);
        let mut taken: Vec<_> = (0..count).map(|_| slots.take()).collect();
        assert!(slots.are_all_taken());
        for free in 0..count {
            let expected = match free {
                0 => Free::None,
                _ if free * 10 <= count => Free::Few,
                _ => Free::Many,
            };
            assert_eq!(taken[0].free(), expected, "{free} of {count}");
            assert_eq!(slots.are_all_taken(), free == 0);
            taken.pop();
        }
        assert!(taken.is_empty() && !slots.are_all_taken());
    }
}

#[test]
fn who_waits_for_a_slot_goes_on_when_one_is_freed() {
    let slots = Slots::new(2);
    let [slot, _other] = [(); 2].map(|()| slots.take());
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(slot);
    });
    slots.wait();
    assert!(!slots.are_all_taken());
}

#[test]
fn a_refusal_by_the_system_counts_for_a_second_as_if_no_slot_were_free() {
    let slots = Slots::new(10);
    let slot = slots.take();
    assert_eq!(slot.free(), Free::Many);
    let begin = Instant::now();
    slots.system_refused();
    wait_until("the refusal counts no more", || slot.free() == Free::Many);
    assert!(begin.elapsed() >= Duration::from_millis(999));
}

#[test]
fn trouble_that_goes_on_is_reported_once() {
    let (mut trouble, mut reports, mut waits) = (Trouble::default(), 0, 0);
    for _ in 0..100 {
        trouble.meet(|| reports += 1, || waits += 1);
    }
    assert_eq!((reports, waits), (1, 100));
}

#[test]
fn when_all_slots_are_taken_new_clients_wait_until_one_is_free() {
    let server = InProcess::start(site(Counter::new(Duration::from_millis(50), None)), 3);
    let mut streams = [(); 3].map(|()| server.connect());
    for client in &mut streams {
        client.send_get("/events", "");
        client.read_until("retry: 10000\n\n");
    }
    let mut waiting = [(); 5].map(|()| server.connect());
    for client in &mut waiting {
        client.send_get("/", "Connection: close\r\n");
        client.gets_nothing_for(Duration::from_millis(50));
    }
    drop(streams);
    for client in &mut waiting {
        assert_eq!(client.read_response(false).status(), 200);
    }
    let line = "3 of 3 connections are taken: new clients wait for one to end\n";
    assert_eq!(server.error(), line);
    assert_eq!(server.errors.try_recv().ok(), None, "it is said once");
}

#[test]
fn a_client_that_is_idle_already_goes_when_slots_become_scarce_and_a_busy_one_stays() {
    let mut site = usual_site();
    site.limits.head = PATIENCE * 10;
    site.limits.idle = Duration::from_secs(250);
    let server = InProcess::start(site, 10);
    let ask = |client: &mut RawClient| {
        client.send_get("/", "");
        client.read_response(false).field("Connection") == Some("keep-alive")
    };
    let mut idle = server.connect();
    assert!(ask(&mut idle));
    // One slot is left, and their heads are not complete: nobody else is idle.
    let _others = [(); 8].map(|()| {
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\n");
        client
    });
    let ended = thread::spawn(move || idle.read_to_end());
    // A slot is free again when the idle client has gone. Until then it is the last that this takes.
    let mut busy = server.connect();
    let mut persists = || {
        let persists = ask(&mut busy);
        if !persists {
            busy = server.connect();
        }
        persists
    };
    while !ended.is_finished() {
        persists();
    }
    assert_eq!(ended.join().expect("it ends"), b"");
    // A slot is freed a moment after its socket is closed.
    wait_until("a slot is free", &mut persists);
    for _ in 0..100 {
        assert!(persists(), "a busy connection persists");
    }
}

#[test]
fn a_thread_that_panics_ends_its_connection_and_frees_its_slot() {
    // The first event would be due after the end of time.
    let server = InProcess::start(site(Counter::new(Duration::MAX, None)), 1);
    for _ in 0..5 {
        let mut client = server.connect();
        client.send_get("/events", "");
        assert!(client.read_to_end().ends_with(b"retry: 10000\n\n\r\n"));
        page_is_served(server.address);
    }
}

#[test]
fn a_panic_that_prints_its_backtrace_fits_into_the_stack_of_its_thread() {
    // Otherwise the whole process would end.
    let panics = "slots::a_thread_that_panics_ends_its_connection_and_frees_its_slot";
    let mut test = Command::new(env::current_exe().expect("this program"));
    test.args(["--exact", panics]).env("RUST_BACKTRACE", "full");
    assert!(run_program(&mut test).contains("1 passed"));
}

/// So many connections, which hold all slots or threads, and open again whenever they are closed.
/// They send these bytes now and then.
fn hold_all(address: SocketAddr, count: usize, bytes: &'static [u8]) -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let connect = move || {
        let mut socket = TcpStream::connect(address).expect("the server listens");
        let _ = socket.write_all(bytes);
        socket.set_nonblocking(true).expect("an option");
        (socket, Instant::now())
    };
    thread::spawn(move || {
        let mut sockets: Vec<_> = (0..count).map(|_| connect()).collect();
        while !stop.load(Relaxed) {
            for connection in &mut sockets {
                let (socket, sent) = connection;
                let is_closed = match socket.read(&mut [0; 4096]) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() != ErrorKind::WouldBlock,
                };
                if is_closed {
                    *connection = connect();
                } else if sent.elapsed() > SHORT_LIMITS.idle * 4 / 5 {
                    let _ = socket.write_all(bytes);
                    *sent = Instant::now();
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    is_over
}

#[test]
fn visitors_are_served_while_others_hold_all_slots() {
    let are_served = |slots, bytes| {
        let mut site = usual_site();
        site.limits.head = Duration::from_secs(2);
        let server = InProcess::start(site, slots);
        let is_over = hold_all(server.address, slots, bytes);
        thread::sleep(2 * SHORT_LIMITS.idle);
        (0..20).for_each(|_| page_is_served(server.address));
        is_over.store(true, Relaxed);
    };
    let head = b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n";
    thread::scope(|scope| {
        for (slots, bytes) in [
            (100, &b""[..]),
            (100, b"GET"),
            (100, head),
            (9, head),
            (1, head),
        ] {
            scope.spawn(move || are_served(slots, bytes));
        }
    });
}

/// A copy of the binary where any user can run it, run by a user who may have this many threads. Root
/// may have any number.
fn with_threads(folder: &Folder, count: usize) -> Server {
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).expect("our folder");
    let program = folder.join("bare-sse");
    fs::copy(env!("CARGO_BIN_EXE_bare-sse"), &program).expect("a copy");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=61234", "--clear-groups", "prlimit"])
        .arg(format!("--nproc={count}"))
        .arg(program)
        .arg("--quiet")
        .stderr(Stdio::piped());
    Server::from_command(&mut command)
}

/// A refusal may pass: nothing is lowered for good.
fn connections_persist_again(server: &Server) {
    wait_until("connections persist again", || {
        let mut client = server.connect();
        client.send_get("/", "");
        client.read_response(false).field("Connection") == Some("keep-alive")
    });
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn visitors_are_served_while_others_hold_all_threads_that_the_system_allows() {
    let folder = Folder::create();
    let mut server = with_threads(&folder, 40);
    let errors = server.errors();
    let is_over = hold_all(server.address, 60, b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n");
    let line = errors.recv_timeout(PATIENCE).expect("it is said");
    let expected = "can't start a thread, clients wait: ";
    assert!(line.starts_with(expected), "{line}");
    (0..20).for_each(|_| page_is_served(server.address));
    is_over.store(true, Relaxed);
    connections_persist_again(&server);
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn clients_are_accepted_also_while_no_thread_can_be_started() {
    let folder = Folder::create();
    // Its first thread, two that write lines, and the one that starts others.
    let server = with_threads(&folder, 4);
    // The listen queue has 128 places, so who is not accepted can't connect.
    let clients: Vec<_> = (0..400)
        .map(|_| TcpStream::connect_timeout(&server.address, PATIENCE).expect("it is accepted"))
        .collect();
    drop(clients);
}

/// Lowers how many files a server may have open.
fn limit_files(server: &Server, count: usize) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args([
        format!("--pid={}", server.process.id()),
        format!("--nofile={count}:{count}"),
    ]);
    run_program(&mut prlimit);
}

fn open_files(server: &Server) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", server.process.id()));
    files.expect("its files").count()
}

#[test]
#[ignore = "needs prlimit"]
fn visitors_are_served_while_others_hold_all_files_that_the_system_allows() {
    for bytes in [&b""[..], b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n"] {
        let mut server = Server::from_command(bare_sse(&["--quiet"]).stderr(Stdio::piped()));
        let errors = server.errors();
        limit_files(&server, open_files(&server) + 50);
        let is_over = hold_all(server.address, 60, bytes);
        let line = errors.recv_timeout(PATIENCE).expect("it is said");
        let expected = "can't accept, new clients wait: ";
        assert!(line.starts_with(expected), "{line}");
        (0..20).for_each(|_| page_is_served(server.address));
        is_over.store(true, Relaxed);
        connections_persist_again(&server);
        assert_eq!(errors.try_recv().ok(), None, "it is said once");
    }
}

#[test]
#[ignore = "needs prlimit"]
fn there_are_never_more_open_sockets_than_slots() {
    let mut command = bare_sse(&["--quiet", "--max-connections", "4"]);
    let mut server = Server::from_command(command.stderr(Stdio::piped()));
    let errors = server.errors();
    limit_files(&server, open_files(&server) + 4);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..500).for_each(|_| page_is_served(server.address)));
        }
    });
    server.kill();
    let lines: Vec<_> = errors.iter().collect();
    assert_eq!(
        lines,
        ["4 of 4 connections are taken: new clients wait for one to end"]
    );
}
