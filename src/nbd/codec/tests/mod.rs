//! Tests of the handshake, byte by byte.

mod handshake;
mod random;
mod tls;

use super::{Agreement, ExportInfo, Negotiation, Offer, Step};

/// IHAVEOPT
const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const FIXED: u32 = 1;
const FIXED_WITHOUT_ZEROES: u32 = 3;

const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const LIST: u32 = 3;
const STARTTLS: u32 = 5;
const INFO: u32 = 6;
const GO: u32 = 7;
const STRUCTURED_REPLY: u32 = 8;
const LIST_META_CONTEXT: u32 = 9;
const SET_META_CONTEXT: u32 = 10;
const EXTENDED_HEADERS: u32 = 11;

const ACK: u32 = 1;
const SERVER: u32 = 2;
const REP_INFO: u32 = 3;
const META_CONTEXT: u32 = 4;
const ERR_UNSUP: u32 = (1 << 31) + 1;
const ERR_INVALID: u32 = (1 << 31) + 3;
const ERR_TLS_REQD: u32 = (1 << 31) + 5;
const ERR_UNKNOWN: u32 = (1 << 31) + 6;
const ERR_TOO_BIG: u32 = (1 << 31) + 9;

fn exports(names: &[&str]) -> Vec<ExportInfo> {
    let export = |name: &&str| ExportInfo {
        name: (*name).to_owned(),
        len: 1 << 30,
    };
    names.iter().map(export).collect()
}

fn offer(exports: &[ExportInfo]) -> Offer<'_> {
    Offer {
        exports,
        block_max: 1 << 20,
        requires_tls: false,
    }
}

fn option(option: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [
        OPTION_MAGIC,
        &option.to_be_bytes()[..],
        &len.to_be_bytes(),
        data,
    ]
    .concat()
}

fn string(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [&len.to_be_bytes(), text.as_bytes()].concat()
}

/// The data of GO and INFO.
fn wants(name: &str, infos: &[u16]) -> Vec<u8> {
    let mut data = string(name);
    data.extend(u16::try_from(infos.len()).unwrap().to_be_bytes());
    data.extend(infos.iter().flat_map(|info| info.to_be_bytes()));
    data
}

/// The data of the options about metadata contexts.
fn queries(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = string(name);
    data.extend(u32::try_from(queries.len()).unwrap().to_be_bytes());
    data.extend(queries.iter().flat_map(|query| string(query)));
    data
}

/// A client that has sent its flags.
struct Client<'a>(Negotiation<'a>);

/// A reply to an option.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    option: u32,
    kind: u32,
    data: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(offer: Offer<'a>, flags: u32) -> Client<'a> {
        let mut client = Client(Negotiation::new(offer));
        let (step, output) = client.send(&flags.to_be_bytes());
        assert_eq!((step, output.len()), (Step::Reply, 0));
        client
    }

    /// Sends bytes that are one option, and gives the outcome.
    fn send(&mut self, bytes: &[u8]) -> (Step, Vec<u8>) {
        let mut output = Vec::new();
        self.0.push(bytes);
        let step = self.0.advance(&mut output);
        (step, output)
    }

    fn ask(&mut self, number: u32, data: &[u8]) -> (Step, Vec<Reply>) {
        let (step, output) = self.send(&option(number, data));
        let replies = parse(&output);
        assert!(replies.iter().all(|reply| reply.option == number));
        (step, replies)
    }

    /// The types of the replies to an option that does not end the handshake.
    fn kinds(&mut self, number: u32, data: &[u8]) -> Vec<u32> {
        let (step, replies) = self.ask(number, data);
        assert_eq!(step, Step::Reply);
        replies.iter().map(|reply| reply.kind).collect()
    }

    fn go(&mut self, name: &str, infos: &[u16]) -> Agreement {
        match self.ask(GO, &wants(name, infos)).0 {
            Step::Transmit(agreement) => agreement,
            step => panic!("{step:?}"),
        }
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(bytes[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
        let (option, kind, len) = (number(8), number(12), number(16) as usize);
        let data = bytes[20..20 + len].to_vec();
        replies.push(Reply { option, kind, data });
        bytes = &bytes[20 + len..];
    }
    replies
}
