//! The allow-list of origins of browsers and web views.
//!
//! Guarantee: a request with an `Origin` that is not on the list is refused before any other processing, an
//! upgrade included (AUTH-4). Each entry is one origin, compared byte for byte.

use std::{collections::BTreeSet, net::IpAddr};

use http::{HeaderMap, HeaderValue, header, uri::Authority};

/// An allow-list of origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    listed: BTreeSet<String>,
    /// Accepts every loopback origin, on any port, for requests whose host is loopback too.
    any_loopback: bool,
}

/// The text is not a serialised origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: write scheme://host or scheme://host:port as a browser sends it, in lower case and without a slash at the end, as in https://chat.example.org or capacitor://localhost"
)]
pub struct InvalidOrigin(pub String);

/// The origin of a request is not on the allow-list (AUTH-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin is not on the allow-list")]
pub struct OriginError;

impl Origins {
    /// Parses origins as a browser sends them: scheme, host, and the port unless it is the scheme's default.
    ///
    /// # Errors
    /// When an entry is not exactly one origin in this form.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidOrigin> {
        origins
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(|listed| Self { listed, any_loopback: false })
    }

    /// Returns the origins of browsers on this machine: those of any loopback port, such as the development server
    /// of a front end. For development only: another program of this machine may serve such a page.
    pub fn of_loopback() -> Self {
        Self { listed: BTreeSet::new(), any_loopback: true }
    }

    /// Returns whether no origin is allowed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && !self.any_loopback
    }

    /// Returns the union of both lists.
    pub fn and(mut self, more: Origins) -> Self {
        self.listed.extend(more.listed);
        self.any_loopback |= more.any_loopback;
        self
    }

    /// Returns whether the origin of a request with these headers is on the list.
    pub fn contains(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        origin.to_str().is_ok_and(|origin| {
            self.listed.contains(origin)
                || (self.any_loopback && is_loopback(origin) && has_loopback_host(headers))
        })
    }

    /// Returns the origin of a request, or `None` if it has no `Origin` header.
    ///
    /// # Errors
    /// When the origin is not on the list, or the header occurs more than once (AUTH-4).
    pub fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, OriginError> {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.contains(origin, headers) => Ok(Some(origin)),
            // Not listed, or several headers, of which it is unclear which one counts.
            _ => Err(OriginError),
        }
    }
}

/// Returns whether the text is a serialised http or https origin of this machine.
fn is_loopback(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    matches!(scheme, "http" | "https") && is_loopback_authority(authority) && parse(origin).is_ok()
}

/// Returns whether the request names this machine as its host. Without the check, a foreign page whose name resolves to
/// this machine could act as its own.
fn has_loopback_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback_authority)
}

