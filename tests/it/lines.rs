//! The lines of an input as a source of events: first as values, then in the real program.

use crate::browser::in_each_engine;
use crate::support::event_stream_reader::{Dispatched, Reader};
use crate::support::in_process::log_of_texts;
use crate::support::{
    PATIENCE, Random, RawClient, Server, bare_sse, lines_of, page_is_served, run_program, shell,
    wait_until,
};
use bare_sse::lines::Lines;
use bare_sse::source::{News, Place, Source};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How many bytes are read at once, at most.
const LARGEST_READ: usize = 16 * 1024;

/// An input that a test writes: each piece is read by itself. It ends when the sender is dropped.
struct Pieces(Receiver<io::Result<Vec<u8>>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(Ok(piece)) => (&piece[..]).read(buffer),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(0),
        }
    }
}

/// Lines whose input is written to the sender, and what they say of it.
fn lines() -> (Sender<io::Result<Vec<u8>>>, Arc<Lines>, Receiver<String>) {
    let (sender, receiver) = channel();
    let (log, texts) = log_of_texts();
    let lines = Lines::of(Pieces(receiver), log);
    (sender, lines.expect("a thread"), texts)
}

/// Lines of an input that comes in these pieces, and has ended.
fn ended<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Arc<Lines> {
    let (sender, lines, texts) = lines();
    // A read of no bytes would be the end.
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        sender.send(Ok(piece.to_vec())).expect("a reader");
    }
    drop(sender);
    has_ended(&texts);
    lines
}

/// Waits until it is said that the input has ended, and returns all that is said of it.
fn has_ended(texts: &Receiver<String>) -> String {
    let mut told = String::new();
    while !told.contains("ended") {
        told += &texts.recv_timeout(PATIENCE).expect("it is told");
    }
    told
}

/// What comes next, as a client dispatches it.
fn next(lines: &Lines, place: &mut Place) -> Vec<Dispatched> {
    match lines.next(place, PATIENCE) {
        News::Event(block) | News::End(block) => Reader::of(&block).dispatched,
        News::Silence => panic!("nothing comes"),
    }
}

/// All that comes up to and with the end.
fn to_the_end(lines: &Lines, last_event_id: Option<&[u8]>) -> Vec<Dispatched> {
    let mut place = lines.begin(last_event_id).expect("not over");
    let mut all = Vec::new();
    while all
        .last()
        .is_none_or(|last: &Dispatched| last.event != "end")
    {
        all.extend(next(lines, &mut place));
    }
    all
}

/// The run in the IDs of lines whose input has ended.
fn run_of(lines: &Lines) -> String {
    let end = to_the_end(lines, None).pop().expect("the end");
    let (run, _) = end.last_event_id.split_once('-').expect("RUN-N");
    run.to_string()
}

