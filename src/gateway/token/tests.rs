use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::*;
use crate::gateway::key::{RSA, secret::HmacSecret};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ANY: ClaimsPolicy =
    ClaimsPolicy { audience: Audience::Any, issuer: None, clock_skew_ms_max: 0, lifetime_ms_max: 0 };

fn hmac() -> VerifyingKey {
    VerifyingKey::from_secret(&HmacSecret::from_file(SECRET).unwrap())
}

macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/keys/", $name)).as_slice()
    };
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn secret_token(claims: &Value) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims)
}

fn good() -> Value {
    json!({"sub": "ada", "exp": NOW.0 / 1000 + 60})
}

fn verify(claims: &Value, policy: &ClaimsPolicy) -> Result<Identity, TokenError> {
    hmac().verify(&secret_token(claims), policy, NOW)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn ada() -> Identity {
    Identity { user_id: UserId::parse("ada").unwrap(), expires_at: Timestamp(NOW.0 + 60_000) }
}

#[test]
fn a_signed_token_yields_its_subject() {
    assert_eq!(verify(&good(), &ANY), Ok(ada()));
}

#[test]
fn every_kind_of_key_verifies_its_own_algorithms() {
    let pairs = [
        (key!("rsa.public.pem"), EncodingKey::from_rsa_pem(key!("rsa.private.pem")).unwrap(), &RSA[..]),
        (
            key!("p256.public.pem"),
            EncodingKey::from_ec_pem(key!("p256.private.pem")).unwrap(),
            &[Algorithm::ES256][..],
        ),
        (
            key!("p384.public.pem"),
            EncodingKey::from_ec_pem(key!("p384.private.pem")).unwrap(),
            &[Algorithm::ES384][..],
        ),
        (
            key!("ed25519.public.pem"),
            EncodingKey::from_ed_pem(key!("ed25519.private.pem")).unwrap(),
            &[Algorithm::EdDSA][..],
        ),
    ];
    let pairs = pairs
        .map(|(pem, private, algorithms)| (VerifyingKey::from_public_pem(pem).unwrap(), private, algorithms));
    let secret = (
        hmac(),
        EncodingKey::from_secret(SECRET),
        &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512][..],
    );
    let pairs: Vec<_> = pairs.into_iter().chain([secret]).collect();
    let policy = ANY;
    for (i, (_, private, algorithms)) in pairs.iter().enumerate() {
        for algorithm in *algorithms {
            let token = sign(*algorithm, private, &good());
            for (j, (public, ..)) in pairs.iter().enumerate() {
                let outcome = public.verify(&token, &policy, NOW);
                if i == j {
                    assert_eq!(outcome, Ok(ada()), "{algorithm:?}");
                } else {
                    assert_eq!(outcome, Err(TokenError::Algorithm), "{algorithm:?} with key {j}");
                }
            }
        }
    }
}

#[test]
fn auth_5_a_public_key_is_never_taken_for_a_secret() {
    // Algorithm confusion: an HS256 token signed with the public key's PEM text as the secret.
    for public in [key!("rsa.public.pem"), key!("p256.public.pem"), key!("ed25519.public.pem")] {
        let forged = sign(Algorithm::HS256, &EncodingKey::from_secret(public), &good());
        let outcome = VerifyingKey::from_public_pem(public).unwrap().verify(&forged, &ANY, NOW);
        assert_eq!(outcome, Err(TokenError::Algorithm));
    }
}

