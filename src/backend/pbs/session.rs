//! A reader session: one snapshot, over one connection, with several requests in flight.

use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::backend::pbs::h2::{Codec, Config, Event, Head, StreamError};
use crate::backend::pbs::refusal::{Asked, Refusal, other_than};
use crate::backend::pbs::stall::{Stall, StallDetector};
use crate::backend::pbs::upgrade;
use crate::backend::{Answer, Connection, FetchError, Request};
use crate::cancel::Cancel;
use crate::error::{BoxError, Error, ErrorKind};
use crate::memory::Buffer;
use crate::net::body_text::is_web_page;
use crate::net::{Received, TlsStream, Wait};
use crate::rate_limit::RateLimit;

/// How long it may take to end a session, since nobody waits for that.
const GOODBYE: Duration = Duration::from_millis(250);

/// An open session.
pub(super) struct Session {
    stream: TlsStream,
    codec: Codec,
    authority: String,
    cancel: Cancel,
    progress: Duration,
    /// The chunks that were requested: the stream and the request of each. The codec has the
    /// request's buffer meanwhile.
    open: Vec<(u32, Request)>,
    watch: StallDetector,
    awaits_pong: bool,
}

impl Session {
    /// Sends the request for a session, followed at once by the first bytes of HTTP/2, and waits
    /// for the answer.
    ///
    /// # Errors
    /// The server's refusal, or the error of the connection.
    pub(super) fn open(
        mut stream: TlsStream,
        request: &str,
        authority: String,
        progress: Duration,
        cancel: Cancel,
    ) -> Result<Session, FetchError> {
        let mut codec = Codec::new(Config::default());
        let request = Zeroizing::new([request.as_bytes(), codec.output()].concat());
        codec.sent(codec.output().len());
        let wait = Wait {
            cancel: &cancel,
            limit: progress,
            what: "the answer",
        };
        stream.send(&request, wait)?;
        let rest = upgrade::response(&mut stream, wait)?;
        let mut session = Session {
            stream,
            codec,
            authority,
            cancel,
            progress,
            open: Vec::new(),
            watch: StallDetector::new(progress),
            awaits_pong: false,
        };
        session
            .codec
            .receive(&rest)
            .map_err(FetchError::unreachable)?;
        session.flush()?;
        Ok(session)
    }

    /// Uses this cancel and this rate limit from now on.
    pub(super) fn listen_to(&mut self, cancel: &Cancel, rate_limit: &RateLimit) {
        self.cancel = cancel.clone();
        self.stream.set_rate_limit(rate_limit);
    }

    /// Downloads a file of the snapshot, piece by piece. Once an index was downloaded, the session
    /// may fetch the chunks of that index.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if there is no such file; else the reason why it could not be
    /// fetched.
    pub(super) fn download(
        &mut self,
        file: &str,
        limit: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), FetchError> {
        self.fetch(&format!("/download?file-name={file}"), limit, sink)
    }

