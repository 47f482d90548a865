//! Symbolic links that can't be followed. The storage that such a link leads to may not be mounted, so nothing behind the link
//! counts as missing.

use std::path::Path;

use rustix::io::Errno;

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};

/// Looks at a path and at all folders above it, from the top down.
///
/// # Errors
/// [`FetchError::Unreachable`] where one of them is a symbolic link that leads to nothing, or in a circle.
pub(super) fn check(path: &Path) -> Result<(), FetchError> {
    let parts: Vec<&Path> = path.ancestors().collect();
    match parts.into_iter().rev().find_map(broken) {
        Some(message) => Err(FetchError::unreachable(Error::new(
            ErrorKind::Unavailable,
            message,
        ))),
        None => Ok(()),
    }
}

/// The message about a path that is a symbolic link, if the link can't be followed.
pub(super) fn broken(path: &Path) -> Option<String> {
    let target = path.read_link().ok()?;
    let error = path.metadata().err()?;
    let is_broken = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    let errno = Errno::from_io_error(&error)?;
    is_broken.contains(&errno).then(|| {
        format!(
            "{} is a symbolic link to {}, where nothing can be found: mount the storage that it leads to, or remove the link if \
             that is lost",
            path.display(),
            target.display()
        )
    })
}
