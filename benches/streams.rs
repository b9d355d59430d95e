//! Many streams at once, as a table: `cargo bench --bench streams -- 100 1000 10000`.
//!
//! For each number it starts the release server anew, opens that many streams with an event a second,
//! and measures for 10 s what comes.
//!
//! A client that wakes for every event of 10,000 streams takes the processors that the server needs,
//! and then measures itself. So this one does two things. A sample of the streams, spread evenly,
//! have a thread each, which notes when each event comes: that is where the gaps come from. One
//! thread looks at all other streams, once an interval and halfway between two events of each, and
//! reads what has come, which should be one event. So all events are counted, and few wake anybody.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use support::{PATIENCE, Server};

/// How many streams have a thread of their own, unless half of all are fewer.
const SAMPLE: usize = 500;

/// How many intervals are measured.
const ROUNDS: u32 = 10;

/// From the opening of the last stream to the first look, so that all threads are ready.
const SETTLE: Duration = Duration::from_secs(1);

const HEADER: &str = "\
| streams | events on time | gaps on time | gap error p50 / p99 / max | last late | CPU per event | memory per stream |
| ------- | -------------- | ------------ | ------------------------- | --------- | ------------- | ----------------- |";

const LEGEND: &str = "
events on time: events that came within half an interval, of those that were due.
gaps on time: gaps between two events that are within 10 ms of the interval, in the sample.
gap error: how far a gap is from the interval.
last late: how much later than its number of intervals after the head the last event came, at most.
  The server adds up to a hundredth of the interval on purpose.
CPU, memory: the server's, without the kernel's memory for sockets and threads. Known on Linux.";

/// `cargo bench` adds `--bench`. Without it, or with `--test`, this is a quick test. What is not a number
/// is an option of criterion's benches.
fn main() {
    let words: Vec<_> = env::args().skip(1).collect();
    let has = |option: &str| words.iter().any(|word| word == option);
    let mut counts: Vec<_> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let mut interval = Duration::from_secs(1);
    if has("--test") || !has("--bench") {
        (counts, interval) = (vec![20], Duration::from_millis(100));
    } else if counts.is_empty() {
        counts = vec![100, 1000];
    }
    println!("{HEADER}");
    counts.iter().for_each(|&count| measure(count, interval));
    println!("{LEGEND}");
}

/// Starts a server, opens the streams, measures, and prints a row of the table.
fn measure(count: usize, interval: Duration) {
    let interval_option = format!("--interval={}ms", interval.as_millis());
    let slots = format!("--max-connections={}", count + 1);
    let server = Server::start(&["--quiet", &interval_option, &slots]);
    let memory_before = memory(&server);
    let streams: Vec<_> = (0..count).map(|_| Stream::open(server.address)).collect();
    let begin = Instant::now();
    let length = SETTLE + interval * (ROUNDS + 2);
    eprintln!("{count} streams are open, measuring for {length:?}");
    let cpu_before = cpu(&server);

    let (mut watched, mut others) = (Vec::new(), Vec::new());
    let step = count.div_ceil(SAMPLE).max(2);
    for (number, stream) in streams.into_iter().enumerate() {
        // The first time that lies halfway between two events.
        let intervals = (begin + SETTLE - stream.opened).div_duration_f64(interval);
        let first_look = stream.opened + interval.mul_f64(intervals.ceil() + 0.5);
        if number % step == 0 {
            watched.push(thread::spawn(move || stream.watch(first_look, interval)));
        } else {
            stream.socket.set_nonblocking(true).expect("an option");
            others.push((first_look, stream));
        }
    }
    others.sort_by_key(|(first_look, _)| *first_look);
    let mut came = look_at(&mut others, interval);
    assert!(
        others.iter().all(|(_, stream)| stream.last > 0),
        "some have no event"
    );
    sleep_until(begin + length);
    // The CPU time covers more rounds than are counted.
    let part = (interval * ROUNDS).div_duration_f64(begin.elapsed());
    let cpu = (cpu(&server) - cpu_before) * part;
    let memory = memory(&server) - memory_before;

    let (mut errors, mut last_late) = (Vec::new(), 0_f64);
    for thread in watched {
        let (times, late) = thread.join().expect("its events came");
        came += times.len().min(ROUNDS as usize);
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        errors.extend(gaps.map(|gap| milliseconds(gap.abs_diff(interval))));
        last_late = last_late.max(milliseconds(late));
    }
    errors.sort_by(f64::total_cmp);
    let gaps = errors.len();
    let error = |percent| {
        let error = errors.get(gaps.saturating_sub(1) * percent / 100);
        error.copied().unwrap_or(f64::NAN)
    };
    println!(
        "| {count:>7} | {:>12.2} % | {:>10.2} % | {:>6.2} / {:>5.2} / {:>5.2} ms | {last_late:>6.2} ms | {:>10.1} µs | {:>13.1} KiB |",
        percent(came, count * ROUNDS as usize),
        percent(errors.partition_point(|&error| error <= 10.0), gaps),
        error(50),
        error(99),
        error(100),
        cpu / came as f64 / 1e3,
        memory / count as f64,
    );
}

