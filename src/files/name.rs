//! The names of file archives: one archive, or the two halves of a split one.

/// What of a file archive an archive of a snapshot holds, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchivePart {
    /// All of it: `root.pxar`.
    Whole,
    /// The metadata of a split archive: `root.mpxar`.
    Metadata,
    /// The bytes of the files of a split archive: `root.ppxar`.
    Payloads,
}

impl ArchivePart {
    /// Splits a name into the name before the ending (`root`) and the part that the ending stands
    /// for. The name may have the ending of an index too. `None` if it is that of no file archive.
    ///
    /// ```
    /// use chunk_restore::files::ArchivePart;
    ///
    /// assert_eq!(ArchivePart::of("root.mpxar.didx"), Some(("root", ArchivePart::Metadata)));
    /// assert_eq!(ArchivePart::of("drive-scsi0.img"), None);
    /// ```
    #[must_use]
    pub fn of(archive: &str) -> Option<(&str, ArchivePart)> {
        let name = archive.strip_suffix(".didx").unwrap_or(archive);
        let parts = [Self::Whole, Self::Metadata, Self::Payloads];
        let mut found = parts.into_iter().filter_map(|part| {
            let stem = name.strip_suffix(part.ending())?;
            Some((stem, part))
        });
        found.next()
    }

    /// How the names of such archives end.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            ArchivePart::Whole => ".pxar",
            ArchivePart::Metadata => ".mpxar",
            ArchivePart::Payloads => ".ppxar",
        }
    }

    /// The name of this part of an archive: `root.mpxar` for the stem `root`, for example.
    #[must_use]
    pub fn name(self, stem: &str) -> String {
        format!("{stem}{}", self.ending())
    }
}
