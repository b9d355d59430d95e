//! The command line: words in, [`Options`] out.

use crate::counter::Counter;
use crate::request::decimal;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
bare-sse: a counter as server-sent events on /events, a page on every other path

    --listen ADDRESS:PORT   [127.0.0.1:3000]  port 0 takes a free one; the printed line tells which
    --interval DURATION     [1s]              from event to event; 0s is as fast as the client reads
    --retry DURATION        [10s]             the reconnection time that clients are told
    --count N               [no end]          end each stream after event N
    --www DIR               [built in]        serve DIR/index.html, read at the start
    --allow-origin ORIGIN   [none]            let pages of ORIGIN read /events; * is all
    --max-connections N     [10000]           more clients wait until one leaves
    -q, --quiet                               no log: only the listening line and errors
    -h, --help                                this text
    -V, --version                             the version

A DURATION is a number and a unit: 250ms, 1.5s, 2m.
";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// To serve.
    Serve(Options),
    /// To print [`HELP`].
    Help,
    /// To print the version.
    Version,
}

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to listen: an address or a host name, a colon, and a port.
    pub listen: String,
    /// What streams are like.
    pub counter: Counter,
    /// The directory of the page; the built-in page without one.
    pub www: Option<PathBuf>,
    /// How many connections are held at most.
    pub max_connections: usize,
    /// Whether to keep no log.
    pub quiet: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: "127.0.0.1:3000".into(),
            counter: Counter::default(),
            www: None,
            max_connections: 10_000,
            quiet: false,
        }
    }
}

impl Command {
    /// Reads a command line, without the program's name.
    ///
    /// ```
    /// use bare_sse::options::Command;
    ///
    /// let line = ["--interval=250ms", "--count", "3"].map(String::from);
    /// let Ok(Command::Serve(options)) = Command::parse(line) else { panic!() };
    /// assert_eq!(options.counter.interval.as_millis(), 250);
    /// assert_eq!(options.counter.last, Some(3));
    /// ```
    ///
    /// # Errors
    ///
    /// One line that says what is wrong and what would be right.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, String> {
        let mut options = Options::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (flag, mut given) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_string())),
                _ => (word.as_str(), None),
            };
            let mut value = |kind: &str| {
                let value = given.take().or_else(|| words.next());
                value.ok_or(format!("{flag} needs {kind}"))
            };
            match flag {
                "--listen" => options.listen = address(flag, value("ADDRESS:PORT")?)?,
                "--interval" => {
                    options.counter.interval = duration(flag, &value("a DURATION, such as 1s")?)?;
                }
                "--retry" => {
                    options.counter.retry = duration(flag, &value("a DURATION, such as 10s")?)?;
                }
                "--count" => options.counter.last = Some(number(flag, &value("a number")?)?),
                "--www" => options.www = Some(value("a directory")?.into()),
                "--allow-origin" => {
                    options.counter.allow_origin = Some(origin(flag, value("an origin")?)?);
                }
                "--max-connections" => {
                    options.max_connections = number(flag, &value("a number")?)?;
                }
                "-q" | "--quiet" => options.quiet = true,
                "-h" | "--help" => return Ok(Command::Help),
                "-V" | "--version" => return Ok(Command::Version),
                _ => return Err(format!("there is no option {word}: --help lists them")),
            }
            if let Some(given) = given {
                return Err(format!("{flag} takes no value, not even {given:?}"));
            }
        }
        Ok(Command::Serve(options))
    }
}

/// `HOST:PORT`; whether there is such a host shows when it is listened on.
fn address(flag: &str, value: String) -> Result<String, String> {
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(value),
        _ => Err(format!(
            "{flag} takes ADDRESS:PORT, such as 127.0.0.1:3000, not {value:?}"
        )),
    }
}

/// A whole number from 1.
fn number<N: TryFrom<u64>>(flag: &str, value: &str) -> Result<N, String> {
    let number = decimal(value.as_bytes()).filter(|&number| number > 0);
    let number = number.and_then(|number| N::try_from(number).ok());
    number.ok_or(format!("{flag} takes a whole number from 1, not {value:?}"))
}

/// A number with or without a fraction, and a unit: whole milliseconds, and at most 49 days.
fn duration(flag: &str, value: &str) -> Result<Duration, String> {
    let unit = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(unit);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    milliseconds
        .and_then(|unit| scaled(number, unit))
        .map(|milliseconds| Duration::from_millis(milliseconds.into()))
        .ok_or(format!(
            "{flag} takes a DURATION of whole milliseconds and at most 49 days, such as 250ms, 1.5s \
             or 2m, not {value:?}"
        ))
}

/// A decimal number times `unit`, where that is a whole number.
fn scaled(number: &str, unit: u64) -> Option<u32> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u64.checked_pow(fraction.len().try_into().ok()?)?;
    let product = digits.checked_mul(unit)?;
    let is_number = !whole.is_empty() && !fraction.is_empty() && product % divisor == 0;
    is_number.then_some(product / divisor)?.try_into().ok()
}

/// What can stand in a field value and is no list: `*`, `null`, or `http://localhost:8080`.
fn origin(flag: &str, value: String) -> Result<String, String> {
    let is_visible = value
        .bytes()
        .all(|octet| octet.is_ascii_graphic() && octet != b',');
    if is_visible && (["*", "null"].contains(&&*value) || value.contains("://")) {
        Ok(value)
    } else {
        Err(format!(
            "{flag} takes an origin, such as http://localhost:8080 or *, not {value:?}"
        ))
    }
}
