use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/keys/", $name)).as_slice()
    };
}

fn text(pem: &[u8]) -> &str {
    std::str::from_utf8(pem).unwrap()
}

#[test]
fn auth_5_a_public_key_file_holds_one_public_key_in_pem_and_nothing_else_that_is_a_key() {
    let refused = |contents: &[u8]| VerifyingKey::from_public_pem(contents).unwrap_err();
    assert_eq!(refused(key!("rsa1024.public.pem")), KeyError::ShortRsa);
    assert_eq!(refused(key!("certificate.pem")), KeyError::Certificate);
    for private in [key!("rsa.private.pem"), key!("p256.private.pem"), key!("ed25519.private.pem")] {
        assert_eq!(refused(private), KeyError::Private);
        assert_eq!(refused(&[key!("rsa.public.pem"), private].concat()), KeyError::Private);
    }
    for other in [key!("secp256k1.public.pem"), key!("p521.public.pem")] {
        assert!(matches!(refused(other), KeyError::Unsupported(_)));
    }
    let two = [key!("rsa.public.pem"), key!("ed25519.public.pem")].concat();
    assert_eq!(refused(&two), KeyError::SeveralBlocks(2));
    assert_eq!(refused(&[key!("rsa.public.pem"), key!("certificate.pem")].concat()), KeyError::Certificate);
    let pem = text(key!("rsa.public.pem"));
    let utf16: Vec<u8> = pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for no_pem in [
        &b""[..],
        b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA",
        b"{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        b"-----BEGIN PUBLIC KEY-----\nx\n",
        b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        pem.split_once('\n').unwrap().1.as_bytes(),
        &utf16,
    ] {
        assert_eq!(refused(no_pem), KeyError::NotPem, "{:?}", String::from_utf8_lossy(no_pem));
    }
}

#[test]
fn a_public_key_may_have_text_around_it_and_other_line_ends() {
    let pem = text(key!("p256.public.pem"));
    let plain = VerifyingKey::from_public_pem(pem.as_bytes()).unwrap();
    for spelled in [
        pem.replace('\n', "\r\n"),
        format!("the key of staging\n\n{pem}\n\n"),
        format!("\u{feff}{pem}"),
        pem.trim_end().to_owned(),
    ] {
        let key = VerifyingKey::from_public_pem(spelled.as_bytes()).unwrap();
        assert_eq!(key.description(), plain.description());
    }
}

#[test]
fn a_key_is_described_by_its_kind_and_a_secret_by_nothing_but_its_length() {
    let secret = HmacSecret::from_file(b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA\n").unwrap();
    assert_eq!(VerifyingKey::from_secret(&secret).description().to_string(), "HMAC secret, 32 bytes");
    for (pem, kind) in [
        (key!("rsa.public.pem"), "RSA"),
        (key!("p256.public.pem"), "P-256"),
        (key!("p384.public.pem"), "P-384"),
        (key!("ed25519.public.pem"), "Ed25519"),
    ] {
        let described = VerifyingKey::from_public_pem(pem).unwrap().description().to_string();
        assert!(described.starts_with(&format!("{kind} public key, SHA-256 ")), "{described}");
        assert_eq!(described.rsplit(' ').next().unwrap().len(), 64, "{described}");
    }
}

#[test]
fn auth_5_a_key_set_yields_public_signing_keys_only() {
    let jwk = |value: Value| VerifyingKey::from_jwk(&serde_json::from_value(value).unwrap());
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let ed = |x: &[u8]| json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(x)});
    assert!(jwk(ed(&[9; 31])).is_err(), "too short");
    assert!(jwk(ed(&[9; 33])).is_err(), "too long");
    assert!(jwk(json!({"kty": "oct", "k": encoded(&[7; 32])})).is_err(), "symmetric");
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
    for (operations, is_usable) in [
        (json!(["verify"]), true),
        (json!(["sign", "verify"]), true),
        (json!(["encrypt"]), false),
        (json!(["sign"]), false),
        (json!([]), false),
    ] {
        assert_eq!(rsa(256, json!({"key_ops": operations})).is_ok(), is_usable, "{operations}");
    }
}
