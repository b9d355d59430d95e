//! Many streams at once, as a table: `cargo bench --bench streams -- 100 1000 10000`.
//!
//! For each number the release server is started anew, with its default options; that many streams
//! are opened, and what comes is measured for `--seconds N` (10), with an event each
//! `--interval DURATION` (1s).
//!
//! A client that wakes for every event of 10,000 streams takes the processors that the server
//! needs, and then times itself. So this one does two things. A sample of the streams, 500 spread
//! evenly, have a blocking thread each, which notes when each event comes: they give the gaps. One
//! thread looks at all others, once an interval and halfway between two events of each, and reads
//! what has come, which should be one event. So all streams are counted, and few wake anybody.
//!
//! All streams lead from one address to one address. The standard library can't choose the address
//! that a socket connects from, and to be reached at several the server would have to listen on
//! every interface, which a load test should not ask of it. One pair of addresses has some 28,000
//! local ports on Linux, and the server some 16,000 threads, so ports are not what runs out first.

use bare_sse::options::{self, Options};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::iter::repeat_n;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many streams have a thread of their own.
const SAMPLE: usize = 500;

/// How long the answer to one request may take, and how long opening all streams.
const ANSWER: Duration = Duration::from_secs(10);
const OPENING: Duration = Duration::from_secs(120);

/// A gap that differs from the interval by no more is on time.
const ON_TIME: Duration = Duration::from_millis(10);

/// File descriptors beside those of the streams: standard streams, the listener, files of /proc.
const OTHER_FILES: usize = 50;

/// "Too many open files" on every Unix: `EMFILE`.
const TOO_MANY_FILES: Option<i32> = Some(24);

const COLUMNS: [&str; 7] = [
    "streams",
    "events on time",
    "gaps on time",
    "gap error p50 / p99 / max",
    "last late",
    "CPU per event",
    "memory per stream",
];

fn main() -> ExitCode {
    let plan = Plan::parse(std::env::args().skip(1))
        .and_then(|plan| check_file_limit(&plan).map(|()| plan));
    let plan = match plan {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("streams: {wrong}");
            return ExitCode::from(2);
        }
    };
    println!("{}", line(&COLUMNS.map(String::from)));
    println!("{}", line(&COLUMNS.map(|name| "-".repeat(name.len()))));
    let mut wrong = Vec::new();
    for &count in &plan.streams {
        match measure(&plan, count) {
            Ok(row) => {
                println!("{}", line(&row.cells()));
                wrong.extend(row.wrong);
            }
            Err(failed) => wrong.push(failed),
        }
    }
    println!("\n{}", plan.legend());
    let Some(first) = wrong.first() else {
        return ExitCode::SUCCESS;
    };
    eprintln!("streams: {first}");
    if wrong.len() > 1 {
        eprintln!("streams: and {} more went wrong", wrong.len() - 1);
    }
    ExitCode::FAILURE
}

/// One line of the table.
fn line(cells: &[String; 7]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    cells.fold("|".into(), |line, (cell, name)| {
        format!("{line} {cell:>width$} |", width = name.len())
    })
}

/// What is to be done.
struct Plan {
    streams: Vec<usize>,
    sample: usize,
    interval: Duration,
    /// For how many intervals.
    rounds: u32,
}

impl Plan {
    /// Reads the command line. `cargo bench` says `--bench` in it; else this is a quick test.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Plan, String> {
        let (mut streams, mut seconds) = (Vec::new(), 10);
        let mut interval = Duration::from_secs(1);
        let (mut is_bench, mut is_test) = (false, false);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => is_bench = true,
                "--test" => is_test = true,
                "--seconds" => {
                    let value = words.next().and_then(|word| word.parse().ok());
                    seconds = value
                        .filter(|seconds| (1..=3600).contains(seconds))
                        .ok_or("--seconds takes a whole number from 1 to 3600")?;
                }
                "--interval" => interval = server_options([word].into_iter().chain(words.next()))?,
                _ => {
                    let count = word.parse().ok().filter(|&count| count > 0);
                    streams.push(count.ok_or(format!(
                        "there are numbers of streams, --seconds N and --interval DURATION to \
                         give, but no {word:?}"
                    ))?);
                }
            }
        }
        if is_test || !is_bench {
            return Ok(Plan {
                streams: vec![20],
                sample: 10,
                interval: Duration::from_millis(100),
                rounds: 10,
            });
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(10)).contains(&interval) {
            return Err("--interval takes 10ms to 10s here".into());
        }
        if streams.is_empty() {
            streams = vec![100, 1000];
        }
        let rounds = Duration::from_secs(seconds).div_duration_f64(interval);
        Ok(Plan {
            streams,
            sample: SAMPLE,
            interval,
            rounds: (rounds as u32).max(1),
        })
    }

    fn legend(&self) -> String {
        format!(
            "An event each {:?}; {} of each stream were counted.\n\
             events on time: events that came within half an interval, of those that were due.\n\
             gaps on time: gaps between two events that are within {:?} of the interval.\n\
             gap error: how far a gap is from the interval. Gaps are those of {} streams at most.\n\
             last late: how much later than its number of intervals behind the head the last event\n\
             came, at most. Up to {:?} of it are meant: the schedule's grid.\n\
             CPU, memory: the server's; the kernel's memory for sockets and threads is not in it.",
            self.interval,
            self.rounds,
            ON_TIME,
            self.sample,
            self.interval / 100,
        )
    }
}

