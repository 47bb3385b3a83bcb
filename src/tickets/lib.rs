//! Outstanding tickets of this node: issued, not redeemed, not expired.
//!
//! Guarantees: of concurrent redemptions of a ticket exactly one succeeds (AUTH-1). Only hashes of tickets
//! are stored, so neither a memory dump nor the timing of a comparison reveals one. The number of outstanding
//! tickets is bounded per user and in total (AUTH-2).
//!
//! One lock protects the maps; it is held for a few map operations and never across an await. A redemption
//! removes the ticket from the map and [`Ticket::redeem`] consumes it, so it cannot be redeemed twice.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

use std::collections::{BTreeSet, HashMap};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use quintet_kernel::{
    ids::{Timestamp, UserId},
    ticket::{Identity, Issued, Lifetime, Ticket, Unissuable, Unredeemable},
};
use quintet_runtime::sync::Mutex;

/// The ticket store.
#[derive(Debug)]
pub struct Tickets {
    limits: TicketLimits,
    outstanding: Mutex<Outstanding>,
}

/// Limits of a ticket store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketLimits {
    /// The default and the greatest lifetime of a ticket, in milliseconds (AUTH-2).
    pub lifetime: Lifetime,
    /// Outstanding tickets of all users (`tickets_max`).
    pub outstanding_max: usize,
    /// Outstanding tickets of one user (`user_tickets_max`).
    pub user_outstanding_max: usize,
}

/// The 256 random bits of a ticket, returned once, to its issuer.
pub struct Secret([u8; 32]);

/// An issued ticket, as returned to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedTicket {
    /// The secret in base64url without padding.
    pub text: String,
    /// The time from which the ticket cannot be redeemed.
    pub expires_at: Timestamp,
}

/// The reason for which no ticket was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unissued {
    /// The requested lifetime is out of range, or the issuer has expired.
    #[error(transparent)]
    Unissuable(#[from] Unissuable),
    /// A limit is reached. `retry_after_ms` is the time until the user's next ticket expires or, if the user
    /// has none, until the next ticket of any user expires.
    #[error("{limit} is reached")]
    LimitReached {
        /// The name of the setting: `tickets_max` or `user_tickets_max`.
        limit: &'static str,
        /// Milliseconds until a ticket expires.
        retry_after_ms: u64,
    },
}

#[derive(Debug, Default)]
struct Outstanding {
    tickets: HashMap<Hash, Ticket<Issued>>,
    /// All tickets, ordered by expiry.
    expiries: BTreeSet<(Timestamp, Hash)>,
    /// The tickets of each user, ordered by expiry. Users without tickets have no entry.
    of_user: HashMap<UserId, BTreeSet<(Timestamp, Hash)>>,
}

type Hash = [u8; 32];

/// Limit on the tickets of one user once half of `tickets_max` is outstanding.
const CROWDED_USER_TICKETS_MAX: usize = 2;

impl Tickets {
    /// Creates an empty store.
    pub fn new(limits: TicketLimits) -> Self {
        Self { limits, outstanding: Mutex::default() }
    }

    /// Issues a ticket with `secret` for the authenticated identity `issuer`.
    ///
    /// # Errors
    /// When `ttl_ms` is out of range, `issuer` has expired, or a limit is reached.
    pub fn issue(
        &self,
        secret: Secret,
        issuer: Identity,
        ttl_ms: Option<u64>,
        at: Timestamp,
    ) -> Result<IssuedTicket, Unissued> {
        let limits = &self.limits;
        let ticket = Ticket::issue(issuer, ttl_ms, limits.lifetime, at)?;
        let mut outstanding = self.outstanding.lock();
        outstanding.forget_expired(at);
        let (own, all) = (outstanding.of(ticket.user_id()), outstanding.tickets.len());
        // ISO-6: the second half is reserved for users with few tickets, so that exhausting the store
        // takes a very large number of accounts.
        let is_crowded = all >= limits.outstanding_max.div_ceil(2);
        let full = if own >= limits.user_outstanding_max {
            Some("user_tickets_max")
        } else if all >= limits.outstanding_max || is_crowded && own >= CROWDED_USER_TICKETS_MAX {
            Some("tickets_max")
        } else {
            None
        };
        if let Some(limit) = full {
            let retry_after_ms = outstanding.next_expiry(ticket.user_id(), at);
            return Err(Unissued::LimitReached { limit, retry_after_ms });
        }
        let expires_at = ticket.expires_at();
        outstanding.insert(secret.hash(), ticket);
        Ok(IssuedTicket { text: secret.text(), expires_at })
    }

