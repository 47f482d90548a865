//! A TCP connection that can be paced, cut and reset. Knows nothing of what goes over it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

/// What can be done to a connection from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Control {
    resets: AtomicBool,
}

impl Control {
    /// The connection ends with a reset instead of a FIN.
    pub(crate) fn reset(&self) {
        self.resets.store(true, Ordering::Release);
    }
}

/// What becomes of a connection that has sent what it may.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Cut,
    Reset,
    Stall,
    Trickle,
}

/// Bytes a second of a trickle.
const TRICKLE: u64 = 1 << 10;

/// The connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    control: Arc<Control>,
    pace: Option<Pace>,
    limit: Option<(u64, Limit)>,
}

#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    next: Pin<Box<Sleep>>,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Pace {
        Pace {
            bytes_per_second: bytes_per_second.max(1),
            next: Box::pin(sleep_until(Instant::now())),
        }
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, rate: Option<u64>, limit: Option<(u64, Limit)>) -> Wire {
        let pace = rate.map(Pace::new);
        Wire {
            stream,
            control: Arc::default(),
            pace,
            limit,
        }
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// How many bytes may be sent now, if that is limited.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some((0, Limit::Trickle)) = self.limit {
            (self.pace, self.limit) = (Some(Pace::new(TRICKLE)), None);
        }
        if let Some(pace) = &mut self.pace {
            ready!(pace.next.as_mut().poll(cx));
        }
        let mut allowance = usize::MAX;
        if let Some(pace) = &self.pace {
            // Bursts of 10 ms, so that a slow connection is slow in small steps.
            allowance = (pace.bytes_per_second / 100).max(256) as usize;
        }
        match self.limit {
            Some((0, Limit::Stall)) => return Poll::Pending,
            Some((0, limit)) => {
                if matches!(limit, Limit::Reset) {
                    self.control.reset();
                }
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some((left, _)) => allowance = allowance.min(left as usize),
            None => {}
        }
        Poll::Ready(Ok(allowance))
    }

    fn sent(&mut self, len: usize) {
        if let Some(pace) = &mut self.pace {
            let time = Duration::from_secs_f64(len as f64 / pace.bytes_per_second as f64);
            let start = pace
                .next
                .deadline()
                .max(Instant::now() - Duration::from_millis(50));
            pace.next.as_mut().reset(start + time);
        }
        if let Some((left, _)) = &mut self.limit {
            *left -= len as u64;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.control.resets.load(Ordering::Acquire) {
            // Where that fails the connection is gone already.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pace.is_none() && self.limit.is_none() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        }
        let allowance = ready!(self.poll_allowance(cx))?;
        let Some(buf) = bufs.iter().find(|buf| !buf.is_empty()) else {
            return Poll::Ready(Ok(0));
        };
        let buf = &buf[..buf.len().min(allowance)];
        let len = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.sent(len);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection with TLS or without.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Stream {
    pub(crate) fn wire(&mut self) -> &mut Wire {
        match self {
            Stream::Plain(wire) => wire,
            Stream::Tls(tls) => tls.get_mut().0,
        }
    }

    /// Ends the connection by a FIN alone, without a word of TLS.
    pub(crate) async fn cut(mut self) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = &mut self.wire().stream;
        if stream.shutdown().await.is_err() {
            return;
        }
        // Closing with something unread would be a reset; so it is read, while the client notices.
        let mut rest = [0; 4096];
        let read_rest = async { while let Ok(1..) = stream.read(&mut rest).await {} };
        drop(tokio::time::timeout(Duration::from_secs(2), read_rest).await);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
