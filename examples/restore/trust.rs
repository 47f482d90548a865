//! Decides which certificates are trusted: those that were trusted before, and those that the user
//! trusts when asked.

use std::error::Error as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use chunk_restore::format::KeyFile;
use chunk_restore::{Error, Fingerprint, UntrustedCertificate};

use crate::failure::Failure;
use crate::prompt;
use crate::repository::Server;
use crate::shown::shown;

/// The most bytes of the file: enough for thousands of servers.
const MAX_FILE: u64 = 1 << 20;

/// The file with the trusted fingerprints, next to the default key file. It is the official
/// client's own file, with lines of `host fingerprint`. The official client does not tell the ports
/// of a host apart; here such a line is for the default port of a Proxmox Backup Server. Other
/// ports have lines of `host:port fingerprint`, which the official client leaves alone.
#[derive(Debug)]
pub(crate) struct Known(PathBuf);

/// A fingerprint in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: Fingerprint,
    /// Whether the line is only for the same host: the official client may have seen the
    /// certificate on this port.
    pub(crate) is_guess: bool,
}

impl Known {
    /// `None` where the user has no home folder.
    pub(crate) fn file() -> Option<Known> {
        KeyFile::default_path().map(|path| Known(path.with_file_name("fingerprints")))
    }

    /// The fingerprint that is remembered for a server.
    pub(crate) fn find(&self, server: &Server) -> Result<Option<Remembered>, Failure> {
        let text = match self.read() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("cannot read {}", self.0.display());
                return Err(Failure::fingerprints(message, &error));
            }
        };
        let of = |wanted: &str| {
            text.lines().find_map(|line| {
                let (name, fingerprint) = line.trim().split_once(char::is_whitespace)?;
                let fingerprint = fingerprint.trim().parse().ok()?;
                name.eq_ignore_ascii_case(wanted).then_some(fingerprint)
            })
        };
        let host = || {
            let bare = server.host().trim_matches(['[', ']']);
            of(server.host()).or_else(|| of(bare))
        };
        let known = of(&server.to_string()).map(|fingerprint| (fingerprint, false));
        let known = known.or_else(|| host().map(|found| (found, !server.has_default_port())));
        Ok(known.map(|(fingerprint, is_guess)| Remembered {
            fingerprint,
            is_guess,
        }))
    }

    /// Adds a line for a server that has none yet.
    fn add(&self, server: &Server, fingerprint: Fingerprint) -> io::Result<()> {
        let name = match server.has_default_port() {
            true => server.host().to_owned(),
            false => server.to_string(),
        };
        if let Some(folder) = self.0.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let is_open_line = match self.read() {
            Ok(text) => !text.is_empty() && !text.ends_with('\n'),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let end = if is_open_line { "\n" } else { "" };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)?;
        file.write_all(format!("{end}{name} {fingerprint}\n").as_bytes())
    }

    fn read(&self) -> io::Result<String> {
        // Otherwise a pipe in place of the file would hold the program up.
        if !self.0.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            ));
        }
        let mut text = String::new();
        File::open(&self.0)?
            .take(MAX_FILE)
            .read_to_string(&mut text)?;
        Ok(text)
    }

    /// Adds advice to the failure of a server that shows another certificate than before.
    pub(crate) fn changed(&self, failure: Failure) -> Failure {
        let file = self.0.display();
        failure.means(format!(
            "the server's certificate is not the one that was trusted before; if that is right, take its line out of {file}"
        ))
    }
}

/// The certificate that was refused, if the error is about one.
pub(crate) fn untrusted(error: &Error) -> Option<&UntrustedCertificate> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(untrusted) = error.downcast_ref() {
            return Some(untrusted);
        }
        cause = error.source();
    }
    None
}

/// Asks whether to trust a certificate, and remembers it if the answer is yes. Where nobody can be
/// asked, the answer is no.
pub(crate) fn ask(certificate: &UntrustedCertificate, server: &Server) -> bool {
    let fingerprint = certificate.fingerprint();
    let is_yes = prompt::is_yes(&format!(
        "Nothing vouches for the certificate of {}. It has the fingerprint\n  {fingerprint}\n\
         Is that what the server itself shows? Trust it from now on?",
        shown(server)
    ));
    if is_yes
        && let Some(known) = Known::file()
        && let Err(error) = known.add(server, fingerprint)
    {
        let file = shown(known.0.display());
        let _ = writeln!(io::stderr(), "it can't be remembered in {file}: {error}");
    }
    is_yes
}
