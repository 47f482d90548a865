//! What the server says, and what follows from it. Knows nothing of how its bytes were cut.

use super::Event;
use super::assembler::Piece;
use super::connection::{Connection, PING, fail};
use super::error::{ConnectionError, ErrorCode, StreamError};
use super::frame::{self, ACK, END_HEADERS, END_STREAM, Frame, Kind, MAX_31};
use super::head::HeadBuilder;
use super::settings::MAX_HEADER_LIST;
use super::stream::{Answer, Headers, Stream};

/// In how many frames a header block may come.
const MAX_FRAGMENTS: u32 = 128;

/// A header block that is not whole.
pub(super) struct Block {
    stream: u32,
    ends_stream: bool,
    fragments: u32,
}

impl Connection {
    /// Takes the next piece of what the server says.
    pub(super) fn take(&mut self, piece: Piece<'_>) -> Result<(), ConnectionError> {
        match piece {
            Piece::Data(frame, bytes) => self.data(frame.stream, bytes),
            Piece::DataBegins(frame) => self.data_begins(&frame),
            Piece::DataEnds(frame, _) if frame.has(END_STREAM) => {
                self.end(frame.stream);
                Ok(())
            }
            Piece::DataEnds(frame, 0) => self.flood.frame(frame.len),
            Piece::DataEnds(..) => Ok(()),
            Piece::Ignored(frame) => self.ignored(&frame),
            Piece::Whole(frame, payload) => self.whole(&frame, payload),
        }
    }

    fn data_begins(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        self.check_order()?;
        self.check_stream(frame)?;
        self.window.take(frame.len)?;
        if let Some(by) = self.window.top_up() {
            self.output.window_update(0, by);
        }
        let Some(stream) = find(&mut self.streams, frame.stream) else {
            return self.flood.frame(frame.len);
        };
        stream.window.take(frame.len)?;
        // Nobody waits for more of an answer that has failed.
        if stream.answer.is_some()
            && !frame.has(END_STREAM)
            && let Some(by) = stream.window.top_up()
        {
            self.output.window_update(frame.stream, by);
        }
        Ok(())
    }

    fn data(&mut self, stream: u32, bytes: &[u8]) -> Result<(), ConnectionError> {
        let kept = self
            .answer(stream, |answer| answer.data(bytes))
            .unwrap_or(0);
        self.received += kept as u64;
        self.flood.bytes(kept);
        if kept < bytes.len() {
            self.flood.waste(bytes.len() - kept)?;
        }
        Ok(())
    }

    fn ignored(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        self.check_order()?;
        if frame.kind == Kind::Priority && frame.stream == 0 {
            return Err(ConnectionError::protocol("a PRIORITY frame on no stream"));
        }
        self.flood.frame(frame.len)
    }

    fn whole(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        if frame.kind == Kind::Continuation {
            return self.continuation(frame, payload);
        }
        self.check_order()?;
        match frame.kind {
            Kind::Headers => self.headers(frame, payload),
            Kind::ResetStream => self.reset(frame, payload),
            Kind::WindowUpdate => self.window_update(frame, payload),
            Kind::PushPromise => Err(ConnectionError::protocol("a push, which is not enabled")),
            _ if frame.stream != 0 => Err(ConnectionError::protocol(
                "a frame of the connection on a stream",
            )),
            Kind::Settings => self.settings(frame, payload),
            Kind::Ping => self.pinged(frame, payload),
            Kind::GoAway => self.gone_away(payload),
            // The assembler makes nothing else whole.
            Kind::Data | Kind::Priority | Kind::Continuation | Kind::Unknown => Ok(()),
        }
    }

    fn headers(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        self.check_stream(frame)?;
        let fragment = frame::fragment(frame, payload)?;
        let block = Block {
            stream: frame.stream,
            ends_stream: frame.has(END_STREAM),
            fragments: 1,
        };
        if frame.has(END_HEADERS) {
            return self.block(&block, fragment);
        }
        self.fragments.clear();
        self.fragments.extend_from_slice(fragment);
        self.block = Some(block);
        Ok(())
    }

    fn continuation(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        let Some(mut block) = self.block.take() else {
            return Err(ConnectionError::protocol("a CONTINUATION of nothing"));
        };
        if block.stream != frame.stream {
            return Err(ConnectionError::protocol(
                "a CONTINUATION of something else",
            ));
        }
        self.flood.frame(payload.len())?;
        block.fragments += 1;
        let len = self.fragments.len() + payload.len();
        if block.fragments > MAX_FRAGMENTS || len > MAX_HEADER_LIST as usize {
            return Err(ConnectionError::excess("a header block that does not end"));
        }
        self.fragments.extend_from_slice(payload);
        if !frame.has(END_HEADERS) {
            self.block = Some(block);
            return Ok(());
        }
        let fragments = std::mem::take(&mut self.fragments);
        let result = self.block(&block, &fragments);
        self.fragments = fragments;
        result
    }

