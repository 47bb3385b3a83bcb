//! The allow-list of origins of browsers and web views.
//!
//! Guarantee: a request with an `Origin` that is not on the list is refused before any other processing, an
//! upgrade included (AUTH-4). Each entry is one origin, compared byte for byte.

use std::{collections::BTreeSet, net::SocketAddr};

use http::{HeaderMap, HeaderValue, header};

/// An allow-list of origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeSet<String>);

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
        origins.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the origins of a browser on this machine for a service on `listen`.
    pub fn of_loopback(listen: SocketAddr) -> Self {
        let port = listen.port();
        let suffix = if port == 80 { String::new() } else { format!(":{port}") };
        Self(["127.0.0.1", "localhost", "[::1]"].map(|host| format!("http://{host}{suffix}")).into())
    }

    /// Returns whether no origin is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the union of both lists.
    pub fn and(mut self, more: Origins) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Returns whether the origin is on the list.
    pub fn contains(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.0.contains(origin))
    }

    /// Returns the origin of a request, or `None` if it has no `Origin` header.
    ///
    /// # Errors
    /// When the origin is not on the list, or the header occurs more than once (AUTH-4).
    pub fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, OriginError> {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.contains(origin) => Ok(Some(origin)),
            // Not listed, or several headers, of which it is unclear which one counts.
            _ => Err(OriginError),
        }
    }
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
    fn loopback_origins_include_all_names_of_the_host() {
        let origins = Origins::of_loopback("127.0.0.1:8080".parse().unwrap());
        assert!(origins.check(&from(&["http://localhost:8080"])).is_ok());
        assert!(origins.check(&from(&["http://127.0.0.1:8080"])).is_ok());
        assert!(origins.check(&from(&["http://localhost:8081"])).is_err());
    }
}
