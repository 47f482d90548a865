//! The handshake: a client's options and the replies to them, up to the choice of an export.

use super::REQUEST_LEN_MAX;
use super::option::{ContextQueries, InfoRequest};
use super::option_reply::{Answer, len_of};
use super::wire::{
    ALLOCATION, ALLOCATION_ID, ALLOCATION_WILDCARD, Fields, OPTION_MAGIC, SERVER_MAGIC,
    export_flag, handshake_flag, info, option, reply,
};

/// The longest data of an option that is kept, in bytes. Longer data is skipped.
const DATA_LEN_MAX: usize = 64 << 10;

/// The smallest block that can be read, in bytes.
const BLOCK_MIN: u32 = 1;
/// The block that is read without waste, in bytes.
const BLOCK_PREFERRED: u32 = 4096;

/// The zeros that an old client gets behind the flags of an export.
const PADDING_LEN: usize = 124;

const OPTION_HEADER_LEN: usize = 16;
const FLAGS_LEN: usize = 4;

/// An export, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportInfo {
    /// At most [`STRING_LEN_MAX`](super::STRING_LEN_MAX) bytes.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) len: u64,
}

/// What a server offers to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) exports: &'a [ExportInfo],
    /// The longest read for clients that ask for the maximum, in bytes.
    pub(crate) block_max: u32,
    /// Whether clients must use TLS.
    pub(crate) requires_tls: bool,
}

/// What client and server agreed on at the end of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Which of the exports the client chose.
    pub(crate) export: usize,
    /// Whether replies are structured.
    pub(crate) is_structured: bool,
    /// Whether the client chose the metadata context `base:allocation`.
    pub(crate) has_allocation: bool,
    /// The longest read that the client may ask for, in bytes.
    pub(crate) request_max: u32,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read more bytes from the client.
    Read,
    /// Send the reply, and go on.
    Reply,
    /// Send the reply, throw away all bytes that came in the clear, do the TLS handshake, and go on
    /// with [`Negotiation::secured`].
    StartTls,
    /// Send the reply, and go on with requests.
    Transmit(Agreement),
    /// Send the reply, if there is one, and close the connection.
    End,
}

/// The server's first bytes.
pub(crate) fn greeting() -> [u8; 18] {
    let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
    let mut bytes = [0; 18];
    bytes[..8].copy_from_slice(&SERVER_MAGIC.to_be_bytes());
    bytes[8..16].copy_from_slice(&OPTION_MAGIC.to_be_bytes());
    bytes[16..].copy_from_slice(&flags.to_be_bytes());
    bytes
}

/// The state of a handshake, from the client's first byte on.
#[derive(Debug)]
pub(crate) struct Negotiation<'a> {
    offer: Offer<'a>,
    input: Vec<u8>,
    client: Option<ClientFlags>,
    is_secure: bool,
    is_structured: bool,
    /// The export whose `base:allocation` the client chose.
    allocation_of: Option<usize>,
    /// An option whose data is too long to be kept.
    skipping: Option<Skipping>,
}

#[derive(Clone, Copy, Debug)]
struct ClientFlags {
    is_fixed: bool,
    wants_zeroes: bool,
}

#[derive(Debug)]
struct Skipping {
    option: u32,
    left: usize,
}

impl<'a> Negotiation<'a> {
    pub(crate) fn new(offer: Offer<'a>) -> Negotiation<'a> {
        Negotiation {
            offer,
            input: Vec::new(),
            client: None,
            is_secure: false,
            is_structured: false,
            allocation_of: None,
            skipping: None,
        }
    }

    /// The handshake after the start of TLS: everything that was received or agreed on before is
    /// forgotten, except the client's flags, which the client does not send again.
    pub(crate) fn secured(self) -> Negotiation<'a> {
        Negotiation {
            client: self.client,
            is_secure: true,
            ..Negotiation::new(self.offer)
        }
    }

