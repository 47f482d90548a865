//! An answer to a request, whose body is still to be read. Knows nothing of connections.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use ureq::http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use ureq::http::response::Parts;
use ureq::http::{Response, StatusCode};
use ureq::{Body, BodyReader};

use crate::backend::FetchError;
use crate::backend::http::page::{self, Said};
use crate::backend::http::{BEGINNING, sort_io, status};
#[cfg(feature = "s3")]
use crate::error::Error;
use crate::memory::Buffer;
use crate::net::body_text::TELLING;

/// The most of a refusal's text that is read.
const REFUSAL: u64 = 64 << 10;

/// An answer that is not the file that was asked for: one of another status than 200, or a text in the file's place.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) host: String,
    /// The name of what was asked for: the last part of the URL.
    pub(crate) file: String,
    /// What its status means, or that it is a text.
    pub(crate) error: FetchError,
    pub(crate) status: StatusCode,
    /// When it was given, by the server's clock.
    pub(crate) date: Option<Timestamp>,
    headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub(crate) text: String,
}

impl Refused {
    /// A header for a message: printable, and not too long.
    pub(crate) fn header(&self, name: &'static str) -> Option<String> {
        status::text(&self.headers, HeaderName::from_static(name))
    }
}

/// Why there is no file in an answer.
#[derive(Debug)]
pub(crate) enum Unfit {
    Failed(FetchError),
    /// The server says something else.
    Refused(Box<Refused>),
}

impl From<Unfit> for FetchError {
    fn from(unfit: Unfit) -> FetchError {
        match unfit {
            Unfit::Failed(error) => error,
            Unfit::Refused(refused) => refused.error,
        }
    }
}

impl From<FetchError> for Unfit {
    fn from(error: FetchError) -> Unfit {
        Unfit::Failed(error)
    }
}

/// An answer, whose body is still to be read. Read to its very end, the connection serves again.
#[derive(Debug)]
pub(crate) struct Answer {
    host: String,
    file: String,
    head: Parts,
    len: Option<u64>,
    body: Counted,
}

impl Answer {
    /// `read` counts what will be read of its body.
    pub(super) fn of(url: &str, response: Response<Body>, read: &Arc<AtomicU64>) -> Answer {
        let (head, body) = response.into_parts();
        Answer {
            host: url.split('/').nth(2).unwrap_or(url).to_owned(),
            file: url.rsplit('/').next().unwrap_or_default().to_owned(),
            head,
            len: body.content_length(),
            body: Counted {
                body: body.into_reader(),
                read: Arc::clone(read),
            },
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// What the status means where that is another than 200.
    pub(super) fn refusal(&self) -> Option<FetchError> {
        status::refusal(&self.host, &self.file, &self.head)
    }

    /// What the server says, of which the beginning may have been read.
    pub(crate) fn refused(mut self, error: FetchError, mut text: Vec<u8>) -> Unfit {
        let more = REFUSAL.saturating_sub(text.len() as u64);
        // What it says is missed where it does not come whole; the status is there. Read to its end, the connection can
        // serve again.
        let _ = (&mut self.body).take(more).read_to_end(&mut text);
        text.truncate(REFUSAL as usize);
        Unfit::Refused(Box::new(Refused {
            host: self.host,
            file: self.file,
            error,
            status: self.head.status,
            date: status::date(&self.head.headers),
            headers: self.head.headers,
            text: String::from_utf8_lossy(&text).into_owned(),
        }))
    }

    /// Reads the body into a buffer.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] for one of more than `limit` bytes, which is not read; [`FetchError::Unreachable`] where it
    /// ends early or stalls; [`FetchError::Cancelled`]; and what the server says where that is a text, which may pass.
    pub(crate) fn read_into(mut self, blob: &mut Buffer, limit: usize) -> Result<(), Unfit> {
        blob.clear();
        let most = match self.len {
            Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
            None => limit,
        };
        // Of what is too long only so much as tells what it is.
        let now = if most > limit { TELLING } else { most };
        blob.fill(now, |space| self.body.read(space).map_err(sort_io))?;
        if let Some(said) = self.said(blob) {
            let error = FetchError::transient(said.error(&self.host));
            let start = &blob[..blob.len().min(REFUSAL as usize)];
            return Err(self.refused(error, start.to_vec()));
        }
        // Only a reader that has seen the end gives the connection back.
        if most > limit || (blob.len() == most && self.body.read(&mut [0]).map_err(sort_io)? > 0) {
            return Err(FetchError::TooLong.into());
        }
        Ok(())
    }

    /// Reads a file into memory that grows as it comes.
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into), but a text will not be another on another try: where it is a file that is
    /// asked for first of all, the place is none.
    pub(crate) fn read(mut self, limit: u64) -> Result<Vec<u8>, Unfit> {
        let is_too_long = self.len.is_some_and(|len| len > limit);
        // Of what is too long only so much as tells what it is.
        let bytes = match is_too_long {
            true => self.begin(TELLING as u64)?,
            false => self.begin(limit.saturating_add(1))?,
        };
        if let Some(said) = self.said(&bytes) {
            let error = FetchError::Fatal(said.error(&self.host).into());
            return Err(self.refused(error, bytes));
        }
        match is_too_long || bytes.len() as u64 > limit {
            true => Err(FetchError::TooLong.into()),
            false => Ok(bytes),
        }
    }

    /// Reads the body, whatever it is.
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into), a text aside.
    #[cfg(feature = "s3")]
    pub(crate) fn read_any(&mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        if self.len.is_some_and(|len| len > limit) {
            return Err(FetchError::TooLong);
        }
        let bytes = self.begin(limit.saturating_add(1))?;
        match bytes.len() as u64 > limit {
            true => Err(FetchError::TooLong),
            false => Ok(bytes),
        }
    }

    /// Reads no more than the beginning of a file: of an answer to [`Want::Beginning`](super::Want::Beginning).
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into).
    pub(crate) fn read_beginning(mut self) -> Result<Vec<u8>, Unfit> {
        // Only a reader that has seen the end gives the connection back.
        let mut bytes = self.begin(BEGINNING as u64 + 1)?;
        if let Some(said) = self.said(&bytes) {
            let error = FetchError::transient(said.error(&self.host));
            return Err(self.refused(error, bytes));
        }
        bytes.truncate(BEGINNING);
        Ok(bytes)
    }

    /// So much of the body, if there is as much.
    fn begin(&mut self, most: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let read = (&mut self.body).take(most).read_to_end(&mut bytes);
        read.map_err(sort_io)?;
        Ok(bytes)
    }

    /// What is to be said of a body that is a web page.
    #[cfg(feature = "s3")]
    pub(crate) fn page(&self, body: &[u8]) -> Option<Error> {
        let said = self.said(body).filter(|said| *said == Said::Page);
        said.map(|said| said.error(&self.host))
    }

    fn said(&self, body: &[u8]) -> Option<Said> {
        let content_type = status::text(&self.head.headers, CONTENT_TYPE);
        page::said(content_type.as_deref(), body)
    }
}

/// A body, and the count of what was read of it and of all others.
struct Counted {
    body: BodyReader<'static>,
    read: Arc<AtomicU64>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Read for Counted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(space)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