#[test]
fn an_input_becomes_these_events_whole_and_a_byte_at_a_time() {
    let long = |length, rest: &str| "x".repeat(length) + rest;
    for (input, events) in [
        ("", vec![]),
        ("a", vec!["a"]),
        ("a\n", vec!["a"]),
        ("a\nb\n", vec!["a", "b"]),
        ("a\r\nb\r\n", vec!["a", "b"]),
        ("a\r\n\r\nb", vec!["a", "", "b"]),
        ("\n", vec![""]),
        ("a\n\n", vec!["a", ""]),
        ("a\rb\n", vec!["a\nb"]),
        ("a\r\r\n", vec!["a\n"]),
        ("a\0b\n", vec!["a\0b"]),
        (" a: b\n", vec![" a: b"]),
        ("id: 7\ndata: 8\n", vec!["id: 7", "data: 8"]),
        (
            "\u{feff}é✅日本\u{2028}\u{85}\n",
            vec!["\u{feff}é✅日本\u{2028}\u{85}"],
        ),
        (&long(16_384, "\n"), vec![&long(16_384, "")]),
        (&long(16_384, "\r\n"), vec![&long(16_384, "")]),
        (&long(16_384, ""), vec![&long(16_384, "")]),
        (&long(16_384, "\ny"), vec![&long(16_384, ""), "y"]),
        (&long(16_385, "\n"), vec![&long(16_384, ""), "x"]),
        (&long(16_385, ""), vec![&long(16_384, ""), "x"]),
        (&long(16_384, "\ry\n"), vec![&long(16_384, ""), "\ny"]),
        (
            &long(32_768, "\n"),
            vec![&long(16_384, ""), &long(16_384, "")],
        ),
        (&long(16_383, "é\n"), vec![&long(16_383, ""), "é"]),
        (&long(16_382, "é\n"), vec![&long(16_382, "é")]),
        (&long(16_382, "✅\n"), vec![&long(16_382, ""), "✅"]),
        (&long(16_381, "✅!\n"), vec![&long(16_381, "✅"), "!"]),
        (&long(16_381, "𝄞\n"), vec![&long(16_381, ""), "𝄞"]),
    ] {
        // A byte at a time; of a long line, those at the limit.
        let begin = if input.len() > 16_380 { 16_380 } else { 0 };
        let (begin, rest) = input.as_bytes().split_at(begin);
        let (rest, end_of_long) = rest.split_at(rest.len().min(20));
        let pieces = [begin].into_iter().chain(rest.chunks(1));
        let one_by_one = ended(pieces.chain(end_of_long.chunks(LARGEST_READ)));
        let whole = ended(input.as_bytes().chunks(LARGEST_READ));
        let all = to_the_end(&whole, None);
        let (end, messages) = all.split_last().expect("the end");
        let data: Vec<_> = messages.iter().map(|event| &event.data).collect();
        assert_eq!(data, events, "{input:?}");
        assert_eq!(end.data, events.len().to_string(), "{input:?}");
        let data =
            |events: Vec<Dispatched>| -> Vec<_> { events.into_iter().map(|e| e.data).collect() };
        assert_eq!(data(to_the_end(&one_by_one, None)), data(all), "{input:?}");
    }
}

#[test]
fn what_is_not_utf_8_becomes_the_replacement_character_and_is_cut_at_the_limit() {
    let lines = ended([&b"a\xffb\n\xe2\x9c\n"[..], &[0x80; 16_384], &[0x80; 6]]);
    let all = to_the_end(&lines, None);
    let lengths: Vec<_> = all[2..4]
        .iter()
        .map(|event| event.data.chars().count())
        .collect();
    assert_eq!(all[0].data, "a\u{fffd}b");
    assert_eq!(all[1].data, "\u{fffd}");
    assert_eq!(lengths, [16_384, 6]);
}

#[test]
fn a_client_begins_where_its_last_event_id_says() {
    let (sender, lines, texts) = self::lines();
    let mut place = lines.begin(None).expect("a place");
    sender.send(Ok(b"1\n2\n3\n".to_vec())).expect("a reader");
    let first = next(&lines, &mut place).remove(0);
    assert_eq!(
        (first.event.as_str(), first.data.as_str()),
        ("message", "1")
    );
    let run = first
        .last_event_id
        .strip_suffix("-1")
        .expect("RUN-1")
        .to_string();
    wait_until("all lines are there", || {
        lines.begin(None).expect("a place").seen == 3
    });
    let other_run = (run.parse::<u64>().expect("milliseconds") - 100).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.expect("a time").as_millis() as u64 - run.parse::<u64>().expect("a number");
    assert!(age < PATIENCE.as_millis() as u64, "it began {age} ms ago");
    let cases = [
        (format!("{run}-0"), 0),
        (format!("{run}-1"), 1),
        (format!("{run}-3"), 3),
        // Not an ID of this run: the oldest line that is kept.
        (format!("{run}-4"), 0),
        (format!("{run}-18446744073709551616"), 0),
        (format!("{run}-02"), 0),
        (format!("{run}-+2"), 0),
        (format!("{run}--2"), 0),
        (format!("{run}-2 "), 0),
        (format!(" {run}-2"), 0),
        (format!("0{run}-2"), 0),
        (format!("{run}-2-2"), 0),
        (format!("{run}-"), 0),
        (run.clone(), 0),
        (format!("{other_run}-2"), 0),
        ("-2".into(), 0),
        ("2".into(), 0),
        ("41".into(), 0),
        ("earliest".into(), 0),
        ("\u{e9}\u{fffd}-2".into(), 0),
    ];
    for is_over in [false, true] {
        for (id, seen) in &cases {
            let begin = lines.begin(Some(id.as_bytes())).map(|place| place.seen);
            let is_last = is_over && *seen == 3;
            assert_eq!(begin, (!is_last).then_some(*seen), "{id:?}");
        }
        let seen = lines.begin(None).expect("a place").seen;
        assert_eq!(seen, if is_over { 0 } else { 3 }, "without an ID");
        if !is_over {
            sender.send(Err(ErrorKind::Other.into())).expect("a reader");
            has_ended(&texts);
            assert_eq!(run_of(&lines), run);
        }
    }
}

