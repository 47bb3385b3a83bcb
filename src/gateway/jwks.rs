//! The key set behind a JWKS URL, kept in memory and renewed in the background.
//!
//! Guarantees: fetches are bounded in time, in bytes and in how often they happen, whatever tokens
//! arrive; a key that is known is returned at once, without a wait for the issuer; a set that cannot be
//! renewed is used for a limited time, and then there is none (AUTH-5).

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

/// The keys of one issuer. Dropping it ends the task that renews them.
#[derive(Debug)]
pub struct Jwks {
    inner: Arc<Inner>,
    renewal: AbortHandle,
}

#[derive(Debug)]
struct Inner {
    url: reqwest::Url,
    client: reqwest::Client,
    limits: GatewayLimits,
    current: ArcSwapOption<KeySet>,
    /// When the last fetch began. Held while one is under way: one at a time.
    fetched: Mutex<Option<Instant>>,
}

/// The keys of a set that can be used, at a moment.
#[derive(Debug)]
struct KeySet {
    by_kid: HashMap<String, Arc<VerifyingKey>>,
    /// Every key, with a `kid` or without: a token without a `kid` is checked with the only key of a set.
    all: Vec<Arc<VerifyingKey>>,
    fetched_at: Instant,
}

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    #[error("the key set does not know this key")]
    Unknown,
    #[error("the key set is not available")]
    Unavailable,
}

/// Why a key set was not fetched. The fault is the issuer's or the network's.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// Without its URL, which may carry a secret.
    #[error("{}", with_causes(.0))]
    Http(reqwest::Error),
    #[error("the answer has status {0}")]
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

/// An error and the errors that led to it.
fn with_causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Jwks {
    /// Begins to fetch the set at `url`, and to fetch it again when it is old. Call it on a runtime.
    ///
    /// # Errors
    /// When the client of HTTP cannot be built.
    pub fn start(url: reqwest::Url, limits: GatewayLimits) -> Result<Self, reqwest::Error> {
        // An error means that the process has a provider already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits.jwks_wait_ms_max))
            // A key set is trusted because of its address: it does not get to name another; a redirect
            // is not an answer.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (current, fetched) = (ArcSwapOption::empty(), Mutex::new(None));
        let inner = Arc::new(Inner { url, client, limits, current, fetched });
        let renewal = Tasks::default().spawn(renew(Arc::downgrade(&inner))).abort_handle();
        Ok(Self { inner, renewal })
    }

    /// Returns the key that a token names; the only one of the set if it names none.
    ///
    /// # Errors
    /// When the set does not have it, even after another fetch, or when there is no set to use.
    pub async fn key(&self, kid: Option<&str>) -> Result<Arc<VerifyingKey>, NoKey> {
        let inner = &self.inner;
        let known = inner.current.load_full();
        match known.as_ref().and_then(|set| set.find(kid)) {
            // A set that is due is renewed in the background meanwhile.
            Some(key) if inner.is_usable(&known) => return Ok(key),
            _ => inner.refetch(&known).await,
        }
        let known = inner.current.load_full();
        if !inner.is_usable(&known) {
            return Err(NoKey::Unavailable); // AUTH-5: no set, or one that is too old
        }
        known.and_then(|set| set.find(kid)).ok_or(NoKey::Unknown)
    }

    /// Whether there is a set, and it is not older than `jwks_stale_ms_max`.
    pub fn is_usable(&self) -> bool {
        self.inner.is_usable(&self.inner.current.load_full())
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Fetches the set whenever it is missing or due, for as long as it is used.
async fn renew(inner: Weak<Inner>) {
    while let Some(set) = inner.upgrade() {
        let known = set.current.load_full();
        if set.age_ms(&known) >= set.limits.jwks_fresh_ms_max {
            set.refetch(&known).await;
        }
        let age_ms = set.age_ms(&set.current.load_full());
        let due_ms = set.limits.jwks_fresh_ms_max.saturating_sub(age_ms);
        let pause = Duration::from_millis(due_ms.max(set.limits.jwks_refetch_ms_min)).max(RENEWAL_PAUSE_MIN);
        drop((set, known));
        tokio::time::sleep(pause).await;
    }
}

/// The shortest time between two fetches in the background.
const RENEWAL_PAUSE_MIN: Duration = Duration::from_secs(1);

impl Inner {
    fn is_usable(&self, set: &Option<Arc<KeySet>>) -> bool {
        self.age_ms(set) < self.limits.jwks_stale_ms_max
    }

    fn age_ms(&self, set: &Option<Arc<KeySet>>) -> u64 {
        set.as_ref().map_or(u64::MAX, |set| set.fetched_at.elapsed().as_millis() as u64)
    }

    /// Fetches the set unless another fetch has just ended, with success or not.
    async fn refetch(&self, known: &Option<Arc<KeySet>>) {
        let mut fetched = self.fetched.lock().await;
        let current = self.current.load_full();
        let renewed = match (known, &current) {
            (Some(known), Some(current)) => !Arc::ptr_eq(known, current),
            (None, Some(_)) => true,
            _ => false,
        };
        let pause = Duration::from_millis(self.limits.jwks_refetch_ms_min);
        if renewed || fetched.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
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
            if body.len() + chunk.len() > bytes_max {
                return Err(FetchError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body, Instant::now())
    }
}

/// A set as it is served. Keys are read one by one: one that cannot be read does not spoil the rest.
#[derive(serde::Deserialize)]
struct Served {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    fn parse(body: &[u8], fetched_at: Instant) -> Result<Self, FetchError> {
        let served: Served = serde_json::from_slice(body)?;
        let mut set = Self { by_kid: HashMap::new(), all: Vec::new(), fetched_at };
        for value in served.keys {
            // A private key that is published signs for everyone.
            if value.get("d").is_some() {
                tracing::warn!("jwks_url: a key of the set is private, and is not used");
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
