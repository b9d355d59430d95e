//! The page: one HTML document, the answer on every path but `/events`.

use crate::response::{Response, Status};
use std::borrow::Cow;
use std::io;
use std::path::Path;

/// An HTML document in UTF-8, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    content: Cow<'static, [u8]>,
}

impl Page {
    /// `www/index.html` as it was when the program was built: so the program runs from any
    /// directory.
    pub const fn built_in() -> Page {
        Page {
            content: Cow::Borrowed(include_bytes!("../www/index.html")),
        }
    }

    /// `index.html` of a directory, read now and never again.
    ///
    /// # Errors
    ///
    /// The error of reading the file.
    pub fn from_directory(directory: &Path) -> io::Result<Page> {
        let content = std::fs::read(directory.join("index.html"))?;
        Ok(Page {
            content: Cow::Owned(content),
        })
    }

    /// The page as the answer to GET.
    pub fn response(&self) -> Response<'_> {
        Response {
            status: Status::OK,
            fields: [Some(("Content-Type", "text/html; charset=utf-8")), None],
            content: Some(Cow::Borrowed(&self.content)),
        }
    }
}
