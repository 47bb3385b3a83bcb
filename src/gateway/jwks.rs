//! The key set of a JWKS URL (RFC 7517), cached and refreshed in the background.
//!
//! Guarantees: fetches are bounded in time, size and frequency, regardless of the tokens that arrive. A known
//! key is returned without waiting for the issuer. A set that cannot be refreshed is used for a limited time;
//! after that, no token is accepted (AUTH-5).

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::Jwk;
use tokio::{sync::Mutex, task::AbortHandle, time::Instant};

use super::{key::VerifyingKey, limits::GatewayLimits};
use crate::runtime::tasks::Tasks;

/// The keys of one issuer. Dropping it ends the task that refreshes them.
#[derive(Debug)]
pub struct Jwks {
    inner: Arc<JwksInner>,
    renewal: AbortHandle,
}

#[derive(Debug)]
struct JwksInner {
    url: reqwest::Url,
    client: reqwest::Client,
    limits: GatewayLimits,
    current: ArcSwapOption<KeySet>,
    /// Start of the last fetch. Locked during a fetch, so that there is one at a time.
    fetched: Mutex<Option<Instant>>,
}

/// The usable keys of a set, as fetched at one time.
#[derive(Debug)]
struct KeySet {
    by_kid: HashMap<String, Arc<VerifyingKey>>,
    /// All keys, with or without a `kid`. A token without a `kid` is verified with the only key of a set.
    all: Vec<Arc<VerifyingKey>>,
    fetched_at: Instant,
}

/// The reason for which no key was found for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The set has no key with this id, or no single key for a token without an id.
    #[error("the key set does not contain this key")]
    Unknown,
    /// No set was fetched within the last `jwks_ttl_ms` (AUTH-5).
    #[error("the key set is not available")]
    Unavailable,
}

/// The reason for which a key set was not fetched. Fault of the issuer or the network.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// An error without its URL, which may contain a secret.
    #[error("{}", with_causes(.0))]
    Http(reqwest::Error),
    #[error("the response has status {0}")]
    Status(reqwest::StatusCode),
    #[error("the key set is longer than {0} bytes")]
    TooLarge(usize),
    #[error("not a JSON Web Key Set: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("no key of the set can be used")]
    Empty,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

