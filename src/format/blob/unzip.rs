//! Decompression block by block, so that the data can be looked at while it is still in the core's cache. Knows nothing of
//! what is looked for.

use zstd::zstd_safe::{self, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective};

use crate::format::blob::Reason;

/// With this much of a frame zstd can tell how long its header is.
const FIRST: usize = 5;

/// Decompresses one frame after the other.
pub(super) struct Unzip(DCtx<'static>);

impl Unzip {
    pub(super) fn new() -> Result<Unzip, Reason> {
        let out_of_memory = || Reason::Zstd("there is no memory for it".to_owned());
        let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
        // Blocks go straight to where they belong: else all of it is copied once more.
        let is_set = context.set_parameter(DParameter::StableOutBuffer(true));
        is_set.map_err(reason)?;
        Ok(Unzip(context))
    }

    /// Decompresses the one frame that `frame` consists of, and shows each block of it. Says how much it was.
    ///
    /// # Errors
    /// The frame is damaged, or makes more than `data` has room for, or something follows it.
    pub(super) fn run(
        &mut self,
        frame: &[u8],
        data: &mut [u8],
        mut show: impl FnMut(&[u8]),
    ) -> Result<usize, Reason> {
        match zstd_safe::find_frame_compressed_size(frame) {
            Ok(len) if len == frame.len() => {}
            Ok(_) => return Err(Reason::Trailing),
            Err(code) => return Err(reason(code)),
        }
        // Also after a frame that failed.
        self.0.reset(ResetDirective::SessionOnly).map_err(reason)?;
        let (mut read, mut unzipped, mut wanted) = (0, 0, FIRST);
        // It wants no more when the frame has ended. The frame is whole, so each round takes a part of it.
        while wanted > 0 {
            // As much as zstd asks for is a block, and the header of the next: what is given so is not copied.
            let end = frame.len().min(read + wanted);
            let mut input = InBuffer {
                src: &frame[..end],
                pos: read,
            };
            let mut output = OutBuffer::around_pos(data, unzipped);
            let step = self.0.decompress_stream(&mut output, &mut input);
            wanted = step.map_err(reason)?;
            let until = output.pos();
            if (input.pos, until) == (read, unzipped) && wanted > 0 {
                return Err(Reason::Zstd("its frame does not end".to_owned()));
            }
            read = input.pos;
            show(&data[unzipped..until]);
            unzipped = until;
        }
        Ok(unzipped)
    }
}

fn reason(code: ErrorCode) -> Reason {
    Reason::Zstd(zstd_safe::get_error_name(code).to_owned())
}
