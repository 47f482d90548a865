//! The command line: the commands and their arguments. `options.rs` has the options for all commands.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use chunk_restore::target::Zeros;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::drill_arguments::Verify;
use crate::file_arguments::{Cat, FilesArguments, Find, Ls};
use crate::manuals::Manuals;
use crate::options::Options;
use crate::vm::arguments::Vm;
use crate::{program, size};

/// Restores Proxmox Backup Server backups: in order, every byte verified.
///
/// SNAPSHOT is a snapshot as `list` shows it, or a group such as vm/100: its last finished snapshot.
#[derive(Debug, Parser)]
#[command(name = program::NAME, version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the snapshots of the namespace, or the archives of one snapshot
    ///
    /// Shows of each snapshot its size, whether all of it is encrypted or signed, what the server's last verification found,
    /// whether it is protected from being pruned, its archives, and the first line of its notes; as far as the place can
    /// tell. Nothing of that is checked: `verify` does.
    List(List),
    /// Restore one archive into a file or a block device, or to standard output
    ///
    /// What stopped before it was done goes on when the same command runs again: what is there is verified and kept. A file
    /// has the name TARGET.partial until it is complete, and is for you alone (mode 0600) where it is new.
    Image(Image),
    /// Restore archives into a folder, each under its own name
    ///
    /// Disks become raw images, small files such as qemu-server.conf are decoded, and the files of file archives are extracted,
    /// as by `files`: those of root.pxar into DIR/root. What stopped before it was done goes on when the same command runs
    /// again. Where the index of an archive, or a small file, is missing or damaged, it is named, the rest is restored, and
    /// the exit code is 7.
    Get(Get),
    Vm(Vm),
    Files(FilesArguments),
    /// Fetch, decrypt and check everything, and write nothing
    ///
    /// Of everything, --sample and --new-only take a part, and --all takes the last snapshot of each group: a drill, as
    /// for every night. At its end the program says how much was looked at, and how likely bad chunks were missed.
    Verify(Verify),
    /// Measure how fast an archive comes with 1, 2, 4 .. 32 chunks in flight, and choose
    ///
    /// Verifies the beginning of the archive with each setting, at most 256 MiB of it as stored. It is read once before
    /// that, so the server's disks count for little where its memory holds so much.
    Bench(Bench),
    Ls(Ls),
    Cat(Cat),
    Find(Find),
    /// Serve disks over NBD, so that QEMU and others read any byte of them without a restore
    ///
    /// Each disk is an export with its own name, such as drive-scsi0.img; they are read-only. The program prints where they
    /// are, and commands to use them, and serves until it is stopped: by Ctrl-C, or by SIGTERM as service managers send it.
    /// That is its normal end, and the exit code is 0. What can't be read is an I/O error for the client that asked.
    ///
    /// Without --socket and --listen, the socket lies in a new folder that only you can enter, below $XDG_RUNTIME_DIR or the
    /// folder for temporary files. A socket that a service manager or a client hands over (LISTEN_FDS) is used instead.
    Serve(Serve),
    /// Mount a snapshot by FUSE: a folder with its disks, small files and file archives, read-only
    ///
    /// Disks are raw images, with holes where they have zeros; small files such as qemu-server.conf are decoded. File archives
    /// are folders: root.pxar is the folder root, with all its files and their metadata. The program shows them until it is stopped, by Ctrl-C or SIGTERM, or until the folder is
    /// unmounted: the exit code is 0 then. What can't be read is an I/O error for the program that reads, and the reason is
    /// told here.
    Mount(Mount),
    #[command(hide = true)]
    Manuals(Manuals),
}

