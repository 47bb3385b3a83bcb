//! The browser origins that may speak to the service.
//!
//! Guarantee: a request that carries an `Origin` which is not on the list is refused before anything
//! else is done with it, an upgrade included (AUTH-4). No entry stands for more than one origin.

use std::{collections::BTreeSet, net::SocketAddr};

use http::{HeaderMap, HeaderValue, header};

/// An allow-list of origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeSet<String>);

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: write scheme, host and port as a browser sends them, as in https://chat.example.org"
)]
pub struct InvalidOrigin(pub String);

/// The request comes from a page that may not speak to the service (AUTH-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin is not on the allow-list")]
pub struct Forbidden;

impl Origins {
    /// Takes origins as a browser sends them: scheme, host, and the port if it is not the scheme's own.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidOrigin> {
        origins.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The origins under which a browser on this machine sees a service on `listen`.
    pub fn of_loopback(listen: SocketAddr) -> Self {
        let port = listen.port();
        let suffix = if port == 80 { String::new() } else { format!(":{port}") };
        Self(["127.0.0.1", "localhost", "[::1]"].map(|host| format!("http://{host}{suffix}")).into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both lists together.
    pub fn and(mut self, more: Origins) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Whether a page of this origin may speak to the service.
    pub fn contains(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.0.contains(origin))
    }

    /// The origin of a request: `None` if no browser sent it, refused if it is not on the list, or
    /// if there are several (AUTH-4).
    pub fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, Forbidden> {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.contains(origin) => Ok(Some(origin)),
            _ => Err(Forbidden),
        }
    }
}

fn parse(text: &str) -> Result<String, InvalidOrigin> {
    let invalid = || InvalidOrigin(text.to_owned());
    // No entry stands for several origins, even where a URL may hold a star.
    if text.contains('*') {
        return Err(invalid());
    }
    let url = reqwest::Url::parse(text).map_err(|_| invalid())?;
    // A URL that is an origin and nothing more is spelled as its own origin, up to the final slash.
    let origin = url.origin().ascii_serialization();
    let same = origin == text.strip_suffix('/').unwrap_or(text);
    if same && url.origin().is_tuple() { Ok(origin) } else { Err(invalid()) }
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
            assert_eq!(origins.check(&from(&[foreign])), Err(Forbidden), "{foreign}");
        }
        let twice = ["https://chat.example.org", "https://chat.example.org"];
        assert_eq!(origins.check(&from(&twice)), Err(Forbidden));
        assert_eq!(Origins::default().check(&from(&["https://chat.example.org"])), Err(Forbidden));
    }

    #[test]
    fn what_is_no_origin_is_not_taken_for_one() {
        for good in
            ["https://chat.example.org", "http://127.0.0.1:8080", "http://[::1]:8080", "https://a.test/"]
        {
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
        ] {
            assert!(Origins::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_on_loopback_may_go_by_any_of_its_names() {
        let origins = Origins::of_loopback("127.0.0.1:8080".parse().unwrap());
        assert!(origins.check(&from(&["http://localhost:8080"])).is_ok());
        assert!(origins.check(&from(&["http://127.0.0.1:8080"])).is_ok());
        assert!(origins.check(&from(&["http://localhost:8081"])).is_err());
    }
}
