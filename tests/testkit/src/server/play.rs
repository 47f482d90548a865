//! Turns an answer and its fault into steps. Knows nothing of HTTP versions.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::fault::Fault;
use crate::blob::{BlobKind, encode};

/// An answer as it is to be sent.
#[derive(Debug)]
pub(crate) struct Play {
    /// Before anything is sent.
    pub(crate) before: Vec<Step>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What the header says, which may be wrong.
    pub(crate) content_length: Option<usize>,
    /// The body. If no step ends the stream, it ends properly after the last.
    pub(crate) body: VecDeque<Step>,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Bytes),
    /// One byte a second.
    Trickle(Bytes),
    Wait(Duration),
    Stall,
    /// Ends the connection without a word.
    Close,
    Reset,
    RstStream(u32),
    GoAway,
    GoAwayNow(u32),
}

/// How long an answer that is going to be cut off has to reach the socket.
pub(crate) const FLUSH: Duration = Duration::from_millis(50);

impl Step {
    /// How many bytes of body it sends.
    pub(crate) fn len(&self) -> usize {
        match self {
            Step::Data(bytes) | Step::Trickle(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl Play {
    pub(crate) fn ok(body: Bytes) -> Play {
        Play::status(200, body)
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Play {
        Play::status(status, Bytes::from(text.into()))
    }

    fn status(status: u16, body: Bytes) -> Play {
        Play {
            before: Vec::new(),
            status,
            headers: Vec::new(),
            content_length: Some(body.len()),
            body: VecDeque::from([Step::Data(body)]),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Play {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer with this fault; `name` is that of the chunk or file.
    pub(crate) fn with(self, fault: Option<Fault>, name: &str) -> Play {
        let Some(fault) = fault else { return self };
        let body = self.body_bytes();
        let len = body.len();
        let part = |len: usize| Step::Data(body.slice(..len));
        match fault {
            Fault::Delay(delay) => self.first(Step::Wait(delay)),
            Fault::Stall => self.first(Step::Stall),
            Fault::Reset => self.first(Step::Reset),
            Fault::RstStream(code) => self.first(Step::RstStream(code)),
            Fault::GoAway => self.first(Step::GoAway),
            Fault::GoAwayNow(code) => self.first(Step::GoAwayNow(code)),
            Fault::StallInBody => self.then(vec![part(len / 2), Step::Stall]),
            Fault::Trickle => self.then(vec![Step::Trickle(body)]),
            Fault::CutAfter(sent) => self.then(vec![part(sent.min(len)), Step::Close]),
            Fault::Short => self.then(vec![part(len.saturating_sub(1))]),
            Fault::TooLong => self.then(vec![part(len), Step::Data(Bytes::from_static(b"x"))]),
            Fault::RstInBody(code) => self.then(vec![part(len / 2), Step::RstStream(code)]),
            Fault::WrongBlob => {
                let blob = encode(BlobKind::Plain, b"what no one asked for", None);
                Play::ok(Bytes::from(blob))
            }
            Fault::EmptyBlob => Play::ok(Bytes::new()),
            Fault::Corrupt => {
                let mut bytes = body.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                Play::ok(Bytes::from(bytes))
            }
            Fault::Truncated => Play::ok(body.slice(..len / 2)),
            Fault::Replace(bytes) => Play::ok(Bytes::from(bytes)),
            Fault::Missing400 => missing(name),
            Fault::Unauthorized401 => Play::text(401, format!("download chunk {name} not allowed")),
            Fault::Status(status) => Play::text(status, format!("status {status} was asked for")),
            Fault::Say { content_type, text } => {
                Play::text(200, text).header("content-type", content_type)
            }
            Fault::Busy { retry_after } => {
                Play::text(503, "busy").header("retry-after", retry_after.to_string())
            }
            Fault::Redirect(place) => Play::text(302, "elsewhere").header("location", place),
        }
    }

    /// The same answer without a content-length, its body in pieces of at most so many bytes.
    pub(crate) fn in_pieces(mut self, len: usize) -> Play {
        self.content_length = None;
        let mut pieces = VecDeque::new();
        for step in self.body {
            let Step::Data(mut bytes) = step else {
                pieces.push_back(step);
                continue;
            };
            while !bytes.is_empty() {
                pieces.push_back(Step::Data(bytes.split_to(len.min(bytes.len()))));
            }
        }
        self.body = pieces;
        self
    }

    fn first(mut self, step: Step) -> Play {
        self.before.push(step);
        self
    }

    /// Keeps the content-length that is no longer true.
    fn then(mut self, body: Vec<Step>) -> Play {
        self.body = body.into();
        self
    }

    pub(crate) fn body_bytes(&self) -> Bytes {
        match self.body.front() {
            Some(Step::Data(bytes)) if self.body.len() == 1 => bytes.clone(),
            _ => Bytes::new(),
        }
    }
}

/// What PBS answers where the file of a chunk is gone.
pub(crate) fn missing(name: &str) -> Play {
    let start = name.get(..4).unwrap_or(name);
    let path = format!("/mnt/datastore/.chunks/{start}/{name}");
    let text = format!("reading file \"{path}\" failed: No such file or directory (os error 2)");
    Play::text(400, text)
}
