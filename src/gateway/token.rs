//! Bearer tokens: JSON Web Tokens, verified with a key whose kind fixes the algorithm.
//!
//! Guarantees: a token yields an identity only with a signature by a configured key, in an algorithm of that
//! key's kind, as an access token (`typ`), before its `exp`, after its `nbf`, for this audience and from this
//! issuer where they are configured, and with a `sub` that is a user id. A claim that is missing or cannot be
//! read is an error (AUTH-5).
//!
//! Header and claims are checked before the signature, which costs a thousand times as much. The answer to a
//! client is the same for every error, so that the order reveals nothing.

use jsonwebtoken::Header;
use serde::Deserialize;

use super::key::VerifyingKey;
use crate::kernel::{
    ids::{Timestamp, UserId},
    ticket::Identity,
};

/// The claims that a token needs beside its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsPolicy {
    pub audience: Audience,
    /// Tokens must have it as `iss`. With none configured, `iss` is not read.
    pub issuer: Option<String>,
    /// How far `nbf` may lie ahead. `exp` is never stretched.
    pub clock_skew_ms_max: u64,
    /// How far `exp` may lie ahead; 0 for any time.
    pub lifetime_ms_max: u64,
}

/// The audience that tokens are for. It has no default: a token for another application of the same issuer
/// is refused unless that is switched off by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Tokens must name it among their `aud`.
    Named(String),
    /// `aud` is not read.
    Any,
}

/// Why a token yields no identity. The client gets one answer for all of them; the log has the reason.
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
    #[error("the token's header `typ` is not JWT or at+jwt: it is no access token")]
    Type,
    #[error("the token's claim `exp` is not in seconds, but perhaps in milliseconds")]
    Unit,
    #[error("the token's claim `exp` lies further ahead than token_lifetime_ms_max")]
    Lifetime,
    #[error("the token has expired: its claim `exp` is past")]
    Expired,
    #[error("the token is not valid yet: its claim `nbf` lies ahead")]
    NotYetValid,
    #[error("the token is for another audience: its claim `aud`")]
    Audience,
    #[error("the token is from another issuer: its claim `iss`")]
    Issuer,
}

/// A token whose header and claims are in order, and whose signature is not verified yet.
#[derive(Debug)]
pub struct Unverified {
    /// The part that the signature covers.
    signed: Box<str>,
    signature: Box<str>,
    algorithm: jsonwebtoken::Algorithm,
    identity: Identity,
}

impl VerifyingKey {
    /// Returns the identity that a token proves at the time `at`.
    ///
    /// # Errors
    /// When anything about the token is not in order.
    pub fn verify(&self, token: &str, policy: &ClaimsPolicy, at: Timestamp) -> Result<Identity, TokenError> {
        self.verify_signature(self.check(token, policy, at)?)
    }

    /// Checks all of a token but its signature.
    ///
    /// # Errors
    /// When the algorithm is not one of this key's, or a claim is not in order.
    pub fn check(&self, token: &str, policy: &ClaimsPolicy, at: Timestamp) -> Result<Unverified, TokenError> {
        let header = header(token)?;
        // AUTH-5: the key's kind fixes the algorithm.
        if !self.algorithms.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        if !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(TokenError::Type);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token)
            .map_err(|error| refused(&error))?
            .claims;
        let identity = claims.identity(policy, at)?;
        Ok(Unverified { signed: signed.into(), signature: signature.into(), algorithm: header.alg, identity })
    }

    /// Verifies the signature of a token that [`VerifyingKey::check`] passed. Takes up to a millisecond of
    /// the processor for a public key.
    ///
    /// # Errors
    /// When the signature is not by this key.
    pub fn verify_signature(&self, token: Unverified) -> Result<Identity, TokenError> {
        let signed = token.signed.as_bytes();
        match jsonwebtoken::crypto::verify(&token.signature, signed, &self.key, token.algorithm) {
            Ok(true) => Ok(token.identity),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// Whether a header's `typ` is that of a token that opens a service: `JWT` (RFC 7519) or `at+jwt` (RFC
/// 9068), in any case, with `application/` before it or not. Others, such as `logout+jwt`, are for something
/// else.
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Reads the header of a token, not verified: it only chooses the key.
///
/// # Errors
/// When it cannot be read, or has extensions that must be understood.
pub fn header(token: &str) -> Result<Header, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| refused(&error))?;
    // RFC 7515, 4.1.11: what must be understood, and is not, must be refused.
    if header.crit.is_some() { Err(TokenError::Critical) } else { Ok(header) }
}

fn refused(error: &jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::Signing(_) => TokenError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::MissingAlgorithm => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

/// The claims of a token that are read. Each may be of any JSON type; a wrong one is an error that names it.
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
        let sub = self.sub.as_str().ok_or(TokenError::Claim("sub"))?;
        let user_id = UserId::parse(sub).map_err(|_| TokenError::Claim("sub"))?;
        let expires_at = numeric_date(&self.exp).ok_or(TokenError::Claim("exp"))?;
        if at >= expires_at {
            return Err(TokenError::Expired);
        }
        if expires_at >= DATES_END {
            return Err(TokenError::Unit);
        }
        if policy.lifetime_ms_max > 0 && expires_at.millis_since(at) > policy.lifetime_ms_max {
            return Err(TokenError::Lifetime);
        }
        if !self.nbf.is_null() {
            let begins_at = numeric_date(&self.nbf).ok_or(TokenError::Claim("nbf"))?;
            if begins_at.millis_since(at) > policy.clock_skew_ms_max {
                return Err(TokenError::NotYetValid);
            }
        }
        if let Audience::Named(audience) = &policy.audience
            && !names(&self.aud, audience)
        {
            return Err(TokenError::Audience);
        }
        if policy.issuer.as_ref().is_some_and(|issuer| self.iss.as_str() != Some(issuer)) {
            return Err(TokenError::Issuer);
        }
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

/// 10^11 s after 1970, in the year 5138. Dates in milliseconds since March 1973 lie beyond it.
const DATES_END: Timestamp = Timestamp(100_000_000_000_000);

#[cfg(test)]
mod tests;
