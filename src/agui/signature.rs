//! Signed requests: the user's id in a header that only the holder of a shared key can have written.
//!
//! | header | value |
//! |---|---|
//! | `Quintet-User` | the id of the user, in base64url without padding ([RFC 4648, section 5]) |
//! | `Quintet-Time` | the time of the request, in seconds since 1970 |
//! | `Quintet-Signature` | `v1=` and the signature in lower-case hexadecimal digits |
//!
//! The signature is HMAC-SHA256 ([RFC 2104]) with the shared key over these lines, joined by line feeds, without one at
//! the end:
//!
//! ```text
//! v1
//! POST
//! /path?query                 as in the request line
//! <Quintet-Time>
//! <SHA-256 of the body>       in lower-case hexadecimal digits
//! <Quintet-User>
//! ```
//!
//! An agent checks the signature in constant time, and refuses a time that is more than five minutes off.
//!
//! [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
//! [RFC 4648, section 5]: https://www.rfc-editor.org/rfc/rfc4648#section-5

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use quintet_kernel::ids::{Timestamp, UserId};
use quintet_upstream::{
    Secret,
    reqwest::{
        Url,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};
use sha2::{Digest, Sha256};

/// The header with the user's id.
pub const USER: HeaderName = HeaderName::from_static("quintet-user");

/// The header with the time of the request.
pub const TIME: HeaderName = HeaderName::from_static("quintet-time");

/// The header with the signature.
pub const SIGNATURE: HeaderName = HeaderName::from_static("quintet-signature");

/// Returns the headers that sign a `POST` of `body` to `url` for a user.
pub fn headers(key: &Secret, url: &Url, body: &[u8], user_id: &UserId, at: Timestamp) -> HeaderMap {
    let user = URL_SAFE_NO_PAD.encode(user_id.as_str());
    let time = (at.0 / 1000).to_string();
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let digest = hex(&Sha256::digest(body));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("v1\nPOST\n{path}\n{time}\n{digest}\n{user}").as_bytes());
    let signature = format!("v1={}", hex(&mac.finalize().into_bytes()));
    [(USER, user), (TIME, time), (SIGNATURE, signature)]
        .into_iter()
        .map(|(name, value)| {
            let mut value = HeaderValue::try_from(value).expect("letters, digits and punctuation");
            value.set_sensitive(true);
            (name, value)
        })
        .collect()
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(key: &str, url: &str, body: &[u8], user: &str, at: u64) -> [String; 3] {
        let key = Secret::new(key, "key").unwrap();
        let user = UserId::parse(user).unwrap();
        let headers = headers(&key, &url.parse().unwrap(), body, &user, Timestamp(at));
        [USER, TIME, SIGNATURE].map(|name| headers[name].to_str().unwrap().to_owned())
    }

    /// The expected value was computed with `openssl dgst -sha256 -hmac`.
    #[test]
    fn signature_is_that_of_another_implementation() {
        let [user, time, signature] = signed("key", "http://h:1/a?b=c", b"{}", "ann", 1_700_000_000_999);
        assert_eq!((&*user, &*time), ("YW5u", "1700000000"));
        assert_eq!(signature, "v1=9aa419306238b2585d996e3867bd9c2a7c2f56991330074ccfd85ce65af0d1a4");
    }

    #[test]
    fn every_part_is_signed() {
        let base = ("key", "http://h/", &b"{}"[..], "ann", 1_000);
        let of = |(key, url, body, user, at): (&str, &str, &[u8], &str, u64)| {
            signed(key, url, body, user, at)[2].clone()
        };
        let others = [
            ("kez", base.1, base.2, base.3, base.4),
            (base.0, "http://h/?", base.2, base.3, base.4),
            (base.0, base.1, &b"[]"[..], base.3, base.4),
            (base.0, base.1, base.2, "bob", base.4),
            (base.0, base.1, base.2, base.3, 2_000),
        ];
        assert!(others.into_iter().all(|other| of(other) != of(base)));
    }

    #[test]
    fn user_of_any_characters_is_a_header() {
        assert_eq!(signed("k", "http://h/", b"", "ä\u{1F600} b", 0)[0], "w6Twn5iAIGI");
    }
}
