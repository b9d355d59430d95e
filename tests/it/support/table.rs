//! `tests/transcripts/heads.txt`, and the notation of the transcripts for bytes.

/// One request, and what comes of it.
#[derive(Clone)]
pub struct Row {
    pub rule: &'static str,
    pub bytes: Vec<u8>,
    /// Status, `keep-alive` or `close`, and of a refusal its reason.
    pub answer: String,
}

impl Row {
    /// Whether the connection persists after the answer.
    pub fn persists(&self) -> bool {
        self.answer[4..].starts_with("keep-alive")
    }

    /// Whether the request is HEAD, so that its answer has no content.
    pub fn is_head(&self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }
}

/// The rows of `heads.txt`.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let text = include_str!("../../transcripts/heads.txt");
    let (_, text) = text.split_once("\n\n").expect("its notation");
    for paragraph in text.split("\n\n") {
        let (rule, lines) = paragraph.split_once('\n').expect("a rule");
        let mut requests = Vec::new();
        for line in lines.lines() {
            match line.split_at_checked(2) {
                Some(("> ", text)) => requests.push(expand(text)),
                Some(("< ", answer)) => rows.extend(requests.drain(..).map(|bytes| Row {
                    rule,
                    bytes,
                    answer: answer.into(),
                })),
                _ => {}
            }
        }
        assert!(requests.is_empty(), "{rule}: no answer");
    }
    rows
}

/// A response as `heads.txt` shortens it.
pub fn shortened(response: &str) -> String {
    let rest = response.strip_prefix("HTTP/1.1 ").expect("a status line");
    let (status, rest) = rest.split_once("\r\n").expect("its end");
    let (fields, content) = rest.split_once("\r\n\r\n").expect("an empty line");
    let (_, rest) = fields.split_once("Connection: ").expect("the field");
    let connection = rest.lines().next().expect("its value");
    let reason = content.strip_prefix(status).unwrap_or_default();
    format!("{} {connection}{}", &status[..3], reason.trim_end())
}

/// A request that may follow every other.
pub const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

pub const PAGE: &[u8] = include_bytes!("../../../www/index.html");

/// The bytes that a text stands for.
pub fn expand(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in text.split_inclusive('›') {
        let (plain, name) = part.split_once('‹').unwrap_or((part, ""));
        bytes.extend(plain.replace('␍', "\r").replace('␊', "\n").bytes());
        let name = name.trim_end_matches('›');
        if let Some((count, text)) = name.split_once(" × ") {
            bytes.extend(expand(text).repeat(count.parse().expect("a number")));
        } else if let Some(digits) = name.strip_prefix("hex ") {
            let digits = digits.split(' ');
            bytes.extend(digits.map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")));
        } else {
            match name {
                "" => {}
                "page" => bytes.extend(PAGE),
                "length" => bytes.extend(PAGE.len().to_string().bytes()),
                _ => panic!("nobody knows ‹{name}›"),
            }
        }
    }
    bytes
}
