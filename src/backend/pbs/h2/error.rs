//! What can go wrong in HTTP/2, and for whom: the connection, one stream, or a request that was never sent.

use std::error::Error;
use std::fmt;

/// An error code as it is on the wire (RFC 9113, section 7). Any number may come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) u32);

impl ErrorCode {
    pub(crate) const NO_ERROR: ErrorCode = ErrorCode(0x0);
    pub(crate) const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
    pub(crate) const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(0x3);
    pub(crate) const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
    pub(crate) const REFUSED_STREAM: ErrorCode = ErrorCode(0x7);
    pub(crate) const COMPRESSION_ERROR: ErrorCode = ErrorCode(0x9);
    pub(crate) const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            other => return write!(f, "error code {other:#x}"),
        })
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The connection is of no more use: the server broke a rule that all streams depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionError {
    /// What came first was no SETTINGS frame.
    NotHttp2,
    /// A rule was broken; the code is what the server is told.
    Violation(ErrorCode, &'static str),
}

impl ConnectionError {
    pub(super) fn protocol(what: &'static str) -> ConnectionError {
        ConnectionError::Violation(ErrorCode::PROTOCOL_ERROR, what)
    }

    pub(super) fn flow(what: &'static str) -> ConnectionError {
        ConnectionError::Violation(ErrorCode::FLOW_CONTROL_ERROR, what)
    }

    pub(super) fn size(what: &'static str) -> ConnectionError {
        ConnectionError::Violation(ErrorCode::FRAME_SIZE_ERROR, what)
    }

    pub(super) fn compression(what: &'static str) -> ConnectionError {
        ConnectionError::Violation(ErrorCode::COMPRESSION_ERROR, what)
    }

    pub(super) fn excess(what: &'static str) -> ConnectionError {
        ConnectionError::Violation(ErrorCode::ENHANCE_YOUR_CALM, what)
    }

    /// What a GOAWAY tells the server.
    pub(super) fn code(self) -> ErrorCode {
        match self {
            ConnectionError::NotHttp2 => ErrorCode::PROTOCOL_ERROR,
            ConnectionError::Violation(code, _) => code,
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::NotHttp2 => f.write_str("what the server speaks is not HTTP/2"),
            ConnectionError::Violation(code, what) => write!(f, "broken HTTP/2: {what} ({code})"),
        }
    }
}

impl Error for ConnectionError {}

/// A request will not be answered, or was answered wrongly. Other streams go on unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// The server went away before it looked at the request, or refused the stream: nothing of it was done.
    Refused,
    /// The server reset the stream.
    Reset(ErrorCode),
    /// The answer is longer than the request's limit, in bytes.
    TooLong(usize),
    /// The answer is not as long as its content-length says.
    ContentLength {
        /// What the header says.
        stated: u64,
        /// How many bytes there were when that was found wrong.
        received: u64,
    },
    /// The answer's header or its order of frames is against the rules.
    Malformed(&'static str),
    /// The connection broke.
    Connection(ConnectionError),
    /// The connection was lost or closed before the answer was whole.
    Lost,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Refused => f.write_str("the server refused the request unseen"),
            StreamError::Reset(code) => write!(f, "the server reset the stream ({code})"),
            StreamError::TooLong(limit) => write!(f, "the answer has more than {limit} bytes"),
            StreamError::ContentLength { stated, received } => write!(
                f,
                "the answer should have {stated} bytes and has {}{received}",
                if received > stated { "at least " } else { "" }
            ),
            StreamError::Malformed(what) => write!(f, "the answer is malformed: {what}"),
            StreamError::Connection(_) => f.write_str("the connection broke"),
            StreamError::Lost => f.write_str("the connection ended before the answer was whole"),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StreamError::Connection(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// As many requests are open as the server allows: once one is done there is room.
    Full,
    /// The connection takes no more requests: it is going away, is broken, or has used up its stream ids.
    Closed,
    /// The path is longer than a server need accept.
    TooLong,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unsent::Full => "the server allows no more requests at once",
            Unsent::Closed => "the connection takes no more requests",
            Unsent::TooLong => "the path of the request is too long",
        })
    }
}

impl Error for Unsent {}
