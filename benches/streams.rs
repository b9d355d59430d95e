//! Many streams at once, as a table: `cargo bench --bench streams -- 100 1000 10000`.
//!
//! For each number it starts the release server anew, opens that many streams, and measures for
//! `--seconds N` (10) what comes, with an event each `--interval DURATION` (1s).
//!
//! A client that wakes for every event of 10,000 streams takes the processors that the server needs,
//! and then measures itself. So this one does two things. A sample of the streams, spread evenly,
//! have a thread each, which notes when each event comes: that is where the gaps come from. One
//! thread looks at all other streams, once an interval and halfway between two events of each, and
//! reads what has come, which should be one event. So all events are counted, and few wake anybody.

use bare_sse::options;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many streams have a thread of their own, unless half of all are fewer.
const SAMPLE: usize = 500;

/// How long the server may take for the beginning of a stream.
const PATIENCE: Duration = Duration::from_secs(10);

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

fn main() {
    if let Err(error) = run() {
        eprintln!("streams: {error}");
        process::exit(1);
    }
}

/// Reads the command line, and measures each number of streams. `cargo bench` adds `--bench`;
/// without it, or with `--test`, this is a quick test.
fn run() -> Result<(), Box<dyn Error>> {
    let (mut counts, mut seconds, mut interval) = (Vec::new(), 10, Duration::from_secs(1));
    let mut is_test = !env::args().any(|word| word == "--bench");
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--test" => is_test = true,
            "--seconds" => seconds = number(words.next())?,
            "--interval" => interval = parse_interval(words.next().unwrap_or_default())?,
            // What is not a number is an option of criterion's benches, as in `cargo bench --
            // --save-baseline x`.
            _ => counts.extend(word.parse::<usize>()),
        }
    }
    if counts.is_empty() {
        counts = vec![100, 1000];
    }
    if is_test {
        (counts, seconds, interval) = (vec![20], 1, Duration::from_millis(100));
    }
    check_file_limit(*counts.iter().max().expect("there is one"))?;
    let rounds = Duration::from_secs(seconds)
        .div_duration_f64(interval)
        .max(2.0) as u32;
    println!("{HEADER}");
    for count in counts {
        measure(count, &Plan { interval, rounds })?;
    }
    println!("{LEGEND}");
    Ok(())
}

/// What to measure: how many intervals.
struct Plan {
    interval: Duration,
    rounds: u32,
}

fn number(word: Option<String>) -> Result<u64, String> {
    let word = word.unwrap_or_default();
    word.parse()
        .map_err(|_| format!("{word:?} is not a number"))
}

/// Reads a duration as the server does.
fn parse_interval(value: String) -> Result<Duration, String> {
    use options::{Command, Options};
    match Command::parse(["--interval".into(), value.into()])? {
        Command::Serve(Options {
            interval: Some(interval),
            ..
        }) if !interval.is_zero() => Ok(interval),
        _ => Err("an interval of zero can't be measured".into()),
    }
}

/// Each stream is an open file, here and in the server, and there are some others.
fn check_file_limit(count: usize) -> Result<(), String> {
    let needed = count + 50;
    let shell = Command::new("sh").args(["-c", "ulimit -n"]).output();
    let limit = shell.map(|output| String::from_utf8_lossy(&output.stdout).trim().parse());
    match limit {
        Ok(Ok(limit)) if needed > limit => Err(format!(
            "{count} streams need more open files than {limit}: `ulimit -n {needed}` allows them"
        )),
        _ => Ok(()),
    }
}