    /// Takes bytes of the client. Call this only after [`Step::Read`], so that no more bytes are
    /// kept than one option has.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The bytes that came behind the option that ended the handshake.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.input
    }

    /// Handles at most one option, and appends the reply to `output`.
    pub(crate) fn advance(&mut self, output: &mut Vec<u8>) -> Step {
        let Some(client) = self.client else {
            let Some(flags) = self.take(FLAGS_LEN) else {
                return Step::Read;
            };
            return self.record_flags(&flags);
        };
        if let Some(skipping) = self.skipping.take() {
            return self.skip(skipping, output);
        }
        let mut fields = Fields(&self.input);
        let header = (fields.u64(), fields.u32(), fields.u32());
        let (Some(magic), Some(option), Some(len)) = header else {
            return Step::Read;
        };
        if magic != OPTION_MAGIC {
            return Step::End;
        }
        // A client that doesn't speak the fixed protocol understands no reply to other options.
        if !client.is_fixed && option != option::EXPORT_NAME {
            return Step::End;
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > DATA_LEN_MAX {
            self.input.drain(..OPTION_HEADER_LEN);
            return self.skip(Skipping { option, left: len }, output);
        }
        let Some(bytes) = self.take(OPTION_HEADER_LEN + len) else {
            return Step::Read;
        };
        let mut answer = Answer { option, output };
        self.handle(client, &bytes[OPTION_HEADER_LEN..], &mut answer)
    }

    /// Throws data of a long option away, and answers the option after the last byte.
    fn skip(&mut self, mut skipping: Skipping, output: &mut Vec<u8>) -> Step {
        let count = skipping.left.min(self.input.len());
        self.input.drain(..count);
        skipping.left -= count;
        if skipping.left > 0 {
            self.skipping = Some(skipping);
            return Step::Read;
        }
        self.refuse_long(skipping.option, output)
    }

    /// Takes so many bytes from the input, if they are there.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        (self.input.len() >= len).then(|| self.input.drain(..len).collect())
    }

    fn record_flags(&mut self, flags: &[u8]) -> Step {
        let known = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        let flags = Fields(flags).u32().unwrap_or(u32::MAX);
        if flags & !u32::from(known) != 0 {
            return Step::End;
        }
        let has = |flag: u16| flags & u32::from(flag) != 0;
        self.client = Some(ClientFlags {
            is_fixed: has(handshake_flag::FIXED_NEWSTYLE),
            wants_zeroes: !has(handshake_flag::NO_ZEROES),
        });
        Step::Reply
    }

    /// Answers an option whose data was too long to be kept.
    fn refuse_long(&self, option: u32, output: &mut Vec<u8>) -> Step {
        let mut answer = Answer { option, output };
        match option {
            option::EXPORT_NAME => Step::End,
            option::ABORT => answer.end(),
            _ if self.lacks_tls() => answer.needs_tls(),
            option::LIST | option::STARTTLS..=option::SET_META_CONTEXT => {
                answer.refuse(reply::ERR_TOO_BIG, "the data of the option is too long")
            }
            _ => answer.unknown(),
        }
    }

    fn lacks_tls(&self) -> bool {
        self.offer.requires_tls && !self.is_secure
    }

    fn handle(&mut self, client: ClientFlags, data: &[u8], answer: &mut Answer<'_>) -> Step {
        let option = answer.option;
        match option {
            option::ABORT => answer.end(),
            option::STARTTLS => self.start_tls(data, answer),
            option::EXPORT_NAME if self.lacks_tls() => Step::End,
            _ if self.lacks_tls() => answer.needs_tls(),
            option::EXPORT_NAME => self.export_name(client, data, answer),
            option::LIST => self.list(data, answer),
            option::INFO | option::GO => self.info(option == option::GO, data, answer),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.is_structured = true;
                answer.acknowledge()
            }
            option::STRUCTURED_REPLY => answer.malformed(),
            option::LIST_META_CONTEXT => self.list_contexts(data, answer),
            option::SET_META_CONTEXT => self.set_context(data, answer),
            _ => answer.unknown(),
        }
    }

    fn start_tls(&mut self, data: &[u8], answer: &mut Answer<'_>) -> Step {
        if !self.offer.requires_tls {
            return answer.refuse(reply::ERR_UNSUP, "this server has no TLS");
        }
        if self.is_secure || !data.is_empty() {
            return answer.malformed();
        }
        answer.acknowledge();
        Step::StartTls
    }

    fn export_name(&self, client: ClientFlags, name: &[u8], answer: &mut Answer<'_>) -> Step {
        // There is no way to say why.
        let Some(export) = self.find(name) else {
            return Step::End;
        };
        let output = &mut answer.output;
        output.extend(self.offer.exports[export].len.to_be_bytes());
        output.extend(self.export_flags().to_be_bytes());
        if client.wants_zeroes {
            output.extend([0; PADDING_LEN]);
        }
        Step::Transmit(self.agreement(export, REQUEST_LEN_MAX))
    }

    fn list(&self, data: &[u8], answer: &mut Answer<'_>) -> Step {
        if !data.is_empty() {
            return answer.malformed();
        }
        for export in self.offer.exports {
            answer.reply(
                reply::SERVER,
                &[&len_of(&export.name), export.name.as_bytes()],
            );
        }
        answer.acknowledge()
    }

    fn info(&self, is_go: bool, data: &[u8], answer: &mut Answer<'_>) -> Step {
        let Some(request) = InfoRequest::parse(data) else {
            return answer.malformed();
        };
        let Some(export) = self.find(request.name) else {
            return answer.no_export();
        };
        let found = &self.offer.exports[export];
        let len = found.len.to_be_bytes();
        let flags = self.export_flags().to_be_bytes();
        answer.reply(reply::INFO, &[&info::EXPORT.to_be_bytes(), &len, &flags]);
        if request.wants_name {
            let name = found.name.as_bytes();
            answer.reply(reply::INFO, &[&info::NAME.to_be_bytes(), name]);
        }
        if request.wants_block_size {
            let sizes = [BLOCK_MIN, BLOCK_PREFERRED, self.offer.block_max];
            let sizes = sizes.map(u32::to_be_bytes).concat();
            answer.reply(reply::INFO, &[&info::BLOCK_SIZE.to_be_bytes(), &sizes]);
        }
        answer.acknowledge();
        if !is_go {
            return Step::Reply;
        }
        // A client that was not told the maximum may take the protocol's default for it.
        let request_max = match request.wants_block_size {
            true => self.offer.block_max,
            false => REQUEST_LEN_MAX,
        };
        Step::Transmit(self.agreement(export, request_max))
    }

    fn list_contexts(&self, data: &[u8], answer: &mut Answer<'_>) -> Step {
        let queries = ContextQueries::parse(data, &[ALLOCATION, ALLOCATION_WILDCARD]);
        let Some(queries) = queries.filter(|_| self.is_structured) else {
            return answer.malformed();
        };
        if self.find(queries.name).is_none() {
            return answer.no_export();
        }
        if queries.is_found || !queries.has_queries {
            answer.context(0);
        }
        answer.acknowledge()
    }

    fn set_context(&mut self, data: &[u8], answer: &mut Answer<'_>) -> Step {
        self.allocation_of = None;
        let queries = ContextQueries::parse(data, &[ALLOCATION]);
        let Some(queries) = queries.filter(|_| self.is_structured) else {
            return answer.malformed();
        };
        let Some(export) = self.find(queries.name) else {
            return answer.no_export();
        };
        if queries.is_found {
            self.allocation_of = Some(export);
            answer.context(ALLOCATION_ID);
        }
        answer.acknowledge()
    }

    /// The export of this name. If there is only one export, it also has the empty name.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let exports = self.offer.exports;
        let is_only = exports.len() == 1 && name.is_empty();
        let named = |export: &ExportInfo| export.name.as_bytes() == name;
        is_only
            .then_some(0)
            .or_else(|| exports.iter().position(named))
    }

    fn export_flags(&self) -> u16 {
        let flags = export_flag::HAS_FLAGS
            | export_flag::READ_ONLY
            | export_flag::CAN_MULTI_CONN
            | export_flag::SEND_CACHE;
        match self.is_structured {
            true => flags | export_flag::SEND_DF,
            false => flags,
        }
    }

    fn agreement(&self, export: usize, request_max: u32) -> Agreement {
        Agreement {
            export,
            is_structured: self.is_structured,
            has_allocation: self.allocation_of == Some(export),
            request_max,
        }
    }
}
