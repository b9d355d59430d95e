//! The site: which response a request gets. `/events` is the event stream, every other path the page.

use crate::events::{Events, Stream};
use crate::limits::Limits;
use crate::page::Page;
use crate::request::Request;
use crate::response::{Field, Response, Status};
use std::borrow::Cow;

/// What all connections answer from.
#[derive(Debug)]
pub struct Site {
    /// The response on every path but `/events`.
    pub page: Page,
    /// The response on `/events`.
    pub events: Events,
    /// How long clients may take.
    pub limits: Limits,
}

/// What a request gets.
#[derive(Debug)]
pub enum Answer<'a> {
    /// This response.
    Response(Response<'a>),
    /// This stream, or only its head if the method is HEAD.
    Stream(Stream),
}

/// The methods that are allowed here, on every path (RFC 9110 10.2.1).
const ALLOW: Field<'_> = ("Allow", Cow::Borrowed("GET, HEAD, OPTIONS"));

impl Site {
    /// A site with the default limits.
    pub fn new(page: Page, events: Events) -> Site {
        Site {
            page,
            events,
            limits: Limits::DEFAULT,
        }
    }

    /// The answer to a request. `persists` is whether the connection persists after it.
    ///
    /// OPTIONS asks what can be done here (RFC 9110 9.3.7). A method that is known and not allowed gets
    /// 405 (RFC 9110 15.5.6), one that is not known 501 (RFC 9110 15.6.2).
    pub fn answer(&self, request: &Request<'_>, persists: bool) -> Answer<'_> {
        Answer::Response(match (request.method, request.path) {
            (b"GET" | b"HEAD", b"/events") => match self.events.begin(request, persists) {
                Some(stream) => return Answer::Stream(stream),
                None => self.events.over(),
            },
            (b"GET" | b"HEAD", _) => self.page.response(),
            (b"OPTIONS", b"/events") => {
                let mut fields = vec![ALLOW];
                fields.extend(self.events.preflight(request));
                Response::no_content(fields)
            }
            (b"OPTIONS", _) => Response::no_content(vec![ALLOW]),
            (b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"TRACE" | b"PATCH", _) => {
                let status = Status(405, "Method Not Allowed");
                let mut refusal =
                    Response::refusal(status, "this server is read-only: use GET or HEAD");
                refusal.fields.push(ALLOW);
                refusal
            }
            _ => Response::refusal(
                Status(501, "Not Implemented"),
                "the methods known here are those of RFC 9110, and PATCH",
            ),
        })
    }
}
