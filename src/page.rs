//! The page: one HTML document, the response on every path but `/events`.

use crate::response::{Response, Status};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The longest page that is served, in bytes.
const PAGE_LIMIT: u64 = 1 << 30;

/// An HTML document in UTF-8.
#[derive(Debug)]
pub struct Page(Cow<'static, [u8]>);

impl Page {
    /// `www/index.html` as it was when the program was built, so the program runs anywhere.
    pub fn built_in() -> Page {
        Page(Cow::Borrowed(include_bytes!("../www/index.html")))
    }

    /// `index.html` in a directory, read now and never again.
    ///
    /// # Errors
    ///
    /// The system's error, or one that says that the page is no regular file or is over 1 GiB.
    pub fn from_directory(directory: &Path) -> io::Result<Page> {
        let path = directory.join("index.html");
        // A device may never end, and a pipe may never begin.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut content = Vec::new();
        // Files in /proc say that they are empty, and may never end either.
        let mut file = File::open(path)?.take(PAGE_LIMIT + 1);
        if file.read_to_end(&mut content)? > PAGE_LIMIT as usize {
            return Err(io::Error::other("it is over 1 GiB"));
        }
        Ok(Page(Cow::Owned(content)))
    }

    /// The page as a response.
    pub fn response(&self) -> Response<'_> {
        Response {
            status: Status(200, "OK"),
            fields: vec![("Content-Type", "text/html; charset=utf-8")],
            content: Some(Cow::Borrowed(&self.0)),
        }
    }
}
