//! Authentication: takes a bearer token or a ticket, returns an [`Identity`] or an error.
//!
//! Guarantee: authentication fails closed. An `Auth` always has a key or a key set, no code path invents a
//! user, and an unavailable ticket store or key set is an error (AUTH-5).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rand::TryRng;

#[cfg(feature = "jwks")]
use crate::gateway::{
    jwks::{Jwks, NoKey},
    token,
};
pub use crate::kernel::ticket::Identity;
use crate::{
    gateway::{
        checks::{CheckError, SignatureChecks},
        key::VerifyingKey,
        limits::GatewayLimits,
        token::{ClaimsPolicy, TokenError},
    },
    kernel::{ids::Timestamp, ticket::Unredeemable},
    observer::Observer,
    runtime::{
        clock,
        saturation::{Saturation, Scope},
    },
    tickets::{IssuedTicket, Secret, Tickets, Unissued},
};

/// Verifies credentials and issues tickets. Clones share the state.
#[derive(Clone, Debug)]
pub struct Auth(Arc<AuthInner>);

#[derive(Debug)]
struct AuthInner {
    keys: Keys,
    policy: ClaimsPolicy,
    token_bytes_max: usize,
    checks: SignatureChecks,
    tickets: Tickets,
    saturation: Saturation,
    /// Set once a token with a very long lifetime was accepted and logged.
    long_lived: AtomicBool,
    /// The wall clock that ticket lifetimes are measured with.
    clock: clock::GuardedClock,
    observer: Arc<dyn Observer>,
}

/// The source of the keys that verify tokens.
#[derive(Debug)]
pub enum Keys {
    /// One key.
    Fixed(Arc<VerifyingKey>),
    /// A key set, which is fetched from its issuer.
    #[cfg(feature = "jwks")]
    Set(Jwks),
}

/// The reason for which a credential was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request carries no credential.
    #[error("a credential is needed")]
    Missing,
    /// The token is invalid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The ticket cannot be redeemed (AUTH-1, AUTH-2).
    #[error(transparent)]
    Ticket(#[from] Unredeemable),
    /// Fault of the service or the issuer: the credential cannot be verified and is refused (AUTH-5).
    #[error("credentials cannot be checked at the moment")]
    Unavailable,
    /// All slots for signature verification are taken.
    #[error("waiting_signature_checks_max is reached")]
    Busy,
}

impl From<CheckError> for AuthError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Token(token) => Self::Token(token),
            CheckError::Busy => Self::Busy,
            CheckError::Unavailable => Self::Unavailable,
        }
    }
}

impl AuthError {
    /// Returns the error as a metric label.
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

    /// Returns whether a presented credential was invalid; the limits on failed attempts count these. False
    /// if none was presented or the service could not verify it.
    pub fn is_failed_verification(&self) -> bool {
        match self {
            Self::Token(_) | Self::Ticket(_) => true,
            Self::Missing | Self::Unavailable | Self::Busy => false,
        }
    }
}

#[cfg(test)]
impl Auth {
    /// Returns the verification of signatures, so that a test can hold its slots.
    pub(super) fn checks(&self) -> &SignatureChecks {
        &self.0.checks
    }
}

impl Auth {
    /// Creates an authenticator with an empty ticket store.
    pub fn new(
        keys: Keys,
        policy: ClaimsPolicy,
        limits: &GatewayLimits,
        saturation: Saturation,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self(Arc::new(AuthInner {
            keys,
            policy,
            token_bytes_max: limits.token_bytes_max,
            checks: SignatureChecks::new(limits, saturation.clone()),
            tickets: Tickets::new(limits.tickets()),
            saturation,
            long_lived: AtomicBool::new(false),
            clock: clock::GuardedClock::new(),
            observer,
        }))
    }

    /// Returns whether tokens can be verified: false until the first key set is fetched, and while the
    /// current one is older than `jwks_ttl_ms`.
    pub fn has_keys(&self) -> bool {
        match &self.0.keys {
            Keys::Fixed(_) => true,
            #[cfg(feature = "jwks")]
            Keys::Set(set) => set.is_usable(),
        }
    }

    /// Verifies a bearer token and returns its identity.
    ///
    /// # Errors
    /// When the token is invalid, or cannot be verified at the moment.
    pub async fn bearer(&self, token: &str) -> Result<Identity, AuthError> {
        counted(self.verify(token).await)
    }

    /// Redeems a ticket and returns the identity of its issuer. The ticket is consumed (AUTH-1, AUTH-2).
    ///
    /// # Errors
    /// When the ticket is unknown, already redeemed or expired.
    pub async fn ticket(&self, ticket: &str) -> Result<Identity, AuthError> {
        let redeemed = self.at_the_time(|tickets, at| {
            let redeemed = tickets.redeem(ticket, at);
            self.0.observer.ticket_presented(ticket, &redeemed, at);
            redeemed
        });
        if redeemed.is_ok() {
            metrics::counter!("quintet_tickets_redeemed_total").increment(1);
        }
        counted(redeemed.map_err(AuthError::from))
    }

    /// Issues a ticket for the identity `issuer`, valid for `ttl_ms` or the default lifetime (AUTH-2).
    ///
    /// # Errors
    /// When a ticket limit is reached, `ttl_ms` is out of range, or no random bytes are available.
    pub fn issue_ticket(&self, issuer: &Identity, ttl_ms: Option<u64>) -> Result<IssuedTicket, IssueError> {
        let mut bits = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bits).map_err(|_| IssueError::NoRandomness)?;
        let issued = self
            .at_the_time(|tickets, at| {
                let issued = tickets.issue(Secret::new(bits), issuer.clone(), ttl_ms, at)?;
                self.0.observer.ticket_issued(&issued.text, issuer, issued.expires_at, at);
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

    /// Calls `what` with the ticket store and the current time. If the clock was set back, all outstanding
    /// tickets are dropped first, since they would otherwise outlive their expiry (AUTH-2).
    fn at_the_time<T>(&self, what: impl FnOnce(&Tickets, Timestamp) -> T) -> T {
        self.0.clock.look(|at, set_back| {
            if set_back {
                let tickets = self.0.tickets.forget_all();
                self.0.observer.tickets_voided();
                tracing::warn!(tickets, "the clock was set back: outstanding tickets are void");
            }
            what(&self.0.tickets, at)
        })
    }

    /// Returns the number of tickets that are neither redeemed nor expired.
    pub fn tickets_outstanding(&self) -> usize {
        self.0.tickets.len(clock::now())
    }

    async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        // Before any decoding, which costs time proportional to the length.
        if token.len() > self.0.token_bytes_max {
            return Err(TokenError::TooLong.into());
        }
        let key = match &self.0.keys {
            Keys::Fixed(key) => key.clone(),
            #[cfg(feature = "jwks")]
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

/// Token lifetime above which one warning is logged: a year.
const LONG_LIFETIME_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// The reason for which no ticket was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The requested lifetime is out of range, the issuer has expired, or a limit is reached.
    #[error(transparent)]
    Unissued(#[from] Unissued),
    /// The random source of the system failed.
    #[error("the system provides no random bytes")]
    NoRandomness,
}

fn counted(outcome: Result<Identity, AuthError>) -> Result<Identity, AuthError> {
    if let Err(error) = &outcome {
        metrics::counter!("quintet_auth_failures_total", "reason" => error.reason()).increment(1);
        tracing::debug!(reason = error.reason(), error = %error, "credential refused");
    }
    outcome
}
