//! A client that sends what a test tells it to.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::served::Served;

pub(crate) const EXPORT_NAME: u32 = 1;
pub(crate) const ABORT: u32 = 2;
pub(crate) const LIST: u32 = 3;
pub(crate) const STARTTLS: u32 = 5;
pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const SET_META_CONTEXT: u32 = 10;

pub(crate) const ACK: u32 = 1;
pub(crate) const ERR_UNSUP: u32 = (1 << 31) + 1;
pub(crate) const ERR_TLS_REQD: u32 = (1 << 31) + 5;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISC: u16 = 2;
pub(crate) const TRIM: u16 = 4;
pub(crate) const CACHE: u16 = 5;
pub(crate) const WRITE_ZEROES: u16 = 6;
pub(crate) const BLOCK_STATUS: u16 = 7;

pub(crate) const DF: u16 = 4;
pub(crate) const REQ_ONE: u16 = 8;

pub(crate) const EPERM: u32 = 1;
pub(crate) const EIO: u32 = 5;
pub(crate) const EINVAL: u32 = 22;
pub(crate) const EOVERFLOW: u32 = 75;
pub(crate) const ESHUTDOWN: u32 = 108;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_MAGIC: u32 = 0x6744_6698;
const STRUCTURED_MAGIC: u32 = 0x668e_33ef;

/// A connection over any stream.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    is_structured: bool,
}

/// One message of the server.
#[derive(Debug)]
pub(crate) enum Message {
    Simple { error: u32, cookie: u64 },
    Chunk(Chunk),
}

#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) is_last: bool,
    pub(crate) kind: u16,
    pub(crate) cookie: u64,
    pub(crate) payload: Vec<u8>,
}

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: u32,
    pub(crate) message: String,
    pub(crate) offset: Option<u64>,
}

impl Client<UnixStream> {
    /// Connects, and sends the client's flags.
    pub(crate) fn connect(served: &Served) -> Client<UnixStream> {
        let stream = UnixStream::connect(served.path()).unwrap();
        Client::greet(stream)
    }

    /// Chooses an export, and takes simple replies.
    pub(crate) fn simple(served: &Served) -> Client<UnixStream> {
        let mut client = Client::connect(served);
        client.go("");
        client
    }

    /// Chooses an export with structured replies and `base:allocation`.
    pub(crate) fn structured(served: &Served) -> Client<UnixStream> {
        let mut client = Client::connect(served);
        client.negotiate_structured("");
        client.go("");
        client
    }

