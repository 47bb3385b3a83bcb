//! Who is there: a bearer token or a ticket in, an [`Identity`] out, or nobody.
//!
//! Guarantee: nothing fails open. There is no `Auth` without a key or a key set, no branch that makes
//! up a user, and a store or key set that cannot be asked is a refusal (AUTH-5).

use std::sync::Arc;

use rand::TryRng;

pub use crate::kernel::ticket::Identity;
use crate::{
    gateway::{
        jwks::{Jwks, NoKey},
        limits::GatewayLimits,
        tickets::{IssuedTicket, Secret, Tickets, Unissued},
        token::{self, ClaimsPolicy, TokenError, VerifyingKey},
    },
    kernel::{ids::Timestamp, ticket::Unredeemable},
    runtime::clock,
    witness::Witness,
};

/// Decides whom a credential stands for. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    policy: ClaimsPolicy,
    token_bytes_max: usize,
    tickets: Tickets,
    /// The clock that tickets live by.
    clock: clock::Watched,
    witness: Witness,
}

/// Where the keys are that verify tokens.
#[derive(Debug)]
pub enum Keys {
    Fixed(Box<VerifyingKey>),
    Set(Box<Jwks>),
}

/// Why a credential stands for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("a credential is needed")]
    Missing,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Ticket(#[from] Unredeemable),
    /// Ours or the issuer's fault: nobody can tell whether the credential is good (AUTH-5).
    #[error("credentials cannot be checked at the moment")]
    Unavailable,
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
            Self::Token(_) => "token_claims",
            Self::Ticket(Unredeemable::Unknown) => "ticket_unknown",
            Self::Ticket(Unredeemable::Expired) => "ticket_expired",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Auth {
    pub fn new(keys: Keys, policy: ClaimsPolicy, limits: &GatewayLimits, witness: Witness) -> Self {
        let tickets = Tickets::new(limits.tickets());
        let (token_bytes_max, clock) = (limits.token_bytes_max, clock::Watched::new());
        Self(Arc::new(Inner { keys, policy, token_bytes_max, tickets, clock, witness }))
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
        let issued = self.at_the_time(|tickets, at| {
            let issued = tickets.issue(Secret::new(bits), issuer.clone(), ttl_ms, at)?;
            self.0.witness.issued(&issued.text, issuer, issued.expires_at, at);
            Ok::<_, Unissued>(issued)
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
        let header = token::header(token)?;
        let policy = &self.0.policy;
        match &self.0.keys {
            Keys::Fixed(key) => Ok(key.verify(token, policy, clock::now())?),
            Keys::Set(set) => {
                let key = set.key(header.kid.as_deref()).await.map_err(|none| match none {
                    NoKey::Unknown => AuthError::Token(TokenError::UnknownKey),
                    NoKey::Unavailable => AuthError::Unavailable,
                })?;
                Ok(key.verify(token, policy, clock::now())?)
            }
        }
    }
}

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
