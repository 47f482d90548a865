//! Memory that starts on a page boundary.

/// The size of a page, in bytes.
///
/// glibc and the kernel copy large blocks with `rep movsb`. On Zen 3 this falls from 40 to 1.7 GB/s
/// when the destination lies a few bytes after the source modulo 4096, as it does when page-cache
/// pages are copied into a block of malloc's. So buffers start on a page.
const PAGE_LEN: usize = 4096;

/// A block of zeroed memory that starts on a page. The default one is empty.
#[derive(Default)]
pub(super) struct PageAligned {
    bytes: Vec<u8>,
    /// Where in `bytes` the first page starts.
    start: usize,
}

impl PageAligned {
    /// A block of `capacity` bytes behind any lead. Pages of it that are never written to cost no
    /// memory.
    pub(super) fn new(capacity: usize) -> PageAligned {
        let bytes = vec![0; capacity + 2 * PAGE_LEN];
        let start = bytes.as_ptr().align_offset(PAGE_LEN).min(PAGE_LEN);
        PageAligned { bytes, start }
    }

    /// How many bytes the block can hold.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(2 * PAGE_LEN)
    }

    /// The bytes of the block, which begin `lead` bytes after the start of a page.
    pub(super) fn bytes(&self, lead: usize) -> &[u8] {
        self.bytes.get(self.start + lead..).unwrap_or_default()
    }

    /// The same bytes as those of [`bytes`](PageAligned::bytes), to be written to.
    pub(super) fn bytes_mut(&mut self, lead: usize) -> &mut [u8] {
        self.bytes.get_mut(self.start + lead..).unwrap_or_default()
    }
}

/// Where in a page a header of `header_len` bytes must begin, so that a page begins behind it.
pub(super) fn lead_before_page(header_len: usize) -> usize {
    (PAGE_LEN - header_len % PAGE_LEN) % PAGE_LEN
}