#[test]
fn a_client_whose_next_line_is_no_longer_kept_is_told_how_many_it_has_missed() {
    let input: String = (1..=1_500).map(|number| format!("{number}\n")).collect();
    let lines = ended([input.as_bytes()]);
    let run = run_of(&lines);
    for (id, missed) in [
        ("200", Some("300")),
        ("499", Some("1")),
        ("500", None),
        ("x", None),
    ] {
        let id = format!("{run}-{id}");
        let mut place = lines.begin(Some(id.as_bytes())).expect("not over");
        let events = next(&lines, &mut place);
        let event = |event: &str, data: &str, number: &str| Dispatched {
            event: event.into(),
            data: data.into(),
            last_event_id: format!("{run}-{number}"),
        };
        let mut expected: Vec<_> = missed
            .map(|count| event("missed", count, "500"))
            .into_iter()
            .collect();
        expected.push(event("message", "501", "501"));
        assert_eq!(events, expected, "{id}");
        assert_eq!(place.seen, 501);
        assert_eq!(next(&lines, &mut place), [event("message", "502", "502")]);
    }
    let events = to_the_end(&lines, Some(b"earliest"));
    assert_eq!(events.len(), 1_001, "a thousand lines and the end");
}

#[test]
fn at_most_a_mebibyte_of_lines_is_kept() {
    let line = "x".repeat(10_000) + "\n";
    let lines = ended([line.as_bytes(); 300]);
    let mut place = lines.begin(None).expect("a place");
    let (mut bytes, mut largest) = (0, 0);
    while let News::Event(block) = lines.next(&mut place, PATIENCE) {
        bytes += block.len();
        largest = block.len();
    }
    assert!(
        (1_048_577 - largest..=1_048_576).contains(&bytes),
        "{bytes}"
    );
}

#[test]
fn a_client_that_is_behind_while_lines_come_misses_them_and_waits_for_none() {
    let (sender, lines, _) = self::lines();
    let mut place = lines.begin(None).expect("a place");
    sender.send(Ok(b"1\n".to_vec())).expect("a reader");
    assert_eq!(next(&lines, &mut place)[0].data, "1");
    sender.send(Ok(b"x\n".repeat(1_010))).expect("a reader");
    let newest = || lines.begin(None).expect("a place").seen;
    wait_until("all lines are there", || newest() == 1_011);
    let events = next(&lines, &mut place);
    assert_eq!(
        (events[0].event.as_str(), events[0].data.as_str()),
        ("missed", "10")
    );
    assert_eq!((events.len(), place.seen), (2, 12));
    // Silence, when nothing comes.
    let mut place = lines.begin(None).expect("a place");
    assert_eq!(
        lines.next(&mut place, Duration::from_millis(1)),
        News::Silence
    );
    assert_eq!(place.seen, 1_011);
}

#[test]
fn an_input_that_is_interrupted_or_not_ready_goes_on_and_one_that_fails_has_ended() {
    let (sender, lines, texts) = self::lines();
    for piece in [
        Ok(b"on".to_vec()),
        Err(ErrorKind::Interrupted.into()),
        Ok(b"e\ntw".to_vec()),
        Err(ErrorKind::WouldBlock.into()),
        Ok(b"o".to_vec()),
        Err(io::Error::other("the disk is gone")),
        Ok(b"three\n".to_vec()),
    ] {
        sender.send(piece).expect("a reader");
    }
    assert_eq!(
        has_ended(&texts),
        "can't read standard input: the disk is gone\nstandard input has ended, lines: 2\n"
    );
    let data: Vec<_> = to_the_end(&lines, None)
        .into_iter()
        .map(|event| event.data)
        .collect();
    assert_eq!(data, ["one", "two", "2"]);
}

