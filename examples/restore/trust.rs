//! Which certificates are trusted: what was trusted before, and asking. Knows nothing of TLS.

use std::error::Error as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use chunk_restore::{Error, Fingerprint, KeyFile, UntrustedCertificate};

use crate::failure::Failure;

/// Room for thousands of servers.
const MAX_FILE: u64 = 1 << 20;

/// The file with the fingerprints that were trusted, next to the default key file: the official client's, with lines
/// of `host fingerprint`.
#[derive(Debug)]
pub(crate) struct Known(PathBuf);

impl Known {
    /// `None` where nobody has a home.
    pub(crate) fn file() -> Option<Known> {
        KeyFile::default_path().map(|path| Known(path.with_file_name("fingerprints")))
    }

    /// The fingerprint that a host had.
    pub(crate) fn find(&self, host: &str) -> Result<Option<Fingerprint>, Failure> {
        let text = match self.read() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("cannot read {}", self.0.display());
                return Err(Failure::denied(message, &error));
            }
        };
        Ok(text.lines().find_map(|line| {
            let (name, fingerprint) = line.trim().split_once(char::is_whitespace)?;
            let fingerprint = fingerprint.trim().parse().ok()?;
            name.eq_ignore_ascii_case(host).then_some(fingerprint)
        }))
    }

    /// Adds a line, for a host that has none.
    fn add(&self, host: &str, fingerprint: Fingerprint) -> io::Result<()> {
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
        file.write_all(format!("{end}{host} {fingerprint}\n").as_bytes())
    }

    fn read(&self) -> io::Result<String> {
        // Else a pipe in its place would hold everything up.
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

    /// For a server that shows another certificate than it had.
    pub(crate) fn changed(&self, failure: Failure) -> Failure {
        let file = self.0.display();
        failure.means(format!(
            "the server's certificate is not the one that was trusted before; if that is right, take its line out of {file}"
        ))
    }
}

/// The certificate that an error is about.
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

/// Asks whether to trust a certificate, and remembers a yes. Where nobody can be asked, that is a no.
pub(crate) fn ask(certificate: &UntrustedCertificate) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    let (host, fingerprint) = (certificate.host(), certificate.fingerprint());
    let mut stderr = io::stderr();
    let _ = write!(
        stderr,
        "Nothing vouches for the certificate of {host}. It has the fingerprint\n  {fingerprint}\n\
         Is that what the server itself shows? Trust it from now on? [y/N] "
    );
    let mut answer = String::new();
    let is_yes = io::stdin().read_line(&mut answer).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if is_yes
        && let Some(known) = Known::file()
        && let Err(error) = known.add(host, fingerprint)
    {
        let file = known.0.display();
        let _ = writeln!(stderr, "it can't be remembered in {file}: {error}");
    }
    is_yes
}