/// Formats an error followed by its sources.
fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Jwks {
    /// Starts a task that fetches the set at `url` and refreshes it. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn start(url: reqwest::Url, limits: GatewayLimits) -> Result<Self, reqwest::Error> {
        // Fails if the process has installed a provider already; that one is used then.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits.jwks_fetch_timeout_ms))
            // The key set is trusted because of its URL, so a redirect must not replace that URL.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (current, fetched) = (ArcSwapOption::empty(), Mutex::new(None));
        let inner = Arc::new(JwksInner { url, client, limits, current, fetched });
        let renewal = Tasks::default().spawn(renew(Arc::downgrade(&inner))).abort_handle();
        Ok(Self { inner, renewal })
    }

    /// Returns the key with the id `kid`, or the only key of the set if `kid` is `None`.
    ///
    /// # Errors
    /// [`NoKey::Unknown`] when the set lacks the key, also after another fetch; [`NoKey::Unavailable`] when
    /// there is no usable set.
    pub async fn key(&self, kid: Option<&str>) -> Result<Arc<VerifyingKey>, NoKey> {
        let inner = &self.inner;
        let known = inner.current.load_full();
        match known.as_ref().and_then(|set| set.find(kid)) {
            // A set due for a refresh is still used; the background task fetches the next one.
            Some(key) if inner.is_usable(&known) => return Ok(key),
            _ => inner.refetch(&known).await,
        }
        let known = inner.current.load_full();
        if !inner.is_usable(&known) {
            return Err(NoKey::Unavailable); // AUTH-5: no set, or one that is too old
        }
        known.and_then(|set| set.find(kid)).ok_or(NoKey::Unknown)
    }

    /// Returns whether there is a set younger than `jwks_ttl_ms`.
    pub fn is_usable(&self) -> bool {
        self.inner.is_usable(&self.inner.current.load_full())
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Fetches the set whenever it is missing or due, until the set is dropped.
async fn renew(inner: Weak<JwksInner>) {
    while let Some(set) = inner.upgrade() {
        let known = set.current.load_full();
        if set.age_ms(&known) >= set.limits.jwks_refresh_interval_ms {
            set.refetch(&known).await;
        }
        let age_ms = set.age_ms(&set.current.load_full());
        let due_ms = set.limits.jwks_refresh_interval_ms.saturating_sub(age_ms);
        let pause =
            Duration::from_millis(due_ms.max(set.limits.jwks_fetch_interval_ms_min)).max(RENEWAL_PAUSE_MIN);
        // Holds no strong reference while sleeping, so that dropping the `Jwks` ends the task.
        drop((set, known));
        tokio::time::sleep(pause).await;
    }
}

/// Minimum interval between two background fetches.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_secs(1);

impl JwksInner {
    fn is_usable(&self, set: &Option<Arc<KeySet>>) -> bool {
        self.age_ms(set) < self.limits.jwks_ttl_ms
    }

    fn age_ms(&self, set: &Option<Arc<KeySet>>) -> u64 {
        set.as_ref().map_or(u64::MAX, |set| set.fetched_at.elapsed().as_millis() as u64)
    }

    /// Fetches the set, unless a fetch has replaced `known` meanwhile or the minimum interval has not passed.
    async fn refetch(&self, known: &Option<Arc<KeySet>>) {
        // Concurrent callers wait here for the fetch in progress and then find its result.
        let mut fetched = self.fetched.lock().await;
        let current = self.current.load_full();
        let renewed = match (known, &current) {
            (Some(known), Some(current)) => !Arc::ptr_eq(known, current),
            (None, Some(_)) => true,
            _ => false,
        };
        let pause = Duration::from_millis(self.limits.jwks_fetch_interval_ms_min);
        if renewed || fetched.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        // Set before the fetch, so that the interval also applies after a failure.
        *fetched = Some(Instant::now());
        match self.fetch().await {
            Ok(set) => {
                tracing::info!(keys = set.all.len(), "key set fetched");
                self.current.store(Some(Arc::new(set)));
            }
            Err(error) => {
                metrics::counter!("quintet_jwks_failures_total").increment(1);
                let usable = self.is_usable(&current);
                tracing::warn!(error = %error, usable, "jwks_url: key set not fetched");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let bytes_max = self.limits.jwks_bytes_max;
        let mut response = self.client.get(self.url.clone()).send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            // Checked per chunk: `Content-Length` may be missing or wrong.
            if body.len() + chunk.len() > bytes_max {
                return Err(FetchError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body, Instant::now())
    }
}

/// A key set as served. Keys are decoded one by one, so that an invalid key does not affect the others.
#[derive(serde::Deserialize)]
struct Served {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    fn parse(body: &[u8], fetched_at: Instant) -> Result<Self, FetchError> {
        let served: Served = serde_json::from_slice(body)?;
        let mut set = Self { by_kid: HashMap::new(), all: Vec::new(), fetched_at };
        for value in served.keys {
            // A published private key lets anyone sign tokens.
            if value.get("d").is_some() {
                tracing::warn!("jwks_url: ignoring a private key in the key set");
                continue;
            }
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            let Ok(key) = VerifyingKey::from_jwk(&jwk) else { continue };
            let key = Arc::new(key);
            set.all.push(key.clone());
            if let Some(kid) = jwk.common.key_id {
                set.by_kid.insert(kid, key);
            }
        }
        if set.all.is_empty() { Err(FetchError::Empty) } else { Ok(set) }
    }

    fn find(&self, kid: Option<&str>) -> Option<Arc<VerifyingKey>> {
        match (kid, &self.all[..]) {
            (Some(kid), _) => self.by_kid.get(kid).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests;
