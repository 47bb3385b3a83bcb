//! Issues tokens for any user, for `quintet dev` only, with a signing key that lives as long as the process.
//!
//! Guarantee: a service without a [`DevLogin`] cannot issue tokens (AUTH-5). The key is made from fresh
//! random bytes, never stored, and valid for this process only.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::TryRng;
use serde::Serialize;

use super::key::{VerifyingKey, secret::HmacSecret};
use crate::kernel::{
    ids::{Timestamp, UserId},
    ticket::Identity,
};

/// A signing key that is discarded with the process.
pub struct DevLogin {
    secret: HmacSecret,
}

/// The reason for which no token was issued. Fault of the service or the system.
#[derive(Debug, thiserror::Error)]
pub enum DevLoginError {
    /// The random source of the system failed.
    #[error("the system provides no random bytes")]
    NoRandomness,
    /// The claims could not be encoded or signed.
    #[error("the token cannot be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct DevClaims<'a> {
    sub: &'a UserId,
    iat: u64,
    exp: u64,
}

impl DevLogin {
    /// Creates a fresh random key.
    ///
    /// # Errors
    /// When the system provides no random bytes.
    pub fn throw_away() -> Result<Self, DevLoginError> {
        let mut secret = [0; 64];
        rand::rngs::SysRng.try_fill_bytes(&mut secret).map_err(|_| DevLoginError::NoRandomness)?;
        Ok(Self { secret: HmacSecret::random(secret) })
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::from_secret(&self.secret)
    }

    /// Issues a token for any user, valid for [`TOKEN_SECONDS`].
    ///
    /// # Errors
    /// When the token cannot be signed.
    pub fn login(&self, user_id: UserId, at: Timestamp) -> Result<(String, Identity), DevLoginError> {
        let iat = at.0 / 1000;
        let exp = iat + TOKEN_SECONDS;
        let claims = DevClaims { sub: &user_id, iat, exp };
        let key = EncodingKey::from_secret(self.secret.bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?;
        Ok((token, Identity { user_id, expires_at: Timestamp(exp * 1000) }))
    }
}

/// Lifetime of a token of `quintet dev`: 12 hours.
pub const TOKEN_SECONDS: u64 = 12 * 60 * 60;
