//! The part of a URL that says where and who: `[user[:password]@]host[:port]`. Knows no scheme.

use zeroize::Zeroizing;

/// Where to connect to, and as whom.
pub(crate) struct Address {
    /// A name or an IP address, an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<User>,
}

pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: Zeroizing<String>,
}

impl Address {
    /// `None` for anything else. Names and passwords may be percent-encoded, as in URLs.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(User::parse(user)?), place),
            None => (None, text),
        };
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, (!rest.is_empty()).then(|| rest.strip_prefix(':')))
        } else {
            match place.split_once(':') {
                Some((host, port)) => (host, Some(Some(port))),
                None => (place, None),
            }
        };
        let port = match port {
            Some(port) => Some(port?.parse().ok()?),
            None => None,
        };
        let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(plausible) {
            return None;
        }
        Some(Address {
            host: host.to_owned(),
            port,
            user,
        })
    }
}

impl User {
    fn parse(text: &str) -> Option<User> {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        Some(User {
            name: percent_decode(name)?,
            password: Zeroizing::new(percent_decode(password)?),
        })
    }
}

/// `host:port` as a URL has it.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// `None` for what is not proper percent-encoding of UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            _ => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
        Address::parse(text).map(|address| (address.host, address.port))
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        let found = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(host_and_port("a.example"), found("a.example", None));
        assert_eq!(host_and_port("a:80"), found("a", Some(80)));
        assert_eq!(host_and_port("[::1]"), found("::1", None));
        assert_eq!(host_and_port("[::1]:443"), found("::1", Some(443)));
        for bad in [
            "", ":80", "a:", "a:x", "a:70000", "[::1", "[::1]x", "[]", "a b", "a/b", "::1", "[a]:1",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_may_hold_any_character() {
        let address = Address::parse("me:p%40ss:%2fword@host:1").expect("it is well formed");
        let user = address.user.expect("it names a user");
        assert_eq!((&*user.name, &**user.password), ("me", "p@ss:/word"));
        for bad in ["me%4@host", "me:%zz@host", "me:%ff@host"] {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_ipv6_address_gets_its_brackets_back() {
        assert_eq!(authority("::1", 8007), "[::1]:8007");
        assert_eq!(authority("pbs", 8007), "pbs:8007");
    }
}
