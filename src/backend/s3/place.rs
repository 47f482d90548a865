//! From `s3://BUCKET/DATASTORE` and an endpoint to a bucket's URL. Asks nobody.

use rusty_s3::{Bucket, UrlStyle};

use crate::error::{Error, ErrorKind, Result};
use crate::net::address::Address;

/// What most servers other than Amazon's call the only region that they have.
const DEFAULT_REGION: &str = "us-east-1";

/// Which server, and how it is spoken to.
#[derive(Clone, Default)]
pub(crate) struct Server {
    /// `http[s]://host[:port][/path]`; else Amazon's of the region.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// Whether the bucket's name is a part of the host's; else so with Amazon alone.
    pub(crate) virtual_host: Option<bool>,
}

/// The bucket, and what all keys of the datastore begin with.
pub(super) fn parse(place: &str, server: &Server) -> Result<(Bucket, String)> {
    // The text may hold a password, though it should not, so it is not shown.
    let invalid = || {
        let message = "a datastore in a bucket is written as s3://BUCKET/DATASTORE";
        Error::new(ErrorKind::Invalid, message)
    };
    let rest = place.strip_prefix("s3://").ok_or_else(invalid)?;
    let (name, store) = rest.split_once('/').ok_or_else(invalid)?;
    let store = store.strip_suffix('/').unwrap_or(store);
    // Some servers have tenants, as `tenant:bucket`.
    if !is_plain(name, b".-_:") || !store.split('/').all(|part| is_plain(part, b".-_")) {
        return Err(invalid());
    }
    let region = server.region.as_deref().unwrap_or(DEFAULT_REGION);
    if !is_plain(region, b"-_") {
        let message = "the region is not a name such as eu-central-1";
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let endpoint = match &server.endpoint {
        Some(endpoint) => checked(endpoint)?.to_owned(),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    // Amazon's certificates are for one name before theirs, so not for a bucket with dots in it.
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
    let url = (endpoint.parse()).map_err(|error| unusable().because(format!("{error}")))?;
    let bucket = Bucket::new(url, style, name.to_owned(), region.to_owned())
        .map_err(|error| unusable().because(error))?;
    Ok((bucket, format!("{store}/")))
}

/// An endpoint as it is to be written; it is not shown otherwise.
fn checked(endpoint: &str) -> Result<&str> {
    let invalid = || {
        let message =
            "an S3 endpoint is written as https://host[:port][/path], or http:// without TLS";
        Error::new(ErrorKind::Invalid, message)
    };
    let rest = (endpoint.strip_prefix("https://"))
        .or_else(|| endpoint.strip_prefix("http://"))
        .ok_or_else(invalid)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = Address::parse(place).ok_or_else(invalid)?;
    if address.user.is_some() || path.contains(['?', '#']) {
        return Err(invalid());
    }
    Ok(endpoint)
}

/// Whether a name consists of letters, digits and these bytes, and is no `.` or `..`.
fn is_plain(name: &str, others: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !matches!(name, "" | "." | "..") && name.bytes().all(fits)
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
        let (bucket, prefix) = parse(place, &server)?;
        Ok(bucket.object_url(&(prefix + ".cnt/a:b")).to_string())
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
            "s3://",
            "s3://b",
            "s3://b/",
            "s3:///s",
            "s3://b/../c",
            "s3://b/a//c",
            "s3://u:s3cret@b/s",
            "s3://b/s?x",
        ] {
            let error = url(bad, None, None).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        for bad in [
            "host",
            "ftp://host",
            "https://",
            "https://u:s3cret@host",
            "https://host/?s3cret",
            "http://h:x",
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
