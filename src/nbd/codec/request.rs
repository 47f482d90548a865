//! A client's request, and whether it may be served.

use super::UNFRAGMENTED_LEN_MAX;
use super::reply::ErrorCode;
use super::wire::{Fields, REQUEST_MAGIC, command, command_flag};

/// The length of a request without the data of a write, in bytes.
pub(crate) const HEADER_LEN: usize = 28;

/// A request as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    flags: u16,
    command: u16,
    pub(crate) cookie: u64,
    offset: u64,
    len: u32,
}

/// What a connection allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The length of the export, in bytes.
    pub(crate) export_len: u64,
    /// The longest read, in bytes.
    pub(crate) request_max: u32,
    /// Whether replies are structured.
    pub(crate) is_structured: bool,
    /// Whether the client chose the metadata context `base:allocation`.
    pub(crate) has_allocation: bool,
}

/// What to do about a request. Ranges have at least one byte, and lie within the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Read {
        offset: u64,
        len: u32,
        /// Whether the reply may have one piece of content at the most.
        is_unfragmented: bool,
    },
    BlockStatus {
        offset: u64,
        len: u32,
        /// Whether the reply must have one extent.
        is_one: bool,
    },
    Cache {
        offset: u64,
        len: u32,
    },
    /// Answer what is outstanding, and close the connection.
    Disconnect,
    Refuse {
        error: ErrorCode,
        message: &'static str,
    },
}

impl Request {
    /// `None` if the bytes are not a request at all.
    pub(crate) fn parse(header: &[u8; HEADER_LEN]) -> Option<Request> {
        let mut fields = Fields(header);
        if fields.u32()? != REQUEST_MAGIC {
            return None;
        }
        Some(Request {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            len: fields.u32()?,
        })
    }

    /// How many bytes of data follow the request.
    pub(crate) fn payload_len(&self) -> u32 {
        match self.command {
            command::WRITE => self.len,
            _ => 0,
        }
    }

    /// What to do about the request.
    pub(crate) fn check(&self, rules: Rules) -> Command {
        let (offset, len) = (self.offset, self.len);
        let has = |flag| self.flags & flag != 0;
        let command = match self.command {
            command::READ => Command::Read {
                offset,
                len,
                is_unfragmented: has(command_flag::DF),
            },
            command::BLOCK_STATUS => Command::BlockStatus {
                offset,
                len,
                is_one: has(command_flag::REQ_ONE),
            },
            command::CACHE => Command::Cache { offset, len },
            command::DISC => return Command::Disconnect,
            command::WRITE | command::TRIM | command::WRITE_ZEROES => {
                return refuse(ErrorCode::NotPermitted, "the export is read-only");
            }
            _ => return invalid("the server does not know the command"),
        };
        self.objection(command, rules).unwrap_or(command)
    }

    /// Why the command can't be served.
    fn objection(&self, command: Command, rules: Rules) -> Option<Command> {
        let allowed = match command {
            Command::Read { .. } if rules.is_structured => command_flag::DF,
            Command::BlockStatus { .. } => command_flag::REQ_ONE,
            _ => 0,
        };
        if self.flags & !allowed != 0 {
            return Some(invalid("the request has a flag that it can't have"));
        }
        let is_status = matches!(command, Command::BlockStatus { .. });
        if is_status && !rules.has_allocation {
            return Some(invalid("base:allocation was not chosen in the handshake"));
        }
        if self.len == 0 {
            return Some(invalid("the length of the request is 0"));
        }
        let end = self.offset.checked_add(u64::from(self.len));
        if end.is_none_or(|end| end > rules.export_len) {
            return Some(invalid("the request goes beyond the end of the export"));
        }
        if !is_status && self.len > rules.request_max {
            return Some(invalid("the request is longer than the maximum block size"));
        }
        match command {
            Command::Read {
                is_unfragmented: true,
                len,
                ..
            } if len > UNFRAGMENTED_LEN_MAX => {
                let message = "the request is too long to be answered in one piece";
                Some(refuse(ErrorCode::Overflow, message))
            }
            _ => None,
        }
    }
}

fn refuse(error: ErrorCode, message: &'static str) -> Command {
    Command::Refuse { error, message }
}

