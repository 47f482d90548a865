//! The command line. Knows what can be said, and nothing of what is done then.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{exit, size};

const EXAMPLES: &str = "\
Examples:
  restore list --repository /mnt/datastore
  restore image vm/100 drive-scsi0.img disk.raw --repository /mnt/datastore
  restore image vm/100 drive-scsi0.img - | zstd > disk.raw.zst
  restore verify vm/100/2026-11-23T00:00:00Z --keyfile backup.key";

const ENVIRONMENT: &str = "\
Environment:
  PBS_REPOSITORY           the datastore, where --repository is not given
  PBS_NAMESPACE            the namespace, where --ns is not given
  PBS_ENCRYPTION_PASSWORD  the passphrase of key files; else, the first that is set:
                           _FD, _FILE, _CMD: read from a descriptor, a file, a command";

/// Restores Proxmox Backup Server backups: in order, every byte verified.
///
/// SNAPSHOT is a snapshot as `list` shows it, or a group such as vm/100: its last finished snapshot.
#[derive(Debug, Parser)]
#[command(name = "restore", version, after_long_help = after_long_help())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the snapshots of the namespace, or the archives of one snapshot
    List {
        /// The snapshot whose archives to list
        snapshot: Option<String>,
    },
    /// Restore one archive into a file, or to standard output
    Image(Image),
    /// Restore archives into a folder, each under its own name
    ///
    /// Disks become raw images, small files such as qemu-server.conf are decoded, and pxar archives stay pxar streams.
    Get(Get),
    /// Fetch, decrypt and check everything, and write nothing
    Verify {
        /// The snapshot
        snapshot: String,
        /// What to verify of it; everything if nothing is named
        #[arg(value_name = "ARCHIVE")]
        archives: Vec<String>,
    },
}

impl Command {
    /// Whether the bytes of an archive go to standard output, so that nothing else may.
    pub(crate) fn fills_stdout(&self) -> bool {
        matches!(self, Command::Image(image) if image.is_to_stdout())
    }
}

#[derive(Args, Debug)]
pub(crate) struct Image {
    /// The snapshot
    pub(crate) snapshot: String,
    /// What to restore of it, such as drive-scsi0.img
    pub(crate) archive: String,
    /// The file to make; `-` is standard output, and messages go to standard error then
    pub(crate) target: PathBuf,
}

impl Image {
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.target.as_os_str() == "-"
    }
}

#[derive(Args, Debug)]
#[command(allow_missing_positional = true)]
pub(crate) struct Get {
    /// The snapshot
    pub(crate) snapshot: String,
    /// What to restore of it; everything if nothing is named
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archives: Vec<String>,
    /// The folder; it is made if the one above it exists
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folder: PathBuf,
}

/// What may be given before or after the subcommand.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options for all commands")]
pub(crate) struct Options {
    /// The datastore: a path with a '/' in it, or dir:PATH
    ///
    /// A plain name such as `store` is the datastore of a PBS, which this version can't reach yet; the folder `store`
    /// is ./store or dir:store. Else the environment's PBS_REPOSITORY.
    #[arg(long, global = true, value_name = "PLACE")]
    pub(crate) repository: Option<String>,

    /// The namespace, such as team/a; else PBS_NAMESPACE, else the top
    #[arg(long, global = true, value_name = "NAMESPACE")]
    pub(crate) ns: Option<String>,

    /// A file with an encryption key; may be repeated, and each snapshot takes its own
    ///
    /// Without it the official client's default key file is used, if there is one. Where keys are at hand, a snapshot
    /// must be signed by one of them. Give all of them on the same side of the subcommand: those after it replace those
    /// before it. The passphrase is asked for on a terminal where the environment has none.
    #[arg(long = "keyfile", global = true, value_name = "FILE")]
    pub(crate) keyfiles: Vec<PathBuf>,

    /// Take a snapshot that is not signed although keys are at hand
    #[arg(long, global = true)]
    pub(crate) allow_unsigned: bool,

    /// Replace files that exist
    #[arg(long, global = true)]
    pub(crate) overwrite: bool,

    /// How many threads fetch and decode; 0 chooses
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) threads: usize,

    /// How much memory chunks may take: bytes, or with K, M, G, KiB, MiB, GiB [default: 256MiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) memory: Option<u64>,

    /// How to say what is done
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output_format: Format,

    /// Say nothing of progress and success, only errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people; progress and errors go to standard error
    Text,
    /// One JSON object a line, with its sort under `event`; all go to standard output
    Json,
}

fn after_long_help() -> String {
    format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{}", exit::HELP)
}
