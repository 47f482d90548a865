//! One request and its answer. Knows nothing of other streams.

use crate::memory::Buffer;

use super::error::StreamError;
use super::head::{Head, HeadBuilder};
use super::window::{Allowance, Window};

/// The most that is kept of a body that says what went wrong. The rest of it is thrown away.
const MAX_MESSAGE: usize = 64 << 10;

/// The most room that is made because a header says so. Beyond it a buffer grows as bytes come.
const MAX_RESERVED: u64 = 32 << 20;

/// A stream that the server has not ended.
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) window: Window,
    pub(super) allowance: Allowance,
    /// `None` once it has failed: what still comes is thrown away.
    pub(super) answer: Option<Answer>,
}

/// What has come of an answer.
pub(super) struct Answer {
    head: Option<Head>,
    pub(super) body: Buffer,
    limit: usize,
    received: u64,
}

/// What a header block was.
pub(super) enum Headers {
    /// Another one will follow.
    Interim,
    /// The answer's own.
    Head,
    /// Those after the body.
    Trailers,
}

impl Answer {
    pub(super) fn new(mut body: Buffer, limit: usize) -> Answer {
        body.clear();
        Answer {
            head: None,
            body,
            limit,
            received: 0,
        }
    }

    /// Whether the body is a message about what went wrong.
    pub(super) fn is_error(&self) -> bool {
        self.head.is_some_and(|head| head.is_error())
    }

    /// How many bytes of the body have come.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// A header block came, which ends the stream or does not.
    pub(super) fn headers(
        &mut self,
        fields: HeadBuilder,
        ends_stream: bool,
    ) -> Result<Headers, StreamError> {
        if self.head.is_some() {
            if !ends_stream {
                return Err(StreamError::Malformed("there are headers within the body"));
            }
            fields.trailers().map_err(StreamError::Malformed)?;
            return Ok(Headers::Trailers);
        }
        let head = fields.head().map_err(StreamError::Malformed)?;
        match head.status {
            101 => return Err(StreamError::Malformed("the protocol is switched")),
            100..200 if ends_stream => {
                return Err(StreamError::Malformed("there is no final status"));
            }
            100..200 => return Ok(Headers::Interim),
            _ => {}
        }
        if let Some(len) = head.content_length
            && !head.is_error()
        {
            if len > self.limit as u64 {
                return Err(StreamError::TooLong(self.limit));
            }
            self.body.reserve(len.min(MAX_RESERVED) as usize);
        }
        self.head = Some(head);
        Ok(Headers::Head)
    }

    /// Bytes of the body came; says how many of them were kept.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        let Some(head) = &self.head else {
            return Err(StreamError::Malformed("data came before the header"));
        };
        let received = self.received + bytes.len() as u64;
        if let Some(stated) = head.content_length
            && received > stated
        {
            return Err(StreamError::ContentLength { stated, received });
        }
        let kept = if head.is_error() {
            bytes.len().min(MAX_MESSAGE - self.body.len())
        } else if received > self.limit as u64 {
            return Err(StreamError::TooLong(self.limit));
        } else {
            bytes.len()
        };
        self.received = received;
        self.body.extend_from_slice(&bytes[..kept]);
        Ok(kept)
    }

    /// The stream was ended: whether the answer is whole.
    pub(super) fn whole(&self) -> Result<Head, StreamError> {
        let Some(head) = self.head else {
            return Err(StreamError::Malformed("there is no header"));
        };
        match head.content_length {
            Some(stated) if stated != self.received => Err(StreamError::ContentLength {
                stated,
                received: self.received,
            }),
            _ => Ok(head),
        }
    }
}
