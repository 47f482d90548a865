//! A datastore in an S3 bucket: `s3://BUCKET/DATASTORE`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A datastore in an S3 bucket, `s3://BUCKET/DATASTORE`. Options say on which server the bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    datastore: String,
}

impl Bucket {
    /// The bucket's name, on some servers as `tenant:bucket`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The datastore's name. The keys of its objects begin with it and a slash.
    #[must_use]
    pub fn datastore(&self) -> &str {
        &self.datastore
    }
}

impl FromStr for Bucket {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Invalid`] for a text of another form. The error does not show the text, which
    /// may hold a password, though it should not.
    fn from_str(text: &str) -> Result<Bucket> {
        parse(text).ok_or_else(|| {
            let message = "a datastore in a bucket is written as s3://BUCKET/DATASTORE";
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

fn parse(text: &str) -> Option<Bucket> {
    let (name, datastore) = text.strip_prefix("s3://")?.split_once('/')?;
    let datastore = datastore.strip_suffix('/').unwrap_or(datastore);
    let is_fine =
        is_plain(name, b".-_:") && datastore.split('/').all(|part| is_plain(part, b".-_"));
    is_fine.then(|| Bucket {
        name: name.to_owned(),
        datastore: datastore.to_owned(),
    })
}

/// Whether a name consists of letters, digits and the bytes in `others`, and is neither `.` nor
/// `..`.
fn is_plain(name: &str, others: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !matches!(name, "" | "." | "..") && name.bytes().all(fits)
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.datastore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_a_datastore_are_named_and_nothing_else() {
        for (text, name, datastore) in [
            ("s3://pbs/store", "pbs", "store"),
            ("s3://p.b-s_/store/", "p.b-s_", "store"),
            ("s3://tenant:pbs/a/b", "tenant:pbs", "a/b"),
        ] {
            let bucket: Bucket = text.parse().expect(text);
            assert_eq!((bucket.name(), bucket.datastore()), (name, datastore));
        }
        for bad in [
            "s3://",
            "s3://b",
            "s3://b/",
            "s3:///s",
            "s3://b/../c",
            "s3://b/a//c",
            "s3://u:s3cret@b/s",
            "s3://b/s?x",
            "https://b/s",
        ] {
            let error = bad.parse::<Bucket>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }
}