    /// Redeems a ticket and returns the identity of its issuer. Only the first redemption succeeds (AUTH-1).
    ///
    /// # Errors
    /// When the ticket is unknown, already redeemed or expired.
    pub fn redeem(&self, text: &str, at: Timestamp) -> Result<Identity, Unredeemable> {
        let secret = Secret::parse(text).ok_or(Unredeemable::Unknown)?;
        // AUTH-1: removed while the lock is held, so a concurrent redemption does not find it.
        let taken = self.outstanding.lock().take(&secret.hash());
        match taken.ok_or(Unredeemable::Unknown)?.redeem(at) {
            Ok((_redeemed, identity)) => Ok(identity),
            Err(_expired) => Err(Unredeemable::Expired),
        }
    }

    /// Removes all outstanding tickets and returns their number.
    pub fn forget_all(&self) -> usize {
        std::mem::take(&mut *self.outstanding.lock()).tickets.len()
    }

    /// Returns the number of tickets outstanding at the time `at`.
    pub fn len(&self, at: Timestamp) -> usize {
        let mut outstanding = self.outstanding.lock();
        outstanding.forget_expired(at);
        outstanding.tickets.len()
    }
}

impl Outstanding {
    fn of(&self, user_id: &UserId) -> usize {
        self.of_user.get(user_id).map_or(0, BTreeSet::len)
    }

    fn insert(&mut self, hash: Hash, ticket: Ticket<Issued>) {
        self.of_user.entry(ticket.user_id().clone()).or_default().insert((ticket.expires_at(), hash));
        self.expiries.insert((ticket.expires_at(), hash));
        self.tickets.insert(hash, ticket);
    }

    fn take(&mut self, hash: &Hash) -> Option<Ticket<Issued>> {
        let ticket = self.tickets.remove(hash)?;
        self.expiries.remove(&(ticket.expires_at(), *hash));
        let of_user = self.of_user.get_mut(ticket.user_id()).expect("each ticket is listed for its user");
        of_user.remove(&(ticket.expires_at(), *hash));
        if of_user.is_empty() {
            self.of_user.remove(ticket.user_id());
        }
        Some(ticket)
    }

    fn forget_expired(&mut self, at: Timestamp) {
        while let Some((expires_at, hash)) = self.expiries.first().copied() {
            if expires_at > at {
                break;
            }
            self.take(&hash);
        }
    }

    /// Returns the milliseconds until a user's next ticket expires or, if the user has none, until any does.
    /// A user at its own limit does not benefit from the expiry of other users' tickets.
    fn next_expiry(&self, user_id: &UserId, at: Timestamp) -> u64 {
        let first = self.of_user.get(user_id).unwrap_or(&self.expiries).first();
        first.map_or(0, |(expires_at, _)| expires_at.millis_since(at))
    }
}

