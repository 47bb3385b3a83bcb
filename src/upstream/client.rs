//! The HTTP client.

use std::{io, path::PathBuf, time::Duration};

use url::Url;

/// The settings of an [`HttpClient`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// The proxy of all requests, `http`, `https` or `socks5`. `None` for the variables `HTTP_PROXY`, `HTTPS_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY`.
    pub proxy: Option<Url>,
    /// A file of certificate authorities in PEM, which are trusted in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Timeout of a connection attempt, TLS included, in milliseconds.
    pub connect_timeout_ms: u64,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { proxy: None, ca_file: None, connect_timeout_ms: 10_000 }
    }
}

/// The reason for which a client cannot be built. Operator fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpClientError {
    /// The file of certificate authorities cannot be read.
    #[error("the certificates in {path} cannot be read: {source}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file of certificate authorities has none.
    #[error("{path} has no certificate in PEM")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The proxy or a certificate is not usable.
    #[error("the HTTP client cannot be built: {}", causes(.0))]
    Build(reqwest::Error),
}

/// For how long a connection without a request is kept. Below the 5 s after which common servers close one
/// ([Node.js](https://nodejs.org/api/http.html#serverkeepalivetimeout),
/// [uvicorn](https://www.uvicorn.org/settings/#timeouts)).
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(4);

/// An HTTP client that follows no redirects. Clones share its connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    repeatable: reqwest::Client,
    unrepeatable: reqwest::Client,
}

impl HttpClient {
    /// Builds a client.
    ///
    /// # Errors
    ///
    /// Returns [`HttpClientError`] if a setting is not usable.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpClientError> {
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(HttpClientError::Build);
        Ok(Self {
            repeatable: build(Self::builder(options)?.pool_idle_timeout(IDLE_CONNECTION_MAX))?,
            unrepeatable: build(Self::builder(options)?.pool_max_idle_per_host(0))?,
        })
    }

    fn builder(options: &HttpOptions) -> Result<reqwest::ClientBuilder, HttpClientError> {
        // Fails if the process has installed a provider already; that one is used then.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            // A redirect would carry the credentials to an address that the operator has not configured.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("quintet/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &options.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone()).map_err(HttpClientError::Build)?;
            builder = builder.no_proxy().proxy(proxy);
        }
        if let Some(path) = &options.ca_file {
            let pem = std::fs::read(path)
                .map_err(|source| HttpClientError::CaFile { path: path.clone(), source })?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(HttpClientError::Build)?;
            if certificates.is_empty() {
                return Err(HttpClientError::NoCertificate { path: path.clone() });
            }
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(builder)
    }

    /// Returns the client of requests that are sent again if their connection breaks. It reuses connections.
    pub fn repeatable(&self) -> &reqwest::Client {
        &self.repeatable
    }

    /// Returns the client of requests that must not be executed twice. Each has a connection of its own: a server that
    /// closes a connection at the moment at which a request is sent on it leaves open whether that request was executed
    /// ([RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).
    pub fn unrepeatable(&self) -> &reqwest::Client {
        &self.unrepeatable
    }
}

/// Formats an error followed by its sources, without its URL, which may contain a secret.
pub fn describe(error: reqwest::Error) -> String {
    causes(&error.without_url())
}

fn causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
        let options = HttpOptions { ca_file: Some(path), ..HttpOptions::default() };
        assert!(matches!(HttpClient::new(&options), Err(HttpClientError::NoCertificate { .. })));
        let missing = HttpOptions { ca_file: Some("/does/not/exist".into()), ..HttpOptions::default() };
        assert!(matches!(HttpClient::new(&missing), Err(HttpClientError::CaFile { .. })));
    }
}