/// The nanoseconds that all threads of the server have run. /proc/PID/stat has only hundredths of a
/// second, and 100 streams need no more than a few of those.
fn cpu(server: &Server) -> f64 {
    let threads = fs::read_dir(format!("/proc/{}/task", server.process.id()));
    threads.map_or(f64::NAN, |threads| {
        let time = |thread: fs::DirEntry| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        threads.flatten().filter_map(time).sum()
    })
}

/// The server's resident memory in KiB.
fn memory(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id()));
    let status = status.unwrap_or_default();
    let mut lines = status.lines();
    let memory = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB"));
    memory.map_or(f64::NAN, |memory| memory.trim().parse().expect("a number"))
}

/// An open stream.
struct Stream {
    socket: TcpStream,
    /// When its beginning came.
    opened: Instant,
    /// The number of the last event that came.
    last: u32,
}

impl Stream {
    fn open(address: SocketAddr) -> Stream {
        let socket = TcpStream::connect_timeout(&address, PATIENCE);
        let mut socket = socket.expect("the server accepts: is `ulimit -n` high enough?");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        socket.write_all(request).expect("the server reads");
        // The server writes it whole.
        let mut beginning = [0; 512];
        let count = socket.read(&mut beginning).expect("a beginning");
        assert!(beginning[..count].ends_with(b"retry: 10000\n\n\r\n"));
        Stream {
            socket,
            opened: Instant::now(),
            last: 0,
        }
    }

    /// Reads the next event, which the server has written whole. Returns whether it came while the socket
    /// waited.
    fn read_event(&mut self) -> bool {
        let next = self.last + 1;
        let event = format!("id: {next}\ndata: {next}\n\n");
        let event = format!("{:x}\r\n{event}\r\n", event.len());
        let mut bytes = vec![0; event.len()];
        match self.socket.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            count => assert_eq!(count.expect("an event"), event.len()),
        }
        assert_eq!(bytes, event.as_bytes(), "event {next}");
        self.last = next;
        true
    }

    /// Reads the events of all rounds. Returns when they came, and how late the last one was.
    fn watch(mut self, begin: Instant, interval: Duration) -> (Vec<Instant>, Duration) {
        let timeout = self.socket.set_read_timeout(Some(interval * 2));
        timeout.expect("an option");
        let (mut times, mut late) = (Vec::new(), Duration::ZERO);
        let window = begin..begin + interval * ROUNDS;
        while Instant::now() < window.end {
            let came = self.read_event();
            let now = Instant::now();
            if came && window.contains(&now) {
                times.push(now);
                late = now.saturating_duration_since(self.opened + interval * self.last);
            }
        }
        assert!(self.last > 0, "no event came");
        (times, late)
    }
}

/// Looks at each stream once an interval, from its first look on. Returns how many of the later looks
/// found an event.
fn look_at(streams: &mut [(Instant, Stream)], interval: Duration) -> usize {
    let mut came = 0;
    for round in 0..=ROUNDS {
        for (first_look, stream) in &mut *streams {
            sleep_until(*first_look + interval * round);
            let before = stream.last;
            while stream.read_event() {}
            came += usize::from(round > 0 && stream.last > before);
        }
    }
    came
}

/// Sleeps, but not for less than a millisecond: looks that are close together are done together.
fn sleep_until(time: Instant) {
    let wait = time.saturating_duration_since(Instant::now());
    if wait >= Duration::from_millis(1) {
        thread::sleep(wait);
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Rounded down to hundredths, so that 100 % is all.
fn percent(part: usize, whole: usize) -> f64 {
    (part * 10_000 / whole.max(1)) as f64 / 100.0
}
