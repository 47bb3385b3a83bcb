//! The lifecycle of a ticket: a single-use, short-lived credential that opens one connection.
//!
//! ```text
//!                redeem (in time)
//!   Issued ───────────────────────▶ Redeemed
//!      │  redeem (too late), lapse
//!      └───────────────────────────▶ Expired
//! ```
//!
//! Guarantees: a ticket yields its identity at most once, to the first redemption that is in time (AUTH-1).
//! It lives at most its TTL and not beyond its issuer's credential, carries exactly the issuer's identity,
//! and is consumed only by its redemption (AUTH-2).
//!
//! # Examples
//!
//! ```
//! use quintet_kernel::{ids::{Timestamp, UserId}, ticket::{Identity, Lifetime, Ticket}};
//!
//! let issuer = Identity { user_id: UserId::parse("ann")?, expires_at: Timestamp(60_000) };
//! let lifetime = Lifetime { ttl_ms_default: 30_000, ttl_ms_max: 300_000 };
//! let ticket = Ticket::issue(issuer.clone(), None, lifetime, Timestamp(0))?;
//! assert_eq!(ticket.expires_at(), Timestamp(30_000));
//!
//! // `redeem` takes the ticket, so a second redemption does not compile (AUTH-1).
//! let (redeemed, identity) = ticket.redeem(Timestamp(1_000)).expect("the ticket is in time");
//! assert_eq!(identity, issuer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize};

use super::ids::{Timestamp, UserId};

/// The user that a credential authenticates, and the credential's expiry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The authenticated user (ISO-1).
    pub user_id: UserId,
    /// The first moment at which the credential is no longer accepted (AUTH-3).
    pub expires_at: Timestamp,
}

impl Identity {
    /// Returns true if the credential is no longer accepted at `at`.
    pub fn has_expired(&self, at: Timestamp) -> bool {
        at >= self.expires_at
    }
}

/// The settings for the lifetime of tickets, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// The lifetime of a ticket whose request names none.
    pub ttl_ms_default: u64,
    /// The longest lifetime that a request may name.
    pub ttl_ms_max: u64,
}

/// A ticket in the phase `P`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket<P> {
    issuer: Identity,
    expires_at: Timestamp,
    phase: P,
}

/// The phase before redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Issued;

/// The phase after redemption: the ticket has opened its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Redeemed;

/// The phase of a ticket that was not redeemed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expired;

/// The reason for which a ticket was not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unissuable {
    /// The requested lifetime is 0 or above the limit (AUTH-2).
    #[error("ttl_ms must be 1 to {ttl_ms_max}")]
    Lifetime {
        /// The longest lifetime that a request may name.
        ttl_ms_max: u64,
    },
    /// The credential of the issuer has expired.
    #[error("the issuer's credential has expired")]
    IssuerExpired,
}

impl<P> Ticket<P> {
    /// Returns the first moment at which the ticket can no longer be redeemed.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Returns the owner of the ticket.
    pub fn user_id(&self) -> &UserId {
        &self.issuer.user_id
    }

    fn into_phase<Q>(self, phase: Q) -> Ticket<Q> {
        Ticket { issuer: self.issuer, expires_at: self.expires_at, phase }
    }
}

impl Ticket<Issued> {
    /// Issues a ticket to an authenticated user; a `ttl_ms` of `None` selects the default.
    ///
    /// # Errors
    ///
    /// Returns [`Unissuable`] if `ttl_ms` is 0 or above the limit, or if the issuer's credential has expired.
    pub fn issue(
        issuer: Identity,
        ttl_ms: Option<u64>,
        lifetime: Lifetime,
        at: Timestamp,
    ) -> Result<Self, Unissuable> {
        let Lifetime { ttl_ms_default, ttl_ms_max } = lifetime;
        let ttl_ms = ttl_ms.unwrap_or(ttl_ms_default.min(ttl_ms_max));
        if ttl_ms == 0 || ttl_ms > ttl_ms_max {
            return Err(Unissuable::Lifetime { ttl_ms_max });
        }
        if issuer.has_expired(at) {
            return Err(Unissuable::IssuerExpired);
        }
        // AUTH-2: bounded by the TTL and by the issuer's credential.
        let expires_at = Timestamp(at.0.saturating_add(ttl_ms)).min(issuer.expires_at);
        Ok(Self { issuer, expires_at, phase: Issued })
    }

    /// Consumes the ticket and returns the issuer's identity, with the issuer's expiry (AUTH-1, AUTH-2).
    ///
    /// # Errors
    ///
    /// Returns the expired ticket if `at` is not before its expiry.
    pub fn redeem(self, at: Timestamp) -> Result<(Ticket<Redeemed>, Identity), Ticket<Expired>> {
        let ticket = self.lapse(at)?;
        let identity = ticket.issuer.clone();
        Ok((ticket.into_phase(Redeemed), identity))
    }

    /// Checks the expiry.
    ///
    /// # Errors
    ///
    /// Returns the expired ticket if `at` is not before its expiry.
    pub fn lapse(self, at: Timestamp) -> Result<Self, Ticket<Expired>> {
        if at >= self.expires_at { Err(self.into_phase(Expired)) } else { Ok(self) }
    }
}

/// A ticket in any phase, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnyTicket {
    /// Not redeemed and not known to have expired.
    Issued(Ticket<Issued>),
    /// Redeemed, once (AUTH-1).
    Redeemed(Ticket<Redeemed>),
    /// Not redeemed in time.
    Expired(Ticket<Expired>),
}

