//! Hands out the content of an item in one piece, also where the input has it in several.

/// The buffer keeps this much memory between items; the tables of huge directories need more.
const KEPT_MAX: usize = 128 << 10;

/// Borrows a content from the input if the input has all of it, and gathers it in a buffer if not.
/// The buffer never holds more than the input brought.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    buffer: Vec<u8>,
    is_handed_out: bool,
}

impl Gather {
    /// Takes `len` bytes from the front of the input; `None` if some of them are still to come. The
    /// same `len` must be asked for until the bytes are there.
    pub(crate) fn take<'b, 'a: 'b>(
        &'b mut self,
        input: &mut &'a [u8],
        len: usize,
    ) -> Option<&'b [u8]> {
        if self.is_handed_out {
            self.is_handed_out = false;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_MAX);
        }
        if self.buffer.is_empty()
            && let Some((content, rest)) = input.split_at_checked(len)
        {
            *input = rest;
            return Some(content);
        }
        let missing = len - self.buffer.len();
        let (piece, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() < len {
            return None;
        }
        self.is_handed_out = true;
        Some(&self.buffer)
    }
}
