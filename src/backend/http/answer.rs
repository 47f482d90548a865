//! An answer to an HTTP request, whose body is still to be read.

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

/// The most bytes that are read of a refusal's text.
const REFUSAL: u64 = 64 << 10;

/// An answer that is not the requested file: one with a status other than 200, or a text in place
/// of the file.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) host: String,
    /// The name of the requested file: the last part of the URL.
    pub(crate) file: String,
    /// What the answer's status means, or that the answer is a text.
    pub(crate) error: FetchError,
    pub(crate) status: StatusCode,
    /// When the answer was given, by the server's clock.
    pub(crate) date: Option<Timestamp>,
    headers: HeaderMap,
    /// The answer's body, or the beginning of it.
    pub(crate) text: String,
}

impl Refused {
    /// A header's value for a message: printable, and not too long.
    pub(crate) fn header(&self, name: &'static str) -> Option<String> {
        status::text(&self.headers, HeaderName::from_static(name))
    }
}

/// Why an answer holds no file.
#[derive(Debug)]
pub(crate) enum Unfit {
    Failed(FetchError),
    /// The server answered something other than the file.
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

/// An answer, whose body is still to be read. Once the body is read to its very end, the connection
/// can serve again.
#[derive(Debug)]
pub(crate) struct Answer {
    host: String,
    file: String,
    head: Parts,
    len: Option<u64>,
    body: Counted,
}

impl Answer {
    /// `read` counts the bytes of the body that are read.
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

    /// What a status other than 200 means; `None` for 200.
    pub(super) fn refusal(&self) -> Option<FetchError> {
        status::refusal(&self.host, &self.file, &self.head)
    }

    /// The server's refusal with its text. `text` is the beginning that was read already.
    pub(crate) fn refused(mut self, error: FetchError, mut text: Vec<u8>) -> Unfit {
        let more = REFUSAL.saturating_sub(text.len() as u64);
        // A text that does not come whole is cut off: the status is known all the same. Once the
        // text is read to its end, the connection can serve again.
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
    /// [`FetchError::TooLong`] for a body of more than `limit` bytes, which is not read;
    /// [`FetchError::Unreachable`] if the body ends early or stalls; [`FetchError::Cancelled`];
    /// and, if the body is a text in place of a file, the server's text as an error that may pass.
    pub(crate) fn read_into(mut self, blob: &mut Buffer, limit: usize) -> Result<(), Unfit> {
        blob.clear();
        let most = match self.len {
            Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
            None => limit,
        };
        // Of a body that is too long, only the beginning is read, which tells what it is.
        let now = if most > limit { TELLING } else { most };
        blob.fill(now, |space| self.body.read(space).map_err(sort_io))?;
        if let Some(said) = self.said(blob) {
            let error = FetchError::transient(said.error(&self.host));
            let start = &blob[..blob.len().min(REFUSAL as usize)];
            return Err(self.refused(error, start.to_vec()));
        }
        // Only a reader that has seen the end of the body gives the connection back.
        if most > limit || (blob.len() == most && self.body.read(&mut [0]).map_err(sort_io)? > 0) {
            return Err(FetchError::TooLong.into());
        }
        Ok(())
    }

    /// Reads a file into memory that grows while bytes come.
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into), except that a text in place of the file is final. This
    /// reads the files that are asked for first: if such a file is a text, there is no datastore at
    /// the place.
    pub(crate) fn read(mut self, limit: u64) -> Result<Vec<u8>, Unfit> {
        let is_too_long = self.len.is_some_and(|len| len > limit);
        // Of a body that is too long, only the beginning is read, which tells what it is.
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

    /// Reads the body, whether it is a file or a text.
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into), except that a text is no error.
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

    /// Reads only the beginning of a file, from an answer to
    /// [`Want::Beginning`](super::Want::Beginning).
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into).
    pub(crate) fn read_beginning(mut self) -> Result<Vec<u8>, Unfit> {
        // Only a reader that has seen the end of the body gives the connection back.
        let mut bytes = self.begin(BEGINNING as u64 + 1)?;
        if let Some(said) = self.said(&bytes) {
            let error = FetchError::transient(said.error(&self.host));
            return Err(self.refused(error, bytes));
        }
        bytes.truncate(BEGINNING);
        Ok(bytes)
    }

    /// Reads the first `most` bytes of the body, or all of it if it is shorter.
    fn begin(&mut self, most: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let read = (&mut self.body).take(most).read_to_end(&mut bytes);
        read.map_err(sort_io)?;
        Ok(bytes)
    }

    /// The error about a body that is a web page; `None` for any other body.
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

/// A body that counts the bytes read of it, together with those of all other bodies.
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
