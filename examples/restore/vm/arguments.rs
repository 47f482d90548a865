//! The command line of `restore vm`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::arguments::Writing;
use crate::program;

/// Restore a whole guest: all its disks at once, its configuration, and what starts it
///
/// The disks share memory, rate and progress. Each has its own target, which --map names, or is a file in the folder DIR. A
/// disk that can't be restored leaves the others alone. What stopped before it was done goes on when the same command runs
/// again. Before anything is written, all targets are looked at: that no two disks have the same one, and that there is room.
#[derive(Args, Debug)]
pub(crate) struct Vm {
    /// The snapshot
    pub(crate) snapshot: String,
    /// Where a disk goes, such as drive-scsi0=/dev/pve/vm-100-disk-0: a file to make, or a block device; once for each disk
    #[arg(long = "map", value_name = "DISK=TARGET", value_parser = parse_map)]
    pub(crate) maps: Vec<Map>,
    /// The folder for all other disks, each under the name of its archive, for the configuration, and for what --config writes
    ///
    /// It is made if the one above it exists. Without it, each disk needs a --map, and the configuration goes to the folder you
    /// are in.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Leave this disk out, such as drive-scsi1; may be repeated
    #[arg(long = "skip", value_name = "DISK")]
    pub(crate) skipped: Vec<String>,
    /// Write what boots the restored disks, from the guest's configuration
    ///
    /// The configuration may be anybody's, so only harmless settings are taken: processors, memory, firmware, disks, network
    /// cards without their networks, and the like. The others are named.
    #[arg(long, value_name = "KIND")]
    pub(crate) config: Option<ConfigKind>,
    /// Write into files and devices as they are, and fetch only what differs
    #[arg(long)]
    pub(crate) reuse: bool,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// A disk, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) disk: String,
    pub(crate) target: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigKind {
    /// A shell script that runs QEMU
    Qemu,
    /// The XML of a domain for `virsh define`
    Libvirt,
}

fn parse_map(text: &str) -> Result<Map, String> {
    match text.split_once('=') {
        Some((_, "-")) => Err(format!(
            "standard output takes one disk, by `{} image`; ./- is a file",
            program::name()
        )),
        Some((disk, target)) if !disk.is_empty() && !target.is_empty() => Ok(Map {
            disk: disk.to_owned(),
            target: target.into(),
        }),
        _ => Err("not a disk and its target such as drive-scsi0=disk.raw".to_owned()),
    }
}