#[test]
fn auth_5_a_token_without_a_valid_signature_is_refused() {
    let key = hmac();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = secret_token(&good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let forgeries = [
        format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(good())),
        format!("{}.{}.{signature}", part(json!({"alg": "none"})), part(good())),
        format!("{}.{}.", part(json!({"alg": "None"})), part(good())),
        format!("{}.{}.", part(json!({"alg": "HS256"})), part(good())),
        format!("{}.{}.{signature}", part(json!({"typ": "JWT"})), part(good())),
        format!("{head}.{}.{signature}", part(with("sub", json!("bob")))),
        format!("{signed}."),
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        signed.to_owned(),
        format!("{token}.x"),
        format!("{token}="),
        "..".to_owned(),
        "ada".to_owned(),
        "ä.ö.ü".to_owned(),
    ];
    for forged in forgeries {
        assert!(key.verify(&forged, &ANY, NOW).is_err(), "{forged}");
    }
    let other = sign(Algorithm::HS256, &EncodingKey::from_secret(&[b'x'; 32]), &good());
    assert_eq!(key.verify(&other, &ANY, NOW), Err(TokenError::Signature));
}

#[test]
fn auth_5_critical_header_extensions_are_refused() {
    let mut head = Header::new(Algorithm::HS256);
    head.crit = Some(vec!["exp".into()]);
    let token = jsonwebtoken::encode(&head, &good(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(header(&token).err(), Some(TokenError::Critical));
}

#[test]
fn auth_3_token_is_valid_exactly_until_its_expiry() {
    let policy = ClaimsPolicy { clock_skew_ms_max: 60_000, ..ANY };
    let key = hmac();
    let token = secret_token(&good());
    assert!(key.verify(&token, &policy, Timestamp(NOW.0 + 59_999)).is_ok());
    assert_eq!(key.verify(&token, &policy, Timestamp(NOW.0 + 60_000)), Err(TokenError::Expired));
    let fraction = verify(&with("exp", json!(NOW.0 as f64 / 1000.0 + 0.25)), &policy).unwrap();
    assert_eq!(fraction.expires_at, Timestamp(NOW.0 + 250));
}

#[test]
fn auth_5_a_missing_or_malformed_expiry_is_refused() {
    for exp in [Value::Null, json!("1900000000"), json!(true), json!(-1), json!([1_900_000_000]), json!({})] {
        let outcome = verify(&with("exp", exp.clone()), &ANY);
        assert!(
            matches!(outcome, Err(TokenError::Claim("exp") | TokenError::Malformed)),
            "{exp}: {outcome:?}"
        );
    }
    assert_eq!(verify(&json!({"sub": "ada"}), &ANY), Err(TokenError::Claim("exp")));
    assert_eq!(verify(&with("exp", json!(0)), &ANY), Err(TokenError::Expired));
}

#[test]
fn nbf_is_checked_with_the_allowed_clock_skew() {
    let policy = ClaimsPolicy { clock_skew_ms_max: 5_000, ..ANY };
    let begins = |seconds: u64| with("nbf", json!(NOW.0 / 1000 + seconds));
    assert!(verify(&begins(5), &policy).is_ok());
    assert_eq!(verify(&begins(6), &policy), Err(TokenError::NotYetValid));
    let shorter = ClaimsPolicy { clock_skew_ms_max: 4_999, ..ANY };
    assert_eq!(verify(&begins(5), &shorter), Err(TokenError::NotYetValid), "to the millisecond");
    assert_eq!(verify(&with("nbf", json!("soon")), &policy), Err(TokenError::Claim("nbf")));
}

#[test]
fn auth_5_audience_and_issuer_must_match_where_they_are_configured() {
    let policy =
        ClaimsPolicy { audience: Audience::Named("quintet".into()), issuer: Some("id".into()), ..ANY };
    let claims =
        |aud: Value, iss: Value| json!({"sub": "ada", "exp": NOW.0 / 1000 + 60, "aud": aud, "iss": iss});
    assert!(verify(&claims(json!("quintet"), json!("id")), &policy).is_ok());
    assert!(verify(&claims(json!(["x", "quintet"]), json!("id")), &policy).is_ok());
    for aud in [
        Value::Null,
        json!("x"),
        json!([]),
        json!(["x"]),
        json!([["quintet"]]),
        json!({"quintet": 1}),
        json!(""),
    ] {
        assert_eq!(verify(&claims(aud.clone(), json!("id")), &policy), Err(TokenError::Audience), "{aud}");
    }
    for iss in [Value::Null, json!("x"), json!(["id"]), json!("")] {
        assert_eq!(verify(&claims(json!("quintet"), iss.clone()), &policy), Err(TokenError::Issuer), "{iss}");
    }
    assert_eq!(verify(&good(), &policy), Err(TokenError::Audience), "missing altogether");
}

#[test]
fn auth_5_a_subject_that_is_not_a_user_id_is_refused() {
    let longest = "x".repeat(256);
    assert!(verify(&with("sub", json!(longest)), &ANY).is_ok());
    for sub in
        [Value::Null, json!(""), json!("x".repeat(257)), json!(7), json!(["ada"]), json!({"id": "ada"})]
    {
        let outcome = verify(&with("sub", sub.clone()), &ANY);
        assert!(
            matches!(outcome, Err(TokenError::Claim("sub") | TokenError::Malformed)),
            "{sub}: {outcome:?}"
        );
    }
    let twice = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"ada","sub":"bob","exp":{}}}"#, NOW.0 / 1000 + 60))
    );
    let signature =
        jsonwebtoken::crypto::sign(twice.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256);
    let outcome = hmac().verify(&format!("{twice}.{}", signature.unwrap()), &ANY, NOW);
    assert_eq!(outcome, Err(TokenError::Malformed), "two subjects");
}