    /// A header block is whole. It must be decoded even where nobody waits for it, as later ones may refer to it.
    fn block(&mut self, block: &Block, bytes: &[u8]) -> Result<(), ConnectionError> {
        let mut fields = HeadBuilder::default();
        self.decoder
            .decode(bytes, |name, value| fields.field(name, value))?;
        let stream = block.stream;
        match self.answer(stream, |answer| answer.headers(fields, block.ends_stream)) {
            Some(Headers::Head | Headers::Trailers) => {}
            Some(Headers::Interim) | None => self.flood.frame(bytes.len())?,
        }
        if block.ends_stream {
            self.end(stream);
        }
        Ok(())
    }

    fn reset(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        let error = match ErrorCode(frame::number(payload)?) {
            ErrorCode::REFUSED_STREAM => StreamError::Refused,
            code => StreamError::Reset(code),
        };
        self.check_stream(frame)?;
        if let Some(stream) = find(&mut self.streams, frame.stream) {
            fail(&mut self.events, stream, error);
            self.streams.retain(|stream| stream.id != frame.stream);
        }
        self.flood.frame(frame.len)
    }

    fn settings(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        if frame.has(ACK) {
            if !payload.is_empty() {
                return Err(ConnectionError::size(
                    "a SETTINGS answer that says something",
                ));
            }
            if std::mem::take(&mut self.awaits_settings_ack) {
                return Ok(());
            }
            return self.flood.frame(0);
        }
        self.flood.frame(payload.len())?;
        let before = self.peer.initial_window;
        self.peer.update(payload)?;
        let change = i64::from(self.peer.initial_window) - i64::from(before);
        for stream in &mut self.streams {
            stream.allowance.shift(change)?;
        }
        self.reply(Kind::Settings, &[])
    }

    fn pinged(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        if payload.len() != 8 {
            return Err(ConnectionError::size("a PING frame of a wrong length"));
        }
        if !frame.has(ACK) {
            self.flood.frame(0)?;
            return self.reply(Kind::Ping, payload);
        }
        if self.awaits_pong && payload == PING {
            self.awaits_pong = false;
            self.events.push_back(Event::Pong);
            return Ok(());
        }
        self.flood.frame(0)
    }

    /// Acknowledges a frame.
    fn reply(&mut self, kind: Kind, payload: &[u8]) -> Result<(), ConnectionError> {
        if self.output.is_full() {
            return Err(ConnectionError::excess(
                "a server that asks and does not read",
            ));
        }
        self.output.frame(kind, ACK, 0, payload);
        Ok(())
    }

    fn gone_away(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let (last, code) = frame::going_away(payload)?;
        self.flood.frame(payload.len())?;
        let events = &mut self.events;
        self.streams.retain_mut(|stream| {
            let is_seen = stream.id <= last;
            if !is_seen {
                fail(events, stream, StreamError::Refused);
            }
            is_seen
        });
        self.is_closing = true;
        self.goodbye.get_or_insert(code);
        Ok(())
    }

    fn window_update(&mut self, frame: &Frame, payload: &[u8]) -> Result<(), ConnectionError> {
        let by = frame::number(payload)? & MAX_31;
        self.flood.frame(0)?;
        if frame.stream == 0 {
            return self.allowance.widen(by);
        }
        self.check_stream(frame)?;
        match find(&mut self.streams, frame.stream) {
            Some(stream) => stream.allowance.widen(by),
            None => Ok(()),
        }
    }

    /// The server has ended a stream.
    fn end(&mut self, id: u32) {
        let Some(place) = self.streams.iter().position(|stream| stream.id == id) else {
            return;
        };
        let mut stream = self.streams.swap_remove(place);
        let Some(answer) = &stream.answer else {
            return;
        };
        match answer.whole() {
            Err(error) => fail(&mut self.events, &mut stream, error),
            Ok(head) => {
                self.flood.answer();
                let body = stream.answer.take().map(|answer| answer.body);
                self.events.push_back(Event::Finished {
                    stream: id,
                    head,
                    body: body.unwrap_or_default(),
                });
            }
        }
    }

    /// Does something with an answer that is waited for. Where that is an error, the answer has failed.
    fn answer<T>(
        &mut self,
        id: u32,
        with: impl FnOnce(&mut Answer) -> Result<T, StreamError>,
    ) -> Option<T> {
        let stream = find(&mut self.streams, id)?;
        match with(stream.answer.as_mut()?) {
            Ok(value) => Some(value),
            Err(error) => {
                fail(&mut self.events, stream, error);
                None
            }
        }
    }

    /// Nothing may come between the frames of a header block.
    fn check_order(&self) -> Result<(), ConnectionError> {
        match self.block {
            None => Ok(()),
            Some(_) => Err(ConnectionError::protocol("a header block is interrupted")),
        }
    }

    /// There must have been a request on the stream. It may be over: a server can't know at once.
    fn check_stream(&self, frame: &Frame) -> Result<(), ConnectionError> {
        let is_ours = !frame.stream.is_multiple_of(2);
        if !is_ours || frame.stream >= self.next_id {
            return Err(ConnectionError::protocol(
                "a frame on a stream that is not open",
            ));
        }
        Ok(())
    }
}

fn find(streams: &mut [Stream], id: u32) -> Option<&mut Stream> {
    streams.iter_mut().find(|stream| stream.id == id)
}