fn is_loopback_authority(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Parses one origin in its serialised form (RFC 6454, 6.1): `scheme://host`, or with a port other than the
/// scheme's default.
fn parse(text: &str) -> Result<String, InvalidOrigin> {
    let invalid = || InvalidOrigin(text.to_owned());
    let url = url::Url::parse(text).map_err(|_| invalid())?;
    // Special schemes of the URL standard: their origin has exactly one serialisation.
    if url.is_special() {
        let is_origin = url.origin().is_tuple() && url.origin().ascii_serialization() == text;
        return if is_origin && !text.contains('*') { Ok(text.to_owned()) } else { Err(invalid()) };
    }
    // Other schemes, such as those of apps and extensions, are taken as written.
    let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let is_host = !host.is_empty()
        && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    if scheme == url.scheme() && is_host && port.is_none_or(is_port) {
        Ok(text.to_owned())
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origins: &[&str]) -> HeaderMap {
        origins.iter().map(|o| (header::ORIGIN, HeaderValue::from_str(o).unwrap())).collect()
    }

    #[test]
    fn auth_4_only_listed_origins_pass() {
        let origins = Origins::parse(["https://chat.example.org", "http://localhost:3000"]).unwrap();
        assert_eq!(origins.check(&HeaderMap::new()), Ok(None));
        assert!(matches!(origins.check(&from(&["https://chat.example.org"])), Ok(Some(_))));
        assert!(matches!(origins.check(&from(&["http://localhost:3000"])), Ok(Some(_))));
        for foreign in [
            "null",
            "",
            "http://chat.example.org",
            "https://chat.example.org:8443",
            "https://chat.example.org.evil.test",
            "https://evil.test/https://chat.example.org",
            "https://CHAT.example.org",
            "https://chat.example.org/",
            "http://localhost",
            "*",
        ] {
            assert_eq!(origins.check(&from(&[foreign])), Err(OriginError), "{foreign}");
        }
        let twice = ["https://chat.example.org", "https://chat.example.org"];
        assert_eq!(origins.check(&from(&twice)), Err(OriginError));
        assert_eq!(Origins::default().check(&from(&["https://chat.example.org"])), Err(OriginError));
    }

    #[test]
    fn text_that_is_not_an_origin_is_refused() {
        for good in [
            "https://chat.example.org",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "capacitor://localhost",
            "tauri://localhost",
            "ionic://localhost",
            "ionic://localhost:8100",
            "app://obsidian.md",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://6c4e2a0e-8f3b-4c7d-9a51-0d2e4f6a8b1c",
        ] {
            assert!(Origins::parse([good]).is_ok(), "{good}");
        }
        for bad in [
            "*",
            "https://*.example.org",
            "null",
            "",
            "chat.example.org",
            "https://a.test/path",
            "file:///x",
            "https://a.test:443",
            "https://user@a.test",
            "https://a.test?x",
            "HTTPS://a.test",
            "https://a.test/",
            "https://a.test:0443",
            "https://a.test:8443/",
            "https://",
            " https://a.test",
            "https://a.test ",
            "https:a.test",
            "https://a.test,https://b.test",
            "file://host",
            "capacitor://*",
            "capacitor://localhost/",
            "capacitor://localhost/path",
            "capacitor://LOCALHOST",
            "Capacitor://localhost",
            "capacitor://",
            "capacitor://localhost:",
            "capacitor://localhost:0",
            "capacitor://localhost:080",
            "capacitor://localhost:65536",
            "capacitor://user@localhost",
            "capacitor://localhost?x",
            "capacitor://localhost#x",
            "capacitor:localhost",
            "capacitor://local host",
            "chrome-extension://*",
            "*://localhost",
            "data:text/html,x",
            "blob:https://a.test/x",
            "about:blank",
        ] {
            assert!(Origins::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn auth_4_an_origin_of_an_app_is_compared_exactly() {
        let origins = Origins::parse(["capacitor://localhost", "ionic://localhost:8100"]).unwrap();
        assert!(origins.check(&from(&["capacitor://localhost"])).is_ok());
        assert!(origins.check(&from(&["ionic://localhost:8100"])).is_ok());
        for foreign in [
            "ionic://localhost",
            "capacitor://localhost:80",
            "tauri://localhost",
            "http://localhost",
            "capacitor://localhost/",
        ] {
            assert_eq!(origins.check(&from(&[foreign])), Err(OriginError), "{foreign}");
        }
    }

    #[test]
    fn auth_4_loopback_origins_of_any_port_need_a_loopback_host() {
        let origins = Origins::of_loopback();
        let check = |origin: &str, host: Option<&str>| {
            let mut headers = from(&[origin]);
            if let Some(host) = host {
                headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            origins.check(&headers).is_ok()
        };
        for origin in [
            "http://localhost:8080",
            "http://127.0.0.1:5173",
            "http://[::1]:3000",
            "https://localhost",
            "http://127.0.0.2",
        ] {
            for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
                assert!(check(origin, Some(host)), "{origin} to {host}");
            }
            for host in [
                Some("evil.test"),
                Some("evil.test:8080"),
                Some("10.0.0.1"),
                Some("localhost.evil.test"),
                None,
            ] {
                assert!(!check(origin, host), "{origin} to {host:?}");
            }
        }
        for foreign in [
            "http://localhost.evil.test",
            "http://evil.test",
            "null",
            "http://127.0.0.1.evil.test",
            "http://localhost:99999",
            "http://localhost/",
            "http://user@localhost",
            "file://localhost",
            "ws://localhost:8080",
            "http://10.0.0.1:8080",
        ] {
            assert!(!check(foreign, Some("localhost:8080")), "{foreign}");
        }
    }
}
