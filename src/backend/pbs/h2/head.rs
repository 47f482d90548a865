//! The head of an answer: the few headers that matter, and the rules for all of them (RFC 9113, section 8).

/// What the header of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status, never one of 1xx.
    pub(crate) status: u16,
    /// How many bytes the body has, where that is said.
    pub(crate) content_length: Option<u64>,
    /// Whether the body is compressed, which nobody asked for.
    pub(crate) is_encoded: bool,
    /// How many seconds the server wants to be left alone. A date instead of a number counts as nothing.
    pub(crate) retry_after: Option<u32>,
}

impl Head {
    /// Whether the body is a message about what went wrong.
    pub(crate) fn is_error(&self) -> bool {
        self.status >= 400
    }
}

/// Collects the headers of a block, and remembers the first thing that is wrong with them.
#[derive(Default)]
pub(super) struct HeadBuilder {
    status: Option<u16>,
    content_length: Option<u64>,
    is_encoded: bool,
    retry_after: Option<u32>,
    /// An ordinary header has been seen, or there can be no others.
    is_past_pseudo: bool,
    malformed: Option<&'static str>,
}

impl HeadBuilder {
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if let Err(what) = self.add(name, value) {
            self.malformed.get_or_insert(what);
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if value.iter().any(|byte| b"\0\r\n".contains(byte)) {
            return Err("a header's value has a forbidden byte");
        }
        if let Some(pseudo) = name.strip_prefix(b":") {
            if self.is_past_pseudo {
                return Err("a pseudo-header is where none may be");
            }
            if pseudo != b"status" || self.status.is_some() {
                return Err("a pseudo-header is unknown or repeated");
            }
            self.status = Some(status(value).ok_or("the status is no number of three digits")?);
            return Ok(());
        }
        self.is_past_pseudo = true;
        let is_name =
            |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && *byte != b':';
        if name.is_empty() || !name.iter().all(is_name) {
            return Err("a header's name is not in lower case or has a forbidden byte");
        }
        match name {
            b"content-length" => {
                let len = number(value).ok_or("the content-length is no number")?;
                if self.content_length.is_some_and(|other| other != len) {
                    return Err("there are two different content-lengths");
                }
                self.content_length = Some(len);
            }
            b"content-encoding" => self.is_encoded |= !value.eq_ignore_ascii_case(b"identity"),
            b"retry-after" => {
                self.retry_after = number(value).map(|seconds| seconds.min(u32::MAX.into()) as u32);
            }
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding"
            | b"upgrade" => return Err("there is a header of HTTP/1.1 connections"),
            _ => {}
        }
        Ok(())
    }

    /// The head, which may be an interim one of status 1xx.
    pub(super) fn head(self) -> Result<Head, &'static str> {
        match (self.malformed, self.status) {
            (Some(what), _) => Err(what),
            (None, None) => Err("there is no status"),
            (None, Some(status)) => Ok(Head {
                status,
                content_length: self.content_length,
                is_encoded: self.is_encoded,
                retry_after: self.retry_after,
            }),
        }
    }

    /// Nothing in trailers matters, but for the rules they follow.
    pub(super) fn trailers(self) -> Result<(), &'static str> {
        match (self.malformed, self.status) {
            (Some(what), _) => Err(what),
            (None, Some(_)) => Err("there is a status in the trailers"),
            (None, None) => Ok(()),
        }
    }
}

fn status(value: &[u8]) -> Option<u16> {
    let number = number(value)?;
    (value.len() == 3 && number >= 100).then_some(number as u16)
}

/// Digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
