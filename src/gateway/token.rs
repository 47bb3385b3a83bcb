//! Bearer tokens: JSON Web Tokens, verified with a key whose kind fixes the algorithm.
//!
//! Guarantees: a token counts only with a signature by a configured key, in an algorithm of that key's
//! kind (`none` and a public key taken for a secret are refused), before its `exp`, after its `nbf`,
//! for this audience and from this issuer where they are configured, and with a `sub` that is a user
//! id. Whatever is missing or cannot be read is a refusal (AUTH-5).

use std::collections::HashSet;

use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;

use crate::kernel::{
    ids::{Timestamp, UserId},
    ticket::Identity,
};

/// A key that verifies tokens, and the algorithms that it may be used with.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

/// What a token must say beside its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsPolicy {
    /// Tokens must name it among their `aud`. With none configured, `aud` is not looked at.
    pub audience: Option<String>,
    /// Tokens must have it as `iss`. With none configured, `iss` is not looked at.
    pub issuer: Option<String>,
    /// How far `nbf` may lie ahead. `exp` is taken at its word.
    pub clock_skew_ms_max: u64,
}

/// Why a token yields no identity. The holder is told only that it does not; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not a signed JWT")]
    Malformed,
    #[error("the token is longer than token_bytes_max")]
    TooLong,
    #[error("the token's algorithm is not one that its key is for")]
    Algorithm,
    #[error("the token's header asks for extensions that are not known")]
    Critical,
    #[error("the token's signature is not by a key of ours")]
    Signature,
    #[error("the token names a key that is not known")]
    UnknownKey,
    #[error("the token's claim `{0}` is missing or of a wrong kind")]
    Claim(&'static str),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is from another issuer")]
    Issuer,
}

/// Why a key cannot be used. The operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret is {0} bytes long; at least {SECRET_BYTES_MIN} are needed")]
    ShortSecret(usize),
    #[error("this is a private key; the service needs, and should have, only the public one")]
    Private,
    #[error("this is a certificate; give its public key, as `openssl x509 -pubkey -noout` prints it")]
    Certificate,
    #[error("the RSA key is shorter than {} bits", RSA_BYTES_MIN * 8)]
    ShortRsa,
    #[error("the key is not for RS*, PS*, ES256, ES384 or EdDSA (Ed25519): {0}")]
    Unsupported(String),
}

/// Bytes of an HMAC secret: as many as the shortest hash has.
pub const SECRET_BYTES_MIN: usize = 32;
/// Bytes of an RSA modulus.
pub const RSA_BYTES_MIN: usize = 256;

