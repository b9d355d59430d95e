//! A reader of event streams, written from HTML 9.2.5 and 9.2.6 alone and sharing no code with
//! src: what a client makes of the bytes.

/// What a client dispatches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    pub event: String,
    pub data: String,
    pub last_event_id: String,
}

/// A reconnection time that the reader can't hold.
pub const TOO_LARGE: u64 = u64::MAX;

/// The state of an `EventSource` that reads a stream.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of a line that has not ended yet.
    line: Vec<u8>,
    /// The last byte was a CR that ended a line: an LF right behind it belongs to it.
    after_cr: bool,
    /// The first line has been seen, which may begin with a byte order mark.
    begun: bool,
    event_type: String,
    data: String,
    last_event_id_buffer: String,
    pub last_event_id: String,
    /// The reconnection time, in milliseconds, if the stream has set it.
    pub retry: Option<u64>,
    pub dispatched: Vec<Dispatched>,
    pub comments: Vec<String>,
}

impl Reader {
    /// What a client makes of a stream that is this and then ends. An event that no empty line
    /// has ended is thrown away.
    pub fn of(stream: &[u8]) -> Reader {
        let mut reader = Reader::default();
        reader.feed(stream);
        reader
    }

    /// Takes the next bytes of the stream. Lines end in CR LF, LF or CR (HTML 9.2.5).
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    let mut line = String::from_utf8_lossy(&line).into_owned();
                    if !self.begun && line.starts_with('\u{feff}') {
                        line.remove(0);
                    }
                    self.begun = true;
                    self.process_line(&line);
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(byte);
                }
            }
        }
    }

    /// HTML 9.2.6, "lines must be processed … as follows".
    fn process_line(&mut self, line: &str) {
        if line.is_empty() {
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            self.comments
                .push(comment.strip_prefix(' ').unwrap_or(comment).to_string());
        } else if let Some((name, value)) = line.split_once(':') {
            self.process_field(name, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.process_field(line, "");
        }
    }

    /// HTML 9.2.6, "the steps to process the field".
    fn process_field(&mut self, name: &str, value: &str) {
        match name {
            "event" => self.event_type = value.to_string(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.last_event_id_buffer = value.to_string(),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = Some(value.parse().unwrap_or(TOO_LARGE));
            }
            _ => {}
        }
    }

    /// HTML 9.2.6, "dispatch the event".
    fn dispatch(&mut self) {
        self.last_event_id = self.last_event_id_buffer.clone();
        let event = std::mem::take(&mut self.event_type);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        data.pop();
        self.dispatched.push(Dispatched {
            event: if event.is_empty() {
                "message".to_string()
            } else {
                event
            },
            data,
            last_event_id: self.last_event_id.clone(),
        });
    }
}
