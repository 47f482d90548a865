//! Makes the URL of a bucket from its name and an endpoint.

use rusty_s3::{Bucket, UrlStyle};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::place::web::parse_url;

/// The region that most servers other than Amazon's have, and their only one.
const DEFAULT_REGION: &str = "us-east-1";

/// The S3 server, and how bucket names are put into its URLs.
#[derive(Clone, Default)]
pub(crate) struct Server {
    /// `http[s]://host[:port][/path]`. Without it, the server is Amazon's for the region.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// Whether the bucket's name becomes a part of the host's name. Without it, only Amazon's
    /// servers get the bucket's name there.
    pub(crate) virtual_host: Option<bool>,
}

/// The bucket on its server.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a malformed endpoint or region, or an endpoint that the bucket can't
/// be a part of.
pub(super) fn bucket(name: &str, server: &Server) -> Result<Bucket> {
    let region = server.region.as_deref().unwrap_or(DEFAULT_REGION);
    if !is_plain(region) {
        let message = "the region is not a name such as eu-central-1";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let endpoint = match &server.endpoint {
        Some(endpoint) => parse(endpoint)?,
        None => parse(&format!("https://s3.{region}.amazonaws.com"))?,
    };
    // Amazon's certificates cover one label before Amazon's own name, so they do not cover a bucket
    // with dots in its name.
    let is_virtual =
        (server.virtual_host).unwrap_or_else(|| server.endpoint.is_none() && !name.contains('.'));
    let style = match is_virtual {
        true => UrlStyle::VirtualHost,
        false => UrlStyle::Path,
    };
    let unusable = || {
        let message = format!("the endpoint {endpoint} can't be used for the bucket {name}");
        Error::new(ErrorKind::Invalid, message)
    };
    let bucket = Bucket::new(endpoint.clone(), style, name.to_owned(), region.to_owned());
    bucket.map_err(|error| unusable().because(error))
}

/// Parses an endpoint. An endpoint of another form than the documented one is not shown in the
/// error.
fn parse(endpoint: &str) -> Result<Url> {
    let invalid = || {
        let message =
            "an S3 endpoint is written as https://host[:port][/path], or http:// without TLS";
        Error::new(ErrorKind::Invalid, message)
    };
    match parse_url(endpoint, invalid)? {
        (url, None) if matches!(url.scheme(), "https" | "http") => Ok(url),
        _ => Err(invalid()),
    }
}

/// Whether a region consists of letters, digits, `-` and `_`.
fn is_plain(region: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !region.is_empty() && region.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(place: &str, endpoint: Option<&str>, virtual_host: Option<bool>) -> Result<String> {
        let server = Server {
            endpoint: endpoint.map(str::to_owned),
            region: Some("eu-west-1".to_owned()),
            virtual_host,
        };
        let place: crate::place::Bucket = place.parse()?;
        let bucket = bucket(place.name(), &server)?;
        let key = format!("{}/.cnt/a:b", place.datastore());
        Ok(bucket.object_url(&key).to_string())
    }

    #[test]
    fn the_bucket_is_in_the_path_unless_it_is_amazons_or_somebody_says_so() {
        let amazon = "https://pbs.s3.eu-west-1.amazonaws.com/store/.cnt/a%3Ab";
        let dots = "https://s3.eu-west-1.amazonaws.com/p.b.s/store/.cnt/a%3Ab";
        let own = Some("http://minio:9000");
        for (place, endpoint, virtual_host, expected) in [
            ("s3://pbs/store", None, None, amazon),
            ("s3://pbs/store/", None, None, amazon),
            ("s3://p.b.s/store", None, None, dots),
            (
                "s3://pbs/store",
                own,
                None,
                "http://minio:9000/pbs/store/.cnt/a%3Ab",
            ),
            (
                "s3://pbs/store",
                own,
                Some(true),
                "http://pbs.minio:9000/store/.cnt/a%3Ab",
            ),
            (
                "s3://t:pbs/a/b",
                own,
                None,
                "http://minio:9000/t%3Apbs/a/b/.cnt/a%3Ab",
            ),
            (
                "s3://pbs/s",
                Some("https://[::1]:1/s3/"),
                None,
                "https://[::1]:1/s3/pbs/s/.cnt/a%3Ab",
            ),
        ] {
            assert_eq!(
                url(place, endpoint, virtual_host).ok().as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_shown() {
        for bad in [
            "host",
            "ftp://host",
            "https://",
            "https://u:s3cret@host",
            "https://host/?s3cret",
            "http://h:x",
            "http://h/a b",
        ] {
            let error = url("s3://b/s", Some(bad), None).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        let error = url("s3://b/s", Some("http://127.0.0.1:1"), Some(true))
            .expect_err("an address has no names below");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
