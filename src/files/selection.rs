//! Which entries of an archive are taken: paths, and patterns with the official client's rules.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files::pattern::Pattern;

/// Which entries of a file archive are taken. The default is all of them.
///
/// As soon as there is a path or a pattern, only those entries are taken that belong to one of the
/// paths, or that the patterns include. The directories around a taken entry are taken too, but
/// not what else is in them.
///
/// ```
/// use chunk_restore::files::Selection;
///
/// let logs = Selection::default().pattern("/var/log/**")?.pattern("!*.gz")?;
/// # let _ = logs;
/// # Ok::<(), chunk_restore::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Sorted, and none of them lies in another one.
    paths: Vec<PathBuf>,
    rules: Vec<Rule>,
}

/// A pattern, and whether the entries that match it are taken.
#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    is_including: bool,
}

impl Selection {
    /// Takes the entry at this path, with everything in it if it is a directory. The path begins at
    /// the archive's root, with or without a slash.
    #[must_use]
    pub fn path(mut self, path: impl AsRef<Path>) -> Selection {
        let path: PathBuf = path.as_ref().components().filter(is_name).collect();
        if !self.paths.iter().any(|taken| path.starts_with(taken)) {
            self.paths.retain(|taken| !taken.starts_with(&path));
            self.paths.push(path);
        }
        self
    }

    /// Takes what matches a [`Pattern`], or leaves it out if a `!` stands before the pattern. The
    /// last pattern that matches an entry decides. If none does, the entry goes with its directory.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn pattern(mut self, pattern: impl AsRef<[u8]>) -> Result<Selection> {
        let pattern = pattern.as_ref();
        let excluded = pattern.strip_prefix(b"!");
        self.rules.push(Rule {
            pattern: Pattern::new(excluded.unwrap_or(pattern))?,
            is_including: excluded.is_none(),
        });
        Ok(self)
    }

    /// Whether everything is taken.
    pub(super) fn is_all(&self) -> bool {
        self.paths.is_empty() && self.rules.is_empty()
    }

    /// The paths, if there are no patterns.
    pub(super) fn only_paths(&self) -> Option<&[PathBuf]> {
        (self.rules.is_empty() && !self.paths.is_empty()).then_some(&*self.paths)
    }

    /// The patterns of what is taken.
    pub(super) fn including(&self) -> impl Iterator<Item = &Pattern> {
        let rules = self.rules.iter().filter(|rule| rule.is_including);
        rules.map(|rule| &rule.pattern)
    }

    /// The paths.
    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether the entry at a path of the archive is taken. `is_directory_taken` says so of the
    /// directory around it, and decides where no path and no pattern does.
    #[must_use]
    pub fn takes(&self, path: &Path, is_directory: bool, is_directory_taken: bool) -> bool {
        let mut rules = self.rules.iter().rev();
        let rule = rules.find(|rule| rule.pattern.matches(path, is_directory));
        let by_rules = rule.map_or(is_directory_taken, |rule| rule.is_including);
        by_rules || self.paths.iter().any(|taken| path.starts_with(taken))
    }
}

/// Whether a component of a path is more than a slash or a dot. A `..` is kept, so that the look-up
/// refuses it.
fn is_name(component: &std::path::Component<'_>) -> bool {
    use std::path::Component;
    matches!(component, Component::Normal(_) | Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let selection = Selection::default().pattern("d/**").unwrap();
        let selection = selection.pattern("!*.gz").unwrap();
        assert!(selection.takes(Path::new("d/a"), false, false));
        assert!(!selection.takes(Path::new("d/a.gz"), false, true));
        assert!(selection.takes(Path::new("e"), false, true));
        assert!(!selection.takes(Path::new("e"), false, false));
        let selection = selection.pattern("b.gz").unwrap();
        assert!(selection.takes(Path::new("d/b.gz"), false, false));
    }

    #[test]
    fn a_path_in_another_path_is_no_path_of_its_own() {
        let selection = Selection::default()
            .path("/a/b")
            .path("c")
            .path("a/")
            .path("a/x");
        assert_eq!(selection.paths(), [Path::new("c"), Path::new("a")]);
        assert!(selection.takes(Path::new("a/y"), false, false));
        assert!(!selection.takes(Path::new("ab"), false, false));
    }
}
