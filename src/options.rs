//! The command line: words in, [`Options`] out.

use crate::counter::Counter;
use crate::host::is_authority;
use crate::request::decimal;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
bare-sse: a counter as server-sent events on /events, a page on every other path

    --listen ADDRESS:PORT   [127.0.0.1:3000]  with port 0 the system chooses one, which is printed;
                                              - is a listening socket on standard input
    --interval DURATION     [1s]              time between events; 0s: as fast as the client reads
    --retry DURATION        [10s]             the reconnection time that clients are told
    --count N               [no end]          end each stream after event N
    --www DIR               [built in]        serve DIR/index.html, which is read at the start
    --allow-origin ORIGIN   [none]            let pages of ORIGIN read /events; * allows all
    --max-connections N     [10000]           further clients wait until one leaves
    -q, --quiet                               no log: only the listening line and errors
    -h, --help                                this text
    -V, --version                             the version

A DURATION is a number and a unit: 250ms, 1.5s, 2m.
";

const ADDRESS: &str =
    "ADDRESS:PORT, such as 127.0.0.1:3000, or for all addresses 0.0.0.0:3000 or [::]:3000";
const DURATION: &str =
    "a DURATION of whole milliseconds and at most 49 days, such as 250ms, 1.5s or 2m";
const NUMBER: &str = "a whole number from 1";
const DIRECTORY: &str = "a directory";
const ORIGIN: &str = "an origin as browsers send it, such as http://localhost:8080, or *";

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
    /// Where to listen: an address or a host name, a colon, and a port; or `-` for the listening
    /// socket that is standard input.
    pub listen: String,
    /// What streams are like.
    pub counter: Counter,
    /// The directory of the page. Without one the built-in page is served.
    pub www: Option<PathBuf>,
    /// How many connections are open at most.
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
    /// let line = ["--interval=250ms", "--count", "3"].map(Into::into);
    /// let Ok(Command::Serve(options)) = Command::parse(line) else { panic!() };
    /// assert_eq!(options.counter.interval.as_millis(), 250);
    /// assert_eq!(options.counter.count, Some(3));
    /// ```
    ///
    /// # Errors
    ///
    /// One line that says what is wrong and what would be right.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
        let mut options = Options::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let no_option = |word| format!("there is no option {word}: --help lists them");
            let word = word.into_string();
            let word = word.map_err(|word| no_option(word.display().to_string()))?;
            let (flag, given) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.into())),
                _ => (&*word, None),
            };
            let mut value = Value {
                flag,
                given,
                words: &mut words,
            };
            let counter = &mut options.counter;
            match flag {
                "--listen" => options.listen = value.parse(ADDRESS, address)?,
                "--interval" => counter.interval = value.parse(DURATION, duration)?,
                "--retry" => counter.retry = value.parse(DURATION, duration)?,
                "--count" => counter.count = Some(value.parse(NUMBER, number)?),
                "--www" => options.www = Some(value.take(DIRECTORY)?.into()),
                "--allow-origin" => counter.allow_origin = Some(value.parse(ORIGIN, origin)?),
                "--max-connections" => options.max_connections = value.parse(NUMBER, number)?,
                "-q" | "--quiet" => options.quiet = true,
                "-h" | "--help" => return Ok(Command::Help),
                "-V" | "--version" => return Ok(Command::Version),
                _ => return Err(no_option(word)),
            }
            if let Some(given) = value.given {
                return Err(format!("{flag} accepts no value, but got {given:?}"));
            }
        }
        Ok(Command::Serve(options))
    }
}

/// The value of an option: what follows an equals sign, or the next word.
struct Value<'a, W> {
    flag: &'a str,
    given: Option<OsString>,
    words: &'a mut W,
}

impl<W: Iterator<Item = OsString>> Value<'_, W> {
    /// The value as it is: a path need not be UTF-8.
    fn take(&mut self, needs: &str) -> Result<OsString, String> {
        let value = self.given.take().or_else(|| self.words.next());
        value.ok_or_else(|| format!("{} needs {needs}", self.flag))
    }

    fn parse<T>(&mut self, needs: &str, parse: fn(&str) -> Option<T>) -> Result<T, String> {
        let value = self.take(needs)?;
        let parsed = value.to_str().and_then(parse);
        parsed.ok_or_else(|| format!("{} needs {needs}, not {value:?}", self.flag))
    }
}

/// `HOST:PORT`, or `-`. Whether there is such a host shows when the server listens.
fn address(value: &str) -> Option<String> {
    let is_address = match value.rsplit_once(':') {
        None => value == "-",
        Some(("*", _)) => false,
        // Brackets may hold an IPv6 address with the number of an interface, which no URI has.
        Some(_) if value.parse::<SocketAddr>().is_ok() => true,
        Some((_, port)) => is_authority(value.as_bytes()) && port.parse::<u16>().is_ok(),
    };
    is_address.then(|| value.into())
}

/// A whole number from 1.
fn number<N: TryFrom<u64>>(value: &str) -> Option<N> {
    let number = decimal(value.as_bytes()).filter(|&number| number > 0);
    number?.try_into().ok()
}

/// A number with or without a fraction, and a unit.
fn duration(value: &str) -> Option<Duration> {
    let unit = value.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = value.split_at(unit);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u64.checked_pow(fraction.len().try_into().ok()?)?;
    let product = digits.checked_mul(unit)?;
    let milliseconds = u32::try_from(product / divisor).ok()?;
    (product % divisor == 0).then_some(Duration::from_millis(milliseconds.into()))
}

/// `*`, `null`, or an origin as browsers send it: `scheme "://" host [ ":" port ]` in lower case, with
/// nothing after it and without the scheme's default port (RFC 6454 6.2).
fn origin(value: &str) -> Option<String> {
    let is_allowed = |c| matches!(c, 'a'..='z' | '0'..='9') || "+-._:[]/".contains(c);
    let is_origin = match value.split_once("://") {
        None => value == "*" || value == "null",
        Some(("", _)) => false,
        Some(("http", authority)) if authority.ends_with(":80") => false,
        Some(("https", authority)) if authority.ends_with(":443") => false,
        Some((_, authority)) if authority.ends_with(':') => false,
        Some((_, authority)) => is_authority(authority.as_bytes()) && value.chars().all(is_allowed),
    };
    is_origin.then(|| value.into())
}
