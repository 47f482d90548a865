//! A block device as a target.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{OFlags, ioctl_blksszget};

use crate::error::{Error, ErrorKind, Result};
use crate::target::chunk_data::ChunkData;
use crate::target::holes::punch;
use crate::target::output::Output;
use crate::target::zeros::Zeros;
use crate::target::{Existing, Target};

/// A device is discarded in pieces of this many bytes.
const DISCARD: u64 = 1 << 30;

/// Restores into a block device: a disk, a logical volume, a zvol.
///
/// The device is opened for this restore alone: a device that is mounted or otherwise in use is
/// refused. Bytes beyond the end of the archive are not touched, except by [`Zeros::Discard`].
///
/// Data is written past the page cache, and up to 4 chunks are written at a time, on threads of the
/// target's own; see [`buffered`](DeviceTarget::buffered).
///
/// Where a restore fails, the device holds a part of it. The next restore to the device continues:
/// from the start of the device on, it keeps what is right.
///
/// ```no_run
/// use chunk_restore::{Datastore, DeviceTarget, Restore};
///
/// let archive = Datastore::open("/mnt/datastore")?.snapshot("vm/100")?.archive("drive-scsi0.img")?;
/// let mut target = DeviceTarget::open("/dev/pve/vm-100-disk-0")?;
/// println!("{}", Restore::new().run(&archive, &mut target)?);
/// # Ok::<(), chunk_restore::Error>(())
/// ```
#[derive(Debug)]
pub struct DeviceTarget {
    file: Arc<File>,
    size: u64,
    is_reused: bool,
    output: Output,
}

impl DeviceTarget {
    /// A target that writes to an existing block device.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] where the path is not a block device, or the device is in use or can't
    /// be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<DeviceTarget> {
        let path = path.as_ref();
        let cannot = |error: io::Error| {
            let message = format!("cannot open the device {}", path.display());
            Error::new(ErrorKind::Target, message).because(error)
        };
        // The kind of file is checked first, since opening some other kinds waits or has effects.
        is_device(&fs::metadata(path).map_err(cannot)?, path)?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::EXCL.bits() as i32)
            .open(path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => {
                let message = format!(
                    "the device {} is in use: it is mounted, part of another device, or being written to",
                    path.display()
                );
                Error::new(ErrorKind::Target, message).because(error)
            }
            _ => cannot(error),
        })?;
        is_device(&file.metadata().map_err(cannot)?, path)?;
        let size = file.seek(SeekFrom::End(0)).map_err(cannot)?;
        let block = ioctl_blksszget(&file).map_err(|error| cannot(error.into()))?;
        let file = Arc::new(file);
        Ok(DeviceTarget {
            output: Output::device(Arc::clone(&file), u64::from(block.max(1))),
            file,
            size,
            is_reused: false,
        })
    }

    /// Whether the device holds something similar to what is restored, such as an earlier state of
    /// the same disk. If so, the restore reads all of it, keeps what is right, and fetches and
    /// writes only the rest.
    #[must_use]
    pub fn reuse(mut self, yes: bool) -> DeviceTarget {
        self.is_reused = yes;
        self
    }

    /// What the target does for zeros. With [`Zeros::Discard`] there is nothing left to reuse.
    #[must_use]
    pub fn zeros(mut self, zeros: Zeros) -> DeviceTarget {
        self.output.set_zeros(zeros);
        self
    }

    /// Whether everything goes through the page cache, which then keeps it. By default the target
    /// writes past the page cache, so that other programs keep theirs.
    #[must_use]
    pub fn buffered(mut self, yes: bool) -> DeviceTarget {
        self.output.set_buffered(yes);
        self
    }

    /// The length of the device, in bytes. It can be more than what is restored to the device.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn discard(&self) -> io::Result<()> {
        let mut offset = 0;
        while offset < self.size {
            let piece = DISCARD.min(self.size - offset);
            if !punch(&self.file, offset, piece)? {
                let message = "it can't be discarded so that it holds zeros: use blkdiscard, and the default for zeros";
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
            offset += piece;
        }
        Ok(())
    }
}

impl Target for DeviceTarget {
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) where the device is too small: nothing was
    /// changed then.
    fn begin(&mut self, len: u64, _zeros: u64) -> io::Result<()> {
        if len > self.size {
            let message = format!("it has {} bytes, and {len} are needed", self.size);
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        let mut stale = len;
        if self.output.zeros() == Zeros::Discard {
            self.discard()?;
            stale = 0;
        }
        self.output.begin(len, stale);
        Ok(())
    }

    fn existing(&self) -> Existing {
        let reader = self.output.reader();
        match self.output.zeros() {
            Zeros::Discard => Existing::Blank(reader),
            _ if self.is_reused => Existing::Similar(reader),
            _ => Existing::Resume(reader),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.output.write(data)
    }

    fn write_behind(&mut self, data: ChunkData) -> io::Result<()> {
        self.output.write_behind(data)
    }

    fn written(&mut self, given: u64) -> u64 {
        self.output.written(given)
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.output.write_zeros(len)
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        self.output.keep(len)
    }

    /// Devices share no blocks, so the bytes must be written once more. They are read back for that.
    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        self.output.wait_before(from.saturating_add(len))?;
        Ok(false)
    }

    /// A device has only one name, so nothing but the report tells whether its contents are
    /// damaged.
    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        self.output.sync()
    }
}

fn is_device(found: &fs::Metadata, path: &Path) -> Result<()> {
    if found.file_type().is_block_device() {
        return Ok(());
    }
    let message = format!("{} is not a block device", path.display());
    Err(Error::new(ErrorKind::Target, message))
}