    /// Whether the server has closed the connection without a word.
    pub(crate) fn is_at_end(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn greet(mut stream: S) -> Client<S> {
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
        stream.write_all(&3_u32.to_be_bytes()).unwrap();
        Client::over(stream)
    }

    /// A client in the midst of a handshake.
    pub(crate) fn over(stream: S) -> Client<S> {
        Client {
            stream,
            is_structured: false,
        }
    }

    pub(crate) fn send_option(&mut self, option: u32, data: &[u8]) {
        let len = u32::try_from(data.len()).unwrap();
        let header = [b"IHAVEOPT", &option.to_be_bytes()[..], &len.to_be_bytes()];
        let bytes = [&header.concat(), data].concat();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Reads a reply to an option: its type and data.
    pub(crate) fn option_reply(&mut self) -> (u32, Vec<u8>) {
        assert_eq!(self.u64(), 0x0003_e889_0455_65a9);
        self.u32();
        let kind = self.u32();
        let len = self.u32() as usize;
        (kind, self.bytes(len))
    }

    /// Sends an option, and gives the type of the last reply.
    pub(crate) fn option(&mut self, option: u32, data: &[u8]) -> u32 {
        self.send_option(option, data);
        loop {
            let (kind, _) = self.option_reply();
            if kind == ACK || kind >> 31 == 1 {
                return kind;
            }
        }
    }

    pub(crate) fn negotiate_structured(&mut self, export: &str) {
        assert_eq!(self.option(STRUCTURED_REPLY, b""), ACK);
        self.is_structured = true;
        let mut data = string(export);
        data.extend(1_u32.to_be_bytes());
        data.extend(string("base:allocation"));
        assert_eq!(self.option(SET_META_CONTEXT, &data), ACK);
    }

    pub(crate) fn go(&mut self, export: &str) {
        let data = [&string(export)[..], b"\0\x01\0\x03"].concat();
        assert_eq!(self.option(GO, &data), ACK);
    }

    pub(crate) fn request(&mut self, command: u16, flags: u16, cookie: u64, at: u64, len: u32) {
        let bytes = request(command, flags, cookie, at, len);
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn message(&mut self) -> Message {
        match self.u32() {
            SIMPLE_MAGIC => {
                let error = self.u32();
                let cookie = self.u64();
                Message::Simple { error, cookie }
            }
            STRUCTURED_MAGIC => {
                let flags = self.u16();
                let kind = self.u16();
                let cookie = self.u64();
                let len = self.u32() as usize;
                Message::Chunk(Chunk {
                    is_last: flags & 1 == 1,
                    kind,
                    cookie,
                    payload: self.bytes(len),
                })
            }
            magic => panic!("{magic:#x}"),
        }
    }

    pub(crate) fn chunk(&mut self) -> Chunk {
        match self.message() {
            Message::Chunk(chunk) => chunk,
            message @ Message::Simple { .. } => panic!("{message:?}"),
        }
    }

    /// Reads a range, in whichever way was agreed on.
    pub(crate) fn read(&mut self, at: u64, len: u32) -> Result<Vec<u8>, Failure> {
        self.request(READ, 0, 7, at, len);
        self.reply_to_read(at, len)
    }

    /// The reply to the only read that is outstanding.
    pub(crate) fn reply_to_read(&mut self, at: u64, len: u32) -> Result<Vec<u8>, Failure> {
        if !self.is_structured {
            self.simple_reply()?;
            return Ok(self.bytes(len as usize));
        }
        let mut data = vec![0xff; len as usize];
        loop {
            let chunk = self.chunk();
            apply(&chunk, at, &mut data)?;
            if chunk.is_last {
                return Ok(data);
            }
        }
    }

    /// The outcome of a command without data.
    pub(crate) fn outcome(&mut self) -> Result<(), Failure> {
        if !self.is_structured {
            return self.simple_reply();
        }
        let chunk = self.chunk();
        assert!(chunk.is_last);
        apply(&chunk, 0, &mut [])
    }

    /// Asks for extents: their lengths and whether they are zeros.
    pub(crate) fn status(
        &mut self,
        flags: u16,
        at: u64,
        len: u32,
    ) -> Result<Vec<(u32, bool)>, Failure> {
        self.request(BLOCK_STATUS, flags, 7, at, len);
        let chunk = self.chunk();
        assert!(chunk.is_last);
        if chunk.kind >> 15 == 1 {
            return Err(failure(&chunk));
        }
        assert_eq!((chunk.kind, &chunk.payload[..4]), (5, &b"\0\0\0\x01"[..]));
        let extents = chunk.payload[4..].chunks_exact(8).map(|extent| {
            let number = |at: usize| u32::from_be_bytes(extent[at..at + 4].try_into().unwrap());
            assert!([0, 3].contains(&number(4)));
            (number(0), number(4) == 3)
        });
        Ok(extents.collect())
    }

    fn simple_reply(&mut self) -> Result<(), Failure> {
        match self.message() {
            Message::Simple { error: 0, .. } => Ok(()),
            Message::Simple { error, .. } => Err(Failure {
                error,
                message: String::new(),
                offset: None,
            }),
            message @ Message::Chunk(_) => panic!("{message:?}"),
        }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes(8).try_into().unwrap())
    }
}

pub(crate) fn request(command: u16, flags: u16, cookie: u64, at: u64, len: u32) -> Vec<u8> {
    [
        &REQUEST_MAGIC.to_be_bytes()[..],
        &flags.to_be_bytes(),
        &command.to_be_bytes(),
        &cookie.to_be_bytes(),
        &at.to_be_bytes(),
        &len.to_be_bytes(),
    ]
    .concat()
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [&len.to_be_bytes(), text.as_bytes()].concat()
}

/// Puts what a chunk brings into the data of a read that began at `at`.
pub(crate) fn apply(chunk: &Chunk, at: u64, data: &mut [u8]) -> Result<(), Failure> {
    let payload = &chunk.payload;
    let place = || (u64::from_be_bytes(payload[..8].try_into().unwrap()) - at) as usize;
    match chunk.kind {
        0 => assert!(chunk.is_last && payload.is_empty()),
        1 => data[place()..][..payload.len() - 8].copy_from_slice(&payload[8..]),
        2 => {
            let len = u32::from_be_bytes(payload[8..].try_into().unwrap());
            data[place()..][..len as usize].fill(0);
        }
        _ => return Err(failure(chunk)),
    }
    Ok(())
}

fn failure(chunk: &Chunk) -> Failure {
    let payload = &chunk.payload;
    let len = usize::from(u16::from_be_bytes(payload[4..6].try_into().unwrap()));
    let rest = &payload[6 + len..];
    Failure {
        error: u32::from_be_bytes(payload[..4].try_into().unwrap()),
        message: String::from_utf8(payload[6..6 + len].to_vec()).unwrap(),
        offset: match chunk.kind {
            0x8002 => Some(u64::from_be_bytes(rest.try_into().unwrap())),
            _ => None,
        },
    }
}