/// An input to a stored ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketInput {
    /// A client presents the ticket.
    Redeem,
    /// Time has passed; the ticket may have expired.
    Lapse,
}

/// The reason for which a redemption failed. It is logged; the client gets the same reply for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unredeemable {
    /// The ticket was never issued or is already redeemed; the two are indistinguishable.
    #[error("no such ticket")]
    Unknown,
    /// The ticket was not redeemed in time.
    #[error("the ticket has expired")]
    Expired,
}

impl AnyTicket {
    /// Applies one input. Only the first `Redeem` that is in time yields the identity (AUTH-1).
    ///
    /// # Errors
    ///
    /// A `Redeem` of a ticket that is redeemed or expired returns [`Unredeemable`].
    pub fn step(self, input: TicketInput, at: Timestamp) -> (Self, Result<Option<Identity>, Unredeemable>) {
        match (self, input) {
            (Self::Issued(ticket), TicketInput::Redeem) => match ticket.redeem(at) {
                Ok((ticket, identity)) => (Self::Redeemed(ticket), Ok(Some(identity))),
                Err(ticket) => (Self::Expired(ticket), Err(Unredeemable::Expired)),
            },
            (Self::Issued(ticket), TicketInput::Lapse) => match ticket.lapse(at) {
                Ok(ticket) => (Self::Issued(ticket), Ok(None)),
                Err(ticket) => (Self::Expired(ticket), Ok(None)),
            },
            (ticket @ Self::Redeemed(_), TicketInput::Redeem) => (ticket, Err(Unredeemable::Unknown)),
            (ticket @ Self::Expired(_), TicketInput::Redeem) => (ticket, Err(Unredeemable::Expired)),
            (ticket @ (Self::Redeemed(_) | Self::Expired(_)), TicketInput::Lapse) => (ticket, Ok(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Lifetime = Lifetime { ttl_ms_default: 30_000, ttl_ms_max: 300_000 };

    fn ada(expires_at: u64) -> Identity {
        Identity { user_id: UserId::parse("ada").unwrap(), expires_at: Timestamp(expires_at) }
    }

    #[test]
    fn auth_2_ticket_lives_exactly_its_ttl() {
        let issue = |ttl_ms| Ticket::issue(ada(10_000_000), ttl_ms, LIFETIME, Timestamp(1_000)).unwrap();
        assert_eq!(issue(None).expires_at(), Timestamp(31_000));
        assert_eq!(issue(Some(300_000)).expires_at(), Timestamp(301_000));
        assert!(issue(Some(5)).redeem(Timestamp(1_004)).is_ok());
        assert!(issue(Some(5)).redeem(Timestamp(1_005)).is_err());
    }

    #[test]
    fn auth_2_a_ttl_of_nothing_or_over_the_limit_is_refused() {
        for ttl_ms in [0, 300_001, u64::MAX] {
            let refused = Ticket::issue(ada(10_000_000), Some(ttl_ms), LIFETIME, Timestamp(1_000));
            assert_eq!(refused, Err(Unissuable::Lifetime { ttl_ms_max: 300_000 }));
        }
    }

    #[test]
    fn auth_2_a_ticket_never_outlives_the_credential_of_its_issuer() {
        let ticket = Ticket::issue(ada(1_500), None, LIFETIME, Timestamp(1_000)).unwrap();
        assert_eq!(ticket.expires_at(), Timestamp(1_500));
        assert_eq!(ticket.redeem(Timestamp(1_499)).unwrap().1, ada(1_500));
        let refused = Ticket::issue(ada(1_000), None, LIFETIME, Timestamp(1_000));
        assert_eq!(refused, Err(Unissuable::IssuerExpired));
    }

    proptest! {
        /// AUTH-1, AUTH-2: in any sequence of inputs, at most one redemption yields the
        /// issuer's identity, only before the expiry, and only a redemption or the expiry ends a ticket.
        #[test]
        fn auth_1_any_course_of_a_ticket_yields_its_identity_at_most_once(
            expires_at in 1u64..200,
            ttl_ms in 1u64..100,
            inputs in prop::collection::vec((prop_oneof![Just(TicketInput::Redeem), Just(TicketInput::Lapse)], 0u64..20), 0..20),
        ) {
            let issued = Ticket::issue(ada(expires_at), Some(ttl_ms), LIFETIME, Timestamp(0)).unwrap();
            let end = ttl_ms.min(expires_at);
            let (mut ticket, mut at, mut yielded) = (AnyTicket::Issued(issued), 0, 0);
            for (input, passed) in inputs {
                at += passed;
                let before = ticket.clone();
                let (after, outcome) = ticket.step(input, Timestamp(at));
                match outcome {
                    Ok(Some(identity)) => {
                        prop_assert_eq!(identity, ada(expires_at));
                        prop_assert!(input == TicketInput::Redeem && at < end);
                        yielded += 1;
                    }
                    Ok(None) => prop_assert_eq!(input, TicketInput::Lapse),
                    Err(_) => prop_assert!(yielded == 1 || at >= end),
                }
                if after != before {
                    prop_assert!(input == TicketInput::Redeem || at >= end);
                }
                ticket = after;
            }
            prop_assert!(yielded <= 1);
        }
    }
}
