//! Looks at what a client sends in a session, and how it goes. Knows nothing of what the frames are for.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::Pbs;
use super::tally::{SessionEnd, Tally};
use crate::server::lock;
use crate::server::wire::Stream;

/// How many streams a client may reset before one is answered again.
const MAX_RESETS: u64 = 100;

/// A stream under observation. When whoever uses it drops it, it goes on to the one who waits for it.
pub(crate) struct Watched {
    stream: Option<Stream>,
    /// What was read before the session began.
    start: Bytes,
    frames: Frames,
    watch: Arc<Watch>,
    pbs: Arc<Pbs>,
    back: Option<oneshot::Sender<Watched>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    has_goaway: AtomicBool,
    resets: AtomicU64,
    /// Whether writing failed: then reading may find a plain end where there was a reset.
    is_broken: AtomicBool,
    end: std::sync::Mutex<Option<SessionEnd>>,
}

impl Watch {
    /// Whether too many streams were reset.
    pub(crate) fn has_storm(&self) -> bool {
        self.resets.load(Ordering::Relaxed) >= MAX_RESETS
    }

    /// A stream was answered.
    pub(crate) fn calm(&self) {
        self.resets.store(0, Ordering::Relaxed);
    }

    /// Notes how reading ended.
    fn note(&self, result: &io::Result<()>) {
        let end = match result {
            Ok(()) if self.has_goaway.load(Ordering::Relaxed) => SessionEnd::Clean,
            Ok(()) => SessionEnd::CloseNotify,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => SessionEnd::Fin,
            Err(_) => SessionEnd::Reset,
        };
        lock(&self.end).get_or_insert(end);
    }

    pub(crate) fn end(&self) -> Option<SessionEnd> {
        match *lock(&self.end) {
            None | Some(SessionEnd::Fin) if self.is_broken.load(Ordering::Relaxed) => {
                Some(SessionEnd::Reset)
            }
            end => end,
        }
    }
}

impl Watched {
    pub(crate) fn new(
        pbs: Arc<Pbs>,
        stream: Stream,
        start: Bytes,
    ) -> (Watched, Arc<Watch>, oneshot::Receiver<Watched>) {
        let (back, comes_back) = oneshot::channel();
        let watch = Arc::new(Watch::default());
        let watched = Watched {
            stream: Some(stream),
            start,
            frames: Frames::default(),
            watch: Arc::clone(&watch),
            pbs,
            back: Some(back),
        };
        (watched, watch, comes_back)
    }

    /// The stream, for good.
    pub(crate) fn into_stream(mut self) -> Option<Stream> {
        self.stream.take()
    }

    fn see(&mut self, bytes: &[u8]) {
        let (watch, tally) = (&self.watch, &self.pbs.tally);
        self.frames.read(bytes, |kind, flags| match kind {
            RST_STREAM => {
                Tally::add(&tally.rst_streams, 1);
                Tally::add(&watch.resets, 1);
            }
            PING if flags & ACK == 0 => Tally::add(&tally.pings, 1),
            GOAWAY => watch.has_goaway.store(true, Ordering::Relaxed),
            _ => {}
        });
    }

    fn note_write<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = result {
            self.watch.is_broken.store(true, Ordering::Relaxed);
        }
        result
    }

    fn stream(&mut self) -> Pin<&mut Stream> {
        Pin::new(self.stream.as_mut().expect("it is there until the drop"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(back) = self.back.take() else { return };
        let watched = Watched {
            stream: self.stream.take(),
            start: mem::take(&mut self.start),
            frames: mem::take(&mut self.frames),
            watch: Arc::clone(&self.watch),
            pbs: Arc::clone(&self.pbs),
            back: None,
        };
        // If no one waits, the connection just ends.
        drop(back.send(watched));
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if !self.start.is_empty() {
            let len = self.start.len().min(buf.remaining());
            buf.put_slice(&self.start[..len]);
            self.start.advance(len);
        } else {
            let result = ready!(self.stream().poll_read(cx, buf));
            if result.is_err() || buf.filled().len() == before {
                self.watch.note(&result);
                return Poll::Ready(result);
            }
        }
        self.see(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write(cx, buf);
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write_vectored(cx, bufs);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.stream().poll_flush(cx);
        self.note_write(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

pub(crate) const PREFACE: usize = 24;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// Finds the frames in a stream that comes in pieces.
#[derive(Debug, Default)]
struct Frames {
    seen_preface: usize,
    header: Vec<u8>,
    payload_left: usize,
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(u8, u8)) {
        let preface = bytes.len().min(PREFACE - self.seen_preface);
        self.seen_preface += preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            let skipped = bytes.len().min(self.payload_left);
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let wanted = bytes.len().min(9 - self.header.len());
            self.header.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if let [a, b, c, kind, flags, ..] = self.header[..]
                && self.header.len() == 9
            {
                self.payload_left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.header.clear();
                found(kind, flags);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw;

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let mut stream = vec![b' '; PREFACE];
        stream.extend(raw::settings(&[(4, 1 << 20)]));
        stream.extend(raw::data(1, &[7; 100], true));
        stream.extend(raw::ping(false));
        stream.extend(raw::goaway(0, 0));
        for len in 1..stream.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in stream.chunks(len) {
                frames.read(piece, |kind, _| found.push(kind));
            }
            assert_eq!(found, [4, 0, 6, 7], "in pieces of {len}");
        }
    }
}
