//! ListObjectsV2 over a list of keys. Knows nothing of who asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signature::encoded;

/// What is asked for, and how much at once.
pub(super) struct Query<'a> {
    pub(super) bucket: &'a str,
    pub(super) pairs: &'a [(String, String)],
    /// The most entries of a page, whatever is asked for.
    pub(super) page: usize,
}

impl Query<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A page of these keys, which are sorted.
    pub(super) fn page_of(&self, keys: &[String]) -> String {
        let prefix = self.value("prefix").unwrap_or_default();
        let asked = self.value("max-keys").and_then(|text| text.parse().ok());
        let most = asked.unwrap_or(usize::MAX).min(self.page);
        let after = self.value("continuation-token").map(|token| {
            let key = STANDARD
                .decode(token)
                .expect("the token is one that was given");
            String::from_utf8(key).expect("it is a key")
        });
        let folder = |key: &str| {
            let rest = &key[prefix.len()..];
            let end = rest.find(self.value("delimiter")?)?;
            Some(key[..=prefix.len() + end].to_owned())
        };
        let mut entries: Vec<(String, bool)> = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            let entry = match folder(key) {
                Some(folder) => (folder, true),
                None => (key.clone(), false),
            };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        entries.retain(|(name, _)| after.as_ref().is_none_or(|after| name > after));
        let is_truncated = entries.len() > most;
        entries.truncate(most);

        let is_encoded = self.value("encoding-type") == Some("url");
        let text = |key: &str| match is_encoded {
            true => encoded(key, "/"),
            false => key.replace('&', "&amp;").replace('<', "&lt;"),
        };
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix>\
             <KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>",
            self.bucket,
            text(prefix),
            entries.len(),
            most.min(1000),
        );
        if is_encoded {
            xml += "<EncodingType>url</EncodingType>";
        }
        if let Some((last, _)) = entries.last().filter(|_| is_truncated) {
            let token = STANDARD.encode(last);
            xml += &format!("<NextContinuationToken>{token}</NextContinuationToken>");
        }
        for (name, is_folder) in &entries {
            let name = text(name);
            xml += &match is_folder {
                true => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
                false => format!(
                    "<Contents><Key>{name}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
                     <ETag>&quot;0&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
                ),
            };
        }
        xml + "</ListBucketResult>"
    }
}