/// The program with this for its standard input.
fn start(options: &[&str], input: impl Into<Stdio>) -> Server {
    let mut command = bare_sse(&["--lines"]);
    Server::from_command(command.args(options).stdin(input).stderr(Stdio::piped()))
}

/// A client of the stream, and what it has dispatched and not taken.
struct Client {
    raw: RawClient,
    reader: Reader,
}

impl Client {
    fn open(address: SocketAddr, fields: &str) -> Client {
        let mut raw = RawClient::connect(address);
        raw.send_get("/events", fields);
        let head = raw.read_until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let mut reader = Reader::default();
        reader.feed(&raw.read_chunk().expect("the reconnection time"));
        Client { raw, reader }
    }

    /// The next event.
    fn next(&mut self) -> Dispatched {
        while self.reader.dispatched.is_empty() {
            let chunk = self.raw.read_chunk().expect("the stream goes on");
            self.reader.feed(&chunk);
        }
        self.reader.dispatched.remove(0)
    }
}

#[test]
fn each_of_twenty_clients_that_come_and_go_gets_each_line_once_or_is_told() {
    const LINES: u64 = 20_000;
    let mut server = start(&["--quiet"], Stdio::piped());
    let mut input = server.process.stdin.take().expect("a pipe");
    let address = server.address;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|seed| {
                let mut client = Client::open(address, "");
                scope.spawn(move || {
                    let mut random = Random(seed + 1);
                    let mut seen = 0;
                    loop {
                        let event = client.next();
                        let number = event.last_event_id.split_once('-').expect("RUN-N").1;
                        let number: u64 = number.parse().expect("a number");
                        match event.event.as_str() {
                            "missed" => assert_eq!(event.data, (number - seen).to_string()),
                            "message" => {
                                assert_eq!(number, seen + 1);
                                assert_eq!(event.data, format!("line {number}"));
                            }
                            "end" => {
                                assert_eq!((number, seen), (LINES, LINES));
                                return;
                            }
                            other => panic!("{other}"),
                        }
                        seen = number;
                        if seed > 0 && random.below(300) == 0 {
                            thread::sleep(Duration::from_millis(random.next() % 20));
                            let id = format!("Last-Event-ID: {}\r\n", event.last_event_id);
                            drop(client);
                            if seen == LINES {
                                return;
                            }
                            client = Client::open(address, &id);
                        }
                    }
                })
            })
            .collect();
        let mut random = Random(77);
        let mut number = 0;
        while number < LINES {
            // A burst, in one write.
            let last = (number + random.next() % 200).min(LINES);
            let burst: String = (number + 1..=last).map(|n| format!("line {n}\n")).collect();
            input.write_all(burst.as_bytes()).expect("it is read");
            number = last;
            thread::sleep(Duration::from_millis(1));
        }
        drop(input);
        for client in clients {
            client.join().expect("it misses nothing");
        }
    });
}

#[test]
fn after_the_end_of_the_input_clients_get_what_is_left_and_the_server_goes_on() {
    let mut server = start(&["--quiet"], Stdio::piped());
    let errors = server.errors();
    let mut input = server.process.stdin.take().expect("a pipe");
    let mut before = Client::open(server.address, "");
    input.write_all(b"one\ntwo\nthree").expect("it is read");
    drop(input);
    let mut all: Vec<_> = (0..4).map(|_| before.next()).collect();
    let line = errors.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!(line, "standard input has ended, lines: 3");
    // The connection persists.
    assert_eq!(before.raw.read_chunk(), None);
    before.raw.send_get("/", "");
    assert_eq!(before.raw.read_response(false).status(), 200);
    let ids: Vec<_> = all
        .iter()
        .map(|event| event.last_event_id.clone())
        .collect();
    assert_eq!(ids[3], ids[2], "the end has the last ID");
    // A new client gets all, one that comes back the rest, and one that has seen all is sent away.
    for skipped in 0..3 {
        let fields = match skipped {
            0 => String::new(),
            _ => format!("Last-Event-ID: {}\r\n", ids[skipped - 1]),
        };
        let mut client = Client::open(server.address, &fields);
        let rest: Vec<_> = (skipped..4).map(|_| client.next()).collect();
        assert_eq!(rest, all[skipped..]);
        assert_eq!(client.raw.read_chunk(), None);
    }
    let mut client = server.connect();
    for method in ["GET", "HEAD"] {
        for (id, status) in [(&ids[1], 200), (&ids[2], 204)] {
            if (method, status) == ("GET", 200) {
                continue;
            }
            let request = format!("{method} /events?lastEventId={id} HTTP/1.1\r\nHost:\r\n\r\n");
            client.send(request.as_bytes());
            assert_eq!(client.read_response(true).status(), status, "{method} {id}");
        }
    }
    let end = all.pop().expect("the end");
    assert_eq!((end.event.as_str(), end.data.as_str()), ("end", "3"));
    let data: Vec<_> = all.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(data, ["one", "two", "three"]);
    page_is_served(server.address);
}

