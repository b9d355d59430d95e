//! The process: read the options, listen, say where, serve.

use bare_sse::counter::Counter;
use bare_sse::events::Events;
use bare_sse::lines::Lines;
use bare_sse::log::Log;
use bare_sse::options::{Command, HELP, Options};
use bare_sse::page::Page;
use bare_sse::server;
use bare_sse::site::Site;
use bare_sse::source::Source;
use bare_sse::system::{self, OTHER_FILES};
use std::env;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, reason)) => {
            // If it can't be written, there is no other place to say so.
            let _ = writeln!(io::stderr(), "bare-sse: {reason}");
            ExitCode::from(status)
        }
    }
}

/// Does what the command line asks for. An error is an exit status, 2 for a wrong option, and a line
/// that names what is wrong.
fn run() -> Result<(), (u8, String)> {
    let text = match Command::parse(env::args_os().skip(1)).map_err(|wrong| (2, wrong))? {
        Command::Help => HELP,
        Command::Version => concat!("bare-sse ", env!("CARGO_PKG_VERSION"), "\n"),
        Command::Serve(options) => {
            let slots = system::possible_connections(options.max_connections)
                .map_err(|wrong| (2, wrong))?;
            return serve(options, slots).map_err(|failed| (1, failed));
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that is gone has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err((1, format!("can't write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// What to do about a port that is in use.
const OTHER_PORT: &str = ". Choose another port, or 0 for any free one: --listen 127.0.0.1:0";

/// Serves until the process ends.
fn serve(options: Options, slots: usize) -> Result<(), String> {
    let page = match &options.www {
        None => Page::built_in(),
        Some(directory) => Page::from_directory(directory)?,
    };
    let (place, listener) = match options.listen.as_str() {
        "-" => ("standard input", listener_from_standard_input()),
        address => (address, TcpListener::bind(address)),
    };
    let cannot_listen = |error: io::Error| format!("can't listen on {place}: {error}");
    let listener = listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => cannot_listen(error) + OTHER_PORT,
        _ => cannot_listen(error),
    })?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let no_thread = |error| format!("can't start a thread: {error}");
    let errors = Log::to(io::stderr(), Log::none()).map_err(no_thread)?;
    let log = Log::to(io::stdout(), errors.clone()).map_err(no_thread)?;
    log.line(format_args!("Listening on http://{address}"));
    if slots < options.max_connections {
        let needed = options.max_connections + OTHER_FILES;
        errors.line(format_args!(
            "the open-file limit allows {slots} of {} connections: `ulimit -n {needed}` raises it",
            options.max_connections
        ));
    }
    let log = if options.quiet { Log::none() } else { log };
    let source = source(&options, errors.clone()).map_err(no_thread)?;
    let events = Events {
        retry: options.retry,
        allow_origin: options.allow_origin,
        ..Events::new(source, log)
    };
    let error = server::serve(&listener, Site::new(page, events), slots, &errors);
    Err(cannot_listen(error))
}

/// Where the events come from.
fn source(options: &Options, errors: Log) -> io::Result<Arc<dyn Source>> {
    if options.lines {
        return Ok(Lines::of(io::stdin(), errors)?);
    }
    let interval = options.interval.unwrap_or(Duration::from_secs(1));
    Ok(Arc::new(Counter::new(interval, options.count)))
}

/// The listening socket that this process was started with as its standard input. systemd does that
/// with `StandardInput=socket`, and inetd with `wait`.
#[cfg(unix)]
fn listener_from_standard_input() -> io::Result<TcpListener> {
    use std::net::TcpStream;
    use std::os::fd::{AsFd, OwnedFd};
    let socket = TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    if socket.local_addr().is_err() || socket.peer_addr().is_ok() {
        return Err(io::Error::other("it is not a listening TCP socket"));
    }
    Ok(TcpListener::from(OwnedFd::from(socket)))
}

#[cfg(not(unix))]
fn listener_from_standard_input() -> io::Result<TcpListener> {
    Err(io::Error::other("this needs a Unix system"))
}
