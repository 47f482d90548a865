//! Hosts, ports and users, in the form that all kinds of place share:
//! `[user[:password]@]host[:port]`.

#[cfg(feature = "tls")]
use percent_encoding::percent_decode_str;
#[cfg(feature = "tls")]
use zeroize::Zeroizing;

/// The host and port to connect to, and the user to connect as.
#[cfg(feature = "tls")]
pub(crate) struct Address {
    /// The host: a name or an IP address, an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<User>,
}

/// A user that a URL names.
#[cfg(feature = "tls")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// The password; empty if the URL has none.
    pub(crate) password: Zeroizing<String>,
}

#[cfg(feature = "tls")]
impl Address {
    /// Reads `[user[:password]@]host[:port]`; `None` for anything else. Names and passwords may be percent-encoded, as in
    /// URLs.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(User::parse(user)?), place),
            None => (None, text),
        };
        let (host, port) = parse_host(place)?;
        Some(Address {
            host: host.to_owned(),
            port,
            user,
        })
    }
}

#[cfg(feature = "tls")]
impl User {
    fn parse(text: &str) -> Option<User> {
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        Some(User {
            name: percent_decode(name)?,
            password: Zeroizing::new(percent_decode(password)?),
        })
    }
}

/// Reads `host[:port]`; `None` for anything else. The host is a name or an IP address. An IPv6 address is written in brackets,
/// and comes without them. No port is 0.
pub(crate) fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':')?)),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let is_plausible = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_plausible) {
            return None;
        }
        (host, port)
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None => None,
    };
    Some((host, port))
}

/// Host and port as a URL writes them: `host:port`.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Decodes percent-encoding; `None` for a text that is not properly percent-encoded UTF-8.
#[cfg(feature = "tls")]
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    // The crate leaves a '%' alone that no two digits follow. It may be a slip of the person who
    // typed the password.
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let is_proper = |rest: &str| rest.bytes().take(2).filter(|byte| is_digit(byte)).count() == 2;
    if !text.split('%').skip(1).all(is_proper) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        assert_eq!(parse_host("a.example"), Some(("a.example", None)));
        assert_eq!(parse_host("a_b:80"), Some(("a_b", Some(80))));
        assert_eq!(parse_host("[::1]"), Some(("::1", None)));
        assert_eq!(parse_host("[::1]:443"), Some(("::1", Some(443))));
        for bad in [
            "", ":80", "a:", "a:x", "a:0", "a:70000", "[::1", "[::1]x", "[]", "a b", "a/b", "::1",
            "[a]:1",
        ] {
            assert_eq!(parse_host(bad), None, "{bad}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_password_may_hold_any_character() {
        let address = Address::parse("me:p%40ss:%2fword@host:1").expect("it is well formed");
        let user = address.user.expect("it names a user");
        assert_eq!((&*user.name, &**user.password), ("me", "p@ss:/word"));
        for bad in ["me%4@host", "me:%zz@host", "me:%@host", "me:%ff@host"] {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_ipv6_address_gets_its_brackets_back() {
        assert_eq!(authority("::1", 8007), "[::1]:8007");
        assert_eq!(authority("pbs", 8007), "pbs:8007");
    }
}
