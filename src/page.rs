//! The page: one HTML document, the response on every path but `/events`.

use crate::response::{Response, Status};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

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
    /// One line that names the file and says what is wrong.
    pub fn from_directory(directory: &Path) -> Result<Page, String> {
        let path = directory.join("index.html");
        match fs::read(&path) {
            Ok(content) => Ok(Page(Cow::Owned(content))),
            Err(error) => Err(format!("can't read {}: {error}", path.display())),
        }
    }

    /// The page as a response.
    pub fn response(&self) -> Response<'_> {
        Response {
            status: Status(200, "OK"),
            fields: vec![("Content-Type", "text/html; charset=utf-8".into())],
            content: Some(Cow::Borrowed(&self.0)),
        }
    }
}
