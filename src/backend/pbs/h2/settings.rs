//! What both sides announce (RFC 9113, section 6.5). Knows nothing of when.

use super::error::ConnectionError;
use super::frame::{self, Kind, LEAST_MAX_FRAME, MAX_31, MOST_MAX_FRAME};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The longest header list that we let a server send, as announced.
pub(super) const MAX_HEADER_LIST: u32 = 64 << 10;

/// The window that both sides have until something else is said.
pub(super) const INITIAL_WINDOW: u32 = 65_535;

/// What may be chosen about a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// The longest frame that the server may send, in bytes: at least 16 KiB, less than 16 MiB.
    pub(crate) max_frame: u32,
    /// How much of past headers is kept for the server to refer to, in bytes.
    pub(crate) header_table: u32,
}

impl Default for Config {
    /// The fewest frames for the chunks of a PBS, and no table, since its headers are few and short.
    fn default() -> Config {
        Config {
            max_frame: 4 << 20,
            header_table: 0,
        }
    }
}

impl Config {
    pub(super) fn clamped(self) -> Config {
        Config {
            max_frame: self.max_frame.clamp(LEAST_MAX_FRAME, MOST_MAX_FRAME),
            ..self
        }
    }

    /// Writes our SETTINGS frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let settings = [
            (HEADER_TABLE_SIZE, self.header_table),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, MAX_31),
            (MAX_FRAME_SIZE, self.max_frame),
            (MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST),
        ];
        let mut payload = Vec::with_capacity(6 * settings.len());
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(out, Kind::Settings, 0, 0, &[&payload]);
    }
}

/// What the server announced, as far as it concerns a client that sends nothing but short requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSettings {
    pub(super) max_streams: u32,
    pub(super) initial_window: u32,
    pub(super) max_header_list: u32,
}

impl PeerSettings {
    /// What holds before the server has said anything. It may allow any number of streams; 100 is the least that the
    /// standard recommends.
    pub(super) fn new() -> PeerSettings {
        PeerSettings {
            max_streams: 100,
            initial_window: INITIAL_WINDOW,
            max_header_list: u32::MAX,
        }
    }

    /// Reads the payload of a SETTINGS frame.
    pub(super) fn update(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(ConnectionError::size("a SETTINGS frame of a wrong length"));
        };
        for &[a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(value);
            match u16::from_be_bytes([a, b]) {
                ENABLE_PUSH if value != 0 => {
                    return Err(ConnectionError::protocol("a server can't allow push"));
                }
                MAX_CONCURRENT_STREAMS => self.max_streams = value,
                INITIAL_WINDOW_SIZE if value > MAX_31 => {
                    return Err(ConnectionError::flow("an initial window that is too wide"));
                }
                INITIAL_WINDOW_SIZE => self.initial_window = value,
                MAX_FRAME_SIZE if !(LEAST_MAX_FRAME..=MOST_MAX_FRAME).contains(&value) => {
                    return Err(ConnectionError::protocol("a maximal frame that can't be"));
                }
                MAX_HEADER_LIST_SIZE => self.max_header_list = value,
                _ => {}
            }
        }
        Ok(())
    }
}
