//! Parses a file of Amazon's own tools: sections, their settings, and nested settings.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// The most bytes of such a file: far more than the settings of a thousand profiles take.
const MAX_FILE: u64 = 4 << 20;

/// The text of a file; empty where there is no file.
///
/// # Errors
/// The file can't be read, is too long, or is not text.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let file = match fs::File::open(path) {
        Err(error) if is_absent(&error) => return Ok(text),
        file => file?,
    };
    let len = file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    match len as u64 > MAX_FILE {
        true => Err(io::Error::other(format!(
            "it has more than {MAX_FILE} bytes"
        ))),
        false => Ok(text),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The settings of a section.
#[derive(Debug, Default)]
pub(super) struct Section<'a>(Vec<Setting<'a>>);

#[derive(Debug)]
struct Setting<'a> {
    /// The setting that this setting is nested in.
    parent: Option<&'a str>,
    name: &'a str,
    value: &'a str,
}

impl<'a> Section<'a> {
    /// The first section of a text whose header passes `fits`.
    pub(super) fn find(text: &'a str, fits: impl Fn(&str) -> bool) -> Option<Section<'a>> {
        let header = |line: &'a str| Some(line.trim().strip_prefix('[')?.split(']').next()?.trim());
        let mut lines = text
            .lines()
            .skip_while(|line| !header(line).is_some_and(&fits));
        lines.next()?;
        let mut section = Section::default();
        let mut parent = None;
        for line in lines.take_while(|line| header(line).is_none()) {
            let setting = line.trim();
            let Some((name, value)) = setting
                .split_once('=')
                .filter(|_| !setting.starts_with(['#', ';']))
            else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            // Indented lines after a setting without a value are nested in that setting.
            if !line.starts_with([' ', '\t']) {
                parent = None;
            }
            section.0.push(Setting {
                parent,
                name,
                value,
            });
            if parent.is_none() && value.is_empty() {
                parent = Some(name);
            }
        }
        Some(section)
    }

    /// The value of a setting, if it has one.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.of(None, name)
    }

    /// The value of a setting that is nested in another one.
    pub(super) fn nested(&self, parent: &str, name: &str) -> Option<&'a str> {
        self.of(Some(parent), name)
    }

    fn of(&self, parent: Option<&str>, name: &str) -> Option<&'a str> {
        let is_in = |setting: &&Setting| match (parent, setting.parent) {
            (None, None) => true,
            (Some(wanted), Some(parent)) => parent.eq_ignore_ascii_case(wanted),
            _ => false,
        };
        let found =
            (self.0.iter().filter(is_in)).find(|setting| setting.name.eq_ignore_ascii_case(name));
        found
            .map(|setting| setting.value)
            .filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# comment = [default]
[other]
aws_access_key_id = AKIDOTHER
[default]
; aws_access_key_id = not this
AWS_Access_Key_ID=AKIDDEFAULT
aws_secret_access_key = a+b/c==
region = eu-west-1
s3 =
  # nested = neither
  endpoint_url = http://nested
\taddressing_style = path
output = json
  indented = all the same
[ team ] ; why
endpoint_url = http://localhost:9000
[default]
region = not this either
";

    #[test]
    fn a_section_has_its_own_settings_and_the_nested_ones_are_apart() {
        let section = |name: &str| Section::find(FILE, |header| header == name);
        let default = section("default").expect("it is there");
        assert_eq!(default.value("aws_access_key_id"), Some("AKIDDEFAULT"));
        assert_eq!(default.value("aws_secret_access_key"), Some("a+b/c=="));
        assert_eq!(default.value("region"), Some("eu-west-1"));
        assert_eq!(default.value("endpoint_url"), None);
        assert_eq!(default.nested("s3", "endpoint_url"), Some("http://nested"));
        assert_eq!(default.nested("s3", "addressing_style"), Some("path"));
        assert_eq!(default.nested("s3", "nested"), None);
        assert_eq!(default.nested("s3", "output"), None);
        assert_eq!(default.value("output"), Some("json"));
        assert_eq!(default.value("indented"), Some("all the same"));
        assert_eq!(default.value("s3"), None);
        let team = section("team").expect("it is there");
        assert_eq!(team.value("endpoint_url"), Some("http://localhost:9000"));
        assert!(section("nobody").is_none());
    }
}
