//! Settings from environment variables, under the names that the official client uses: secrets, the
//! default key file, the namespace, proxies; and from the credentials of a systemd service.

#[cfg(feature = "s3")]
pub(crate) mod aws;
mod credential;

use std::env;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

#[cfg(feature = "tls")]
use crate::digest::Fingerprint;
#[cfg(feature = "master-key")]
use crate::error::BoxError;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "master-key")]
use crate::format::key::MasterKeyFile;
use crate::format::key::{Key, KeyFile};
use crate::format::name::Namespace;
use crate::reading::{SECRET_MAX, first_line, read_secret, read_small};

pub use credential::credential;

/// The most bytes of a key file. It has some hundred bytes; a paper key with its picture has some
/// hundred thousand.
const MAX_KEY_FILE: u64 = 1 << 20;

/// The most bytes of a file with a master key. One of RSA with 16,384 bits has 13 KiB.
#[cfg(feature = "master-key")]
const MAX_MASTER_KEY_FILE: u64 = 64 << 10;

/// The passphrase of key files. It is the first line of what PBS_ENCRYPTION_PASSWORD,
/// PBS_ENCRYPTION_PASSWORD_FD, _FILE or _CMD gives; of these variables, the first that is set
/// counts. Where none is set, it is the [`credential()`] `encryption-password`.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the secret that a variable names can't be read, or is empty.
pub fn passphrase() -> Result<Option<Zeroizing<String>>> {
    match secret("PBS_ENCRYPTION_PASSWORD")? {
        None => credential("encryption-password"),
        secret => Ok(secret),
    }
}

/// The password of a Proxmox Backup Server's user, or the secret of a token. It is the first line
/// of what PBS_PASSWORD, PBS_PASSWORD_FD, _FILE or _CMD gives; of these variables, the first that
/// is set counts. A descriptor can be read only once. Where none is set, it is the [`credential()`]
/// `password`.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the secret that a variable names can't be read, or is empty.
#[cfg(feature = "pbs")]
pub fn password() -> Result<Option<Zeroizing<String>>> {
    match secret("PBS_PASSWORD")? {
        None => credential("password"),
        secret => Ok(secret),
    }
}

impl KeyFile {
    /// Reads a key file. The path may also be that of a pipe, which is read for as long as somebody
    /// writes to it.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the file can't be read or is not a key file.
    pub fn read(path: impl AsRef<Path>) -> Result<KeyFile> {
        let path = path.as_ref();
        let cannot = || {
            Error::new(
                ErrorKind::Key,
                format!("cannot use the key file {}", path.display()),
            )
        };
        let read = read_small(path, MAX_KEY_FILE);
        let text = read.map_err(|error| cannot().because(error))?;
        KeyFile::parse(&text).map_err(|error| cannot().because(error))
    }

    /// The path at which the official client looks for a key file when none is named:
    /// `$XDG_CONFIG_HOME/proxmox-backup/encryption-key.json`, or the same below `~/.config`.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        let config = match set("XDG_CONFIG_HOME") {
            Some(config) => PathBuf::from(config),
            None => PathBuf::from(set("HOME")?).join(".config"),
        };
        Some(config.join("proxmox-backup/encryption-key.json"))
    }
}

#[cfg(feature = "master-key")]
impl MasterKeyFile {
    /// Reads a file with a master key, or a pipe, as [`KeyFile::read`] does.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the file can't be read or is not a private key in PEM.
    pub fn read(path: impl AsRef<Path>) -> Result<MasterKeyFile> {
        let path = path.as_ref();
        let cannot = |error: BoxError| {
            let message = format!("cannot use the master key file {}", path.display());
            Error::new(ErrorKind::Key, message).because(error)
        };
        let pem = read_small(path, MAX_MASTER_KEY_FILE).map_err(|error| cannot(error.into()))?;
        MasterKeyFile::parse(&pem).map_err(|error| cannot(error.into()))
    }
}

/// The value of a variable that is set and not empty.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

pub(crate) fn default_key() -> Result<Option<Key>> {
    let Some(path) = KeyFile::default_path().filter(|path| path.exists()) else {
        return Ok(None);
    };
    let file = KeyFile::read(&path)?;
    let passphrase = match file.is_protected() {
        true => passphrase()?,
        false => None,
    };
    let passphrase = passphrase.as_ref().map(|text| text.as_bytes());
    let key = file.unlock(passphrase).map_err(|error| {
        let message = format!("cannot use the default key file {}", path.display());
        Error::new(error.kind(), message).because(error)
    })?;
    Ok(Some(key))
}

