//! The `https://` URL of a datastore that a web server publishes.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::place::address::User;
use crate::place::web::parse_url;

/// The URL of a datastore that a web server publishes, `https://[user:password@]host[:port]/path/`.
///
/// `Display` and `Debug` show neither the user nor the password.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsUrl {
    /// The URL ends with a slash, and has no credentials in it.
    url: Url,
    user: Option<User>,
}

impl HttpsUrl {
    /// The URL, without user and password. It ends with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host: a name or an IP address, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.trim_matches(['[', ']'])
    }

    /// The port of the web server; 443 where the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(443)
    }

    /// The user that the URL names.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|user| &*user.name)
    }

    /// The user that the URL names, and the password.
    pub(crate) fn credentials(&self) -> Option<&User> {
        self.user.as_ref()
    }
}

impl FromStr for HttpsUrl {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Invalid`] for a URL of another form. The error does not show the URL.
    fn from_str(text: &str) -> Result<HttpsUrl> {
        let invalid = || {
            let message =
                "the URL of a datastore is written as https://[user:password@]host[:port]/path/";
            Error::new(ErrorKind::Invalid, message)
        };
        if !text.starts_with("https://") {
            return Err(invalid());
        }
        let (mut url, user) = parse_url(text, invalid)?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(HttpsUrl { url, user })
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_credentials_and_gain_a_slash() {
        for (text, written, host, port) in [
            ("https://host", "https://host/", "host", 443),
            ("https://Host:443/a/b", "https://host/a/b/", "host", 443),
            (
                "https://[::1]:8443/a/",
                "https://[::1]:8443/a/",
                "::1",
                8443,
            ),
            ("https://me:p?#w/@host/a", "", "", 0),
            ("https://me:p?#w@host/a", "https://host/a/", "host", 443),
            (
                "https://host/\u{f6}/%2F",
                "https://host/%C3%B6/%2F/",
                "host",
                443,
            ),
        ] {
            let Ok(url) = text.parse::<HttpsUrl>() else {
                assert_eq!(written, "", "{text}");
                continue;
            };
            assert_eq!(
                (url.as_str(), url.host(), url.port()),
                (written, host, port)
            );
        }
    }

    #[test]
    fn the_password_of_a_url_is_nowhere_shown() {
        let url: HttpsUrl = "https://me:s3cret@host/a".parse().expect("it is a URL");
        assert_eq!(url.user(), Some("me"));
        let password = url.credentials().map(|user| user.password.as_str());
        assert_eq!(password, Some("s3cret"));
        for shown in [format!("{url}"), format!("{url:?}")] {
            assert!(
                !shown.contains("s3cret") && !shown.contains("me"),
                "{shown}"
            );
        }
    }

    #[test]
    fn other_urls_are_refused_and_not_shown() {
        for bad in [
            "http://s3cret@host/",
            "https://",
            "https:///s3cret/",
            "https://s3cret@/",
            "https://u:s3cret@host:port/",
            "https://u:s3cret@host/?signature",
            "https://u:s3cret@host/#part",
            "https://u:s3cret@host/a b",
            "https://u:s3cret@1.2.3.4.5/",
        ] {
            let error = bad.parse::<HttpsUrl>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