/// The interval that these options of the server ask for; a wrong one is answered as there.
fn server_options(words: impl Iterator<Item = String>) -> Result<Duration, String> {
    match options::Command::parse(words)? {
        options::Command::Serve(options) => Ok(options.counter.interval),
        _ => Err("only options for serving".into()),
    }
}

/// What was measured.
struct Row {
    streams: usize,
    due: u64,
    came: u64,
    /// How far each gap is from the interval; sorted.
    errors: Vec<Duration>,
    last_late: Duration,
    cpu_per_event: Option<Duration>,
    memory_per_stream: Option<f64>,
    /// What went wrong with single streams.
    wrong: Vec<String>,
}

impl Row {
    fn new(streams: usize, plan: &Plan) -> Row {
        Row {
            streams,
            due: streams as u64 * u64::from(plan.rounds),
            came: 0,
            errors: Vec::new(),
            last_late: Duration::ZERO,
            cpu_per_event: None,
            memory_per_stream: None,
            wrong: Vec::new(),
        }
    }

    /// Adds what came on one stream from `begin` on.
    fn add(&mut self, watched: Watched, begin: Instant, plan: &Plan) {
        let Watched { stream, arrivals } = watched;
        let first_look = stream.first_look(begin, plan.interval);
        let last_look = first_look + plan.interval * plan.rounds;
        let first = arrivals.partition_point(|&time| time < first_look);
        let end = arrivals.partition_point(|&time| time < last_look);
        self.came += ((end - first) as u64).min(plan.rounds.into());
        for pair in arrivals[first.saturating_sub(1)..end].windows(2) {
            self.errors
                .push((pair[1] - pair[0]).abs_diff(plan.interval));
        }
        if let Some(last) = end.checked_sub(1) {
            let due = stream.opened + plan.interval * end as u32;
            let late = arrivals[last].saturating_duration_since(due);
            self.last_late = self.last_late.max(late);
        }
        self.wrong.extend(stream.fault());
    }

