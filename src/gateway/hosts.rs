//! The `Host` allow-list, against DNS rebinding: a foreign page whose host name resolves to this listener.
//!
//! Guarantee: an HTTP/1.1 request names exactly one host (RFC 9112, section 3.2). With an allow-list, other
//! names are rejected. IP addresses are always accepted, since DNS cannot rebind them.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, Version, header, uri::Authority};

use super::http::failure::HttpError;
use crate::wire::codes::ErrorCode;

/// The host names that a listener accepts.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Any name. The origin allow-list and credentials protect the listener.
    Any,
    /// `localhost`, IP addresses, and these names in lower case.
    Listed(Arc<BTreeSet<String>>),
}

/// The reason for which the host of a request was rejected. Client fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// The request has several `Host` headers, or none although its version is 1.1 or later.
    #[error("an HTTP/1.1 request has exactly one host header")]
    NotOne,
    /// The value does not parse as a host with an optional port.
    #[error("the host header is not a host")]
    Malformed,
    /// The host is valid and not on the allow-list.
    #[error("the host is not on the allow-list")]
    Forbidden,
}

/// A configured name that is not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host name; write it without scheme and port, as in quintet.internal")]
pub struct InvalidName(pub String);

impl Hosts {
    /// Creates an allow-list of `names`, `localhost` and IP addresses.
    ///
    /// # Errors
    /// When a name has a scheme or port, or is not a host name.
    pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidName> {
        let name = |text: &str| {
            let valid = text.parse::<Authority>().is_ok_and(|authority| authority.host() == text);
            if valid && text != "*" {
                Ok(text.to_ascii_lowercase())
            } else {
                Err(InvalidName(text.to_owned()))
            }
        };
        Ok(Self::Listed(Arc::new(names.into_iter().map(name).collect::<Result<_, _>>()?)))
    }

    /// Checks the `Host` headers and the authority of the request target.
    ///
    /// # Errors
    /// When there is not exactly one valid host, or it is not on the allow-list.
    pub fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), InvalidHost> {
        let mut sent = headers.get_all(header::HOST).iter();
        match (sent.next(), sent.next()) {
            (None, _) if version < Version::HTTP_11 => {}
            (Some(host), None) => {
                let host = host.to_str().map_err(|_| InvalidHost::Malformed)?;
                self.check_authority(&host.parse().map_err(|_| InvalidHost::Malformed)?)?;
            }
            _ => return Err(InvalidHost::NotOne),
        }
        // A request target in absolute form names a host too (RFC 9112, section 3.2.2).
        uri.authority().map_or(Ok(()), |authority| self.check_authority(authority))
    }

    fn check_authority(&self, authority: &Authority) -> Result<(), InvalidHost> {
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(InvalidHost::Malformed);
        }
        let Self::Listed(names) = self else { return Ok(()) };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let allowed = host == "localhost" || bare.parse::<IpAddr>().is_ok() || names.contains(host);
        if allowed { Ok(()) } else { Err(InvalidHost::Forbidden) }
    }
}

/// Middleware that rejects a request without exactly one allowed host.
pub async fn checked(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match hosts.check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => HttpError::from(why).into_response(),
    }
}

impl From<InvalidHost> for HttpError {
    fn from(why: InvalidHost) -> Self {
        match why {
            InvalidHost::NotOne | InvalidHost::Malformed => {
                Self::new(ErrorCode::MalformedFrame, why.to_string())
            }
            InvalidHost::Forbidden => Self::new(ErrorCode::Forbidden, why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(hosts: &Hosts, version: Version, sent: &[&str]) -> Result<(), InvalidHost> {
        let sent = sent.iter().map(|host| (header::HOST, HeaderValue::from_str(host).unwrap()));
        hosts.check(version, &Uri::from_static("/"), &sent.collect())
    }

    #[test]
    fn http_1_1_names_exactly_one_host() {
        let one = |sent: &[&str]| check(&Hosts::Any, Version::HTTP_11, sent);
        assert_eq!(one(&["chat.example.org"]), Ok(()));
        assert_eq!(one(&[]), Err(InvalidHost::NotOne));
        assert_eq!(one(&["a.test", "a.test"]), Err(InvalidHost::NotOne));
        for malformed in ["", "a b", "user@a.test", "a.test/x", ":80"] {
            assert_eq!(one(&[malformed]), Err(InvalidHost::Malformed), "{malformed:?}");
        }
        assert_eq!(check(&Hosts::Any, Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(&Hosts::Any, Version::HTTP_10, &["a", "a"]), Err(InvalidHost::NotOne));
    }

    #[test]
    fn auth_4_only_listed_host_names_are_accepted() {
        let hosts = Hosts::listed(["Quintet.internal"]).unwrap();
        for good in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "quintet.internal:9090",
            "quintet.internal.",
        ] {
            assert_eq!(check(&hosts, Version::HTTP_11, &[good]), Ok(()), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "x.quintet.internal"]
        {
            assert_eq!(check(&hosts, Version::HTTP_11, &[bad]), Err(InvalidHost::Forbidden), "{bad}");
        }
        let absolute = Uri::from_static("http://evil.example/metrics");
        let headers = [(header::HOST, HeaderValue::from_static("localhost"))].into_iter().collect();
        assert_eq!(hosts.check(Version::HTTP_11, &absolute, &headers), Err(InvalidHost::Forbidden));
        for name in ["http://a.test", "a.test:80", "*", "", "a/b"] {
            assert!(Hosts::listed([name]).is_err(), "{name:?}");
        }
    }
}
