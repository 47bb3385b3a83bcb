//! Log in as anyone, for `quintet dev` alone: a signing key that lives as long as the process.
//!
//! Guarantee: a service without a [`DevLogin`] has no way to make a token (AUTH-5); the key of one is
//! made of fresh randomness, is never written anywhere, and is good for nothing elsewhere.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::TryRng;
use serde::Serialize;

use super::key::{VerifyingKey, secret::HmacSecret};
use crate::kernel::{
    ids::{Timestamp, UserId},
    ticket::Identity,
};

/// A throw-away signing key.
pub struct DevLogin {
    secret: HmacSecret,
}

/// Why a token was not made. The fault is ours or the system's.
#[derive(Debug, thiserror::Error)]
pub enum DevLoginError {
    #[error("the system has no randomness to give")]
    NoRandomness,
    #[error("the token cannot be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a UserId,
    iat: u64,
    exp: u64,
}

impl DevLogin {
    pub fn throw_away() -> Result<Self, DevLoginError> {
        let mut secret = [0; 64];
        rand::rngs::SysRng.try_fill_bytes(&mut secret).map_err(|_| DevLoginError::NoRandomness)?;
        Ok(Self { secret: HmacSecret::random(secret) })
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::from_secret(&self.secret)
    }

    /// Makes a token of any user, valid for [`TOKEN_SECONDS`].
    pub fn login(&self, user_id: UserId, at: Timestamp) -> Result<(String, Identity), DevLoginError> {
        let iat = at.0 / 1000;
        let exp = iat + TOKEN_SECONDS;
        let claims = Claims { sub: &user_id, iat, exp };
        let key = EncodingKey::from_secret(self.secret.bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?;
        Ok((token, Identity { user_id, expires_at: Timestamp(exp * 1000) }))
    }
}

/// Seconds that a token of `quintet dev` is good for: a working day.
pub const TOKEN_SECONDS: u64 = 12 * 60 * 60;
