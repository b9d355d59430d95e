//! `/events`: the events of a source, as an event stream.
//!
//! This is what a client gets from the counter. The lines of HTTP end in CR LF, those of the stream in
//! LF:
//!
//! ```text
//! HTTP/1.1 200 OK                        at once, in one write:
//! Cache-Control: no-cache
//! Content-Type: text/event-stream
//! Connection: keep-alive
//! Date: Tue, 24 Nov 2026 11:59:37 GMT
//! Transfer-Encoding: chunked
//!
//! e                                      a chunk of 14 bytes:
//! retry: 10000
//!
//!
//! f                                      one interval later, or up to a hundredth of it more,
//! id: 1                                  a chunk of 15 bytes:
//! data: 1
//!
//!
//! 1a                                     after the last event, if there is one, in one write:
//! event: end                             an event that says so,
//! id: 1
//! data: 1
//!
//!
//! 0                                      and the last chunk, which has no bytes
//!
//! ```
//!
//! Each block of the stream is one chunk (RFC 9112 7.1), and leaves in one write. HTTP/1.0 has no
//! chunks: there the stream ends with the connection (RFC 9112 6.3).
//!
//! An event takes effect only when its empty line arrives, so a connection that breaks never leaves half
//! an event. An event stream has no way to say that it is over, and an `EventSource` takes the end of
//! the response for a loss, so `event: end` says it.

use crate::client::Client;
use crate::event_stream::{self, Event};
use crate::fields::Version;
use crate::log::Log;
use crate::request::Request;
use crate::response::{Field, LAST_CHUNK, Response, chunk, connection_option};
use crate::source::{News, Place, Source};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What all streams have in common.
#[derive(Debug)]
pub struct Events {
    /// Where the events come from.
    pub source: Arc<dyn Source>,
    /// The reconnection time that clients are told.
    pub retry: Duration,
    /// The origin whose pages may read the stream, or `*` (Fetch, CORS protocol). It has no CR and
    /// no LF.
    pub allow_origin: Option<String>,
    /// The longest silence before a comment, not zero. Proxies close connections that are silent for a
    /// minute or less (HTML 9.2.7 recommends 15 s). And the server learns that a client has closed only
    /// when a write fails. That is usually the second one: the client's system answers the first with a
    /// reset.
    pub longest_silence: Duration,
    /// Where the life of each stream is told.
    pub log: Log,
}

/// One client's stream: where it begins, and how its end shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    place: Place,
    /// Whether the client sent a last event ID.
    resumes: bool,
    /// Whether it is sent in chunks, which HTTP/1.0 does not have.
    chunked: bool,
    /// Whether the connection persists after the last chunk.
    pub persists: bool,
}

impl Events {
    /// The events of this source, with a reconnection time of 10 s and a comment after 15 s of silence,
    /// for pages of the same origin.
    pub fn new(source: Arc<dyn Source>, log: Log) -> Events {
        Events {
            source,
            retry: Duration::from_secs(10),
            allow_origin: None,
            longest_silence: Duration::from_secs(15),
            log,
        }
    }

    /// The stream that a request gets, or `None` if nothing is left for it. `persists` is whether the
    /// connection would persist after another response.
    pub fn begin(&self, request: &Request<'_>, persists: bool) -> Option<Stream> {
        let chunked = request.version == Version::Http11;
        Some(Stream {
            place: self.source.begin(request.last_event_id)?,
            resumes: request.last_event_id.is_some(),
            chunked,
            // Without chunks, the end of the connection is the end of the stream.
            persists: persists && chunked,
        })
    }

    /// The head of a stream: the three fields of the tutorial, who may read the stream, and then what
    /// HTTP/1.1 wants of every response, a `Date` (RFC 9110 6.6.1) and a way to find its end (RFC 9112
    /// 6.3).
    fn head(&self, stream: &Stream, date: &str) -> String {
        let connection = connection_option(stream.persists);
        let mut cors = String::new();
        for (name, value) in self.cors() {
            cors += &format!("{name}: {value}\r\n");
        }
        let framing = if stream.chunked {
            "Transfer-Encoding: chunked\r\n"
        } else {
            ""
        };
        format!(
            "HTTP/1.1 200 OK\r\n\
             Cache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\n\
             Connection: {connection}\r\n\
             {cors}\
             Date: {date}\r\n\
             {framing}\
             \r\n"
        )
    }

