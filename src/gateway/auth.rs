//! Authentication: takes a bearer token or a ticket, returns an [`Identity`] or an error.
//!
//! Guarantee: nothing fails open. There is no `Auth` without a key or a key set, no branch that makes
//! up a user, and a store or key set that does not answer is an error (AUTH-5).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rand::TryRng;

pub use crate::kernel::ticket::Identity;
use crate::{
    gateway::{
        checks::SignatureChecks,
        jwks::{Jwks, NoKey},
        key::VerifyingKey,
        limits::GatewayLimits,
        tickets::{IssuedTicket, Secret, Tickets, Unissued},
        token::{self, ClaimsPolicy, TokenError},
    },
    kernel::{ids::Timestamp, ticket::Unredeemable},
    runtime::{
        clock,
        saturation::{Saturation, Scope},
    },
    witness::Witness,
};

/// Checks credentials. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    policy: ClaimsPolicy,
    token_bytes_max: usize,
    checks: SignatureChecks,
    tickets: Tickets,
    saturation: Saturation,
    /// A token that lives very long was accepted, and a warning logged.
    long_lived: AtomicBool,
    /// The clock that tickets live by.
    clock: clock::Watched,
    witness: Witness,
}

/// The keys that verify tokens.
#[derive(Debug)]
pub enum Keys {
    Fixed(Arc<VerifyingKey>),
    Set(Jwks),
}

/// Why a credential yields no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("a credential is needed")]
    Missing,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Ticket(#[from] Unredeemable),
    /// Our fault or the issuer's: the credential cannot be checked, and so is refused (AUTH-5).
    #[error("credentials cannot be checked at the moment")]
    Unavailable,
    /// As many signatures as may be are being checked.
    #[error("waiting_signature_checks_max is reached")]
    Busy,
}

impl AuthError {
    /// What went wrong, as a label of the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Token(TokenError::Expired) => "token_expired",
            Self::Token(TokenError::Signature) => "token_signature",
            Self::Token(TokenError::Algorithm) => "token_algorithm",
            Self::Token(TokenError::UnknownKey) => "token_key",
            Self::Token(TokenError::Audience) => "token_audience",
            Self::Token(TokenError::Type) => "token_type",
            Self::Token(TokenError::Unit | TokenError::Lifetime) => "token_lifetime",
            Self::Token(_) => "token_claims",
            Self::Ticket(Unredeemable::Unknown) => "ticket_unknown",
            Self::Ticket(Unredeemable::Expired) => "ticket_expired",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
        }
    }

    /// Whether a credential was presented and is not good: what limits on failed attempts count. False where
    /// none was presented, and where the service could not check it.
    pub fn is_failed_verification(&self) -> bool {
        match self {
            Self::Token(_) | Self::Ticket(_) => true,
            Self::Missing | Self::Unavailable | Self::Busy => false,
        }
    }
}

impl Auth {
    pub fn new(
        keys: Keys,
        policy: ClaimsPolicy,
        limits: &GatewayLimits,
        saturation: Saturation,
        witness: Witness,
    ) -> Self {
        Self(Arc::new(Inner {
            keys,
            policy,
            token_bytes_max: limits.token_bytes_max,
            checks: SignatureChecks::new(limits, saturation.clone()),
            tickets: Tickets::new(limits.tickets()),
            saturation,
            long_lived: AtomicBool::new(false),
            clock: clock::Watched::new(),
            witness,
        }))
    }

    /// Whether there are keys to verify tokens with: false until the first key set is fetched, and while the
    /// last one is too old to be used.
    pub fn has_keys(&self) -> bool {
        match &self.0.keys {
            Keys::Fixed(_) => true,
            Keys::Set(set) => set.is_usable(),
        }
    }

    /// The identity that a bearer token proves now.
    pub async fn bearer(&self, token: &str) -> Result<Identity, AuthError> {
        counted(self.verify(token).await)
    }

    /// The identity of a ticket's issuer, once: the ticket is consumed (AUTH-1, AUTH-2).
    pub async fn ticket(&self, ticket: &str) -> Result<Identity, AuthError> {
        let redeemed = self.at_the_time(|tickets, at| {
            let redeemed = tickets.redeem(ticket, at);
            self.0.witness.redeemed(ticket, &redeemed, at);
            redeemed
        });
        if redeemed.is_ok() {
            metrics::counter!("quintet_tickets_redeemed_total").increment(1);
        }
        counted(redeemed.map_err(AuthError::from))
    }

    /// Issues a ticket that stands for `issuer`, for `ttl_ms` or the default (AUTH-2).
    pub fn issue_ticket(&self, issuer: &Identity, ttl_ms: Option<u64>) -> Result<IssuedTicket, IssueError> {
        let mut bits = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bits).map_err(|_| IssueError::NoRandomness)?;
        let issued = self
            .at_the_time(|tickets, at| {
                let issued = tickets.issue(Secret::new(bits), issuer.clone(), ttl_ms, at)?;
                self.0.witness.issued(&issued.text, issuer, issued.expires_at, at);
                Ok::<_, Unissued>(issued)
            })
            .inspect_err(|error| {
                if let Unissued::LimitReached { limit, .. } = error {
                    let scope = if *limit == "tickets_max" { Scope::Service } else { Scope::User };
                    self.0.saturation.reached(limit, scope);
                }
            })?;
        metrics::counter!("quintet_tickets_issued_total").increment(1);
        Ok(issued)
    }

    /// Does something about tickets at the time that it is. Once the clock is set back, those that are
    /// outstanding are void: they would live longer than their time otherwise (AUTH-2).
    fn at_the_time<T>(&self, what: impl FnOnce(&Tickets, Timestamp) -> T) -> T {
        self.0.clock.look(|at, set_back| {
            if set_back {
                let tickets = self.0.tickets.forget_all();
                self.0.witness.tickets_void();
                tracing::warn!(tickets, "the clock was set back: outstanding tickets are void");
            }
            what(&self.0.tickets, at)
        })
    }

    /// Tickets issued and neither redeemed nor expired.
    pub fn tickets_outstanding(&self) -> usize {
        self.0.tickets.len(clock::now())
    }

    async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > self.0.token_bytes_max {
            return Err(TokenError::TooLong.into());
        }
        let key = match &self.0.keys {
            Keys::Fixed(key) => key.clone(),
            Keys::Set(set) => {
                let header = token::header(token)?;
                set.key(header.kid.as_deref()).await.map_err(|none| match none {
                    NoKey::Unknown => AuthError::Token(TokenError::UnknownKey),
                    NoKey::Unavailable => AuthError::Unavailable,
                })?
            }
        };
        let now = clock::now();
        let unverified = key.check(token, &self.0.policy, now)?;
        let identity = self.0.checks.verify(&key, unverified).await?;
        let lifetime_ms = identity.expires_at.millis_since(now);
        if lifetime_ms > LONG_LIFETIME_MS && !self.0.long_lived.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                lifetime_ms,
                "a token is valid for more than a year; token_lifetime_ms_max can refuse such tokens"
            );
        }
        Ok(identity)
    }
}

/// A lifetime of tokens that is worth one warning: a year.
const LONG_LIFETIME_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// Why no ticket is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Unissued(#[from] Unissued),
    #[error("the system has no randomness to give")]
    NoRandomness,
}

fn counted(outcome: Result<Identity, AuthError>) -> Result<Identity, AuthError> {
    if let Err(error) = &outcome {
        metrics::counter!("quintet_auth_failures_total", "reason" => error.reason()).increment(1);
        tracing::debug!(reason = error.reason(), error = %error, "credential refused");
    }
    outcome
}
