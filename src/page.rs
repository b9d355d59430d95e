//! The page: one HTML document, the answer on every path but `/events`.
//!
//! An answer with the page is the same for every client, but for its `Date`, which changes once a
//! second. So it is made once a second, head and content in a row, and all connections send the
//! same octets, in a plain write each. Head and content as two slices of a vectored write would
//! need no copy at all; but the system does more for such a write, and that costs each request
//! more than the copy costs the second.

use crate::response::{Persistence, Response, Status, imf_fixdate};
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest content that stands in a row with its head, in octets. Beside the sending of a
/// longer one nothing counts, and copies of it would take memory.
const JOINED: usize = 64 * 1024;

/// An HTML document in UTF-8, ready to be sent.
#[derive(Debug)]
pub struct Page {
    content: Cow<'static, [u8]>,
    /// The newest answer for each [`Persistence`].
    newest: Mutex<[Option<Arc<PageAnswer>>; 3]>,
}

/// The answer to GET in a certain second.
#[derive(Debug)]
pub struct PageAnswer {
    second: u64,
    /// What it says of the connection.
    pub persistence: Persistence,
    /// The head, and the content unless it is long. [`Page::rest`] follows.
    pub octets: Vec<u8>,
}

impl Page {
    /// `www/index.html` as it was when the program was built: so the program runs from any
    /// directory.
    pub const fn built_in() -> Page {
        Page::new(Cow::Borrowed(include_bytes!("../www/index.html")))
    }

    /// `index.html` of a directory, read now and never again.
    ///
    /// # Errors
    ///
    /// The error of reading the file.
    pub fn from_directory(directory: &Path) -> io::Result<Page> {
        let content = std::fs::read(directory.join("index.html"))?;
        Ok(Page::new(Cow::Owned(content)))
    }

    const fn new(content: Cow<'static, [u8]>) -> Page {
        Page {
            content,
            newest: Mutex::new([None, None, None]),
        }
    }

    /// The page as the answer to GET.
    pub fn response(&self) -> Response<'_> {
        Response {
            status: Status::OK,
            fields: [Some(("Content-Type", "text/html; charset=utf-8")), None],
            content: Some(Cow::Borrowed(&self.content)),
        }
    }

    /// The answer to GET in a second, which is counted since 1970: made now, if no client has
    /// asked for it before.
    pub fn answer(&self, second: u64, persistence: Persistence) -> Arc<PageAnswer> {
        // A thread that panicked with the lock left no half-done change.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = &mut newest[persistence as usize];
        if let Some(answer) = newest
            && answer.second == second
        {
            return Arc::clone(answer);
        }
        let mut octets = Vec::new();
        self.response()
            .write_head(&imf_fixdate(second), persistence, &mut octets);
        octets.extend_from_slice(&self.content[..self.joined()]);
        let answer = Arc::new(PageAnswer {
            second,
            persistence,
            octets,
        });
        *newest = Some(Arc::clone(&answer));
        answer
    }

    /// What follows [`PageAnswer::octets`].
    pub fn rest(&self) -> &[u8] {
        &self.content[self.joined()..]
    }

    fn joined(&self) -> usize {
        if self.content.len() <= JOINED {
            self.content.len()
        } else {
            0
        }
    }
}
