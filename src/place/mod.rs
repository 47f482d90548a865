//! The names of places: a folder, a datastore of a Proxmox Backup Server, a URL, a bucket, a storage
//! of Proxmox VE. Nothing here opens a place or connects to it.

pub(crate) mod address;
#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "https")]
mod https;
mod repository;
mod storage;
#[cfg(any(feature = "https", feature = "s3"))]
pub(crate) mod web;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

#[cfg(feature = "s3")]
pub use bucket::Bucket;
#[cfg(feature = "https")]
pub use https::HttpsUrl;
pub use repository::Repository;
pub use storage::StorageName;

/// Where a datastore is, as people name it: what [`OpenOptions::open`](crate::OpenOptions::open) reads.
///
/// | text | place |
/// |---|---|
/// | `https://[user:password@]host[:port]/path/` | [`Https`](Place::Https) |
/// | `s3://BUCKET/DATASTORE` | [`S3`](Place::S3) |
/// | `pve:NAME` | [`Pve`](Place::Pve) |
/// | `dir:PATH`, or anything else with a `/` in it | [`Folder`](Place::Folder) |
/// | `[[user@realm[!token]@]host[:port]:]datastore` | [`Pbs`](Place::Pbs) |
///
/// A datastore on a server that is called `pve` is written with the port or the identity, as
/// `pve:8007:datastore`.
///
/// `Display` writes a text that names the same place, and neither `Display` nor `Debug` shows the credentials of a URL.
///
/// ```
/// use chunk_restore::Place;
///
/// # fn main() -> chunk_restore::Result<()> {
/// let Place::Pbs(repository) = "joe@pbs!ci@[fd00::1]:store".parse()? else {
///     panic!("it names a datastore on a server");
/// };
/// assert_eq!(repository.host(), "fd00::1");
/// assert_eq!(repository.to_string(), "joe@pbs!ci@[fd00::1]:8007:store");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A datastore in a folder.
    Folder(PathBuf),
    /// A datastore of a running Proxmox Backup Server.
    Pbs(Repository),
    /// The datastore of a storage of Proxmox VE, which also says how to sign in.
    Pve(StorageName),
    /// A datastore that a web server publishes.
    #[cfg(feature = "https")]
    Https(HttpsUrl),
    /// A datastore that PBS 4 keeps in an S3 bucket.
    #[cfg(feature = "s3")]
    S3(Bucket),
}

impl Place {
    /// The host and port of the server that the place names, an IPv6 address without its brackets.
    /// `None` for a folder, and for a bucket and a storage of Proxmox VE, since their names do not name
    /// the server.
    #[must_use]
    pub fn server(&self) -> Option<(&str, u16)> {
        match self {
            Place::Folder(_) | Place::Pve(_) => None,
            Place::Pbs(repository) => Some((repository.host(), repository.port())),
            #[cfg(feature = "https")]
            Place::Https(url) => Some((url.host(), url.port())),
            #[cfg(feature = "s3")]
            Place::S3(_) => None,
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Unsupported`] for a URL of a kind that this build does not know,
    /// [`ErrorKind::Invalid`] for a text that names no place. No error shows a text that may hold a
    /// password.
    fn from_str(text: &str) -> Result<Place> {
        if let Some(path) = text.strip_prefix("dir:") {
            return Ok(Place::Folder(path.into()));
        }
        if let Some(name) = storage_name(text) {
            return name.parse().map(Place::Pve);
        }
        #[cfg(feature = "https")]
        if text.starts_with("https://") {
            return text.parse().map(Place::Https);
        }
        #[cfg(feature = "s3")]
        if text.starts_with("s3://") {
            return text.parse().map(Place::S3);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            // The text after the scheme may hold a password, so the message does not show it.
            let message = format!(
                "no kind of place is known by {scheme}://; there are https:// and s3://, \
                 [[user@realm[!token]@]host[:port]:]datastore on a server, pve:NAME, and folders"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if text.contains('/') {
            return Ok(Place::Folder(text.into()));
        }
        text.parse().map(Place::Pbs)
    }
}

/// What follows `pve:`, if the text is meant to name a storage. In `pve:8007:datastore` it is the name
/// of a server.
fn storage_name(text: &str) -> Option<&str> {
    (text.strip_prefix("pve:")).filter(|name| !name.contains(':'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(path) => {
                let path = path.display().to_string();
                let is_plain = path.contains('/')
                    && !path.contains("://")
                    && !path.starts_with("dir:")
                    && storage_name(&path).is_none();
                let prefix = if is_plain { "" } else { "dir:" };
                write!(f, "{prefix}{path}")
            }
            Place::Pbs(repository) => repository.fmt(f),
            Place::Pve(name) => write!(f, "pve:{name}"),
            #[cfg(feature = "https")]
            Place::Https(url) => url.fmt(f),
            #[cfg(feature = "s3")]
            Place::S3(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_the_same_place_after_it_was_written() {
        for (text, written) in [
            ("/mnt/store", "/mnt/store"),
            ("dir:/mnt/store", "/mnt/store"),
            ("dir:store", "dir:store"),
            ("dir:dir:/x", "dir:dir:/x"),
            ("dir:s3://x/y", "dir:s3://x/y"),
            ("./store", "./store"),
            ("pve:backup", "pve:backup"),
            ("dir:pve:/backup", "dir:pve:/backup"),
            ("pve:8007:store", "root@pam@pve:8007:store"),
            ("root@pam@pve:store", "root@pam@pve:8007:store"),
            ("store", "root@pam@localhost:8007:store"),
            ("[::1]:store", "root@pam@[::1]:8007:store"),
            #[cfg(feature = "https")]
            ("https://me:x@Host:443/a", "https://host/a/"),
            #[cfg(feature = "s3")]
            ("s3://bucket/store/", "s3://bucket/store"),
        ] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), written, "{text}");
            let again: Place = written.parse().expect(written);
            assert_eq!(again.to_string(), written, "{text}");
            assert_eq!(again.server(), place.server(), "{text}");
        }
    }

    #[test]
    fn a_storage_is_never_taken_for_a_path() {
        for bad in ["pve:", "pve:../backup", "pve:/etc", "pve:a", "pve:a b"] {
            let error = bad.parse::<Place>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
    }

    #[test]
    fn an_unknown_kind_of_url_is_told_without_what_follows() {
        let error = "ftp://me:s3cret@host/"
            .parse::<Place>()
            .expect_err("there is no such kind");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("ftp://") && !text.contains("s3cret"),
            "{text}"
        );
    }
}