/// Starts a server, opens the streams, measures, and prints a row of the table.
fn measure(count: usize, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let server = Server::start(plan.interval, count)?;
    let memory = server.memory();
    let streams = open(server.address, count)?;
    let length = SETTLE + plan.interval * (plan.rounds + 2);
    eprintln!("{count} streams are open, measuring for {length:?}");
    let cpu = server.cpu();
    let start = Instant::now();

    let (mut watched, mut others) = (Vec::new(), Vec::new());
    let step = count.div_ceil(SAMPLE).max(2);
    for (number, mut stream) in streams.into_iter().enumerate() {
        let first_look = stream.first_look(start + SETTLE, plan.interval);
        if number % step == 0 {
            let window = first_look..first_look + plan.interval * plan.rounds;
            stream.socket.set_read_timeout(Some(plan.interval * 2))?;
            watched.push(thread::spawn(move || (stream.watch(window), stream)));
        } else {
            stream.socket.set_nonblocking(true)?;
            others.push((first_look, stream));
        }
    }
    others.sort_by_key(|(first_look, _)| *first_look);
    let mut row = Row {
        came: look_at(&mut others, plan),
        ..Row::default()
    };
    sleep_until(start + length);
    // The CPU time covers more rounds than were counted.
    let part = (plan.interval * plan.rounds).div_duration_f64(start.elapsed());
    let cpu = (server.cpu() - cpu) * part;
    let memory = server.memory() - memory;

    let others = others.into_iter().map(|(_, stream)| stream);
    let mut faults: Vec<String> = others.filter_map(Stream::fault).collect();
    for thread in watched {
        let (arrivals, stream) = thread.join().map_err(|_| "a thread panicked")?;
        row.add(&arrivals, stream.opened, plan);
        faults.extend(stream.fault());
    }
    row.print(count, plan.rounds, cpu, memory);
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} streams failed, one {first}", faults.len()).into()),
    }
}

/// Opens streams, one after the other.
fn open(address: SocketAddr, count: usize) -> Result<Vec<Stream>, String> {
    let open = |number| {
        let stream = Stream::open(address);
        stream.map_err(|error| format!("stream {number} did not open: {error}"))
    };
    (1..=count).map(open).collect()
}

/// The server in a process of its own, which ends when this is dropped.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(interval: Duration, count: usize) -> Result<Server, Box<dyn Error>> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bare-sse"))
            .args(["--quiet", "--listen=127.0.0.1:0"])
            .arg(format!("--interval={}ms", interval.as_millis()))
            .arg(format!("--max-connections={}", count + 1))
            .stdout(Stdio::piped())
            .spawn()?;
        // If it does not listen, it says why on standard error, and ends.
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is a pipe")).read_line(&mut line)?;
        let address = line.trim().strip_prefix("Listening on http://");
        let address = address.ok_or("the server does not listen")?.parse()?;
        Ok(Server { process, address })
    }

    /// The nanoseconds that all its threads have run. /proc/PID/stat has only hundredths of a
    /// second, and 100 streams need no more than a few of those.
    fn cpu(&self) -> f64 {
        let time = |thread: io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        match fs::read_dir(format!("/proc/{}/task", self.process.id())) {
            Ok(threads) => threads.filter_map(time).sum(),
            Err(_) => f64::NAN,
        }
    }

    /// Its resident memory in KiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let mut lines = status.lines();
        let memory = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB"));
        memory.map_or(f64::NAN, |memory| memory.trim().parse().expect("a number"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An open stream.
struct Stream {
    socket: TcpStream,
    /// When its beginning came.
    opened: Instant,
    /// The number of the last event that came.
    last: u32,
    /// What came instead of an event.
    fault: Option<String>,
}

impl Stream {
    fn open(address: SocketAddr) -> io::Result<Stream> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        // The server writes it whole.
        let mut beginning = [0; 512];
        let count = socket.read(&mut beginning)?;
        if !beginning[..count].ends_with(b"retry: 10000\n\n\r\n") {
            let beginning = String::from_utf8_lossy(&beginning[..count]);
            return Err(io::Error::other(format!("{beginning:?} came first")));
        }
        Ok(Stream {
            socket,
            opened: Instant::now(),
            last: 0,
            fault: None,
        })
    }

    /// The first time after `begin` that lies halfway between two events.
    fn first_look(&self, begin: Instant, interval: Duration) -> Instant {
        let intervals = (begin - self.opened).div_duration_f64(interval);
        self.opened + interval.mul_f64(intervals.ceil() + 0.5)
    }

    /// Reads the next event. Returns whether it came while the socket waited.
    fn read_event(&mut self) -> bool {
        let next = self.last + 1;
        let event = format!("id: {next}\ndata: {next}\n\n");
        let event = format!("{:x}\r\n{event}\r\n", event.len());
        match expect(&mut self.socket, event.as_bytes()) {
            Ok(()) => self.last = next,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                let fault = format!("when event {next} was due: {error}");
                self.fault.get_or_insert(fault);
            }
        }
        self.last == next
    }

    /// Reads events until the window ends. Returns those that came in it: number and time.
    fn watch(&mut self, window: Range<Instant>) -> Vec<(u32, Instant)> {
        let mut arrivals = Vec::new();
        while self.fault.is_none() && (self.last == 0 || Instant::now() < window.end) {
            let came = self.read_event();
            let now = Instant::now();
            if came && window.contains(&now) {
                arrivals.push((self.last, now));
            }
        }
        arrivals
    }

    /// What went wrong with it.
    fn fault(self) -> Option<String> {
        let silent = (self.last == 0).then(|| "without an event".into());
        self.fault.or(silent)
    }
}

