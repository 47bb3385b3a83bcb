//! The key set behind a JWKS URL, kept in memory and fetched again when it is old or does not know a key.
//!
//! Guarantees: fetches are bounded in time, in bytes and in how often they happen, whatever tokens
//! arrive; a set that cannot be renewed is used for a limited time, and then there is none (AUTH-5).

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::Jwk;
use tokio::{sync::Mutex, time::Instant};

use super::{limits::GatewayLimits, token::VerifyingKey};

/// The keys of one issuer.
#[derive(Debug)]
pub struct Jwks {
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
    /// Keys without a `kid`, and all others: what a token without a `kid` is checked with if it is one.
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
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(reqwest::StatusCode),
    #[error("the key set is longer than {0} bytes")]
    TooLarge(usize),
    #[error("not a JSON Web Key Set: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("no key of the set can be used")]
    Empty,
}

impl Jwks {
    /// The set at `url`, not fetched yet.
    pub fn new(url: reqwest::Url, limits: GatewayLimits) -> Result<Self, reqwest::Error> {
        // An error says that the process has a provider already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits.jwks_wait_ms_max))
            // A key set is trusted because of its address: it does not get to name another; a redirect
            // is not an answer.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { url, client, limits, current: ArcSwapOption::empty(), fetched: Mutex::new(None) })
    }

    /// The key that a token names; the only one of the set if it names none.
    pub async fn key(&self, kid: Option<&str>) -> Result<Arc<VerifyingKey>, NoKey> {
        let known = self.current.load_full();
        match known.as_ref().and_then(|set| set.find(kid)) {
            Some(key) if self.age_ms(&known) < self.limits.jwks_fresh_ms_max => return Ok(key),
            _ => self.refetch(&known).await,
        }
        let known = self.current.load_full();
        if self.age_ms(&known) >= self.limits.jwks_stale_ms_max {
            return Err(NoKey::Unavailable); // AUTH-5: no set, or one too old to be believed
        }
        known.and_then(|set| set.find(kid)).ok_or(NoKey::Unknown)
    }

    fn age_ms(&self, set: &Option<Arc<KeySet>>) -> u64 {
        set.as_ref().map_or(u64::MAX, |set| set.fetched_at.elapsed().as_millis() as u64)
    }

    /// Fetches the set unless somebody else has just done so, or tried.
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
                tracing::warn!(error = %error, "key set not fetched");
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