fn invalid(message: &'static str) -> Command {
    refuse(ErrorCode::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        export_len: 1 << 30,
        request_max: 1 << 20,
        is_structured: true,
        has_allocation: true,
    };

    fn request(command: u16, flags: u16, offset: u64, len: u32) -> Request {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&command.to_be_bytes());
        bytes[8..16].copy_from_slice(&7_u64.to_be_bytes());
        bytes[16..24].copy_from_slice(&offset.to_be_bytes());
        bytes[24..].copy_from_slice(&len.to_be_bytes());
        let request = Request::parse(&bytes).unwrap();
        assert_eq!(request.cookie, 7);
        request
    }

    fn refusal(command: Command) -> Option<ErrorCode> {
        match command {
            Command::Refuse { error, .. } => Some(error),
            _ => None,
        }
    }

    #[test]
    fn bytes_with_another_magic_are_no_request() {
        assert_eq!(Request::parse(&[0; HEADER_LEN]), None);
    }

    #[test]
    fn a_read_within_the_export_is_served_and_any_other_is_invalid() {
        let read = |offset, len| refusal(request(0, 0, offset, len).check(RULES));
        assert_eq!(read(0, 1), None);
        assert_eq!(read((1 << 30) - 1, 1), None);
        assert_eq!(read(5, 1 << 20), None);
        let invalid = Some(ErrorCode::Invalid);
        assert_eq!(read(0, 0), invalid);
        assert_eq!(read((1 << 30) - 1, 2), invalid);
        assert_eq!(read(u64::MAX, 2), invalid);
        assert_eq!(read(0, (1 << 20) + 1), invalid);
    }

    #[test]
    fn a_flag_is_taken_only_with_its_command() {
        let refused = |command, flags| refusal(request(command, flags, 0, 512).check(RULES));
        assert_eq!(refused(command::READ, command_flag::DF), None);
        assert_eq!(refused(command::BLOCK_STATUS, command_flag::REQ_ONE), None);
        let invalid = Some(ErrorCode::Invalid);
        assert_eq!(refused(command::READ, command_flag::REQ_ONE), invalid);
        assert_eq!(refused(command::READ, 1), invalid);
        assert_eq!(refused(command::CACHE, command_flag::DF), invalid);
        let simple = Rules {
            is_structured: false,
            ..RULES
        };
        let unfragmented = request(command::READ, command_flag::DF, 0, 512);
        assert_eq!(refusal(unfragmented.check(simple)), invalid);
    }

    #[test]
    fn one_piece_may_have_128_kib_and_no_more() {
        let read = |len| refusal(request(0, command_flag::DF, 0, len).check(RULES));
        assert_eq!(read(128 << 10), None);
        assert_eq!(read((128 << 10) + 1), Some(ErrorCode::Overflow));
    }

    #[test]
    fn writes_are_not_permitted_and_only_their_data_follows() {
        for command in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
            let write = request(command, 1, u64::MAX, 512);
            assert_eq!(refusal(write.check(RULES)), Some(ErrorCode::NotPermitted));
            let follows = if command == command::WRITE { 512 } else { 0 };
            assert_eq!(write.payload_len(), follows);
        }
    }

    #[test]
    fn a_status_may_be_asked_of_more_than_can_be_read_but_only_after_its_choice() {
        let status = request(command::BLOCK_STATUS, 0, 0, 1 << 30);
        assert_eq!(refusal(status.check(RULES)), None);
        let rules = Rules {
            has_allocation: false,
            ..RULES
        };
        assert_eq!(refusal(status.check(rules)), Some(ErrorCode::Invalid));
    }

    #[test]
    fn an_unknown_command_and_a_flush_that_was_not_offered_are_invalid() {
        for command in [3, 8, u16::MAX] {
            let refused = refusal(request(command, 0, 0, 0).check(RULES));
            assert_eq!(refused, Some(ErrorCode::Invalid));
        }
    }

    proptest! {
        #[test]
        fn ranges_of_served_requests_lie_within_the_export(
            command in 0..10_u16,
            flags in 0..16_u16,
            offset in prop_oneof![0..2_u64 << 30, any::<u64>()],
            len in any::<u32>(),
            is_structured in any::<bool>(),
        ) {
            let rules = Rules { is_structured, ..RULES };
            match request(command, flags, offset, len).check(rules) {
                Command::Read { offset, len, .. } | Command::Cache { offset, len } => {
                    prop_assert!(len > 0 && len <= rules.request_max);
                    prop_assert!(offset + u64::from(len) <= rules.export_len);
                }
                Command::BlockStatus { offset, len, .. } => {
                    prop_assert!(len > 0 && offset + u64::from(len) <= rules.export_len);
                }
                Command::Disconnect | Command::Refuse { .. } => {}
            }
        }
    }
}