/// Reads once, and compares. The server writes an event whole, so all of it is there or nothing.
fn expect(socket: &mut TcpStream, expected: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; expected.len()];
    let count = socket.read(&mut bytes)?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if bytes == expected {
        return Ok(());
    }
    let bytes = String::from_utf8_lossy(&bytes[..count]);
    Err(io::Error::other(format!("{bytes:?} came instead")))
}

/// Looks at each stream once an interval, from its first look on. Returns how many of the later looks
/// found an event.
fn look_at(streams: &mut [(Instant, Stream)], plan: &Plan) -> usize {
    let mut came = 0;
    for round in 0..=plan.rounds {
        for (first_look, stream) in &mut *streams {
            sleep_until(*first_look + plan.interval * round);
            let before = stream.last;
            while stream.read_event() {}
            if round > 0 && stream.last > before {
                came += 1;
            }
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

/// What came. Times are in milliseconds.
#[derive(Default)]
struct Row {
    /// How many events came within half an interval.
    came: usize,
    /// How far each gap is from the interval.
    errors: Vec<f64>,
    last_late: f64,
}

impl Row {
    /// Adds what came on a stream of the sample.
    fn add(&mut self, arrivals: &[(u32, Instant)], opened: Instant, plan: &Plan) {
        self.came += arrivals.len().min(plan.rounds as usize);
        for pair in arrivals.windows(2) {
            let gap = pair[1].1 - pair[0].1;
            self.errors.push(milliseconds(gap.abs_diff(plan.interval)));
        }
        if let Some(&(number, time)) = arrivals.last() {
            let late = time.saturating_duration_since(opened + plan.interval * number);
            self.last_late = self.last_late.max(milliseconds(late));
        }
    }

    fn print(mut self, count: usize, rounds: u32, cpu: f64, memory: f64) {
        self.errors.sort_by(f64::total_cmp);
        let gaps = self.errors.len();
        let error = |percent| {
            let place = gaps.saturating_sub(1) * percent / 100;
            self.errors.get(place).copied().unwrap_or(f64::NAN)
        };
        println!(
            "| {count:>7} | {:>12.2} % | {:>10.2} % | {:>6.2} / {:>5.2} / {:>5.2} ms | {:>6.2} ms | {:>10.1} µs | {:>13.1} KiB |",
            percent(self.came, count * rounds as usize),
            percent(self.errors.partition_point(|&error| error <= 10.0), gaps),
            error(50),
            error(99),
            error(100),
            self.last_late,
            cpu / self.came as f64 / 1e3,
            memory / count as f64,
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Rounded down to hundredths, so that 100 % is all.
fn percent(part: usize, whole: usize) -> f64 {
    (part * 10_000 / whole.max(1)) as f64 / 100.0
}
