//! The command line: words in, [`Options`] out.

use crate::authority::is_authority;
use crate::fields::decimal;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
bare-sse: server-sent events on /events, a page on every other path

    --listen ADDRESS:PORT   [127.0.0.1:3000]  with port 0 the system chooses one, which is printed;
                                              - is a listening socket on standard input
    --lines                 [a counter]       each line of standard input is an event for all clients
    --interval DURATION     [1s]              time between events; 0s: as fast as the client reads
    --retry DURATION        [10s]             the reconnection time that clients are told
    --count N               [no end]          end each stream after event N
    --www DIR               [built in]        serve DIR/index.html, which is read at the start
    --allow-origin ORIGIN   [none]            let pages of ORIGIN read /events; * allows all
    --max-connections N     [10000]           further clients wait until one closes
    -q, --quiet                               no log: only the listening line and errors
    -h, --help                                this text
    -V, --version                             the version

A DURATION is a whole number and a unit: 250ms, 10s, 2m.
";

const ADDRESS: &str =
    "ADDRESS:PORT, such as 127.0.0.1:3000, or for all addresses 0.0.0.0:3000 or [::]:3000";
const DURATION: &str = "a DURATION of at most 49 days, such as 250ms, 10s or 2m";
const NUMBER: &str = "a whole number, 1 or more";
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
    /// Whether the events are the lines of standard input. Then `interval` and `count` are not given.
    pub lines: bool,
    /// The time between two events, if it was given. Zero means as fast as the client reads.
    pub interval: Option<Duration>,
    /// The number of the last event, if there is one.
    pub count: Option<u64>,
    /// The reconnection time that clients are told.
    pub retry: Duration,
    /// The origin whose pages may read the stream, or `*`.
    pub allow_origin: Option<String>,
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
            lines: false,
            interval: None,
            count: None,
            retry: Duration::from_secs(10),
            allow_origin: None,
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
    /// assert_eq!(options.interval, Some(std::time::Duration::from_millis(250)));
    /// assert_eq!(options.count, Some(3));
    /// ```
    ///
    /// # Errors
    ///
    /// One line that says what is wrong and what would be right.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
        let mut options = Options::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let unknown = |word| format!("there is no option {word}: --help lists them");
            let word = word.into_string();
            let word = word.map_err(|word| unknown(word.display().to_string()))?;
            let (flag, mut given) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.into())),
                _ => (&*word, None),
            };
            // What follows an equals sign, or the next word.
            let mut value = || given.take().or_else(|| words.next());
            match flag {
                "--lines" => options.lines = true,
                "--listen" => options.listen = parsed(flag, value(), ADDRESS, address)?,
                "--interval" => options.interval = Some(parsed(flag, value(), DURATION, duration)?),
                "--retry" => options.retry = parsed(flag, value(), DURATION, duration)?,
                "--count" => options.count = Some(parsed(flag, value(), NUMBER, number)?),
                "--www" => options.www = Some(parsed(flag, value(), DIRECTORY, directory)?),
                "--allow-origin" => {
                    options.allow_origin = Some(parsed(flag, value(), ORIGIN, origin)?);
                }
                "--max-connections" => {
                    options.max_connections = parsed(flag, value(), NUMBER, number)?;
                }
                "-q" | "--quiet" => options.quiet = true,
                "-h" | "--help" => return Ok(Command::Help),
                "-V" | "--version" => return Ok(Command::Version),
                _ => return Err(unknown(word)),
            }
            if let Some(given) = given {
                return Err(format!("{flag} accepts no value, but got {given:?}"));
            }
        }
        options.check()?;
        Ok(Command::Serve(options))
    }
}

impl Options {
    /// Refuses options that exclude each other.
    fn check(&self) -> Result<(), String> {
        if self.lines && (self.interval.is_some() || self.count.is_some()) {
            return Err(
                "--lines excludes --interval and --count: a line is sent when it comes".into(),
            );
        }
        if self.lines && self.listen == "-" {
            return Err("--lines and --listen - both need standard input".into());
        }
        Ok(())
    }
}

/// The value of an option, which must be there and be what the option needs.
fn parsed<T>(
    flag: &str,
    value: Option<OsString>,
    needs: &str,
    parse: fn(&OsStr) -> Option<T>,
) -> Result<T, String> {
    let value = value.ok_or_else(|| format!("{flag} needs {needs}"))?;
    parse(&value).ok_or_else(|| format!("{flag} needs {needs}, not {value:?}"))
}

/// A path, which need not be UTF-8.
fn directory(value: &OsStr) -> Option<PathBuf> {
    (!value.is_empty()).then(|| value.into())
}

/// `HOST:PORT`, or `-`. Whether there is such a host shows when the server listens.
fn address(value: &OsStr) -> Option<String> {
    let value = value.to_str()?;
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
fn number<N: TryFrom<u64>>(value: &OsStr) -> Option<N> {
    let number = decimal(value.as_encoded_bytes()).filter(|&number| number > 0);
    number?.try_into().ok()
}

/// A whole number and a unit.
fn duration(value: &OsStr) -> Option<Duration> {
    let value = value.to_str()?;
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u32>().ok()?.checked_mul(unit)?;
    Some(Duration::from_millis(milliseconds.into()))
}

/// `*`, `null`, or an origin as browsers send it: `scheme "://" host [ ":" port ]` in lower case, with
/// nothing after it and without the scheme's default port (RFC 6454 6.2).
fn origin(value: &OsStr) -> Option<String> {
    let value = value.to_str()?;
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
