//! The replies to a client's option, as bytes.

use super::negotiation::Step;
use super::wire::{ALLOCATION, OPTION_REPLY_MAGIC, reply};

/// The replies to one option.
pub(super) struct Answer<'a> {
    pub(super) option: u32,
    pub(super) output: &'a mut Vec<u8>,
}

impl Answer<'_> {
    pub(super) fn reply(&mut self, kind: u32, data: &[&[u8]]) {
        let len: usize = data.iter().map(|part| part.len()).sum();
        self.output.extend(OPTION_REPLY_MAGIC.to_be_bytes());
        self.output.extend(self.option.to_be_bytes());
        self.output.extend(kind.to_be_bytes());
        self.output.extend(u32_of(len).to_be_bytes());
        for part in data {
            self.output.extend_from_slice(part);
        }
    }

    pub(super) fn acknowledge(&mut self) -> Step {
        self.reply(reply::ACK, &[]);
        Step::Reply
    }

    pub(super) fn end(&mut self) -> Step {
        self.reply(reply::ACK, &[]);
        Step::End
    }

    pub(super) fn context(&mut self, id: u32) {
        self.reply(
            reply::META_CONTEXT,
            &[&id.to_be_bytes(), ALLOCATION.as_bytes()],
        );
    }

    pub(super) fn refuse(&mut self, error: u32, message: &str) -> Step {
        self.reply(error, &[message.as_bytes()]);
        Step::Reply
    }

    pub(super) fn unknown(&mut self) -> Step {
        self.refuse(reply::ERR_UNSUP, "this server does not know the option")
    }

    pub(super) fn malformed(&mut self) -> Step {
        self.refuse(
            reply::ERR_INVALID,
            "the option is malformed or comes at a wrong time",
        )
    }

    pub(super) fn needs_tls(&mut self) -> Step {
        self.refuse(reply::ERR_TLS_REQD, "this server requires TLS")
    }

    pub(super) fn no_export(&mut self) -> Step {
        self.refuse(reply::ERR_UNKNOWN, "there is no export of this name")
    }
}

pub(super) fn len_of(text: &str) -> [u8; 4] {
    u32_of(text.len()).to_be_bytes()
}

/// Names and messages are far shorter than 4 GiB.
fn u32_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
