//! Credentials that systemd hands to a service: files in the folder that CREDENTIALS_DIRECTORY names.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::environment::{read_file, set};
use crate::error::{Error, ErrorKind, Result};

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
        let invalid = |why: &str| {
            let message = format!("{why} the credential {}", path.display());
            Error::new(ErrorKind::Invalid, message)
        };
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(invalid("cannot read").because(error)),
        };
        return match text.lines().next() {
            None | Some("") => Err(invalid("there is nothing in the first line of")),
            Some(line) => Ok(Some(Zeroizing::new(line.to_owned()))),
        };
    }
    Ok(None)
}
