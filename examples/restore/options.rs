//! The options that all commands have.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::size;

/// How many seconds places may give nothing, unless an option says otherwise.
const PATIENCE_SECONDS: u64 = 120;

/// What may be given before or after the subcommand.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options for all commands")]
pub(crate) struct Options {
    /// The datastore: on a PBS, of a storage of Proxmox VE, at an https:// URL, in an S3 bucket, or in a folder
    ///
    /// On a Proxmox Backup Server: [[user@realm[!token]@]host[:port]:]datastore. On a web server that publishes a
    /// datastore's folder: https://[user:password@]host[:port]/path/. In an S3 bucket, where PBS 4 keeps a datastore:
    /// s3://BUCKET/DATASTORE, with credentials from the environment or a profile. pve:NAME is the datastore of a storage of
    /// Proxmox VE, about which /etc/pve says all the rest; `list` with pve: shows the storages. A folder is a path with a '/'
    /// in it, or dir:PATH; so `store` is a datastore on localhost, and ./store or dir:store a folder. Else the environment's
    /// PBS_REPOSITORY.
    /// May be repeated, for copies of one datastore: what the first lacks or can't give comes from the next. Give all of
    /// them on the same side of the subcommand.
    #[arg(long = "repository", global = true, value_name = "PLACE")]
    pub(crate) repositories: Vec<String>,

    /// Trust the server whose certificate has this SHA-256; else PBS_FINGERPRINT
    ///
    /// A certificate that the system's roots vouch for needs none. Else the fingerprint that was trusted before is taken, or
    /// asked about on a terminal, and remembered in ~/.config/proxmox-backup/fingerprints: by the host, or, for another port
    /// than 8007, by host and port.
    #[arg(long, global = true, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,

    /// Trust the root certificates in this PEM file too
    ///
    /// The server's own certificate may be one of them, if it signs itself; its name and its dates must be right.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The S3 server of an s3:// place, https://host[:port]; else AWS_ENDPOINT_URL, else the profile's, else Amazon
    ///
    /// With http:// everything travels unencrypted but the secret key, which is never sent. What is restored is verified
    /// all the same.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// The bucket's region; else AWS_REGION or AWS_DEFAULT_REGION, else the profile's, else us-east-1
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// The profile of ~/.aws/credentials and ~/.aws/config to take S3 credentials from
    #[arg(long, global = true, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,

    /// Ask for the bucket as https://BUCKET.host/, also with --endpoint; with Amazon that is the default
    #[arg(long, global = true)]
    pub(crate) virtual_host: bool,

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

    /// A file with the master key, which recovers the key of a snapshot from the snapshot itself
    ///
    /// The file is an RSA private key as PEM. Its passphrase is asked for like that of a key file. Only a build with
    /// the feature master-key can use it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) master_keyfile: Option<PathBuf>,

    /// Take a snapshot that is not signed although keys are at hand
    #[arg(long, global = true)]
    pub(crate) allow_unsigned: bool,

    /// Replace files that exist, once all is there; their mode is kept, and their owner where that is allowed
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

    /// How many chunks to have in flight at once; 0 chooses
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) streams: usize,

    /// How much memory chunks may take: bytes, or with K, M, G, KiB, MiB, GiB [default: 256MiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) memory: Option<u64>,

    /// Fetch no more than so many bytes a second: a number, or with K, M, G, KiB, MiB, GiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) rate: Option<u64>,

    /// How many seconds places may give nothing before the program gives up
    ///
    /// A place that can't be reached is tried each second meanwhile. Where nothing was ever had of a server, a refused
    /// connection or an unknown name is a failure at once. [default: 120; for reads through serve and mount: 60]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) patience: Option<u64>,

    /// Ask for a chunk that others wait for once more when it is late: of the next place, or over another connection
    ///
    /// Late is a quarter longer than nine in ten take, and 50 ms at the least. The first answer counts. At most one chunk
    /// in 20 is asked for twice.
    #[arg(long, global = true)]
    pub(crate) race: bool,

    /// How to say what is done
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output_format: Format,

    /// Say nothing of progress and success, only errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

impl Options {
    /// How long places may give nothing.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.unwrap_or(PATIENCE_SECONDS))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people; progress and errors go to standard error
    Text,
    /// One JSON object a line, with its sort under `event`; all go to standard output
    Json,
}