#[test]
fn auth_5_an_expiry_in_milliseconds_or_beyond_all_dates_is_refused() {
    for exp in [json!(NOW.0), json!(NOW.0 + 60_000), json!(1e300), json!(u64::MAX), json!(100_000_000_000u64)]
    {
        assert_eq!(verify(&with("exp", exp.clone()), &ANY), Err(TokenError::Unit), "{exp}");
    }
    assert!(verify(&with("exp", json!(9_999_999_999u64)), &ANY).is_ok(), "far, but a date");
}

#[test]
fn a_token_that_lives_longer_than_the_limit_is_refused() {
    let policy = ClaimsPolicy { lifetime_ms_max: 60_000, ..ANY };
    assert!(verify(&good(), &policy).is_ok());
    assert_eq!(verify(&with("exp", json!(NOW.0 / 1000 + 61)), &policy), Err(TokenError::Lifetime));
}

#[test]
fn auth_5_a_token_of_another_type_is_no_access_token() {
    let of_type = |typ: Option<&str>| {
        let mut head = Header::new(Algorithm::HS256);
        head.typ = typ.map(str::to_owned);
        let token = jsonwebtoken::encode(&head, &good(), &EncodingKey::from_secret(SECRET)).unwrap();
        hmac().verify(&token, &ANY, NOW)
    };
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("AT+JWT"), Some("application/at+jwt")] {
        assert!(of_type(typ).is_ok(), "{typ:?}");
    }
    for typ in [
        "logout+jwt",
        "dpop+jwt",
        "JWE",
        "secevent+jwt",
        "id+jwt",
        "",
        "JWT ",
        "application/jose",
        "text/jwt",
    ] {
        assert_eq!(of_type(Some(typ)), Err(TokenError::Type), "{typ}");
    }
}

#[test]
fn an_error_names_the_claim_and_the_signature_is_not_read_before_the_claims() {
    for (claims, name) in [
        (with("sub", json!(42)), "`sub`"),
        (with("exp", json!("soon")), "`exp`"),
        (with("exp", json!(1)), "`exp`"),
        (with("exp", json!(1e300)), "`exp`"),
        (with("nbf", json!([])), "`nbf`"),
    ] {
        let token = secret_token(&claims);
        let forged = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
        for token in [token, forged] {
            let error = hmac().verify(&token, &ANY, NOW).unwrap_err();
            assert!(error.to_string().contains(name), "{claims}: {error}");
        }
    }
}