    /// What every stream starts with: the head and, unless the request is HEAD, the reconnection time in
    /// a block of its own, which dispatches nothing. `date` is the text of [`date`](crate::response::date).
    pub fn beginning(&self, stream: &Stream, has_content: bool, date: &str) -> Vec<u8> {
        let mut beginning = self.head(stream, date).into_bytes();
        let retry = Event {
            retry: Some(self.retry),
            ..Event::default()
        };
        if has_content {
            let retry = retry.encode().expect("a number holds no CR or LF");
            beginning.extend(stream.framed(retry));
        }
        beginning
    }

    /// The response to a client for which nothing is left: 204, which tells an `EventSource` not to
    /// connect again (HTML 9.2.1). Without `no-cache` a shared cache could keep it for other clients
    /// (RFC 9110 15.3.5).
    pub fn over(&self) -> Response<'_> {
        let mut fields = vec![("Cache-Control", "no-cache".into())];
        fields.extend(self.cors());
        Response::no_content(fields)
    }

    /// What the response to OPTIONS says beside the methods. It answers a CORS preflight, which clients
    /// that are built on fetch send before they connect with a field such as `Last-Event-ID` (Fetch,
    /// CORS-preflight fetch). It allows the fields that the request asks for.
    pub fn preflight(&self, request: &Request<'_>) -> Vec<Field<'_>> {
        let mut fields = self.cors();
        if self.allow_origin.is_some() {
            fields.push(("Access-Control-Allow-Methods", "GET".into()));
            let names = request.fields.names_of_preflight();
            fields.extend(names.map(|names| ("Access-Control-Allow-Headers", names.into())));
            fields.push(("Access-Control-Max-Age", "86400".into()));
        }
        fields
    }

    /// The fields that let pages of another origin read a response. If the origin is named, pages may
    /// also send credentials (Fetch, CORS protocol). There is nothing secret here.
    fn cors(&self) -> Vec<Field<'_>> {
        match self.allow_origin.as_deref() {
            None => vec![],
            Some("*") => vec![("Access-Control-Allow-Origin", "*".into())],
            Some(origin) => vec![
                ("Access-Control-Allow-Origin", origin.into()),
                ("Access-Control-Allow-Credentials", "true".into()),
            ],
        }
    }

    /// Writes what comes next to the client, after [`Events::beginning`], until the events are over. Logs
    /// the beginning, each event and the end.
    ///
    /// # Errors
    ///
    /// The client has disconnected or stopped reading.
    pub fn write(&self, stream: Stream, client: &mut Client) -> io::Result<()> {
        let address = client.address;
        match stream.place.seen {
            seen if stream.resumes && seen > 0 => self
                .log
                .line(format_args!("{address} got /events, last event ID {seen}")),
            _ => self.log.line(format_args!("{address} got /events")),
        }
        let mut count = 0;
        let result = self.write_news(stream, client, &mut count);
        let how = if result.is_ok() { "ended" } else { "left" };
        let events = if count == 1 { "event" } else { "events" };
        self.log
            .line(format_args!("{address} {how} after {count} {events}"));
        result
    }

    /// Does the writing. `count` becomes the number of events, also if a write fails.
    fn write_news(&self, stream: Stream, client: &mut Client, count: &mut u64) -> io::Result<()> {
        let mut place = stream.place;
        loop {
            let seen = place.seen;
            match self.source.next(&mut place, self.longest_silence) {
                News::Event(block) => {
                    client.write(&[stream.framed(block)])?;
                    *count += 1;
                    let missed = place.seen.saturating_sub(seen + 1);
                    if missed > 0 {
                        self.log
                            .line(format_args!("{} missed {missed}", client.address));
                    }
                    self.log
                        .line(format_args!("{} emit {}", client.address, place.seen));
                }
                News::Silence => {
                    let comment = event_stream::comment("keep-alive");
                    client.write(&[stream.framed(comment)])?;
                }
                News::End(block) => {
                    let last = if stream.chunked { LAST_CHUNK } else { b"" };
                    return client.write(&[&stream.framed(block), last]);
                }
            }
        }
    }
}

impl Stream {
    /// A block of the stream as it is sent.
    fn framed(&self, block: Vec<u8>) -> Vec<u8> {
        if self.chunked { chunk(&block) } else { block }
    }
}
