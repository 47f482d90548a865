//! Sessions that are played byte by byte, for what no HTTP/2 library would send. Knows nothing of what is right.
//!
//! The frames are those of RFC 9113, the header blocks those of RFC 7541; wrong ones are made from right ones.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::watched::PREFACE;
use crate::server::gate::Gate;
use crate::server::wire::Stream;

/// A step of such a session. After the last one the server only reads, until the client goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Raw {
    /// Sends bytes. Nothing is sent that no step sends: most scripts begin with [`settings`].
    Send(Vec<u8>),
    /// Sends the same bytes so many times.
    Repeat(usize, Vec<u8>),
    /// Reads frames until one with headers has come.
    ReadUntilRequest,
    /// Reads frames until one of this type has come.
    ReadUntil(u8),
    /// Reads so many frames.
    ReadFrames(usize),
    /// Does nothing for this time.
    Wait(Duration),
    /// Does nothing until a gate is opened.
    Await(Gate),
    /// Opens a gate.
    Open(Gate),
    /// Ends the connection by close_notify and FIN.
    Close,
    /// Ends the connection by FIN alone.
    Cut,
    /// Resets the connection.
    Reset,
}

/// The type of a frame.
#[allow(missing_docs, reason = "they are called as in the RFC")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flag that ends a stream.
pub const END_STREAM: u8 = 1;
/// The flag that ends a block of headers.
pub const END_HEADERS: u8 = 4;
/// The flag of padding.
pub const PADDED: u8 = 8;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a frame is short");
    let mut frame = len.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// SETTINGS with these identifiers and values.
pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// The acknowledgement of SETTINGS.
pub fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, 1, 0, &[])
}

/// HEADERS with these fields, in one frame.
pub fn headers(stream: u32, fields: &[(&str, &str)], ends_stream: bool) -> Vec<u8> {
    let end = if ends_stream { END_STREAM } else { 0 };
    let block = header_block(fields);
    frame(kind::HEADERS, END_HEADERS | end, stream, &block)
}

/// A block of headers: literals that are neither indexed nor compressed.
pub fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            put_len(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits.
fn put_len(block: &mut Vec<u8>, len: usize) {
    if len < 127 {
        return block.push(len as u8);
    }
    block.push(127);
    let mut rest = len - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// DATA, in one frame.
pub fn data(stream: u32, bytes: &[u8], ends_stream: bool) -> Vec<u8> {
    let flags = if ends_stream { END_STREAM } else { 0 };
    frame(kind::DATA, flags, stream, bytes)
}

/// A whole answer: status 200, content-length, and DATA in frames of 16 KiB.
pub fn answer(stream: u32, body: &[u8]) -> Vec<u8> {
    let len = body.len().to_string();
    let mut answer = headers(
        stream,
        &[(":status", "200"), ("content-length", &len)],
        false,
    );
    for piece in body.chunks(16_384) {
        answer.extend(data(stream, piece, false));
    }
    answer.extend(data(stream, &[], true));
    answer
}

/// GOAWAY: the last stream that was looked at, and why.
pub fn goaway(last_stream: u32, code: u32) -> Vec<u8> {
    let payload = [last_stream.to_be_bytes(), code.to_be_bytes()].concat();
    frame(kind::GOAWAY, 0, 0, &payload)
}

/// RST_STREAM.
pub fn rst(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// PING, or its acknowledgement.
pub fn ping(is_ack: bool) -> Vec<u8> {
    frame(kind::PING, u8::from(is_ack), 0, b"testping")
}

/// WINDOW_UPDATE.
pub fn window_update(stream: u32, len: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &len.to_be_bytes())
}

/// Plays a session.
pub(crate) async fn run(steps: &[Raw], stream: Stream, start: Bytes) {
    let mut reader = Reader {
        stream,
        unread: start.to_vec(),
        has_preface: false,
    };
    for step in steps {
        let is_done = match step {
            Raw::Send(bytes) => reader.send(bytes).await,
            Raw::Repeat(count, bytes) => reader.repeat(*count, bytes).await,
            Raw::ReadUntilRequest => reader.read_until(kind::HEADERS).await,
            Raw::ReadUntil(kind) => reader.read_until(*kind).await,
            Raw::ReadFrames(count) => reader.read(*count).await,
            Raw::Wait(time) => {
                sleep(*time).await;
                Some(())
            }
            Raw::Await(gate) => {
                let gate = gate.clone();
                spawn_blocking(move || gate.wait()).await.ok()
            }
            Raw::Open(gate) => {
                gate.open();
                Some(())
            }
            Raw::Close => {
                drop(reader.stream.shutdown().await);
                break;
            }
            Raw::Cut => return reader.stream.cut().await,
            Raw::Reset => return reader.stream.wire().control().reset(),
        };
        if is_done.is_none() {
            // The client has gone.
            return;
        }
    }
    let mut rest = [0; 4096];
    while let Ok(1..) = reader.stream.read(&mut rest).await {}
}

struct Reader {
    stream: Stream,
    unread: Vec<u8>,
    has_preface: bool,
}

impl Reader {
    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn repeat(&mut self, count: usize, bytes: &[u8]) -> Option<()> {
        // Several at once: a flood in single records would be a slow one.
        let at_once = (16_384 / bytes.len().max(1)).clamp(1, count.max(1));
        let many = bytes.repeat(at_once);
        for _ in 0..count / at_once {
            self.stream.write_all(&many).await.ok()?;
        }
        self.send(&bytes.repeat(count % at_once)).await
    }

    async fn read_until(&mut self, wanted: u8) -> Option<()> {
        while self.frame().await? != wanted {}
        Some(())
    }

    async fn read(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.frame().await?;
        }
        Some(())
    }

    /// Reads a frame; gives its type, or none when the client has gone.
    async fn frame(&mut self) -> Option<u8> {
        if !self.has_preface {
            self.fill(PREFACE).await?;
            self.unread.drain(..PREFACE);
            self.has_preface = true;
        }
        self.fill(9).await?;
        let [a, b, c, kind, ..] = self.unread[..] else {
            return None;
        };
        let len = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        self.fill(len).await?;
        self.unread.drain(..len);
        Some(kind)
    }

    async fn fill(&mut self, len: usize) -> Option<()> {
        while self.unread.len() < len {
            let read = self.stream.read_buf(&mut self.unread).await.ok()?;
            (read > 0).then_some(())?;
        }
        Some(())
    }
}
