use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

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
    VerifyingKey::from_secret(SECRET).unwrap().verify(&secret_token(claims), policy, NOW)
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
fn a_signed_token_is_its_subject_until_its_expiry() {
    assert_eq!(verify(&good(), &ClaimsPolicy::default()), Ok(ada()));
}

#[test]
fn every_kind_of_key_verifies_its_own_algorithms() {
    let pairs = [
        (key!("rsa.public.pem"), EncodingKey::from_rsa_pem(key!("rsa.private.pem")).unwrap(), &RSA[..]),
        (
            key!("p256.public.pem"),
            EncodingKey::from_ec_pem(key!("p256.private.pem")).unwrap(),
            &[Algorithm::ES256],
        ),
        (
            key!("p384.public.pem"),
            EncodingKey::from_ec_pem(key!("p384.private.pem")).unwrap(),
            &[Algorithm::ES384],
        ),
        (
            key!("ed25519.public.pem"),
            EncodingKey::from_ed_pem(key!("ed25519.private.pem")).unwrap(),
            &[Algorithm::EdDSA],
        ),
        (SECRET, EncodingKey::from_secret(SECRET), &HMAC[..]),
    ];
    let policy = ClaimsPolicy::default();
    for (i, (_, private, algorithms)) in pairs.iter().enumerate() {
        for algorithm in *algorithms {
            let token = sign(*algorithm, private, &good());
            for (j, (public, ..)) in pairs.iter().enumerate() {
                let outcome = VerifyingKey::from_file(public).unwrap().verify(&token, &policy, NOW);
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
    // The classic: sign with the public key's own text as if it were an HMAC secret.
    for public in [key!("rsa.public.pem"), key!("p256.public.pem"), key!("ed25519.public.pem")] {
        let forged = sign(Algorithm::HS256, &EncodingKey::from_secret(public), &good());
        let outcome = VerifyingKey::from_file(public).unwrap().verify(&forged, &ClaimsPolicy::default(), NOW);
        assert_eq!(outcome, Err(TokenError::Algorithm));
    }
}

#[test]
fn auth_5_a_token_without_a_good_signature_is_nobody() {
    let key = VerifyingKey::from_secret(SECRET).unwrap();
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
        assert!(key.verify(&forged, &ClaimsPolicy::default(), NOW).is_err(), "{forged}");
    }
    let other = sign(Algorithm::HS256, &EncodingKey::from_secret(&[b'x'; 32]), &good());
    assert_eq!(key.verify(&other, &ClaimsPolicy::default(), NOW), Err(TokenError::Signature));
}

#[test]
fn auth_5_what_a_header_calls_critical_must_be_understood() {
    let mut head = Header::new(Algorithm::HS256);
    head.crit = Some(vec!["exp".into()]);
    let token = jsonwebtoken::encode(&head, &good(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(header(&token).err(), Some(TokenError::Critical));
}

#[test]
fn auth_3_a_token_is_good_up_to_its_expiry_and_not_a_millisecond_longer() {
    let policy = ClaimsPolicy { clock_skew_ms_max: 60_000, ..ClaimsPolicy::default() };
    let key = VerifyingKey::from_secret(SECRET).unwrap();
    let token = secret_token(&good());
    assert!(key.verify(&token, &policy, Timestamp(NOW.0 + 59_999)).is_ok());
    assert_eq!(key.verify(&token, &policy, Timestamp(NOW.0 + 60_000)), Err(TokenError::Expired));
    let fraction = verify(&with("exp", json!(NOW.0 as f64 / 1000.0 + 0.25)), &policy).unwrap();
    assert_eq!(fraction.expires_at, Timestamp(NOW.0 + 250));
}

#[test]
fn auth_5_an_expiry_that_is_missing_or_no_number_is_not_for_ever() {
    for exp in [Value::Null, json!("1900000000"), json!(true), json!(-1), json!([1_900_000_000]), json!({})] {
        let outcome = verify(&with("exp", exp.clone()), &ClaimsPolicy::default());
        assert!(
            matches!(outcome, Err(TokenError::Claim("exp") | TokenError::Malformed)),
            "{exp}: {outcome:?}"
        );
    }
    assert_eq!(verify(&json!({"sub": "ada"}), &ClaimsPolicy::default()), Err(TokenError::Claim("exp")));
    assert_eq!(verify(&with("exp", json!(0)), &ClaimsPolicy::default()), Err(TokenError::Expired));
    let for_long = verify(&with("exp", json!(1e300)), &ClaimsPolicy::default()).unwrap();
    assert_eq!(for_long.expires_at, Timestamp(u64::MAX));
}

#[test]
fn a_token_of_the_future_waits_but_for_the_skew_of_clocks() {
    let policy = ClaimsPolicy { clock_skew_ms_max: 5_000, ..ClaimsPolicy::default() };
    let begins = |seconds: u64| with("nbf", json!(NOW.0 / 1000 + seconds));
    assert!(verify(&begins(5), &policy).is_ok());
    assert_eq!(verify(&begins(6), &policy), Err(TokenError::NotYetValid));
    assert_eq!(verify(&with("nbf", json!("soon")), &policy), Err(TokenError::Claim("nbf")));
}

#[test]
fn auth_5_audience_and_issuer_must_match_where_they_are_configured() {
    let policy =
        ClaimsPolicy { audience: Some("quintet".into()), issuer: Some("id".into()), clock_skew_ms_max: 0 };
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
fn auth_5_a_subject_that_is_no_user_id_is_nobody() {
    let longest = "x".repeat(256);
    assert!(verify(&with("sub", json!(longest)), &ClaimsPolicy::default()).is_ok());
    for sub in
        [Value::Null, json!(""), json!("x".repeat(257)), json!(7), json!(["ada"]), json!({"id": "ada"})]
    {
        let outcome = verify(&with("sub", sub.clone()), &ClaimsPolicy::default());
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
    let outcome = VerifyingKey::from_secret(SECRET).unwrap().verify(
        &format!("{twice}.{}", signature.unwrap()),
        &ClaimsPolicy::default(),
        NOW,
    );
    assert_eq!(outcome, Err(TokenError::Malformed), "two subjects");
}

#[test]
fn auth_5_keys_that_are_weak_private_or_of_no_use_are_refused_at_the_start() {
    let refused = |contents: &[u8]| VerifyingKey::from_file(contents).unwrap_err();
    assert_eq!(refused(b""), KeyError::ShortSecret(0));
    assert_eq!(refused(&[b'x'; 31]), KeyError::ShortSecret(31));
    assert_eq!(refused(b"0123456789abcdef0123456789abcde\n"), KeyError::ShortSecret(31));
    assert_eq!(refused(key!("rsa1024.public.pem")), KeyError::ShortRsa);
    assert_eq!(refused(key!("certificate.pem")), KeyError::Certificate);
    for private in [key!("rsa.private.pem"), key!("p256.private.pem"), key!("ed25519.private.pem")] {
        assert_eq!(refused(private), KeyError::Private);
    }
    for other in [key!("secp256k1.public.pem"), key!("p521.public.pem"), b"-----BEGIN PUBLIC KEY-----\nx\n"] {
        assert!(matches!(refused(other), KeyError::Unsupported(_)));
    }
}

#[test]
fn a_line_break_at_the_end_of_a_secret_does_not_count() {
    let token = secret_token(&good());
    for end in ["", "\n", "\r\n"] {
        let key = VerifyingKey::from_file(&[SECRET, end.as_bytes()].concat()).unwrap();
        assert!(key.verify(&token, &ClaimsPolicy::default(), NOW).is_ok(), "{end:?}");
    }
}

#[test]
fn auth_5_a_key_set_yields_public_signing_keys_only() {
    let jwk = |value: Value| VerifyingKey::from_jwk(&serde_json::from_value(value).unwrap());
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ed = |x: &[u8]| json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(x)});
    assert!(jwk(ed(&[9; 31])).is_err(), "too short");
    assert!(jwk(ed(&[9; 33])).is_err(), "too long");
    assert!(jwk(json!({"kty": "oct", "k": encoded(SECRET)})).is_err(), "symmetric");
    let rsa = |bytes: usize, more: Value| {
        let mut value = json!({"kty": "RSA", "n": encoded(&vec![0xff; bytes]), "e": "AQAB"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk(value)
    };
    assert_eq!(rsa(256, json!({})).unwrap().algorithms, RSA);
    assert_eq!(rsa(256, json!({"alg": "PS384", "use": "sig"})).unwrap().algorithms, [Algorithm::PS384]);
    assert_eq!(rsa(128, json!({})).unwrap_err(), KeyError::ShortRsa);
    assert!(rsa(256, json!({"use": "enc"})).is_err());
    for foreign in ["HS256", "ES256", "RSA-OAEP"] {
        assert!(rsa(256, json!({"alg": foreign})).is_err(), "{foreign}");
    }
}
