//! Credentials that systemd hands to a service: files in the folder that CREDENTIALS_DIRECTORY names.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::environment::set;
use crate::error::{Error, ErrorKind, Result};
use crate::reading::read_secret;

/// The programs whose credentials are taken, in this order.
const PROGRAMS: [&str; 2] = ["chunk-restore", "proxmox-backup-client"];

/// The credential `chunk-restore.NAME` of a systemd service, or else `proxmox-backup-client.NAME`, as
/// the official client calls its own: the first line of the file. `None` where the service has neither,
/// and where the program is no service.
///
/// The names are `repository`, `fingerprint`, `password` and `encryption-password`. The last three are
/// also read by [`OpenOptions::from_env`](crate::OpenOptions::from_env).
///
/// # Errors
/// [`ErrorKind::Invalid`] where a credential can't be read, or its first line is empty.
pub fn credential(name: &str) -> Result<Option<Zeroizing<String>>> {
    let Some(folder) = set("CREDENTIALS_DIRECTORY").map(PathBuf::from) else {
        return Ok(None);
    };
    for program in PROGRAMS {
        let path = folder.join(format!("{program}.{name}"));
        match read_secret(&path) {
            Ok(secret) => return Ok(Some(secret)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot read the credential {}", path.display());
                return Err(Error::new(ErrorKind::Invalid, message).because(error));
            }
        }
    }
    Ok(None)
}