impl Secret {
    /// Creates a secret from 256 bits of a cryptographically secure source.
    pub fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bits = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bits).ok()?;
        (length == bits.len()).then_some(Self(bits))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> Hash {
        *blake3::hash(&self.0).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    const LIMITS: TicketLimits = TicketLimits {
        lifetime: Lifetime { ttl_ms_default: 30_000, ttl_ms_max: 300_000 },
        outstanding_max: 5,
        user_outstanding_max: 3,
    };

    fn identity(user_id: &str) -> Identity {
        Identity { user_id: UserId::parse(user_id).unwrap(), expires_at: Timestamp(1_000_000) }
    }

    fn issue(tickets: &Tickets, n: u8, user_id: &str, at: u64) -> Result<IssuedTicket, Unissued> {
        tickets.issue(Secret::new([n; 32]), identity(user_id), None, Timestamp(at))
    }

    #[test]
    fn auth_1_the_second_redemption_finds_nothing() {
        let tickets = Tickets::new(LIMITS);
        let ticket = issue(&tickets, 1, "ada", 0).unwrap();
        assert_eq!(tickets.redeem(&ticket.text, Timestamp(1)), Ok(identity("ada")));
        assert_eq!(tickets.redeem(&ticket.text, Timestamp(1)), Err(Unredeemable::Unknown));
    }

    #[test]
    fn auth_2_an_expired_ticket_is_refused_and_removed() {
        let tickets = Tickets::new(LIMITS);
        let ticket = issue(&tickets, 1, "ada", 0).unwrap();
        assert_eq!(tickets.redeem(&ticket.text, Timestamp(30_000)), Err(Unredeemable::Expired));
        assert_eq!(tickets.redeem(&ticket.text, Timestamp(0)), Err(Unredeemable::Unknown));
        assert_eq!(tickets.len(Timestamp(0)), 0);
    }

    #[test]
    fn auth_2_a_wrong_guess_consumes_nothing() {
        let tickets = Tickets::new(LIMITS);
        let ticket = issue(&tickets, 1, "ada", 0).unwrap();
        let padded = format!("{}=", ticket.text);
        let hash = URL_SAFE_NO_PAD.encode(blake3::hash(&[1; 32]).as_bytes());
        // The last character has two unused bits; only the canonical encoding is accepted.
        let mut other_spelling = ticket.text.clone();
        other_spelling.pop();
        other_spelling.push('F');
        let long = "A".repeat(100_000);
        for guess in ["", "x", &ticket.text[..42], &padded, &other_spelling, &hash, &long, "ä"] {
            assert_eq!(tickets.redeem(guess, Timestamp(1)), Err(Unredeemable::Unknown), "{guess:.50}");
        }
        assert!(tickets.redeem(&ticket.text, Timestamp(1)).is_ok());
    }

    #[test]
    fn tickets_outstanding_are_bounded_for_a_user_and_in_all() {
        let tickets = Tickets::new(TicketLimits { outstanding_max: 7, ..LIMITS });
        for n in 0..3 {
            issue(&tickets, n, "ada", 100).unwrap();
        }
        let user_full = Unissued::LimitReached { limit: "user_tickets_max", retry_after_ms: 30_000 };
        assert_eq!(issue(&tickets, 3, "ada", 100), Err(user_full));
        issue(&tickets, 4, "bob", 200).unwrap();
        let last = issue(&tickets, 5, "bob", 200).unwrap();
        issue(&tickets, 6, "cyd", 200).unwrap();
        issue(&tickets, 7, "dan", 200).unwrap();
        let full = Unissued::LimitReached { limit: "tickets_max", retry_after_ms: 29_900 };
        assert_eq!(issue(&tickets, 8, "eve", 200), Err(full));
        // Both redemption and expiry free a slot.
        tickets.redeem(&last.text, Timestamp(200)).unwrap();
        issue(&tickets, 9, "eve", 200).unwrap();
        issue(&tickets, 10, "ada", 30_100).unwrap();
        assert_eq!(tickets.len(Timestamp(30_100)), 5);
        assert_eq!(tickets.len(Timestamp(60_100)), 0);
        assert!(tickets.outstanding.lock().of_user.is_empty());
    }

    #[test]
    fn iso_3_a_user_with_too_many_tickets_waits_for_its_own_to_expire() {
        let tickets = Tickets::new(TicketLimits { outstanding_max: 100, ..LIMITS });
        issue(&tickets, 1, "bob", 0).unwrap();
        for n in 2..5 {
            issue(&tickets, n, "ada", 20_000).unwrap();
        }
        let user_full = Unissued::LimitReached { limit: "user_tickets_max", retry_after_ms: 30_000 };
        assert_eq!(issue(&tickets, 5, "ada", 20_000), Err(user_full));
        assert!(issue(&tickets, 6, "ada", 50_000).is_ok(), "after the time that was named");
    }

    #[test]
    fn iso_6_users_at_their_ticket_limit_leave_tickets_for_others() {
        let tickets = Tickets::new(TicketLimits { outstanding_max: 20, ..LIMITS });
        let mut n = 0;
        let mut take = |user_id: &str| {
            n += 1;
            issue(&tickets, n, user_id, 0)
        };
        // More accounts than needed to fill the store with three tickets each.
        for greedy in 0..7 {
            let _refused: Vec<_> = (0..4).map(|_| take(&format!("greedy-{greedy}"))).collect();
        }
        assert!(take("ada").is_ok() && take("ada").is_ok());
        let crowded = Unissued::LimitReached { limit: "tickets_max", retry_after_ms: 30_000 };
        assert_eq!(take("ada"), Err(crowded));
        assert!(take("bob").is_ok());
    }

    #[test]
    fn auth_1_of_many_redemptions_at_once_one_wins() {
        for round in 0..100 {
            let tickets = Arc::new(Tickets::new(LIMITS));
            let ticket = issue(&tickets, round, "ada", 0).unwrap();
            let barrier = Arc::new(Barrier::new(8));
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    let (tickets, barrier, text) = (tickets.clone(), barrier.clone(), ticket.text.clone());
                    std::thread::spawn(move || {
                        barrier.wait();
                        tickets.redeem(&text, Timestamp(1)).is_ok()
                    })
                })
                .collect();
            let winners = racers.into_iter().map(|r| r.join().unwrap()).filter(|won| *won).count();
            assert_eq!(winners, 1);
        }
    }
}
