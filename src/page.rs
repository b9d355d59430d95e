//! The page: one HTML document, the response on every path but `/events`.
//!
//! Only its `Date` differs from one response to the next. So the whole response is made once a second,
//! head and content in a row, and shared by all connections: load tests ask for nothing else. It is
//! held several times in a row, so that one write of these bytes answers pipelined requests.

use crate::response::{Persistence, Response, Status};
use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest page that is served, in bytes.
const PAGE_LIMIT: u64 = 1 << 30;

/// The longest page of which whole responses are held, in bytes.
const SHORT: usize = 32 * 1024;

/// How often a whole response is held in a row.
pub const COPIES: usize = 16;

/// An HTML document in UTF-8, ready to be sent.
#[derive(Debug)]
pub struct Page {
    content: Cow<'static, [u8]>,
    /// The newest response for each [`Persistence`].
    newest: Mutex<[Option<Arc<PageResponse>>; 3]>,
}

/// The whole response to a GET in a certain second.
#[derive(Debug)]
pub struct PageResponse {
    /// The time that its `Date` says, in seconds since 1970.
    pub second: u64,
    /// What its head says about the connection.
    pub persistence: Persistence,
    /// Head and content, [`COPIES`] times in a row.
    copies: Vec<u8>,
}

impl PageResponse {
    /// The response `count` times in a row, [`COPIES`] times at most.
    pub fn times(&self, count: usize) -> &[u8] {
        &self.copies[..self.copies.len() / COPIES * count]
    }
}

impl Page {
    /// `www/index.html` as it was when the program was built, so the program runs anywhere.
    pub fn built_in() -> Page {
        Page::new(Cow::Borrowed(include_bytes!("../www/index.html")))
    }

    /// `index.html` in a directory, read now and never again.
    ///
    /// # Errors
    ///
    /// The system's error, or one that says that the page is no regular file or is over 1 GiB.
    pub fn from_directory(directory: &Path) -> io::Result<Page> {
        let path = directory.join("index.html");
        let metadata = fs::metadata(&path)?;
        // Reading a device could last forever.
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if metadata.len() > PAGE_LIMIT {
            return Err(io::Error::other("it is over 1 GiB"));
        }
        Ok(Page::new(Cow::Owned(fs::read(path)?)))
    }

    fn new(content: Cow<'static, [u8]>) -> Page {
        Page {
            content,
            newest: Mutex::default(),
        }
    }

    /// The page as a response.
    pub fn response(&self) -> Response<'_> {
        Response {
            status: Status::OK,
            fields: vec![("Content-Type", "text/html; charset=utf-8")],
            content: Some(Cow::Borrowed(&self.content)),
        }
    }

    /// The whole response of this second, counted since 1970, made now if no client has asked for it
    /// before. `None` if the page is long: copies of it would take memory, and save nothing that
    /// could be noticed beside sending it.
    pub fn whole_response(
        &self,
        second: u64,
        persistence: Persistence,
    ) -> Option<Arc<PageResponse>> {
        if self.content.len() > SHORT {
            return None;
        }
        // What it holds is valid even if a thread has panicked while it held the lock.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = &mut newest[persistence as usize];
        if newest.as_ref().is_none_or(|newest| newest.second != second) {
            let head = self.response().head(second, persistence);
            let whole = [head.as_bytes(), &self.content].concat();
            *newest = Some(Arc::new(PageResponse {
                second,
                persistence,
                copies: whole.repeat(COPIES),
            }));
        }
        newest.clone()
    }
}