#[test]
fn inputs_of_every_kind_are_read_and_one_without_lines_ends_at_once() {
    let folder = crate::support::Folder::with_page(b"from a file\n");
    let file = || File::open(folder.join("index.html")).expect("a file");
    let program = env!("CARGO_BIN_EXE_bare-sse");
    let closed = format!("exec {program} --lines --quiet --listen 127.0.0.1:0 <&-");
    let mut closed = shell(&closed);
    for (mut server, told, data) in [
        (
            start(&["-q"], Stdio::null()),
            vec!["standard input has ended, lines: 0"],
            vec!["0"],
        ),
        (
            Server::listening(closed.stderr(Stdio::piped())),
            vec!["standard input has ended, lines: 0"],
            vec!["0"],
        ),
        (
            start(&["-q"], file()),
            vec!["standard input has ended, lines: 1"],
            vec!["from a file", "1"],
        ),
        (
            start(&["-q"], File::open(&folder.0).expect("a directory")),
            vec![
                "can't read standard input: Is a directory (os error 21)",
                "standard input has ended, lines: 0",
            ],
            vec!["0"],
        ),
    ] {
        let errors = server.errors();
        for line in told {
            assert_eq!(errors.recv_timeout(PATIENCE).expect("it is told"), line);
        }
        let mut client = Client::open(server.address, "");
        for data in data {
            assert_eq!(client.next().data, data);
        }
        // RUN-0 is an ID, too: nothing is left.
        let id = client.reader.last_event_id;
        let mut client = server.connect();
        client.send_get("/events", &format!("Last-Event-ID: {id}\r\n"));
        assert_eq!(client.read_response(false).status(), 204);
    }
}

#[test]
fn an_input_in_non_blocking_mode_is_waited_for() {
    let (mut writer, reader) = UnixStream::pair().expect("a pair");
    reader.set_nonblocking(true).expect("an option");
    let server = start(&["--quiet"], OwnedFd::from(reader));
    let mut client = Client::open(server.address, "");
    for line in ["one", "two"] {
        thread::sleep(Duration::from_millis(100));
        writer
            .write_all(format!("{line}\n").as_bytes())
            .expect("it is read");
        assert_eq!(client.next().data, line);
    }
}

#[test]
fn a_client_that_does_not_read_stops_neither_the_input_nor_the_others_and_is_told_what_it_missed() {
    let mut server = start(&[], Stdio::piped());
    let mut input = server.process.stdin.take().expect("a pipe");
    let mut stuck = Client::open(server.address, "");
    let mut other = Client::open(server.address, "");
    // More than the buffers of both systems hold, and than is kept.
    let line = "x".repeat(16_000);
    for number in 1..=1_500 {
        writeln!(input, "{number} {line}").expect("it is read");
        assert!(other.next().data.starts_with(&format!("{number} ")));
    }
    let (mut seen, mut missed) = (0, 0);
    while seen < 1_500 {
        let event = stuck.next();
        let number = event.last_event_id.split_once('-').expect("RUN-N").1;
        let number: u64 = number.parse().expect("a number");
        if event.event == "missed" {
            missed += number - seen;
            assert_eq!(event.data, (number - seen).to_string());
        } else {
            assert_eq!(number, seen + 1);
        }
        seen = number;
    }
    assert!(missed > 0);
    // The log tells each time.
    while missed > 0 {
        let line = server.wait_for_log(" missed ");
        let (_, count) = line.split_once(" missed ").expect("two parts");
        missed -= count.parse::<u64>().expect("a number");
    }
}

