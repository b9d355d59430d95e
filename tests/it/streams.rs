//! `/events` over time: what is written at once, what the log says, and a server that is replaced. Its
//! bytes stand in `tests/transcripts`.

use crate::support::event_stream_reader::Reader;
use crate::support::{Server, page_is_served};

#[test]
fn the_beginning_comes_in_one_write_each_block_too_and_the_last_chunk_with_the_end_event() {
    let server = Server::start(&["--interval", "20ms", "--count", "12"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    // What is written at once is read at once: on loopback no write is torn. A client that is late
    // may read several at once.
    let mut all = String::new();
    while !all.ends_with("\r\n0\r\n\r\n") {
        let read = client.try_read().expect("a block");
        all += str::from_utf8(&read).expect("text");
        assert!(all.contains("\r\ne\r\nretry: 10000\n\n\r\n"), "{all}");
        assert!(all.ends_with("\n\n\r\n") || all.ends_with("\r\n0\r\n\r\n"));
        let is_end = all.contains("event: end");
        assert_eq!(all.ends_with("\r\n0\r\n\r\n"), is_end, "{all}");
        assert!(all.len() < 1_000, "it does not end: {all}");
    }
}

#[test]
fn another_process_goes_on_where_one_was_killed() {
    let mut seen: Vec<u64> = Vec::new();
    let mut last_event_id = String::new();
    for _ in 0..3 {
        let mut server = Server::start(&["--interval", "10ms"]);
        let mut client = server.connect();
        client.send_get("/events", &format!("Last-Event-ID: {last_event_id}\r\n"));
        client.read_until("\r\n\r\n");
        let chunks = [(); 10].map(|()| client.read_chunk().expect("no end"));
        server.kill();
        let reader = Reader::of(&chunks.concat());
        last_event_id = reader.last_event_id;
        let data = reader.dispatched.into_iter().map(|event| event.data);
        seen.extend(data.map(|data| data.parse::<u64>().expect("a number")));
    }
    assert!(seen.iter().copied().eq(1..=27), "{seen:?}");
}

#[test]
fn the_log_tells_the_life_of_a_stream() {
    let server = Server::start(&["--interval", "10ms", "--count", "10"]);
    let mut client = server.connect();
    let address = client.socket.local_addr().expect("an address");
    client.send_get("/events", "Last-Event-ID: 7\r\n");
    client.read_response(false);
    client.send_get("/events", "Last-Event-ID: 9\r\n");
    client.read_response(false);
    for line in [
        "got /events, last event ID 7",
        "emit 8",
        "emit 9",
        "emit 10",
        "ended after 3 events",
        "got /events, last event ID 9",
        "emit 10",
        "ended after 1 event",
    ] {
        assert_eq!(server.wait_for_log(""), format!("{address} {line}"));
    }
    // Without an ID that is a number above 0, none is told.
    client.send_get("/events", "Last-Event-ID: x\r\n");
    assert_eq!(server.wait_for_log(""), format!("{address} got /events"));
    drop(client);
    server.wait_for_log(&format!("{address} left after "));
}

#[test]
fn with_quiet_the_log_has_nothing_but_the_listening_line() {
    let mut server = Server::start(&["--quiet", "--interval", "0s", "--count", "3"]);
    let mut client = server.connect();
    client.send_get("/events", "");
    client.read_response(false);
    drop(client);
    page_is_served(server.address);
    server.kill();
    assert_eq!(Vec::from_iter(&server.log), [""; 0]);
}
