//! Decompresses data block by block, so that each block can be hashed while it is still in the
//! core's cache.

use zstd::zstd_safe::{self, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective};

use crate::format::blob::Reason;

/// From this many bytes of a frame on, zstd can tell how long the frame's header is.
const FIRST: usize = 5;

/// Decompresses one frame after the other.
pub(super) struct Unzip(DCtx<'static>);

impl Unzip {
    pub(super) fn new() -> Result<Unzip, Reason> {
        let out_of_memory = || Reason::Zstd("there is no memory for it".to_owned());
        let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
        // With this setting zstd writes blocks directly to the output. Without it, everything is
        // copied once more.
        let is_set = context.set_parameter(DParameter::StableOutBuffer(true));
        is_set.map_err(reason)?;
        Ok(Unzip(context))
    }

    /// Decompresses `frame`, which consists of one frame, and passes each block of the data to a
    /// function. Returns the length of the data.
    ///
    /// # Errors
    /// The frame is damaged, or its data does not fit into `data`, or something follows the frame.
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
        // The reset is also needed after a frame that failed.
        self.0.reset(ResetDirective::SessionOnly).map_err(reason)?;
        let (mut read, mut unzipped, mut wanted) = (0, 0, FIRST);
        // zstd wants 0 bytes more when the frame has ended. The whole frame is at hand, so each
        // round makes progress.
        while wanted > 0 {
            // As many bytes as zstd asks for are one block and the header of the next one. zstd
            // does not copy input of this length.
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