    /// Fetches the resource at a path, piece by piece.
    ///
    /// # Errors
    /// As [`download`](Session::download).
    pub(super) fn fetch(
        &mut self,
        path: &str,
        limit: u64,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), FetchError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let stream = self.ask(path, Buffer::new(), limit)?;
        loop {
            let until = self.deadline(self.progress);
            match self.next_event(until, &mut |codec| codec.drain(stream, sink))? {
                Some(Event::Finished {
                    stream: ended,
                    head,
                    body,
                }) if ended == stream => {
                    result(Asked::File, head, &body)?;
                    sink(&body);
                    return Ok(());
                }
                Some(Event::Failed {
                    stream: failed,
                    error,
                    ..
                }) if failed == stream => {
                    return Err(self.stream_error(error));
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, path: &str, body: Buffer, limit: usize) -> Result<u32, FetchError> {
        let sent = self.codec.request(path, &self.authority, body, limit);
        let stream = sent.map_err(|unsent| self.passing(unsent))?;
        self.watch.asked(stream);
        self.flush()?;
        Ok(stream)
    }

    /// Waits for the next event, for as long as answers make progress. Only bytes of answers count
    /// as progress, other frames do not. Returns `None` if there is no event at `until`.
    fn next_event(
        &mut self,
        until: Instant,
        drain: &mut dyn FnMut(&mut Codec),
    ) -> Result<Option<Event>, FetchError> {
        loop {
            if let Some(event) = self.codec.next_event() {
                if let Event::Finished { stream, .. } | Event::Failed { stream, .. } = event {
                    self.watch.ended(stream, self.codec.received());
                }
                return Ok(Some(event));
            }
            let left = self.watch.left(self.codec.received(), self.codec.oldest());
            let left = left.map_err(|stall| self.stalled(stall))?;
            if Instant::now() >= until {
                return Ok(None);
            }
            let before = self.stream.waited();
            self.receive_some(until.min(self.deadline(left)))?;
            self.watch.waited(self.stream.waited() - before);
            drain(&mut self.codec);
        }
    }

    /// Receives bytes until a deadline. Returns whether any came.
    fn receive_some(&mut self, deadline: Instant) -> Result<bool, FetchError> {
        let (codec, mut violation) = (&mut self.codec, None);
        let received = self
            .stream
            .receive_until(deadline, &self.cancel, &mut |bytes| {
                // After an error the codec refuses everything that follows with the same error.
                violation = codec.receive(bytes).err().or(violation);
            })?;
        // The output may hold acknowledgements of settings and pings, wider windows, or the reason
        // why the connection ends.
        let flushed = self.flush();
        if let Some(violation) = violation {
            return Err(FetchError::unreachable(violation));
        }
        flushed?;
        match received {
            None => Ok(false),
            Some(Received::Data) => Ok(true),
            Some(Received::Closed) => {
                let goodbye = self.codec.goodbye();
                let reason = goodbye.map_or(String::new(), |code| format!(" ({code})"));
                let message = format!("{} closed the session{reason}", self.authority);
                Err(FetchError::unreachable(Error::new(
                    ErrorKind::Unavailable,
                    message,
                )))
            }
        }
    }

    fn deadline(&self, limit: Duration) -> Instant {
        let wait = Wait {
            cancel: &self.cancel,
            limit,
            what: "an answer",
        };
        wait.deadline()
    }

    fn flush(&mut self) -> Result<(), FetchError> {
        let output = self.codec.output();
        if output.is_empty() {
            return Ok(());
        }
        let wait = Wait {
            cancel: &self.cancel,
            limit: self.progress,
            what: "room for a request",
        };
        self.stream.send(output, wait)?;
        let len = output.len();
        self.codec.sent(len);
        Ok(())
    }

    /// Removes the request that belongs to a stream from the open ones.
    fn close_stream(&mut self, stream: u32) -> Option<Request> {
        let at = self.open.iter().position(|(open, _)| *open == stream)?;
        Some(self.open.swap_remove(at).1)
    }

    fn stalled(&self, stall: Stall) -> FetchError {
        let Session {
            progress,
            authority,
            ..
        } = self;
        let while_others = match stall {
            Stall::Session => "",
            Stall::Oldest => ", while it answered later requests",
        };
        let message =
            format!("waited {progress:?} for an answer of {authority} in vain{while_others}");
        FetchError::unreachable(Error::new(ErrorKind::Unavailable, message))
    }

    fn stream_error(&self, error: StreamError) -> FetchError {
        match error {
            StreamError::TooLong(_) => FetchError::TooLong,
            error => self.passing(error),
        }
    }

    /// An error that may pass. If the server has said that it is going away, the error includes the
    /// server's reason.
    fn passing(&self, cause: impl Into<BoxError>) -> FetchError {
        let Some(code) = self.codec.goodbye() else {
            return FetchError::unreachable(cause);
        };
        let message = format!("{} is going away ({code})", self.authority);
        FetchError::unreachable(Error::new(ErrorKind::Unavailable, message).because(cause))
    }
}

impl Connection for Session {
    fn depth(&self) -> usize {
        self.codec.capacity() + self.open.len()
    }

    fn keep_alive(&mut self) -> Result<(), FetchError> {
        if self.awaits_pong {
            return Err(FetchError::unreachable("the server did not answer a ping"));
        }
        self.codec.ping();
        self.awaits_pong = true;
        self.flush()?;
        // The ping's answer is awaited, so that a dead connection is found before it is needed.
        let deadline = self.deadline(self.progress);
        while self.awaits_pong {
            if !self.receive_some(deadline)? {
                return Err(FetchError::unreachable("the server did not answer a ping"));
            }
            while let Some(event) = self.codec.next_event() {
                self.awaits_pong &= !matches!(event, Event::Pong);
            }
        }
        Ok(())
    }

    fn request(&mut self, mut request: Request) -> Result<(), FetchError> {
        if self.open.is_empty() {
            // While there was nothing to request, the server may have said that it is going away,
            // and why.
            while self.receive_some(Instant::now())? {}
        }
        let path = format!("/chunk?digest={}", request.digest());
        let buffer = mem::take(request.buffer());
        let stream = self.ask(&path, buffer, request.limit())?;
        self.open.push((stream, request));
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        loop {
            if let Some(answer) = self.receive_within(self.progress)? {
                return Ok(answer);
            }
        }
    }

    fn receive_within(&mut self, limit: Duration) -> Result<Option<Answer>, FetchError> {
        let until = self.deadline(limit);
        // The reason why the connection ended. The first request that is left unanswered gets it.
        let mut cause = None;
        loop {
            let event = match self.next_event(until, &mut |_| {}) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
                Err(error) if self.open.is_empty() => return Err(error),
                Err(error) => {
                    // All open requests fail one by one, and give their buffers back.
                    self.codec.close();
                    cause = Some(error);
                    continue;
                }
            };
            let (stream, blob, result) = match event {
                Event::Finished { stream, head, body } => {
                    let result = result(Asked::Chunk, head, &body);
                    (stream, body, result)
                }
                Event::Failed {
                    stream,
                    body,
                    error,
                } => {
                    let error = cause.take().unwrap_or_else(|| self.stream_error(error));
                    (stream, body, Err(error))
                }
                Event::Pong => continue,
            };
            if let Some(mut request) = self.close_stream(stream) {
                *request.buffer() = blob;
                return Ok(Some(request.answer(result)));
            }
        }
    }
}

impl Drop for Session {
    /// Ends the session in order. If a connection just breaks off, the server logs a failed task.
    fn drop(&mut self) {
        self.codec.go_away();
        let wait = Wait {
            cancel: &Cancel::new(),
            limit: GOODBYE,
            what: "room for a goodbye",
        };
        let _ = self.stream.send(self.codec.output(), wait);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("authority", &self.authority)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

fn result(asked: Asked, head: Head, body: &[u8]) -> Result<(), FetchError> {
    if head.status == 200 && head.is_encoded {
        let message = "the server compresses its answers, though it was not asked to";
        return Err(FetchError::Fatal(
            Error::new(ErrorKind::Unavailable, message).into(),
        ));
    }
    if head.status == 200 {
        // These bytes may be the end of a file, not its beginning, so only a chunk can be told from
        // a web page.
        return match asked {
            Asked::Chunk if is_web_page(body) => Err(other_than("the chunk", body)),
            _ => Ok(()),
        };
    }
    let refusal = Refusal {
        asked,
        status: head.status,
        reason: "",
        message: body,
        retry_after: head
            .retry_after
            .map(|seconds| Duration::from_secs(seconds.into())),
    };
    Err(refusal.sort())
}