pub(crate) fn namespace() -> Result<Option<Namespace>> {
    match env::var("PBS_NAMESPACE") {
        Ok(name) => name.parse().map(Some),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => {
            Err(Error::new(ErrorKind::Invalid, "PBS_NAMESPACE is not a namespace").because(error))
        }
    }
}

/// The fingerprint of a server's certificate, from PBS_FINGERPRINT. Where that is not set, it is the
/// [`credential()`] `fingerprint`.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the text is not a fingerprint, or the credential can't be read.
#[cfg(feature = "tls")]
pub fn fingerprint() -> Result<Option<Fingerprint>> {
    let (name, text) = match set("PBS_FINGERPRINT") {
        Some(text) => ("PBS_FINGERPRINT", text.to_string_lossy().into_owned()),
        None => match credential("fingerprint")? {
            Some(text) => ("the credential 'fingerprint'", text.to_string()),
            None => return Ok(None),
        },
    };
    text.trim().parse().map(Some).map_err(|error| {
        let message = format!("{name} is not a fingerprint");
        Error::new(ErrorKind::Invalid, message).because(error)
    })
}

/// Which program's rule decides which variables name a proxy.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyRule {
    /// The rule of Proxmox Backup's own client.
    #[cfg(feature = "pbs")]
    Pbs,
    /// The rule of curl for `https://`.
    #[cfg(any(feature = "https", feature = "s3"))]
    Https,
    /// The rule of curl for `http://`. It does not read HTTP_PROXY in capitals, which could be the
    /// header `Proxy` of a CGI request.
    #[cfg(feature = "s3")]
    Http,
}

/// The variable that names a proxy, and its text, which is not checked.
///
/// # Errors
/// [`ErrorKind::Invalid`] where the text is not UTF-8.
#[cfg(feature = "tls")]
pub(crate) fn proxy(rule: ProxyRule) -> Result<Option<(&'static str, String)>> {
    first_set(match rule {
        #[cfg(feature = "pbs")]
        ProxyRule::Pbs => &["ALL_PROXY", "all_proxy"],
        #[cfg(any(feature = "https", feature = "s3"))]
        ProxyRule::Https => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        #[cfg(feature = "s3")]
        ProxyRule::Http => &["http_proxy", "all_proxy", "ALL_PROXY"],
    })
}

/// The list of hosts that are reached without a proxy, which is not checked; empty where there is
/// none.
///
/// # Errors
/// As [`proxy`].
#[cfg(feature = "tls")]
pub(crate) fn no_proxy() -> Result<String> {
    let list = first_set(&["no_proxy", "NO_PROXY"])?;
    Ok(list.map(|(_, list)| list).unwrap_or_default())
}

#[cfg(feature = "tls")]
fn first_set(names: &[&'static str]) -> Result<Option<(&'static str, String)>> {
    let mut values = names.iter().map(|name| (*name, set(name)));
    let Some((name, Some(value))) = values.find(|(_, value)| value.is_some()) else {
        return Ok(None);
    };
    let value = value.into_string();
    value
        .map(|value| Some((name, value)))
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("{name} is not UTF-8")))
}

fn secret(name: &str) -> Result<Option<Zeroizing<String>>> {
    type Reader = fn(&str) -> io::Result<Zeroizing<String>>;
    let readers: [(&str, Reader); 4] = [
        ("", first_line),
        ("_FD", |number| {
            read_secret(Path::new(&format!("/dev/fd/{}", parse_fd(number)?)))
        }),
        ("_FILE", |path| read_secret(Path::new(path))),
        ("_CMD", read_command),
    ];
    for (suffix, read) in readers {
        let variable = format!("{name}{suffix}");
        let Some(value) = env::var_os(&variable) else {
            continue;
        };
        let value = Zeroizing::new(
            value
                .into_string()
                .map_err(|_| Error::new(ErrorKind::Invalid, format!("{variable} is not UTF-8")))?,
        );
        if value.is_empty() {
            let message = format!("{variable} is empty: give it a value, or unset it");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        return read(&value).map(Some).map_err(|error| {
            let message = format!("cannot read the secret that {variable} names");
            Error::new(ErrorKind::Invalid, message).because(error)
        });
    }
    Ok(None)
}

fn parse_fd(number: &str) -> io::Result<u32> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    number.trim().parse().map_err(invalid)
}

fn read_command(command: &str) -> io::Result<Zeroizing<String>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut text = Zeroizing::new(String::new());
    let read = output.take(SECRET_MAX).read_to_string(&mut text);
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("the command ended with {status}")));
    }
    read?;
    first_line(&text)
}
