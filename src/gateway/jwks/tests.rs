use std::sync::{
    Mutex as Lock,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, http::StatusCode, response::Response, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{
    gateway::{
        auth::{Auth, AuthError, Keys},
        token::{Audience, ClaimsPolicy, TokenError},
    },
    observer::NoObserver,
    runtime::{clock, saturation::Saturation, tasks::Tasks},
};

/// An issuer on a loopback address with a configurable response and a counter of requests.
struct Issuer {
    url: reqwest::Url,
    answer: Arc<Lock<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    _tasks: Tasks,
}

impl Issuer {
    async fn start(keys: Value) -> Self {
        let answer = Arc::new(Lock::new((200, json!({ "keys": keys }).to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shown, counted) = (answer.clone(), asked.clone());
        let route = get(async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let (status, body) = shown.lock().unwrap().clone();
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
            response
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
        let tasks = Tasks::default();
        tasks.spawn(async move { axum::serve(listener, Router::new().fallback(route)).await.unwrap() });
        Self { url, answer, asked, _tasks: tasks }
    }

    fn says(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn set(&self, limits: GatewayLimits) -> Jwks {
        Jwks::start(self.url.clone(), limits).unwrap()
    }
}

/// Returns a key of the set and the matching signing key.
fn pair(kid: Option<&str>) -> (Value, jsonwebtoken::EncodingKey) {
    let pem = include_bytes!("../../../tests/keys/ed25519.private.pem");
    let signing = jsonwebtoken::EncodingKey::from_ed_pem(pem).unwrap();
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&signing, jsonwebtoken::Algorithm::EdDSA).unwrap())
            .unwrap();
    if let Some(kid) = kid {
        jwk["kid"] = json!(kid);
    }
    (jwk, signing)
}

fn rsa(kid: &str) -> Value {
    json!({"kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode([0xff; 256]), "e": "AQAB"})
}

fn auth(set: Jwks) -> Auth {
    let policy =
        ClaimsPolicy { audience: Audience::Any, issuer: None, clock_skew_ms_max: 0, lifetime_ms_max: 0 };
    Auth::new(Keys::Set(set), policy, &EAGER, Saturation::default(), Arc::new(NoObserver))
}

const EAGER: GatewayLimits = GatewayLimits { jwks_fetch_interval_ms_min: 0, ..GatewayLimits::DEFAULT };

#[tokio::test]
async fn a_key_is_found_by_its_name_and_the_set_is_fetched_once() {
    let issuer = Issuer::start(json!([pair(Some("a")).0, rsa("b")])).await;
    let set = issuer.set(EAGER);
    for _ in 0..3 {
        assert!(set.key(Some("a")).await.is_ok());
        assert!(set.key(Some("b")).await.is_ok());
    }
    assert_eq!(issuer.asked(), 1);
    assert_eq!(set.key(None).await.err(), Some(NoKey::Unknown), "of several keys none is the one");
}

#[tokio::test]
async fn a_key_that_is_new_is_found_by_fetching_again_and_one_withdrawn_is_gone() {
    let issuer = Issuer::start(json!([rsa("old")])).await;
    let set = issuer.set(EAGER);
    assert!(set.key(Some("old")).await.is_ok());
    issuer.says(200, json!({"keys": [rsa("new")]}).to_string());
    assert!(set.key(Some("new")).await.is_ok());
    assert_eq!(set.key(Some("old")).await.err(), Some(NoKey::Unknown));
}

#[tokio::test]
async fn tokens_with_made_up_keys_do_not_drive_fetches() {
    let issuer = Issuer::start(json!([rsa("a")])).await;
    let set = issuer.set(GatewayLimits::DEFAULT);
    for i in 0..50 {
        assert_eq!(set.key(Some(&format!("made-up-{i}"))).await.err(), Some(NoKey::Unknown));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn concurrent_lookups_share_one_fetch() {
    let issuer = Issuer::start(json!([rsa("a")])).await;
    let set = issuer.set(EAGER);
    let found = futures_util::future::join_all((0..20).map(|_| set.key(Some("a")))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn auth_5_without_a_key_set_no_token_is_accepted() {
    let issuer = Issuer::start(json!([])).await;
    let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(GatewayLimits::DEFAULT.jwks_bytes_max));
    let symmetric = json!({"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}).to_string();
    let good = json!({"keys": [rsa("a")]}).to_string();
    let answers = [
        (500, good.clone()),
        (404, String::new()),
        // A redirect to a valid set is not followed.
        (302, good),
        (200, String::new()),
        (200, "[]".into()),
        (200, r#"{"keys":[]}"#.into()),
        (200, symmetric),
        (200, long),
    ];
    for (status, body) in answers {
        issuer.says(status, body.clone());
        assert_eq!(
            issuer.set(EAGER).key(Some("a")).await.err(),
            Some(NoKey::Unavailable),
            "{status} {body:.40}"
        );
    }
    let nowhere = Jwks::start("http://127.0.0.1:1/".parse().unwrap(), EAGER).unwrap();
    assert_eq!(nowhere.key(Some("a")).await.err(), Some(NoKey::Unavailable));
}

#[tokio::test]
async fn auth_5_a_set_that_cannot_be_renewed_is_used_until_jwks_stale_ms_max_and_then_there_is_none() {
    let issuer = Issuer::start(json!([rsa("a")])).await;
    let set = issuer.set(EAGER);
    assert!(set.key(Some("a")).await.is_ok());
    issuer.says(500, "");
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(EAGER.jwks_ttl_ms) - Duration::from_secs(60)).await;
    assert!(set.is_usable());
    assert!(set.key(Some("a")).await.is_ok(), "old, and not too old");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!set.is_usable());
    assert_eq!(set.key(Some("a")).await.err(), Some(NoKey::Unavailable));
}

#[tokio::test]
async fn a_known_key_does_not_wait_for_an_issuer_that_does_not_answer() {
    let issuer = Issuer::start(json!([rsa("a")])).await;
    let set = issuer.set(EAGER);
    assert!(set.key(Some("a")).await.is_ok());
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(EAGER.jwks_refresh_interval_ms + 1)).await;
    // Holding the lock simulates a fetch in progress.
    let _fetching = set.inner.fetched.lock().await;
    let found = futures_util::FutureExt::now_or_never(set.key(Some("a")));
    assert!(matches!(found, Some(Ok(_))), "{found:?}");
}

#[tokio::test]
async fn the_set_is_fetched_before_the_first_token_and_renewed_in_the_background() {
    let issuer = Issuer::start(json!([rsa("old")])).await;
    let limits = GatewayLimits { jwks_refresh_interval_ms: 1_000, ..EAGER };
    let set = issuer.set(limits);
    let known = async |kid: &str| {
        while set.inner.current.load_full().is_none_or(|set| set.find(Some(kid)).is_none()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known("old")).await.expect("fetched without a token");
    issuer.says(200, json!({"keys": [rsa("new")]}).to_string());
    tokio::time::timeout(PATIENCE, known("new")).await.expect("renewed without a token");
}

#[tokio::test]
async fn auth_5_a_set_that_was_never_fetched_is_not_usable() {
    let issuer = Issuer::start(json!([])).await;
    let set = issuer.set(EAGER);
    assert!(set.key(Some("a")).await.is_err() && !set.is_usable());
    issuer.says(200, json!({"keys": [rsa("a")]}).to_string());
    assert!(set.key(Some("a")).await.is_ok() && set.is_usable());
}

#[tokio::test]
async fn auth_5_a_private_key_in_a_set_is_not_used() {
    let mut private = rsa("leaked");
    private["d"] = json!("AQAB");
    let issuer = Issuer::start(json!([private, rsa("a")])).await;
    let set = issuer.set(EAGER);
    assert!(set.key(Some("a")).await.is_ok());
    assert_eq!(set.key(Some("leaked")).await.err(), Some(NoKey::Unknown));
}

/// Timeout for an expected event.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn unreadable_key_does_not_affect_the_others() {
    let set = json!([{"kty": "XYZ"}, 7, rsa("a"), {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}]);
    let issuer = Issuer::start(set).await;
    assert!(issuer.set(EAGER).key(Some("a")).await.is_ok());
}

#[tokio::test]
async fn auth_5_valid_token_is_refused_while_its_key_cannot_be_fetched() {
    let (jwk, signing) = pair(Some("a"));
    let claims = json!({"sub": "ada", "exp": 4_000_000_000u64});
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.kid = Some("a".into());
    let token = jsonwebtoken::encode(&header, &claims, &signing).unwrap();
    let issuer = Issuer::start(json!([jwk])).await;
    assert!(auth(issuer.set(EAGER)).bearer(&token).await.is_ok());
    issuer.says(500, "");
    assert_eq!(auth(issuer.set(EAGER)).bearer(&token).await, Err(AuthError::Unavailable));
}

#[tokio::test]
async fn a_token_is_verified_with_the_key_that_it_names() {
    let (jwk, signing) = pair(Some("ed"));
    let issuer = Issuer::start(json!([rsa("other"), jwk])).await;
    let auth = auth(issuer.set(EAGER));
    let token = |kid: Option<&str>| {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        let claims = json!({"sub": "ada", "exp": clock::now().0 / 1000 + 60});
        jsonwebtoken::encode(&header, &claims, &signing).unwrap()
    };
    assert_eq!(auth.bearer(&token(Some("ed"))).await.unwrap().user_id.as_str(), "ada");
    let wrong = [
        (Some("other"), TokenError::Algorithm),
        (Some("none"), TokenError::UnknownKey),
        (None, TokenError::UnknownKey),
    ];
    for (kid, why) in wrong {
        assert_eq!(auth.bearer(&token(kid)).await, Err(AuthError::Token(why)), "{kid:?}");
    }
}

#[tokio::test]
async fn a_token_without_a_kid_is_verified_with_the_only_key() {
    let (jwk, _) = pair(None);
    let issuer = Issuer::start(json!([jwk])).await;
    assert!(issuer.set(EAGER).key(None).await.is_ok());
    assert_eq!(issuer.set(EAGER).key(Some("x")).await.err(), Some(NoKey::Unknown));
}