impl Command {
    /// Whether the bytes of an archive go to standard output, so that nothing else may.
    pub(crate) fn fills_stdout(&self) -> bool {
        match self {
            Command::Image(image) => image.is_to_stdout(),
            Command::Files(files) => files.is_to_stdout(),
            command => matches!(command, Command::Cat(_)),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// The snapshot whose archives to list
    pub(crate) snapshot: Option<String>,
    /// List the groups of the namespace instead, with their owners, how many snapshots they have, and the last of them
    #[arg(long, conflicts_with = "snapshot")]
    pub(crate) groups: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Image {
    /// The snapshot
    pub(crate) snapshot: String,
    /// What to restore of it, such as drive-scsi0.img
    ///
    /// index.json is the manifest as JSON, with the notes, and client.log the log of the backup, where its client left one.
    pub(crate) archive: String,
    /// The file to make, or a block device; `-` is standard output, and messages go to standard error then
    pub(crate) target: PathBuf,
    /// Write into the file or device as it is, and fetch only what differs
    ///
    /// Meanwhile a file has the name TARGET.partial. A device can't be renamed: don't use it before the restore is done. A
    /// file that would become shorter is refused.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// Take chunks that another image at hand has; may be repeated
    ///
    /// It is read where the archive has its chunks, and what comes from it is verified.
    #[arg(long = "seed", value_name = "FILE")]
    pub(crate) seeds: Vec<PathBuf>,
    /// The snapshot that the seeds are restores of: they are read only where both have the same chunks
    #[arg(long, value_name = "SNAPSHOT", requires = "seeds")]
    pub(crate) base: Option<String>,
    /// Restore only these bytes, such as 1GiB+512MiB, as far as the archive has them
    ///
    /// The first of them becomes the first byte of the target, also on a device.
    #[arg(long, value_name = "OFFSET+LEN", value_parser = size::parse_range)]
    pub(crate) range: Option<Range<u64>>,
    /// Where to list what was lost, instead of TARGET.damaged.json; for a device that is in the folder you are in
    ///
    /// An older list of the same target is replaced, and removed when nothing is lost. Any other file is refused.
    #[arg(long, value_name = "FILE", requires = "salvage")]
    pub(crate) damage_map: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// How archives are written.
#[derive(Args, Debug)]
pub(crate) struct Writing {
    /// Put zeros where chunks are missing or damaged, and go on
    ///
    /// A file then gets the name NAME.damaged, and NAME.damaged.json lists what was lost; the exit code is 3. The same command
    /// on a healed datastore fetches just that, and copies the rest from NAME.damaged, which goes once NAME is whole.
    #[arg(long)]
    pub(crate) salvage: bool,
    /// How zeros get into files and devices
    #[arg(long, value_name = "POLICY", default_value = "auto")]
    pub(crate) zeros: ZeroPolicy,
    /// Don't look whether there is room for a file before it is written, as where the file system compresses
    #[arg(long)]
    pub(crate) skip_space_check: bool,
    /// Write through the page cache, which then keeps what is restored
    ///
    /// By default, files and devices are written past the page cache where the file system can do that: this takes less CPU
    /// time, and other programs keep what they have there. With this option, what is restored can be read from memory at once.
    #[arg(long)]
    pub(crate) buffered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ZeroPolicy {
    /// Holes in files; on devices the quickest way that promises zeros
    Auto,
    /// Written out, also where they are zeros already
    Write,
    /// Holes, also on devices; an error where they can't be made
    Punch,
    /// The whole target is discarded first, where that promises zeros
    Discard,
}

impl From<ZeroPolicy> for Zeros {
    fn from(policy: ZeroPolicy) -> Zeros {
        match policy {
            ZeroPolicy::Auto => Zeros::Auto,
            ZeroPolicy::Write => Zeros::Write,
            ZeroPolicy::Punch => Zeros::Punch,
            ZeroPolicy::Discard => Zeros::Discard,
        }
    }
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
    /// Restore file archives as they are stored, as pxar streams, rather than their files
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// The snapshot
    pub(crate) snapshot: String,
    /// What to fetch of it, such as drive-scsi0.img
    pub(crate) archive: String,
    /// How long each setting may take
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The snapshot
    pub(crate) snapshot: String,
    /// What to serve of it; all its disks if nothing is named
    #[arg(value_name = "ARCHIVE")]
    pub(crate) archives: Vec<String>,
    /// Where to make the unix socket, for you alone (mode 0600)
    ///
    /// A socket of yours that nobody answers any more is replaced. Anything else at the path is refused. The path has at most
    /// 107 bytes, with the folders in it.
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub(crate) socket: Option<PathBuf>,
    /// Let the members of this group use the socket too (mode 0660), such as the group of libvirt's QEMU
    #[arg(long, value_name = "GROUP", requires = "socket")]
    pub(crate) socket_group: Option<String>,
    /// Listen for TCP connections, such as on 127.0.0.1:10809 or [::1]:10809; port 0 is a free one
    ///
    /// NBD has no passwords. So all users of this machine can read the disks, and beyond loopback everybody who reaches the
    /// port could: there, --tls-client-ca or --allow-unauthenticated must be given.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Force clients to use TLS; the server's certificate, with those of the authorities between it and the root, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve only clients with a certificate of an authority in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Serve everybody who reaches the address of --listen
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// Make files of the disks in this folder meanwhile: what is read is kept, and the rest is fetched behind the reads
    ///
    /// A file has the name of its archive, and gets it when it is whole. The same command goes on with a file that is not.
    #[arg(long, value_name = "DIR")]
    pub(crate) fill: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Mount {
    /// The snapshot
    pub(crate) snapshot: String,
    /// The folder to mount it on
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Let all users of this machine read what is mounted
    #[arg(long)]
    pub(crate) allow_other: bool,
}
