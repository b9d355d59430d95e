//! The process: read the flags, listen, say where, serve.

use bare_sse::connection::Site;
use bare_sse::log::Log;
use bare_sse::options::{Command, HELP, Options};
use bare_sse::page::Page;
use bare_sse::server::{Server, check_room};
use bare_sse::watchdog::Limits;
use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let words = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let result = match Command::parse(words) {
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("bare-sse ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Serve(options)) => check_room(options.max_connections)
            .map_err(|wrong| (2, wrong))
            .and_then(|()| serve(options).map_err(|failed| (1, failed))),
        Err(wrong) => Err((2, wrong)),
    };
    let Err((status, reason)) = result else {
        return ExitCode::SUCCESS;
    };
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "bare-sse: {reason}");
    ExitCode::from(status)
}

/// Prints a text for whoever reads it.
fn print(text: &str) -> Result<(), (u8, String)> {
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Serves until the process ends. An error is a line that names what failed.
fn serve(options: Options) -> Result<(), String> {
    let page = match &options.www {
        None => Page::built_in(),
        Some(directory) => Page::from_directory(directory).map_err(|error| {
            format!(
                "can't read {}: {error}",
                directory.join("index.html").display()
            )
        })?,
    };
    let cannot_listen = |error| format!("can't listen on {}: {error}", options.listen);
    let listener = TcpListener::bind(&options.listen).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let no_thread = |error| format!("can't start a thread: {error}");
    let log = Log::to(io::stdout()).map_err(no_thread)?;
    log.line(format_args!("Listening on http://{address}"));
    let server = Server {
        site: Site {
            page,
            counter: options.counter,
            log: if options.quiet { Log::none() } else { log },
            clock: Instant::now(),
        },
        max_connections: options.max_connections,
        limits: Limits::DEFAULT,
        errors: Log::to(io::stderr()).map_err(no_thread)?,
    };
    server.serve(&listener).map_err(no_thread)
}
