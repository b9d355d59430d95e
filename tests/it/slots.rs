//! Slots: how many connections there are, and who is served when they are taken, or when the system
//! refuses files or threads.

use crate::support::in_process::{InProcess, SHORT_LIMITS, site, usual_site};
use crate::support::{
    Folder, PATIENCE, RawClient, Server, bare_sse, page_is_served, run_program, shell, wait_until,
};
use bare_sse::counter::Counter;
use bare_sse::slots::{Free, Slots};
use bare_sse::trouble::Trouble;
use std::fs::{self, Permissions};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

#[test]
fn few_slots_are_free_when_at_most_a_tenth_is() {
    for count in [1, 9, 10, 19, 20, 100] {
        let slots = Slots::new(count);
        let mut taken: Vec<_> = (0..count).map(|_| slots.take()).collect();
        for free in 0..count {
            let expected = match free {
                0 => Free::None,
                _ if free * 10 <= count => Free::Few,
                _ => Free::Many,
            };
            assert_eq!(taken[0].free(), expected, "{free} of {count}");
            taken.pop();
        }
    }
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
#[ignore = "takes 11 s"]
fn trouble_is_told_again_after_ten_seconds_without_it_and_not_before() {
    let (mut trouble, mut reports) = (Trouble::default(), Vec::new());
    for seconds in [0, 0, 1, 10] {
        thread::sleep(Duration::from_secs(seconds));
        trouble.meet(|| reports.push(seconds), || ());
    }
    assert_eq!(reports, [0, 10]);
}

#[test]
fn when_all_slots_are_taken_new_clients_wait_until_one_is_free() {
    let server = InProcess::start(site(Counter::new(Duration::from_millis(50), None)), 3);
    let streams = [(); 3].map(|()| {
        let mut client = server.connect();
        client.send_get("/events", "");
        client.read_until("retry: 10000\n\n");
        client
    });
    let mut waiting = [(); 5].map(|()| server.connect());
    for client in &mut waiting {
        client.send_get("/", "Connection: close\r\n");
        client.gets_nothing_for(Duration::from_millis(50));
    }
    drop(streams);
    for client in &mut waiting {
        assert_eq!(client.read_response(false).status(), 200);
    }
    let line = "all connections are taken (3): new clients wait for one to end\n";
    let error = server.errors.recv_timeout(PATIENCE);
    assert_eq!(error.as_deref(), Ok(line));
    assert_eq!(server.errors.try_recv().ok(), None, "it is said once");
}

/// Asks for the page. Returns whether the connection persists.
fn persists(client: &mut RawClient) -> bool {
    client.send_get("/", "");
    client.read_response(false).field("Connection") == Some("keep-alive")
}

#[test]
fn a_client_that_is_idle_already_goes_when_slots_become_scarce_and_a_busy_one_stays() {
    let mut site = usual_site();
    site.limits.head = PATIENCE * 10;
    site.limits.idle = Duration::from_secs(250);
    let server = InProcess::start(site, 10);
    let mut idle = server.connect();
    assert!(persists(&mut idle));
    // One slot is left, and their heads are not complete: nobody else is idle.
    let _others = [(); 8].map(|()| {
        let mut client = server.connect();
        client.send(b"GET / HTTP/1.1\r\n");
        client
    });
    let ended = thread::spawn(move || idle.read_to_end());
    // Until the idle client has gone, this takes the last slot.
    let mut busy = server.connect();
    wait_until("the idle client has gone, and its slot is free", || {
        let is_free = persists(&mut busy);
        if !is_free {
            busy = server.connect();
        }
        is_free && ended.is_finished()
    });
    assert_eq!(ended.join().expect("it ends"), b"");
    for _ in 0..100 {
        assert!(persists(&mut busy), "a busy connection persists");
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

/// Holds all slots, files or threads with so many clients, until what it returns is dropped. Each sends
/// these bytes now and then, and connects again whenever it is closed.
fn hold_all(address: SocketAddr, count: usize, bytes: &'static [u8]) -> Arc<()> {
    let held = Arc::new(());
    for _ in 0..count {
        let held = Arc::downgrade(&held);
        thread::spawn(move || {
            while held.strong_count() > 0 {
                let mut client = RawClient::connect(address);
                let timeout = Some(SHORT_LIMITS.idle * 4 / 5);
                client.socket.set_read_timeout(timeout).expect("a timeout");
                let mut is_open = client.try_send(bytes).is_ok();
                while is_open && held.strong_count() > 0 {
                    is_open = match client.socket.read(&mut [0; 4096]) {
                        Ok(count) => count > 0,
                        // Nothing has come for a while, or the connection is lost.
                        Err(_) => client.try_send(bytes).is_ok(),
                    };
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
    }
    held
}

const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost:\r\n\r\n";

#[test]
fn visitors_are_served_while_others_hold_all_slots() {
    thread::scope(|scope| {
        for (slots, bytes) in [(100, &b""[..]), (100, HEAD), (9, HEAD)] {
            let server = InProcess::start(usual_site(), slots);
            scope.spawn(move || {
                let _held = hold_all(server.address, slots, bytes);
                thread::sleep(2 * SHORT_LIMITS.idle);
                (0..20).for_each(|_| page_is_served(server.address));
            });
        }
    });
}

/// Checks that visitors are served while others hold all that the system allows, of which this line is
/// said once, and that connections persist again when they have gone.
fn visitors_are_served(server: &mut Server, bytes: &'static [u8], line: &str) {
    let errors = server.errors();
    let held = hold_all(server.address, 60, bytes);
    let error = errors.recv_timeout(PATIENCE).expect("it is said");
    assert!(error.starts_with(line), "{error}");
    (0..20).for_each(|_| page_is_served(server.address));
    drop(held);
    wait_until("connections persist again", || {
        persists(&mut server.connect())
    });
    assert_eq!(errors.try_recv().ok(), None, "it is said once");
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
        .arg("--quiet");
    Server::from_command(command.stderr(Stdio::piped()))
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn visitors_are_served_while_others_hold_all_threads_that_the_system_allows() {
    let folder = Folder::create();
    let mut server = with_threads(&folder, 40);
    visitors_are_served(&mut server, HEAD, "can't start a thread, clients wait: ");
}

#[test]
#[ignore = "needs root, setpriv and prlimit"]
fn clients_are_accepted_also_while_no_thread_can_be_started() {
    let folder = Folder::create();
    // Its first thread, two that write lines, and the one that starts others.
    let server = with_threads(&folder, 4);
    // The listen queue has 128 places, so who is not accepted can't connect.
    let connect = || TcpStream::connect_timeout(&server.address, PATIENCE);
    let clients = (0..400).map(|_| connect().expect("it is accepted"));
    drop(Vec::from_iter(clients));
}

/// A server with these options that may open so many files more.
fn with_files(options: &[&str], count: usize) -> Server {
    let server = Server::from_command(bare_sse(options).stderr(Stdio::piped()));
    let process = server.process.id();
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("its files");
    let limit = open.count() + count;
    let command = format!("prlimit --pid={process} --nofile={limit}:{limit}");
    run_program(&mut shell(&command));
    server
}

#[test]
#[ignore = "needs prlimit"]
fn visitors_are_served_while_others_hold_all_files_that_the_system_allows() {
    for bytes in [b"", HEAD] {
        let mut server = with_files(&["--quiet"], 50);
        visitors_are_served(&mut server, bytes, "can't accept, new clients wait: ");
    }
}

#[test]
#[ignore = "needs prlimit"]
fn there_are_never_more_open_sockets_than_slots() {
    let mut server = with_files(&["--quiet", "--max-connections", "4"], 4);
    let errors = server.errors();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..500).for_each(|_| page_is_served(server.address)));
        }
    });
    server.kill();
    let line = "all connections are taken (4): new clients wait for one to end";
    assert_eq!(Vec::from_iter(errors), [line]);
}
