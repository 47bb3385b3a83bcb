//! Verifies public-key signatures on blocking threads, in bounded numbers.
//!
//! Guarantee: forged tokens occupy at most `signature_checks_max` threads and the memory of
//! `waiting_signature_checks_max` tokens, however many arrive (ISO-6). Further tokens are refused before
//! their signature is read.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    key::VerifyingKey,
    limits::GatewayLimits,
    token::{TokenError, UnverifiedToken},
};
use crate::{
    kernel::ticket::Identity,
    runtime::saturation::{Saturation, Scope},
};

/// Semaphores for running and for queued verifications.
#[derive(Debug)]
pub struct SignatureChecks {
    running: Arc<Semaphore>,
    /// One permit per verification that runs or waits.
    admitted: Arc<Semaphore>,
    saturation: Saturation,
}

/// The reason for which a signature was not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The signature is not that of the key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// All slots are taken.
    #[error("waiting_signature_checks_max is reached")]
    Busy,
    /// The verification did not run.
    #[error("signatures cannot be verified at the moment")]
    Unavailable,
}

impl SignatureChecks {
    /// Creates the slots with the sizes in `limits`.
    pub fn new(limits: &GatewayLimits, saturation: Saturation) -> Self {
        let running_max = limits.signature_checks_max;
        let admitted_max = running_max + limits.waiting_signature_checks_max;
        let (running, admitted) =
            (Arc::new(Semaphore::new(running_max)), Arc::new(Semaphore::new(admitted_max)));
        Self { running, admitted, saturation }
    }

    /// Verifies the signature of a token whose claims are valid; a public-key signature takes a slot. Cancel
    /// safe: a verification that has started runs to its end and then frees its slot.
    ///
    /// # Errors
    /// [`CheckError::Busy`] when no slot is free; [`CheckError::Token`] when the signature is invalid.
    pub async fn verify(
        &self,
        key: &Arc<VerifyingKey>,
        token: UnverifiedToken,
    ) -> Result<Identity, CheckError> {
        if !key.is_costly() {
            return Ok(key.verify_signature(token)?);
        }
        let Ok(admitted) = self.admitted.clone().try_acquire_owned() else {
            self.saturation.reached("waiting_signature_checks_max", Scope::Service);
            return Err(CheckError::Busy);
        };
        let Ok(running) = self.running.clone().acquire_owned().await else {
            return Err(CheckError::Unavailable);
        };
        let key = key.clone();
        let check = move || {
            let outcome = key.verify_signature(token);
            drop((running, admitted));
            outcome
        };
        match tokio::task::spawn_blocking(check).await {
            Ok(outcome) => Ok(outcome?),
            Err(error) if error.is_panic() => {
                tracing::error!("signature verification panicked");
                Err(TokenError::Signature.into())
            }
            Err(_) => Err(CheckError::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gateway::{
            auth::{Auth, AuthError, Keys},
            token::{Audience, ClaimsPolicy},
        },
        observer::NoObserver,
        runtime::clock,
    };

    fn claims() -> serde_json::Value {
        serde_json::json!({"sub": "ada", "exp": clock::now().0 / 1000 + 60})
    }

    fn token(private: &[u8]) -> String {
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(private).unwrap();
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    }

    #[tokio::test]
    async fn iso_6_signature_checks_beyond_the_slots_are_refused_before_the_signature_is_read() {
        let public = include_bytes!("../../tests/keys/rsa.public.pem");
        let key = VerifyingKey::from_public_pem(public).unwrap();
        let limits = GatewayLimits {
            signature_checks_max: 1,
            waiting_signature_checks_max: 2,
            ..GatewayLimits::DEFAULT
        };
        let policy =
            ClaimsPolicy { audience: Audience::Any, issuer: None, clock_skew_ms_max: 0, lifetime_ms_max: 0 };
        let saturation = Saturation::default();
        let auth =
            Auth::new(Keys::Fixed(Arc::new(key)), policy, &limits, saturation.clone(), Arc::new(NoObserver));
        let good = token(include_bytes!("../../tests/keys/rsa.private.pem"));
        // No check ends before all are polled once.
        let slot = auth.checks().running.clone().try_acquire_owned().unwrap();
        let mut checks = std::pin::pin!(futures_util::future::join_all((0..8).map(|_| auth.bearer(&good))));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(checks.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        drop(slot);
        let outcomes = checks.await;
        let busy = outcomes.iter().filter(|outcome| **outcome == Err(AuthError::Busy)).count();
        assert_eq!((busy, outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (5, 3));
        assert_eq!(saturation.current(), [("waiting_signature_checks_max", Scope::Service)]);
        assert!(auth.bearer(&good).await.is_ok(), "the slots are free again");
        let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, "AAAA");
        let outcomes = futures_util::future::join_all((0..3).map(|_| auth.bearer(&forged))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Err(TokenError::Signature.into())));
    }
}
