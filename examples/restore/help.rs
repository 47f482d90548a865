//! What `--help` says behind the options: examples, environment variables, exit codes.

use crate::{exit, program};

const EXAMPLES: &str = "\
Examples:
  restore list --repository /mnt/datastore
  restore image vm/100 drive-scsi0.img disk.raw --repository /mnt/datastore
  restore image vm/100 drive-scsi0.img - | zstd > disk.raw.zst
  restore image vm/100 drive-scsi0.img /dev/vg/vm-100-disk-0 --reuse
  restore verify vm/100/2026-11-23T00:00:00Z --keyfile backup.key
  restore verify vm/100 --master-keyfile master-private.pem
  restore list --repository 'backup@pbs!restore@pbs.example.org:store'
  restore get vm/100/2026-11-23T00:00:00Z disks --repository https://example.org/store/
  restore list --repository pve:
  restore image vm/100 drive-scsi0.img /dev/pve/vm-100-disk-0 --repository pve:backup
  restore list --repository s3://bucket/store --region eu-central-1
  restore get vm/100 disks --repository s3://bucket/store --endpoint https://minio.example.org:9000
  restore get vm/100 disks --repository pbs.example.org:store --repository /mnt/old-copy
  restore vm vm/100 --dir /srv/vm-100 --config qemu
  restore vm vm/100 --map drive-scsi0=/dev/pve/vm-100-disk-0 --map drive-efidisk0=efi.raw
  restore files ct/101 root.pxar /srv/ct-101
  restore files ct/101 root.pxar rescued etc/hosts 'var/log/*.gz' --pattern '!*.1.gz'
  restore ls ct/101 root.pxar /etc --long
  restore find ct/101 root.pxar '*.conf' '!/usr/**'
  restore cat ct/101 root.pxar /etc/hosts > hosts
  restore serve vm/100 --socket /run/vm-100.sock
  restore mount vm/100 /mnt/vm-100";

const ENVIRONMENT: &str = "\
Environment:
  PBS_REPOSITORY           the datastore, where --repository is not given; or in parts:
  PBS_DATASTORE            its name, with PBS_SERVER, PBS_PORT and PBS_AUTH_ID
  PBS_NAMESPACE            the namespace, where --ns is not given
  PBS_PASSWORD             the password, or a token's secret; else, the first that is set:
                           _FD, _FILE, _CMD: read from a descriptor, a file, a command
  PBS_FINGERPRINT          the server's, where --fingerprint is not given
  PBS_ENCRYPTION_PASSWORD  the passphrase of key files; else _FD, _FILE, _CMD
  CREDENTIALS_DIRECTORY    where systemd put credentials, taken where none of these is set:
                           chunk-restore.repository, .fingerprint, .password and
                           .encryption-password, or the same of proxmox-backup-client
  CHUNK_RESTORE_PVE_DIR    the folder with the configuration of Proxmox VE, if not /etc/pve
  ALL_PROXY                an HTTP proxy to servers, http://[user:password@]host:port; to web
                           servers and S3 HTTPS_PROXY comes first; each also in lower case
  NO_PROXY                 the hosts that are reached without it: names with all below them,
                           addresses, networks such as 10.0.0.0/8, or *; also in lower case
  AWS_ACCESS_KEY_ID        the access key for s3:// places, where --profile is not given,
                           with AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if it is temporary
  AWS_PROFILE              else a profile of ~/.aws/credentials and ~/.aws/config, or of the files
                           that AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name; `default`
                           if not set
  AWS_ENDPOINT_URL         the S3 server, where --endpoint is not given; else the profile's
  AWS_REGION               the region, where --region is not given; else the profile's";

/// What `--help` says behind the options, for a program of this name.
pub(crate) fn after(name: &str) -> String {
    sections(name).join("\n\n")
}

/// The sections of what `--help` says behind the options. The first line of each is its heading.
pub(crate) fn sections(name: &str) -> [String; 3] {
    let examples = EXAMPLES.replace(&format!("  {} ", program::NAME), &format!("  {name} "));
    [examples, ENVIRONMENT.to_owned(), exit::HELP.to_owned()]
}

/// What `serve --help` says behind the options, for a program of this name.
pub(crate) fn after_serve(name: &str) -> String {
    format!(
        "A client that starts the server, and ends it when the disk is copied:\n  \
         nbdcopy -- [ {name} serve vm/100 drive-scsi0.img ] disk.raw"
    )
}
