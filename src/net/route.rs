//! Decides how to reach a host: directly, or through a proxy.

use std::net::IpAddr;
use std::sync::Arc;

use crate::error::FetchError;
use crate::error::{Error, ErrorKind};
use crate::net::proxy::Proxy;
use crate::place::address::Address;

/// The rules that decide which hosts are reached through a proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// The proxy. If it can't be used, that is an error only for hosts that would be reached
    /// through it.
    proxy: Option<Result<Arc<Proxy>, String>>,
    exceptions: Vec<Exception>,
}

/// Hosts that are reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    /// A domain and all names below it, on this port or on any.
    Domain(String, Option<u16>),
    /// The addresses that have this many leading bits in common with this one, on this port or on
    /// any.
    Network(IpAddr, u32, Option<u16>),
}

impl Route {
    /// Reaches all hosts through a proxy.
    pub(crate) fn through(proxy: Proxy) -> Route {
        Route {
            proxy: Some(Ok(Arc::new(proxy))),
            exceptions: Vec::new(),
        }
    }

    /// Uses the proxy that an environment variable names, except for the hosts in a list of the
    /// form that NO_PROXY has.
    pub(crate) fn from_env(variable: &'static str, proxy: &str, except: &str) -> Route {
        let proxy = match Proxy::parse(proxy) {
            Ok(proxy) => Ok(Arc::new(proxy.named_by(variable))),
            Err(error) => Err(format!(
                "the proxy that {variable} names can't be used: {error}"
            )),
        };
        let entries = except.split([',', ' ']).map(str::trim);
        Route {
            proxy: Some(proxy),
            exceptions: entries.filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy for a host, if it is not reached directly.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] of kind [`ErrorKind::Invalid`] for a proxy that can't be used.
    pub(super) fn proxy_to(&self, host: &str, port: u16) -> Result<Option<&Proxy>, FetchError> {
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        let mut exceptions = self.exceptions.iter();
        if exceptions.any(|exception| exception.covers(host, port)) {
            return Ok(None);
        }
        match proxy {
            Ok(proxy) => Ok(Some(proxy)),
            Err(message) => Err(FetchError::Fatal(
                Error::new(ErrorKind::Invalid, message.as_str()).into(),
            )),
        }
    }
}

impl Exception {
    /// Reads an entry as curl does. A name means itself and all names below it, with or without a
    /// leading dot. An address means itself, an address with a number of bits a network, and a star
    /// every host. `None` for any other text.
    fn parse(entry: &str) -> Option<Exception> {
        if entry == "*" {
            return Some(Exception::All);
        }
        let unbracketed = entry
            .strip_prefix('[')
            .and_then(|entry| entry.strip_suffix(']'));
        let plain = unbracketed.unwrap_or(entry);
        if let Some((address, bits)) = plain.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Exception::Network(address, bits, None));
        }
        if let Ok(address) = plain.parse::<IpAddr>() {
            return Some(Exception::Network(address, 128, None));
        }
        let domain = entry.strip_prefix('*').unwrap_or(entry);
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let Address { host, port, user } = Address::parse(domain)?;
        if user.is_some() {
            return None;
        }
        Some(match host.parse::<IpAddr>() {
            Ok(address) => Exception::Network(address, 128, port),
            Err(_) => Exception::Domain(host.to_ascii_lowercase(), port),
        })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let fits = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Exception::All => true,
            Exception::Domain(domain, wanted) => {
                let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                fits(wanted) && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Exception::Network(network, bits, wanted) => {
                let is_in = |address| shares_bits(*network, address, *bits);
                fits(wanted) && host.parse().is_ok_and(is_in)
            }
        }
    }
}

/// Whether the first bits of two addresses are the same.
fn shares_bits(left: IpAddr, right: IpAddr, bits: u32) -> bool {
    let difference = match (left.to_canonical(), right.to_canonical()) {
        (IpAddr::V4(left), IpAddr::V4(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros(),
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits() ^ right.to_bits()).leading_zeros(),
        _ => return false,
    };
    let most = if left.to_canonical().is_ipv4() {
        32
    } else {
        128
    };
    difference >= bits.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_straight(list: &str, host: &str, port: u16) -> bool {
        let route = Route::from_env("ALL_PROXY", "http://proxy:3128", list);
        let proxy = route
            .proxy_to(host, port)
            .expect("the proxy is well formed");
        proxy.is_none()
    }

    #[test]
    fn hosts_of_the_list_are_reached_straight() {
        for (list, host) in [
            ("*", "anything"),
            ("a.example", "a.example"),
            ("a.example", "A.Example."),
            ("example.org", "pbs.example.org"),
            (".example.org", "pbs.example.org"),
            (".example.org", "example.org"),
            ("*.example.org", "pbs.example.org"),
            ("x, ,example.org.", "pbs.example.org"),
            ("x example.org", "example.org"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fd00::/8", "fd12:3456::1"),
            ("pbs:8007", "pbs"),
            ("10.0.0.1:8007", "10.0.0.1"),
            ("[fd00::1]:8007", "fd00::1"),
        ] {
            assert!(goes_straight(list, host, 8007), "{list} and {host}");
        }
        for (list, host) in [
            ("", "a.example"),
            ("example.org", "badexample.org"),
            ("example.org", "example.org.evil"),
            ("pbs.example.org", "example.org"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/33", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "fd00::1"),
            ("fd00::/8", "fe80::1"),
            ("pbs:443", "pbs"),
            ("a*", "a.example"),
            ("me@pbs", "pbs"),
        ] {
            assert!(!goes_straight(list, host, 8007), "{list} and {host}");
        }
    }

    #[test]
    fn a_proxy_that_can_not_be_used_matters_only_where_it_would_be() {
        let route = Route::from_env("ALL_PROXY", "socks5://me:s3cret@proxy", "10.0.0.0/8");
        assert!(matches!(route.proxy_to("10.0.0.1", 8007), Ok(None)));
        let Err(FetchError::Fatal(error)) = route.proxy_to("pbs", 8007) else {
            panic!("there are none but HTTP proxies");
        };
        let text = error.to_string();
        assert!(
            text.contains("ALL_PROXY") && !text.contains("s3cret"),
            "{text}"
        );
    }
}
