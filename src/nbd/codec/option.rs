//! The data of the options that name an export.

use super::wire::{Fields, STRING_LEN_MAX, info};

/// The data of GO and INFO.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InfoRequest<'a> {
    pub(super) name: &'a [u8],
    pub(super) wants_name: bool,
    pub(super) wants_block_size: bool,
}

impl<'a> InfoRequest<'a> {
    /// `None` if the data is malformed.
    pub(super) fn parse(data: &'a [u8]) -> Option<InfoRequest<'a>> {
        let mut fields = Fields(data);
        let name = fields
            .string()
            .filter(|name| name.len() <= STRING_LEN_MAX)?;
        let mut request = InfoRequest {
            name,
            wants_name: false,
            wants_block_size: false,
        };
        for _ in 0..fields.u16()? {
            match fields.u16()? {
                info::NAME => request.wants_name = true,
                info::BLOCK_SIZE => request.wants_block_size = true,
                _ => {}
            }
        }
        fields.is_empty().then_some(request)
    }
}

/// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContextQueries<'a> {
    pub(super) name: &'a [u8],
    pub(super) has_queries: bool,
    /// Whether one of the queries is one of those that the caller looks for.
    pub(super) is_found: bool,
}

impl<'a> ContextQueries<'a> {
    /// Looks for any of these queries. `None` if the data is malformed.
    pub(super) fn parse(data: &'a [u8], wanted: &[&str]) -> Option<ContextQueries<'a>> {
        let mut fields = Fields(data);
        let name = fields
            .string()
            .filter(|name| name.len() <= STRING_LEN_MAX)?;
        let count = fields.u32()?;
        let mut is_found = false;
        // Each query takes at least 4 bytes of the data, so that a wrong count ends the loop.
        for _ in 0..count {
            let query = fields.string()?;
            is_found |= wanted.iter().any(|wanted| wanted.as_bytes() == query);
        }
        fields.is_empty().then_some(ContextQueries {
            name,
            has_queries: count > 0,
            is_found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_requests_are_taken_and_unknown_ones_ignored() {
        let data = b"\0\0\0\x02ab\0\x03\0\x01\0\x09\0\x03";
        let request = InfoRequest::parse(data).unwrap();
        assert_eq!(request.name, b"ab");
        assert!(request.wants_name && request.wants_block_size);
    }

    #[test]
    fn each_shorter_or_longer_information_request_is_malformed() {
        let data = b"\0\0\0\x02ab\0\x01\0\x03";
        assert!(InfoRequest::parse(data).is_some());
        for len in 0..data.len() {
            assert_eq!(InfoRequest::parse(&data[..len]), None, "{len}");
        }
        assert_eq!(InfoRequest::parse(&[&data[..], b"\0"].concat()), None);
        // A name that is said to be longer than the data.
        assert_eq!(InfoRequest::parse(b"\xff\xff\xff\xffab\0\0"), None);
    }

    #[test]
    fn queries_are_looked_for_and_a_wrong_count_is_malformed() {
        let data = b"\0\0\0\x01x\0\0\0\x02\0\0\0\x05other\0\0\0\x02a:";
        let queries = ContextQueries::parse(data, &["a:"]).unwrap();
        assert!(queries.has_queries && queries.is_found);
        let queries = ContextQueries::parse(data, &["b:"]).unwrap();
        assert!(!queries.is_found);
        for len in 0..data.len() {
            assert_eq!(ContextQueries::parse(&data[..len], &[]), None, "{len}");
        }
        assert_eq!(
            ContextQueries::parse(b"\0\0\0\0\xff\xff\xff\xff", &[]),
            None
        );
    }
}
