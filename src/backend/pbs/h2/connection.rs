//! What is known of a connection, and what the client says on it. Knows nothing of how frames come.

use std::collections::VecDeque;

use crate::memory::Buffer;

use super::Event;
use super::error::{ConnectionError, ErrorCode, StreamError, Unsent};
use super::flood::FloodCredit;
use super::frame::{END_HEADERS, END_STREAM, Kind, LEAST_MAX_FRAME, MAX_31, PREFACE};
use super::hpack::{self, Decoder};
use super::output::Output;
use super::receiving::Block;
use super::settings::{Config, INITIAL_WINDOW, MAX_HEADER_LIST, PeerSettings};
use super::stream::{Answer, Stream};
use super::window::{Allowance, Window};

/// More streams than this are of no use, whatever the server allows. They are searched one by one.
const MAX_STREAMS: u32 = 256;

/// What our pings hold. There is at most one at a time.
pub(super) const PING: &[u8; 8] = b"restore?";

/// Both sides of a connection.
pub(super) struct Connection {
    pub(super) streams: Vec<Stream>,
    pub(super) events: VecDeque<Event>,
    pub(super) output: Output,
    pub(super) peer: PeerSettings,
    pub(super) window: Window,
    pub(super) allowance: Allowance,
    pub(super) flood: FloodCredit,
    pub(super) decoder: Decoder,
    /// Of a header block that is not whole.
    pub(super) block: Option<Block>,
    /// What of it has come, and memory for the next one.
    pub(super) fragments: Vec<u8>,
    /// The id of the next request.
    pub(super) next_id: u32,
    pub(super) received: u64,
    pub(super) broken: Option<ConnectionError>,
    /// There will be no more requests, by the will of either side.
    pub(super) is_closing: bool,
    /// Why the server takes no more of them, once it has said so.
    pub(super) goodbye: Option<ErrorCode>,
    pub(super) awaits_pong: bool,
    pub(super) awaits_settings_ack: bool,
    has_said_goodbye: bool,
}

impl Connection {
    pub(super) fn new(config: Config) -> Connection {
        let mut output = Output::new();
        output.raw().extend_from_slice(PREFACE);
        config.write(output.raw());
        output.window_update(0, MAX_31 - INITIAL_WINDOW);
        let peer = PeerSettings::new();
        Connection {
            streams: Vec::new(),
            events: VecDeque::new(),
            output,
            peer,
            window: Window::full(),
            allowance: Allowance::new(INITIAL_WINDOW),
            flood: FloodCredit::new(),
            decoder: Decoder::new(config.header_table as usize, MAX_HEADER_LIST as usize),
            block: None,
            fragments: Vec::new(),
            next_id: 1,
            received: 0,
            broken: None,
            is_closing: false,
            goodbye: None,
            awaits_pong: false,
            awaits_settings_ack: true,
            has_said_goodbye: false,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        if self.is_closing || self.next_id > MAX_31 || self.output.is_full() {
            return 0;
        }
        let most = self.peer.max_streams.min(MAX_STREAMS) as usize;
        most.saturating_sub(self.streams.len())
    }

    pub(super) fn request(
        &mut self,
        path: &str,
        authority: &str,
        mut body: Buffer,
        limit: usize,
    ) -> Result<u32, Unsent> {
        body.clear();
        self.write_request(path, authority)?;
        let id = self.next_id;
        self.next_id += 2;
        self.streams.push(Stream {
            id,
            window: Window::full(),
            allowance: Allowance::new(self.peer.initial_window),
            answer: Some(Answer::new(body, limit)),
        });
        Ok(id)
    }

    fn write_request(&mut self, path: &str, authority: &str) -> Result<(), Unsent> {
        if self.is_closing || self.next_id > MAX_31 {
            return Err(Unsent::Closed);
        }
        if self.capacity() == 0 {
            return Err(Unsent::Full);
        }
        let fixed = ":method".len() + "GET".len() + ":scheme".len() + "https".len();
        let names = ":path".len() + ":authority".len();
        let list = fixed + names + path.len() + authority.len() + 4 * hpack::ENTRY;
        if list > (self.peer.max_header_list.min(LEAST_MAX_FRAME)) as usize {
            return Err(Unsent::TooLong);
        }
        // Counted as a list the headers are longer than encoded, so that they fit into one frame of any server.
        let mut block = Vec::with_capacity(list);
        if self.next_id == 1 {
            block.push(hpack::NO_TABLE);
        }
        block.extend_from_slice(&[hpack::METHOD_GET, hpack::SCHEME_HTTPS]);
        hpack::literal(&mut block, hpack::AUTHORITY, authority);
        hpack::literal(&mut block, hpack::PATH, path);
        let flags = END_HEADERS | END_STREAM;
        self.output
            .frame(Kind::Headers, flags, self.next_id, &block);
        Ok(())
    }

    pub(super) fn ping(&mut self) {
        if !self.awaits_pong && self.broken.is_none() {
            self.awaits_pong = true;
            self.output.frame(Kind::Ping, 0, 0, PING);
        }
    }

    pub(super) fn go_away(&mut self) {
        self.say_goodbye(ErrorCode::NO_ERROR);
    }

    fn say_goodbye(&mut self, code: ErrorCode) {
        self.is_closing = true;
        if !self.has_said_goodbye {
            self.has_said_goodbye = true;
            self.output.go_away(code);
        }
    }

    /// The server broke the rules.
    pub(super) fn break_off(&mut self, error: ConnectionError) {
        self.broken = Some(error);
        // An earlier goodbye was in peace, and the server should know of the quarrel.
        self.has_said_goodbye = false;
        self.say_goodbye(error.code());
        self.fail_all(StreamError::Connection(error));
    }

    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.fail_all(StreamError::Lost);
    }

    fn fail_all(&mut self, error: StreamError) {
        // The one that was waited for longest comes first.
        self.streams.sort_unstable_by_key(|stream| stream.id);
        for mut stream in self.streams.drain(..) {
            fail(&mut self.events, &mut stream, error);
        }
    }

    pub(super) fn stream_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }
}

/// Gives the buffer of a stream's request back, unless that was done before.
pub(super) fn fail(events: &mut VecDeque<Event>, stream: &mut Stream, error: StreamError) {
    if let Some(answer) = stream.answer.take() {
        let mut body = answer.body;
        body.clear();
        events.push_back(Event::Failed {
            stream: stream.id,
            body,
            error,
        });
    }
}
