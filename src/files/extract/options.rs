//! What an extraction may overwrite, and which properties of entries it restores.

/// Which entries of the archive may replace what is at their paths already. A directory is never
/// replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overwrite {
    pub(super) files: bool,
    pub(super) symlinks: bool,
    pub(super) hard_links: bool,
}

/// Which properties of entries are restored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Properties {
    pub(super) ownership: bool,
    pub(super) permissions: bool,
    pub(super) xattrs: bool,
    pub(super) acls: bool,
    /// Devices, setuid and setgid, capabilities, and extended attributes that only the system sees.
    pub(super) special: bool,
}

impl Default for Properties {
    fn default() -> Properties {
        Properties {
            ownership: true,
            permissions: true,
            xattrs: true,
            acls: true,
            special: true,
        }
    }
}
