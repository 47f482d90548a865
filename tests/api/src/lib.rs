//! Compares the public API of chunk-restore with the list in `chunk-restore.txt`, so that a change of
//! the API is seen in the diff of a commit.
//!
//! The list is made from rustdoc's JSON, which a stable rustdoc writes only if it takes itself for a
//! nightly one. `UPDATE_SNAPSHOTS=yes cargo test -p api` writes the list anew.

#[cfg(test)]
mod tests {
    use std::env;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// The folder that cargo builds in: this test lies in `debug/deps` there.
    fn target() -> PathBuf {
        let test = env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().to_owned()
    }

    /// Lets rustdoc describe the library, with all features. Only rustdoc is told to take itself for a
    /// nightly one: some dependencies would be built otherwise if the compiler were told, too.
    fn describe() -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let status = Command::new(env!("CARGO"))
            .args([
                "rustdoc",
                "--quiet",
                "-p",
                "chunk-restore",
                "--lib",
                "--all-features",
            ])
            .arg("--target-dir")
            .arg(target())
            .args(["--", "-Z", "unstable-options", "--output-format", "json"])
            .env("RUSTDOC", folder.join("rustdoc"))
            .current_dir(folder.join("../.."))
            .status()
            .unwrap();
        assert!(status.success());
        target().join("doc/chunk_restore.json")
    }

    #[test]
    fn the_public_api_is_the_one_that_is_listed() {
        let api = public_api::Builder::from_rustdoc_json(describe())
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()
            .unwrap();
        api.assert_eq_or_update(Path::new(env!("CARGO_MANIFEST_DIR")).join("chunk-restore.txt"));
    }
}
