//! Client addresses behind trusted proxies: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Guarantee: a header is used only if the socket belongs to a trusted proxy, and only the configured one. A
//! malformed value resolves to the address of the proxy, so that it consumes the proxy's own limits.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// The header that trusted proxies set. The other one passes through from clients and is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), of which `for` is used.
    Forwarded,
}

/// The networks of the operator's own proxies.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    header: ForwardedHeader,
}

/// The text is neither an IP address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address or a network such as 10.0.0.0/8")]
pub struct InvalidNetwork(pub String);

impl TrustedProxies {
    /// Parses addresses and networks (CIDR).
    ///
    /// # Errors
    /// When an entry is neither.
    pub fn parse<'a>(
        networks: impl IntoIterator<Item = &'a str>,
        header: ForwardedHeader,
    ) -> Result<Self, InvalidNetwork> {
        let network = |text: &str| {
            IpNet::from_str(text)
                .or_else(|_| IpAddr::from_str(text).map(IpNet::from))
                .map_err(|_| InvalidNetwork(text.to_owned()))
        };
        let networks = networks.into_iter().map(network).collect::<Result<_, _>>()?;
        Ok(Self { networks, header })
    }

    /// Returns whether an address belongs to a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Returns the right-most address that is not a trusted proxy, starting at the socket's own. If all are
    /// trusted, returns the left-most.
    pub fn resolve(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let socket = socket.to_canonical();
        if !self.contains(socket) {
            return socket;
        }
        match self.stated(socket, headers) {
            Some(address) => address,
            None => {
                metrics::counter!("quintet_forwarded_malformed_total").increment(1);
                tracing::debug!("malformed client address from a trusted proxy");
                socket
            }
        }
    }

    fn stated(&self, socket: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let (name, address): (HeaderName, fn(&str) -> Option<IpAddr>) = match self.header {
            ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, node),
            ForwardedHeader::Forwarded => (header::FORWARDED, element),
        };
        let mut nearest = socket;
        // From right to left: each proxy appends the address of its own peer, so the right-most entries can be
        // trusted.
        for value in headers.get_all(name).iter().rev() {
            for hop in split(value.to_str().ok()?, ',')?.into_iter().rev() {
                let hop = address(hop.trim())?.to_canonical();
                if !self.contains(hop) {
                    return Some(hop);
                }
                nearest = hop;
            }
        }
        Some(nearest)
    }
}

/// Parses one element of `Forwarded`, a list of pairs, and returns the address in `for`.
fn element(element: &str) -> Option<IpAddr> {
    let mut address = None;
    for pair in split(element, ';')? {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            if address.replace(node(bare)?).is_some() {
                return None;
            }
        }
    }
    address
}

/// Parses an address with an optional port.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bracketed.unwrap_or(text).parse();
    address.or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()
}

/// Splits at separators outside quotes. Returns `None` if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn trusting(header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies::parse(["10.0.0.0/8", "127.0.0.1", "fd00::/8"], header).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn iso_6_the_right_most_address_that_is_no_proxy_counts() {
        let trusted = trusting(ForwardedHeader::XForwardedFor);
        for (values, expected) in [
            (vec!["203.0.113.7"], "203.0.113.7"),
            (vec!["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            (vec!["198.51.100.1, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
            (vec!["198.51.100.1", "203.0.113.7 ,10.1.1.1"], "203.0.113.7"),
            (vec!["203.0.113.7:4711"], "203.0.113.7"),
            (vec!["[2001:db8::1]:80"], "2001:db8::1"),
            (vec!["[2001:db8::1]"], "2001:db8::1"),
            (vec!["2001:db8::1"], "2001:db8::1"),
            (vec!["::ffff:203.0.113.7"], "203.0.113.7"),
            (vec!["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
            (vec![], "10.0.0.1"),
        ] {
            let resolved = trusted.resolve(ip("10.0.0.1"), &headers("x-forwarded-for", &values));
            assert_eq!(resolved, ip(expected), "{values:?}");
        }
    }

    #[test]
    fn iso_6_a_malformed_header_resolves_to_the_proxy() {
        let x = trusting(ForwardedHeader::XForwardedFor);
        let bad = ["", "unknown", "203.0.113.7, x", "203.0.113.7,", "203.0.113.999", "\"203.0.113.7", "::g"];
        for value in bad {
            let resolved = x.resolve(ip("127.0.0.1"), &headers("x-forwarded-for", &[value]));
            assert_eq!(resolved, ip("127.0.0.1"), "{value}");
        }
        let rfc = trusting(ForwardedHeader::Forwarded);
        for value in ["", "for=", "for=unknown", "for=_x", "by=10.0.0.1", "for=1.2.3.4;for=2.3.4.5", "for"] {
            let resolved = rfc.resolve(ip("127.0.0.1"), &headers("forwarded", &[value]));
            assert_eq!(resolved, ip("127.0.0.1"), "{value}");
        }
    }

    #[test]
    fn iso_6_only_the_configured_header_of_a_trusted_proxy_is_used() {
        let trusted = trusting(ForwardedHeader::XForwardedFor);
        let stated = headers("x-forwarded-for", &["203.0.113.7"]);
        assert_eq!(trusted.resolve(ip("192.0.2.1"), &stated), ip("192.0.2.1"));
        assert_eq!(TrustedProxies::default().resolve(ip("127.0.0.1"), &stated), ip("127.0.0.1"));
        let other = headers("forwarded", &["for=203.0.113.7"]);
        assert_eq!(trusted.resolve(ip("10.0.0.1"), &other), ip("10.0.0.1"));
        assert_eq!(trusted.resolve(ip("::ffff:10.0.0.1"), &stated), ip("203.0.113.7"));
    }

    #[test]
    fn forwarded_header_follows_rfc_7239() {
        let trusted = trusting(ForwardedHeader::Forwarded);
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=198.51.100.17, for=10.0.0.2", "198.51.100.17"),
            ("host=\"a,b;c\";for=192.0.2.60", "192.0.2.60"),
        ] {
            let resolved = trusted.resolve(ip("10.0.0.1"), &headers("forwarded", &[value]));
            assert_eq!(resolved, ip(expected), "{value}");
        }
        assert!(TrustedProxies::parse(["10.0.0.0/33"], ForwardedHeader::Forwarded).is_err());
        assert!(TrustedProxies::parse(["proxy.example"], ForwardedHeader::Forwarded).is_err());
    }
}
