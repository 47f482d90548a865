//! A request for a chunk, and the answer to it.

use crate::digest::Digest;
use crate::error::FetchError;
use crate::memory::Buffer;

/// A request for a chunk's blob, with the buffer that the blob is to be put in.
///
/// Each request is used up by its [`answer`](Request::answer), so that no request is answered twice and each answer has the
/// right id and buffer.
#[derive(Debug)]
pub struct Request {
    id: u64,
    digest: Digest,
    limit: usize,
    buffer: Buffer,
}

/// The answer to a [`Request`]: the chunk's blob, or why there is none.
#[derive(Debug)]
pub struct Answer {
    id: u64,
    blob: Result<Buffer, FetchError>,
}

impl Request {
    /// A request for the chunk with this digest, whose blob has at most `limit` bytes. The restore makes the requests; a
    /// backend of one's own needs this only in its tests.
    #[must_use]
    pub fn new(id: u64, digest: Digest, limit: usize, buffer: Buffer) -> Request {
        Request {
            id,
            digest,
            limit,
            buffer,
        }
    }

    /// The digest of the chunk that is wanted.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The most bytes that the chunk's blob can have. A longer blob must not be read: its answer is
    /// [`FetchError::TooLong`].
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The buffer to put the blob in. It is empty at first.
    pub fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// The answer to this request. `Ok(())` says that the whole blob is in the [`buffer`](Request::buffer); a blob that is
    /// longer than the [`limit`](Request::limit) is answered with [`FetchError::TooLong`] all the same.
    #[must_use]
    pub fn answer(self, result: Result<(), FetchError>) -> Answer {
        let blob = match result {
            Ok(()) if self.buffer.len() > self.limit => Err(FetchError::TooLong),
            Ok(()) => Ok(self.buffer),
            Err(error) => Err(error),
        };
        Answer { id: self.id, blob }
    }
}

impl Answer {
    /// The id of the request that is answered.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The request's buffer with the blob in it.
    ///
    /// # Errors
    /// Why the blob could not be fetched.
    pub fn into_blob(self) -> Result<Buffer, FetchError> {
        self.blob
    }

    /// Replaces the error of an answer that has one.
    #[cfg(feature = "pbs")]
    pub(crate) fn map_err(self, replace: impl FnOnce(FetchError) -> FetchError) -> Answer {
        Answer {
            id: self.id,
            blob: self.blob.map_err(replace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: usize) -> Request {
        Request::new(7, Digest::from([1; 32]), limit, Buffer::new())
    }

    #[test]
    fn an_answer_has_the_id_and_the_buffer_of_its_request() {
        let mut asked = request(4);
        asked.buffer().extend_from_slice(b"blob");
        let answer = asked.answer(Ok(()));
        assert_eq!(answer.id(), 7);
        assert_eq!(answer.into_blob().expect("it was fetched")[..], *b"blob");
    }

    #[test]
    fn a_blob_beyond_the_limit_is_too_long_whatever_the_backend_says() {
        let mut asked = request(3);
        asked.buffer().extend_from_slice(b"blob");
        let blob = asked.answer(Ok(())).into_blob();
        assert!(matches!(blob, Err(FetchError::TooLong)), "{blob:?}");
    }

    #[test]
    fn an_error_is_the_answer_whatever_the_buffer_holds() {
        let mut asked = request(4);
        asked.buffer().extend_from_slice(b"bl");
        let blob = asked.answer(Err(FetchError::Missing)).into_blob();
        assert!(matches!(blob, Err(FetchError::Missing)), "{blob:?}");
    }
}