impl VerifyingKey {
    /// Takes the contents of a key file: a public key in PEM, or else an HMAC secret, one line break
    /// at its end not counted.
    pub fn from_file(contents: &[u8]) -> Result<Self, KeyError> {
        if contents.windows(PEM_MARK.len()).any(|window| window == PEM_MARK) {
            return Self::from_pem(contents);
        }
        let secret = contents.strip_suffix(b"\n").unwrap_or(contents);
        Self::from_secret(secret.strip_suffix(b"\r").unwrap_or(secret))
    }

    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret(secret.len()));
        }
        Ok(Self { key: DecodingKey::from_secret(secret), algorithms: HMAC.to_vec() })
    }

    fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if text.contains("CERTIFICATE-----") {
            return Err(KeyError::Certificate);
        }
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            // PKCS#1: the modulus and a few bytes more.
            let long = key.try_get_as_bytes().is_ok_and(|der| der.len() >= RSA_BYTES_MIN);
            return if long { Self::usable(key, &RSA) } else { Err(KeyError::ShortRsa) };
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(P256_POINT_BYTES) => Self::usable(key, &[Algorithm::ES256]),
                Ok(P384_POINT_BYTES) => Self::usable(key, &[Algorithm::ES384]),
                _ => Err(KeyError::Unsupported("the curve is neither P-256 nor P-384".into())),
            };
        }
        match DecodingKey::from_ed_pem(pem) {
            Ok(key) if key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_BYTES) => {
                Self::usable(key, &[Algorithm::EdDSA])
            }
            _ => Err(KeyError::Unsupported("not a public key in PEM".into())),
        }
    }

    /// Takes a public key of a key set, with the one algorithm that it names or those of its kind.
    /// A symmetric key is refused: whoever can read the set could sign with it.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if matches!(&jwk.common.public_key_use, Some(used) if *used != PublicKeyUse::Signature) {
            return Err(KeyError::Unsupported("not for signatures".into()));
        }
        let of_kind: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return Err(KeyError::Unsupported("kind or curve".into())),
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|e| KeyError::Unsupported(e.to_string()))?;
        match (&jwk.algorithm, key.kind()) {
            (_, jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. }) if n.len() < RSA_BYTES_MIN => {
                return Err(KeyError::ShortRsa);
            }
            // The library takes the first 32 bytes of whatever there is.
            (AlgorithmParameters::OctetKeyPair(_), jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes))
                if bytes.len() != ED25519_BYTES =>
            {
                return Err(KeyError::Unsupported("not an Ed25519 key".into()));
            }
            _ => {}
        }
        match jwk.common.key_algorithm {
            None => Self::usable(key, of_kind),
            Some(named) => match Algorithm::try_from(named) {
                Ok(algorithm) if of_kind.contains(&algorithm) => Self::usable(key, &[algorithm]),
                _ => Err(KeyError::Unsupported(format!("algorithm {named}"))),
            },
        }
    }

    /// Finds out now, not at the first token, whether the key can be used at all.
    fn usable(key: DecodingKey, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        for algorithm in algorithms {
            jsonwebtoken::crypto::verify("", b"", &key, *algorithm)
                .map_err(|e| KeyError::Unsupported(e.to_string()))?;
        }
        Ok(Self { key, algorithms: algorithms.to_vec() })
    }

    /// The identity that a token proves at the time `at`.
    pub fn verify(&self, token: &str, policy: &ClaimsPolicy, at: Timestamp) -> Result<Identity, TokenError> {
        // AUTH-5: the algorithm is the key's to choose. Claims are checked below, by our clock, and
        // strictly: the library's own checks pass over an `iss` or `aud` that is not there.
        let validation = Validation {
            algorithms: self.algorithms.clone(),
            required_spec_claims: HashSet::new(),
            validate_exp: false,
            validate_nbf: false,
            validate_aud: false,
            ..Validation::default()
        };
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &validation).map_err(refused)?.claims;
        claims.identity(policy, at)
    }
}

/// The header of a token, not verified: it only chooses the key.
pub fn header(token: &str) -> Result<Header, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(refused)?;
    // RFC 7515, 4.1.11: what must be understood, and is not, must be refused.
    if header.crit.is_some() { Err(TokenError::Critical) } else { Ok(header) }
}

fn refused(error: jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::Signing(_) => TokenError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::MissingAlgorithm => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

/// What is read of a token's claims. Each may be of any JSON type; only the right one counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: serde_json::Value,
    exp: serde_json::Value,
    nbf: serde_json::Value,
    aud: serde_json::Value,
    iss: serde_json::Value,
}

impl Claims {
    fn identity(&self, policy: &ClaimsPolicy, at: Timestamp) -> Result<Identity, TokenError> {
        let expires_at = numeric_date(&self.exp).ok_or(TokenError::Claim("exp"))?;
        if at >= expires_at {
            return Err(TokenError::Expired);
        }
        if !self.nbf.is_null() {
            let begins_at = numeric_date(&self.nbf).ok_or(TokenError::Claim("nbf"))?;
            if begins_at.millis_since(at) > policy.clock_skew_ms_max {
                return Err(TokenError::NotYetValid);
            }
        }
        if policy.audience.as_ref().is_some_and(|audience| !names(&self.aud, audience)) {
            return Err(TokenError::Audience);
        }
        if policy.issuer.as_ref().is_some_and(|issuer| self.iss.as_str() != Some(issuer)) {
            return Err(TokenError::Issuer);
        }
        let sub = self.sub.as_str().ok_or(TokenError::Claim("sub"))?;
        let user_id = UserId::parse(sub).map_err(|_| TokenError::Claim("sub"))?;
        Ok(Identity { user_id, expires_at })
    }
}

/// A NumericDate: seconds since 1970, possibly with a fraction.
fn numeric_date(value: &serde_json::Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Timestamp((seconds * 1000.0) as u64))
}

/// `aud` is one audience or a list of them.
fn names(aud: &serde_json::Value, audience: &str) -> bool {
    match aud {
        serde_json::Value::String(one) => one == audience,
        serde_json::Value::Array(several) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

const PEM_MARK: &[u8] = b"-----BEGIN ";
const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
/// An uncompressed point of SEC 1.
const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;
const ED25519_BYTES: usize = 32;

#[cfg(test)]
mod tests;
