//! The name of a datastore on a Proxmox Backup Server: `[[auth-id@]host[:port]:]datastore`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::place::address::{authority, parse_host};

/// The longest name, in bytes: the official client has the same bound.
const MAX_LEN: usize = 256;
const DEFAULT_PORT: u16 = 8007;
const DEFAULT_HOST: &str = "localhost";
const DEFAULT_IDENTITY: &str = "root@pam";

/// A datastore of a Proxmox Backup Server, and the identity to sign in with:
/// `[[user@realm[!token]@]host[:port]:]datastore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    identity: String,
    host: String,
    port: u16,
    datastore: String,
}

impl Repository {
    /// The identity: `user@realm` or `user@realm!token`; `root@pam` if the text named none.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether the identity is an API token, whose secret needs no sign-in.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.identity.contains('!')
    }

    /// The host: a name or an IP address, an IPv6 address without its brackets; `localhost` if the
    /// text named none.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The server's port; 8007 if the text named none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The datastore's name.
    #[must_use]
    pub fn datastore(&self) -> &str {
        &self.datastore
    }

    /// Puts a repository together of its parts. The host is a name or an IP address, with or without
    /// the brackets of an IPv6 address.
    ///
    /// # Errors
    /// The first part that is malformed, by its name in the `storage.cfg` of Proxmox VE.
    pub(crate) fn of_parts(
        identity: Option<&str>,
        host: &str,
        port: Option<u16>,
        datastore: &str,
    ) -> Result<Repository, &'static str> {
        let is_short = |text: &str| text.len() <= MAX_LEN;
        let identity = identity.unwrap_or(DEFAULT_IDENTITY);
        if !is_identity(identity) || !is_short(identity) {
            return Err("username");
        }
        let is_bare_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let host = match parse_host(host) {
            _ if is_bare_ipv6 => host,
            Some((host, None)) if is_short(host) => host,
            _ => return Err("server"),
        };
        if !is_safe(datastore) || !is_short(datastore) {
            return Err("datastore");
        }
        Ok(Repository {
            identity: identity.to_owned(),
            host: host.to_owned(),
            port: port.unwrap_or(DEFAULT_PORT),
            datastore: datastore.to_owned(),
        })
    }

    /// Host and port, as HTTP writes them.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{}:{}",
            self.identity,
            self.authority(),
            self.datastore
        )
    }
}

impl FromStr for Repository {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<Repository> {
        parse(text).ok_or_else(|| {
            let text = text.escape_debug();
            let message = format!(
                "'{text}' names no datastore: on a server it is written as [[user@realm[!token]@]host[:port]:]datastore, \
                 and a folder as dir:PATH"
            );
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

fn parse(text: &str) -> Option<Repository> {
    if text.len() > MAX_LEN {
        return None;
    }
    let (place, datastore) = match text.rsplit_once(':') {
        Some((place, datastore)) => (Some(place), datastore),
        None => (None, text),
    };
    // An identity has one '@' of its own, so the last '@' ends the identity.
    let (identity, place) = match place.and_then(|place| place.rsplit_once('@')) {
        Some((identity, place)) => (Some(identity), Some(place)),
        None => (None, place),
    };
    let (host, port) = match place {
        None => (DEFAULT_HOST, None),
        Some(place) => parse_host(place)?,
    };
    Repository::of_parts(identity, host, port, datastore).ok()
}

/// Whether a text is `user@realm` or `user@realm!token`, made of bytes that a header can carry.
fn is_identity(text: &str) -> bool {
    let Some((user, rest)) = text.rsplit_once('@') else {
        return false;
    };
    let (realm, token) = match rest.split_once('!') {
        Some((realm, token)) => (realm, Some(token)),
        None => (rest, None),
    };
    let is_user = |byte: u8| byte.is_ascii_graphic() && !b":/!".contains(&byte);
    !user.is_empty() && user.bytes().all(is_user) && is_safe(realm) && token.is_none_or(is_safe)
}

/// Whether a text is what Proxmox calls a safe id: letters, digits, `_`, `.` and `-`, and neither
/// `.` nor `-` at the start.
fn is_safe(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_as_the_official_client_reads_them() {
        for (text, identity, host, port, store) in [
            ("store", "root@pam", "localhost", 8007, "store"),
            (
                "pbs.example.org:store",
                "root@pam",
                "pbs.example.org",
                8007,
                "store",
            ),
            ("10.0.0.1:4000:store", "root@pam", "10.0.0.1", 4000, "store"),
            ("joe@pbs@host:store", "joe@pbs", "host", 8007, "store"),
            (
                "joe@pbs!ci@host:8008:store-1",
                "joe@pbs!ci",
                "host",
                8008,
                "store-1",
            ),
            (
                "joe@pbs!ci@[fd00::1]:8008:a",
                "joe@pbs!ci",
                "fd00::1",
                8008,
                "a",
            ),
            ("[::1]:a", "root@pam", "::1", 8007, "a"),
            (
                "joe@example.org@ldap@host:a",
                "joe@example.org@ldap",
                "host",
                8007,
                "a",
            ),
        ] {
            let parsed = text.parse::<Repository>().expect(text);
            let expected = (identity, host, port, store);
            assert_eq!(
                (
                    &*parsed.identity,
                    &*parsed.host,
                    parsed.port,
                    &*parsed.datastore
                ),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_names_no_datastore_is_refused() {
        let long = "a".repeat(257);
        for text in [
            "",
            ":",
            "host:",
            ":store",
            "joe@host:store",
            "@host:store",
            "host:0:store",
            "host:70000:store",
            "host:x:store",
            "[::1:store",
            "[::1]8007:store",
            "[nonsense]:store",
            "ho st:store",
            "st/ore",
            "joe@pbs!@host:store",
            "a b@pam@host:store",
            "joe:x@pam@host:store",
            &long,
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text:?}");
        }
    }
}