#[test]
fn the_log_tells_the_number_of_an_id_and_never_its_text() {
    let mut server = start(&[], Stdio::piped());
    let mut input = server.process.stdin.take().expect("a pipe");
    let mut first = Client::open(server.address, "");
    input.write_all(b"one\ntwo\n").expect("it is read");
    let id = first.next().last_event_id;
    let told = server.wait_for_log("got /events");
    assert!(told.ends_with("got /events"), "{told}");
    for (id, told) in [
        (id.as_str(), "got /events, last event ID 1"),
        ("7-1", "got /events"),
        ("some text", "got /events"),
    ] {
        Client::open(server.address, &format!("Last-Event-ID: {id}\r\n")).next();
        let line = server.wait_for_log("got /events");
        assert!(line.ends_with(told), "{line}");
    }
}

#[test]
fn an_endless_fast_input_leaves_room_for_streams_and_the_page() {
    let mut server = start(&["--quiet"], Stdio::piped());
    let mut input = server.process.stdin.take().expect("a pipe");
    // As `yes` does.
    let lines = b"y\n".repeat(4096);
    let yes = thread::spawn(move || while input.write_all(&lines).is_ok() {});
    let mut clients: Vec<_> = (0..100).map(|_| Client::open(server.address, "")).collect();
    for client in &mut clients {
        for _ in 0..20 {
            let event = client.next();
            assert!(event.data == "y" || event.event == "missed", "{event:?}");
        }
    }
    page_is_served(server.address);
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id()));
    let status = status.expect("a process");
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    let memory: usize = memory
        .expect("its memory")
        .trim()
        .parse()
        .expect("a number");
    assert!(memory < 32 * 1024, "{memory} KiB");
    server.kill();
    yes.join().expect("its reader is gone");
}

#[test]
#[ignore = "needs script"]
fn what_is_typed_into_a_terminal_reaches_every_client() {
    run_program(Command::new("script").arg("--version"));
    let program = env!("CARGO_BIN_EXE_bare-sse");
    let mut script = Command::new("script");
    let command = format!("{program} --lines --listen 127.0.0.1:0");
    script.args(["-qec", &command, "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = script.spawn().expect("it starts");
    let mut input = process.stdin.take().expect("a pipe");
    let output = process.stdout.take().expect("a pipe");
    let (server, output) = Server::of(process, output);
    let _log = lines_of(BufReader::new(output));
    let mut client = Client::open(server.address, "");
    input.write_all("grüße\n".as_bytes()).expect("it is read");
    assert_eq!(client.next().data, "grüße");
    // Ctrl-D.
    input.write_all(b"\x04").expect("it is read");
    let end = client.next();
    assert_eq!((end.event.as_str(), end.data.as_str()), ("end", "1"));
}

#[test]
#[ignore = "needs browsers: see .ci/run"]
fn an_event_source_goes_on_after_a_restart_with_what_the_new_run_has() {
    in_each_engine(|browser| {
        let mut server = start(&["--quiet", "--retry", "100ms"], Stdio::piped());
        let mut input = server.process.stdin.take().expect("a pipe");
        browser.open(&format!("http://{}/", server.address));
        browser.value(
            "(window.got = [], window.source = new EventSource('/events'), \
             ['message', 'missed', 'end'].forEach((type) => source.addEventListener(type, \
             (event) => got.push(event.type + ' ' + event.data))), '')",
        );
        browser.wait_for("source.readyState === 1");
        input
            .write_all("é ✅ 日本\n".as_bytes())
            .expect("it is read");
        browser.wait_for("got.join() === 'message é ✅ 日本'");
        let address = server.address;
        server.kill();
        let mut command = bare_sse(&["--lines", "--quiet", "--listen", &address.to_string()]);
        let mut server =
            Server::listening(command.stdin(Stdio::piped()).args(["--retry", "100ms"]));
        let mut input = server.process.stdin.take().expect("a pipe");
        input.write_all(b"new 1\nnew 2\n").expect("it is read");
        // Not 3: that a line came before it was connected again is no loss.
        browser.wait_for("got.slice(1).join() === 'message new 1,message new 2'");
        drop(input);
        browser.wait_for("got.at(-1) === 'end 2'");
        // It comes back, gets 204, and stops for good.
        browser.wait_for("source.readyState === 2");
        assert_eq!(browser.value("got.length.toString()"), "4");
    });
}