    fn cells(&self) -> [String; 7] {
        // Rounded down, so that 100 % is all.
        let share = |part: u64, whole: u64| match (part * 10_000).checked_div(whole) {
            Some(share) => format!("{}.{:02} %", share / 100, share % 100),
            None => "-".into(),
        };
        let on_time = self.errors.partition_point(|&error| error <= ON_TIME);
        let error = |hundredth: usize| {
            let last = self.errors.len().saturating_sub(1);
            let error = self.errors.get(last * hundredth / 100);
            error.map_or("-".into(), |&error| milliseconds(error))
        };
        // Elsewhere than on Linux.
        let unknown = || String::from("-");
        [
            self.streams.to_string(),
            share(self.came, self.due),
            share(on_time as u64, self.errors.len() as u64),
            format!("{} / {} / {} ms", error(50), error(99), error(100)),
            format!("{} ms", milliseconds(self.last_late)),
            self.cpu_per_event.map_or_else(unknown, |time| {
                format!("{:.1} µs", time.as_secs_f64() * 1e6)
            }),
            self.memory_per_stream
                .map_or_else(unknown, |kibi| format!("{kibi:.1} KiB")),
        ]
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// Starts a server, opens the streams, measures, and ends them all.
fn measure(plan: &Plan, count: usize) -> Result<Row, String> {
    let server = Server::start(plan.interval, count)?;
    let memory = server.memory();
    let streams = open(server.address, count)?;
    eprintln!("measuring {:?}", plan.interval * (plan.rounds + 3));

    // One interval for the opening to be over, one between reading the CPU time, which takes a
    // while, and the first look; a stream is looked at within an interval from then on.
    let settled = Instant::now() + plan.interval;
    let begin = settled + plan.interval;
    let end = begin + plan.interval * (plan.rounds + 1);
    let (mut watched, mut others) = (Vec::new(), Vec::new());
    let step = count.div_ceil(plan.sample);
    for (number, stream) in streams.into_iter().enumerate() {
        if number % step == 0 {
            let thread =
                watch(stream, end).map_err(|error| format!("can't start a thread: {error}"))?;
            watched.push(thread);
        } else {
            others.push(stream);
        }
    }

    sleep_until(settled);
    let cpu = server.cpu();
    let came = look_at_all(&mut others, begin, plan).map_err(|error| error.to_string())?;
    sleep_until(end);
    let cpu = server.cpu().zip(cpu);
    let memory = server.memory().zip(memory);
    drop(server);

    let mut row = Row::new(count, plan);
    row.came = came;
    row.wrong = others.into_iter().filter_map(Stream::fault).collect();
    for thread in watched {
        let watched = thread.join().map_err(|_| "a thread panicked")?;
        row.add(watched, begin, plan);
    }
    row.errors.sort_unstable();
    // The CPU time was read over two intervals more than were counted. That of a server that has
    // died is less than before.
    let events = row.came as f64 * f64::from(plan.rounds + 2) / f64::from(plan.rounds);
    row.cpu_per_event = cpu
        .and_then(|(after, before)| after.checked_sub(before))
        .map(|time| time.div_f64(events.max(1.0)));
    row.memory_per_stream = memory.map(|(after, before)| (after - before) / count as f64);
    Ok(row)
}

/// The server in a process of its own, which ends when this is dropped, by a panic too.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(interval: Duration, count: usize) -> Result<Server, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bare-sse"));
        command.args(["--quiet", "--listen", "127.0.0.1:0"]);
        command.arg(format!("--interval={}ms", interval.as_millis()));
        if count > Options::default().max_connections {
            command.arg(format!("--max-connections={count}"));
        }
        let process = command.stdout(Stdio::piped()).spawn();
        let mut server = Server {
            process: process.map_err(|error| format!("can't start the server: {error}"))?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let output = server.process.stdout.take().expect("it is a pipe");
        let mut line = String::new();
        // The reason why there is no line is that the server said on standard error.
        let _ = BufReader::new(output).read_line(&mut line);
        server.address = line
            .trim_end()
            .strip_prefix("Listening on http://")
            .and_then(|address| address.parse().ok())
            .ok_or("the server does not listen")?;
        Ok(server)
    }

    /// The time that all its threads have run, where the system is Linux. /proc/PID/stat has it
    /// too, but in hundredths of a second, and 100 streams take no more than that in 5 seconds.
    fn cpu(&self) -> Option<Duration> {
        let mut time = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()? {
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            time += text.split(' ').next()?.parse::<u64>().ok()?;
        }
        // A kernel that does not count says 0.
        Some(Duration::from_nanos(time)).filter(|time| !time.is_zero())
    }

    /// Its resident memory in KiB, where the system is Linux.
    fn memory(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        value.trim().strip_suffix(" kB")?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Opens streams, one after the other, and says how far it is.
fn open(address: SocketAddr, count: usize) -> Result<Vec<Stream>, String> {
    let start = Instant::now();
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let number = streams.len() + 1;
        if start.elapsed() > OPENING {
            return Err(format!(
                "no more than {} are open after {OPENING:?}",
                number - 1
            ));
        }
        let stream = Stream::open(address).map_err(|error| match error.kind() {
            _ if error.raw_os_error() == TOO_MANY_FILES => file_limit(count, "too low"),
            ErrorKind::AddrNotAvailable => format!(
                "stream {number} finds no free local port: on Linux, \
                 sysctl net.ipv4.ip_local_port_range says how many there are"
            ),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => format!(
                "stream {number} has no answer after {ANSWER:?}: the server, or the system, takes \
                 no more"
            ),
            _ => format!("stream {number} did not open: {error}"),
        })?;
        streams.push(stream);
        if number == count || number % 1000 == 0 {
            eprintln!(
                "{number} of {count} streams open after {:.1?}",
                start.elapsed()
            );
        }
    }
    Ok(streams)
}

/// An open stream, and what has been read from it.
struct Stream {
    socket: TcpStream,
    /// When its head came.
    opened: Instant,
    /// What has been read of an event that is not complete.
    rest: Vec<u8>,
    /// The number of the last event.
    last: u64,
    /// Why it is not read any more.
    wrong: Option<String>,
}

impl Stream {
    fn open(address: SocketAddr) -> io::Result<Stream> {
        let mut socket = TcpStream::connect_timeout(&address, ANSWER)?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.write_all(
            b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
        )?;
        // The head, and the block that sets the reconnection time.
        let mut head = Vec::new();
        let mut bytes = [0; 1024];
        let end = loop {
            match socket.read(&mut bytes)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => head.extend_from_slice(&bytes[..count]),
            }
            if let Some(end) = block_end(&head) {
                break end;
            }
        };
        let opened = Instant::now();
        if !head.starts_with(b"HTTP/1.1 200 OK\r\n") {
            return Err(io::Error::other(String::from_utf8_lossy(&head)));
        }
        socket.set_read_timeout(None)?;
        Ok(Stream {
            socket,
            opened,
            rest: head.split_off(end),
            last: 0,
            wrong: None,
        })
    }

    /// Reads once, and waits for that if the socket does. Gives how many events it completed;
    /// `None` if there was nothing to read, or never will be.
    fn read(&mut self) -> Option<u64> {
        let mut bytes = [0; 1024];
        let before = self.last;
        match self.socket.read(&mut bytes) {
            Ok(0) => self.wrong = Some(format!("a stream ended after event {before}")),
            Ok(count) => {
                self.rest.extend_from_slice(&bytes[..count]);
                self.take_events();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.wrong = Some(format!("after event {before} of a stream: {error}")),
        }
        match self.wrong {
            None => Some(self.last - before),
            Some(_) => None,
        }
    }

    /// Takes the events that are complete. Each must be the one behind the last.
    fn take_events(&mut self) {
        while let Some(end) = block_end(&self.rest) {
            let block: Vec<u8> = self.rest.drain(..end).collect();
            let next = self.last + 1;
            if block == format!("id: {next}\ndata: {next}\n\n").as_bytes() {
                self.last = next;
            } else {
                let block = String::from_utf8_lossy(&block).into_owned();
                self.wrong = Some(format!("{block:?} came where event {next} was due"));
                return;
            }
        }
    }

    /// What is wrong with it, in the end.
    fn fault(self) -> Option<String> {
        let silent = (self.last == 0).then(|| "a stream brought no event".into());
        self.wrong.or(silent)
    }

    /// The first time from `begin` on that lies halfway between two events.
    fn first_look(&self, begin: Instant, interval: Duration) -> Instant {
        let first = self.opened + interval / 2;
        let late = begin.saturating_duration_since(first).as_nanos();
        first + interval * late.div_ceil(interval.as_nanos()) as u32
    }
}

/// How long the first block of a stream is, with the empty line at its end.
fn block_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    end.map(|at| at + 2)
}

/// A stream that had a thread of its own, and when each of its events came.
struct Watched {
    stream: Stream,
    arrivals: Vec<Instant>,
}

/// Reads a stream until `end`, in a thread of its own. The server is ended then, and with it the
/// last read.
fn watch(mut stream: Stream, end: Instant) -> io::Result<JoinHandle<Watched>> {
    let thread = thread::Builder::new().stack_size(64 * 1024);
    thread.spawn(move || {
        let mut arrivals = Vec::new();
        while stream.wrong.is_none() {
            let count = stream.read().unwrap_or(0);
            let now = Instant::now();
            if now >= end {
                stream.wrong = None;
                break;
            }
            arrivals.extend(repeat_n(now, count as usize));
        }
        Watched { stream, arrivals }
    })
}

/// Looks at each stream once an interval. Gives how many events came between the first look and
/// the last.
fn look_at_all(streams: &mut [Stream], begin: Instant, plan: &Plan) -> io::Result<u64> {
    for stream in &*streams {
        stream.socket.set_nonblocking(true)?;
    }
    streams.sort_by_key(|stream| stream.first_look(begin, plan.interval));
    let mut first = vec![0; streams.len()];
    for round in 0..=plan.rounds {
        for (stream, first) in streams.iter_mut().zip(&mut first) {
            sleep_until(stream.first_look(begin, plan.interval) + plan.interval * round);
            while stream.wrong.is_none() && stream.read().is_some() {}
            if round == 0 {
                *first = stream.last;
            }
        }
    }
    let came = streams
        .iter()
        .zip(first)
        .map(|(stream, first)| stream.last - first);
    Ok(came.map(|count| count.min(plan.rounds.into())).sum())
}

/// Sleeps, but not for less than a millisecond: what is near together is done together.
fn sleep_until(time: Instant) {
    let wait = time.saturating_duration_since(Instant::now());
    if wait >= Duration::from_millis(1) {
        thread::sleep(wait);
    }
}

/// Says what to type if a process may not have as many files open as the most streams take.
fn check_file_limit(plan: &Plan) -> Result<(), String> {
    let count = plan.streams.iter().copied().max().unwrap_or_default();
    // Linux alone has this file. Elsewhere the limit is met when it is reached.
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next());
    match limit.map(|limit| (limit, limit.parse::<usize>())) {
        Some((limit, Ok(number))) if number < count + OTHER_FILES => Err(file_limit(count, limit)),
        _ => Ok(()),
    }
}

fn file_limit(count: usize, limit: &str) -> String {
    let needed = count + OTHER_FILES;
    format!(
        "{count} streams take {needed} file descriptors, here and in the server, and the limit is \
         {limit}. Type this, as root if it is refused, and then run the bench again:\n\n    \
         ulimit -n {needed}\n"
    )
}
