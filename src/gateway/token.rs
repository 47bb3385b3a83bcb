//! Bearer tokens: JSON Web Tokens (RFC 7519), verified with a key whose kind fixes the algorithm.
//!
//! Guarantees: a token yields an identity only if its signature is by a configured key with an algorithm of
//! that key's kind, its `typ` is that of an access token, `exp` is in the future and `nbf` is not, `aud` and
//! `iss` match where configured, and `sub` is a valid user id. A missing or malformed claim is an error
//! (AUTH-5).
//!
//! Header and claims are checked before the signature, which costs about a thousand times as much. Clients
//! get the same answer for every error, so the order of the checks reveals nothing.

use jsonwebtoken::Header;
use serde::Deserialize;

use super::key::VerifyingKey;
use crate::kernel::{
    ids::{Timestamp, UserId},
    ticket::Identity,
};

/// The requirements on a token's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsPolicy {
    /// The required `aud`.
    pub audience: Audience,
    /// The required `iss`; `None` skips the check.
    pub issuer: Option<String>,
    /// Maximum time by which `nbf` may lie in the future, in milliseconds. Does not apply to `exp`.
    pub clock_skew_ms_max: u64,
    /// Maximum time by which `exp` may lie in the future, in milliseconds; 0 disables the limit.
    pub lifetime_ms_max: u64,
}

/// The audience of accepted tokens. It has no default: tokens for another application of the same issuer are
/// accepted only if the operator explicitly disables the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `aud` must contain this value.
    Named(String),
    /// `aud` is not checked.
    Any,
}

/// The reason for which a token was refused. Clients get the same answer for all variants; the log has the
/// reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is not a JWT with a signature, a header and claims in JSON.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// The token is longer than `token_bytes_max`; it was not decoded.
    #[error("the token is longer than token_bytes_max")]
    TooLong,
    /// The header names an algorithm of another kind of key (AUTH-5).
    #[error("the token's algorithm does not belong to the key")]
    Algorithm,
    /// The header has critical extensions (RFC 7515, 4.1.11).
    #[error("the token's header requires unknown extensions")]
    Critical,
    /// The signature was not made with the key.
    #[error("the token's signature does not match the key")]
    Signature,
    /// The key set has no key with the `kid` of the header.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// The claim of this name is missing or invalid.
    #[error("the token's claim `{0}` is missing or of the wrong type")]
    Claim(&'static str),
    /// The header has a `typ` other than `JWT` (RFC 7519) or `at+jwt` (RFC 9068).
    #[error("the token's header `typ` is not JWT or at+jwt: it is no access token")]
    Type,
    /// `exp` is so large that it is probably in milliseconds.
    #[error("the token's claim `exp` is not in seconds, possibly in milliseconds")]
    Unit,
    /// `exp` is further in the future than the policy allows.
    #[error("the token's claim `exp` lies further ahead than token_lifetime_ms_max")]
    Lifetime,
    /// `exp` is in the past.
    #[error("the token has expired: its claim `exp` is past")]
    Expired,
    /// `nbf` is further in the future than the clock skew that the policy allows.
    #[error("the token is not valid yet: its claim `nbf` lies ahead")]
    NotYetValid,
    /// `aud` does not contain the required audience.
    #[error("the token is for another audience: its claim `aud`")]
    Audience,
    /// `iss` is not the required issuer.
    #[error("the token is from another issuer: its claim `iss`")]
    Issuer,
}

/// A token with valid header and claims, whose signature is not verified yet.
#[derive(Debug)]
pub struct UnverifiedToken {
    /// The header and payload, which the signature covers.
    signed: Box<str>,
    signature: Box<str>,
    algorithm: jsonwebtoken::Algorithm,
    identity: Identity,
}

impl VerifyingKey {
    /// Verifies a token at the time `at` and returns its identity.
    ///
    /// # Errors
    /// When the header, a claim or the signature is invalid.
    pub fn verify(&self, token: &str, policy: &ClaimsPolicy, at: Timestamp) -> Result<Identity, TokenError> {
        self.verify_signature(self.check(token, policy, at)?)
    }

    /// Checks the header and claims of a token, but not its signature.
    ///
    /// # Errors
    /// When the algorithm does not belong to this key, or a claim is invalid.
    pub fn check(
        &self,
        token: &str,
        policy: &ClaimsPolicy,
        at: Timestamp,
    ) -> Result<UnverifiedToken, TokenError> {
        let header = header(token)?;
        // AUTH-5: the key decides the algorithm, not the token.
        if !self.algorithms.contains(&header.alg) {
            return Err(TokenError::Algorithm);
        }
        if !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(TokenError::Type);
        }
        // The signature covers everything before the last dot (RFC 7515).
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token)
            .map_err(|error| refused(&error))?
            .claims;
        let identity = claims.identity(policy, at)?;
        Ok(UnverifiedToken {
            signed: signed.into(),
            signature: signature.into(),
            algorithm: header.alg,
            identity,
        })
    }

    /// Verifies the signature of a token returned by [`VerifyingKey::check`]. With a public key, this takes
    /// up to a millisecond of CPU time.
    ///
    /// # Errors
    /// When the signature was not made with this key.
    pub fn verify_signature(&self, token: UnverifiedToken) -> Result<Identity, TokenError> {
        let signed = token.signed.as_bytes();
        match jsonwebtoken::crypto::verify(&token.signature, signed, &self.key, token.algorithm) {
            Ok(true) => Ok(token.identity),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// Returns whether `typ` is that of an access token: `JWT` (RFC 7519) or `at+jwt` (RFC 9068), in any case and
/// with an optional `application/` prefix. Other types, such as `logout+jwt`, have other uses.
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Decodes the header of a token without verifying it. It is only used to select the key.
///
/// # Errors
/// When the header is malformed or has critical extensions.
pub fn header(token: &str) -> Result<Header, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| refused(&error))?;
    // RFC 7515, 4.1.11: a token with critical extensions that are not understood must be rejected.
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

/// The claims that are checked. Any JSON type decodes, so that a wrong one yields an error naming the claim.
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
        // Otherwise a value in milliseconds would be valid for thousands of years.
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

/// Parses a NumericDate: seconds since 1970, possibly with a fraction.
fn numeric_date(value: &serde_json::Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Timestamp((seconds * 1000.0) as u64))
}

/// Returns whether `aud`, a string or a list of strings, contains `audience`.
fn names(aud: &serde_json::Value, audience: &str) -> bool {
    match aud {
        serde_json::Value::String(one) => one == audience,
        serde_json::Value::Array(several) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

/// 10^11 s after 1970, in the year 5138. Larger values are milliseconds of a date after March 1973.
const DATES_END: Timestamp = Timestamp(100_000_000_000_000);

#[cfg(test)]
mod tests;
