//! The files of the library, and which modules each of them names.

use std::fs;
use std::path::Path;

/// All files of the library, as module names such as `format/blob`.
pub(crate) fn source() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&source, &mut files);
    assert!(files.len() > 10, "found no source files");
    files
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("the source folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let module = path
                .strip_prefix(source)
                .expect("it was found there")
                .with_extension("");
            files.push((module.to_string_lossy().into_owned(), text));
        }
    }
}

/// What follows `crate::` in code, comments aside.
pub(crate) fn uses(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            &rest[..end.unwrap_or(rest.len())]
        })
}
