//! The wide pass over tickets: each is issued once, and redeemed as its own machine allows (AUTH-1, AUTH-2).
//!
//! Hidden, and searched: of racing redemptions, the loser may be recorded before the winner.

use std::collections::HashMap;

use quintet::kernel::{
    ids::{Timestamp, UserId},
    ticket::{AnyTicket, Identity, Lifetime, Ticket, TicketInput},
};
use quintet_monitor::record::TicketDid;

use super::{
    Account, Refused,
    narrow::{Slice, Slices, sequence},
};

/// The tickets of one process.
#[derive(Debug, Default)]
pub struct Tickets {
    known: HashMap<String, Known>,
    holed: bool,
}

#[derive(Debug)]
struct Known {
    ticket: AnyTicket,
    user: UserId,
    expires_at: Timestamp,
    /// A redemption failed while this was still valid: another one must have redeemed it.
    lost_a_race: Option<usize>,
    /// The recorded steps of the ticket, for `Ticket.tla`.
    seen: Vec<(usize, Timestamp, Did)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Issued,
    Redeemed,
    RefusedExpired,
    RefusedUnknown,
}

impl Known {
    /// `None` if the clock was set back in between, or a loser was recorded before its winner.
    fn slice(&self) -> Option<Slice> {
        if self.seen.len() > STEPS_MAX || !self.seen.is_sorted_by_key(|(_, at, _)| *at) {
            return None;
        }
        let gone = |before: usize| {
            self.seen[..before].iter().any(|(.., did)| *did != Did::Issued && *did != Did::RefusedUnknown)
        };
        let early = |(i, (_, at, did)): (usize, &(usize, Timestamp, Did))| {
            *did == Did::RefusedUnknown && *at < self.expires_at && !gone(i)
        };
        if self.seen.iter().enumerate().any(early) {
            return None;
        }
        let mut moments: Vec<Timestamp> = self.seen.iter().map(|(_, at, _)| *at).collect();
        moments.push(self.expires_at);
        moments.sort_unstable();
        moments.dedup();
        let small = |at: Timestamp| moments.binary_search(&at).expect("every moment is in the list");
        let (mut steps, mut opened, mut lines) = (Vec::new(), 0, Vec::new());
        for (line, at, did) in &self.seen {
            let is = match did {
                Did::Issued => "issued",
                Did::Redeemed => {
                    opened += 1;
                    "redeemed"
                }
                Did::RefusedExpired => "expired",
                Did::RefusedUnknown => "unknown",
            };
            steps.push(format!("[is |-> \"{is}\", at |-> {}, opened |-> {opened}]", small(*at)));
            lines.push(*line);
        }
        let ttl = small(self.expires_at) - small(self.seen[0].1);
        let constants = [
            ("Tickets", "= {1}".to_owned()),
            ("Seats", "= {1, 2}".to_owned()),
            ("TtlMax", format!("= {ttl}")),
            ("Ttl", format!("= {ttl}")),
            ("TimeMax", format!("= {}", moments.len())),
            ("CredentialEnds", "<- NoEnds".to_owned()),
        ];
        Some(Slice::new("Ticket", &[("Steps", sequence(steps))], &constants, lines))
    }
}

/// Steps of one slice.
const STEPS_MAX: usize = 6;

/// The longest life of a ticket that the contract allows.
const TTL_MS_MAX: u64 = 300_000;

impl Tickets {
    pub fn hole(&mut self) {
        self.known.clear();
        self.holed = true;
    }

    /// All outstanding tickets become void: later redemptions find nothing.
    pub fn void(&mut self) {
        self.known.retain(|_, known| !matches!(known.ticket, AnyTicket::Issued(_)));
    }

    pub fn record(
        &mut self,
        line: usize,
        ticket: &str,
        at: Timestamp,
        what: &TicketDid,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let refused = |why: &str| Err(Refused::at(line, why));
        if let TicketDid::Issued { user, expires_at, credential_expires_at } = what {
            account.tickets += 1;
            let identity = Identity { user_id: user.clone(), expires_at: *credential_expires_at };
            let lifetime = Lifetime { ttl_ms_default: TTL_MS_MAX, ttl_ms_max: TTL_MS_MAX };
            let ttl_ms = expires_at.millis_since(at);
            let issued = match Ticket::issue(identity, Some(ttl_ms), lifetime, at) {
                Ok(issued) if issued.expires_at() == *expires_at => AnyTicket::Issued(issued),
                Ok(_) | Err(_) => return refused("a ticket is issued for longer than it may live"),
            };
            let known = Known {
                ticket: issued,
                user: user.clone(),
                expires_at: *expires_at,
                lost_a_race: None,
                seen: vec![(line, at, Did::Issued)],
            };
            return match self.known.insert(ticket.to_owned(), known) {
                None => Ok(()),
                Some(_) => refused("a ticket is issued twice"),
            };
        }
        let Some(known) = self.known.get_mut(ticket) else {
            return match what {
                TicketDid::RefusedUnknown => Ok(()),
                _ if self.holed => {
                    account.unjudged += 1;
                    Ok(())
                }
                _ => refused("a ticket that was never issued is good"),
            };
        };
        let did = match what {
            TicketDid::Issued { .. } => Did::Issued,
            TicketDid::Redeemed { .. } => Did::Redeemed,
            TicketDid::RefusedUnknown => Did::RefusedUnknown,
            TicketDid::RefusedExpired => Did::RefusedExpired,
        };
        known.seen.push((line, at, did));
        let (stepped, redeemed) = known.ticket.clone().step(TicketInput::Redeem, at);
        match (what, redeemed) {
            (TicketDid::Redeemed { user }, Ok(Some(identity))) if *user == known.user => {
                debug_assert_eq!(identity.user_id, *user);
                (known.ticket, known.lost_a_race) = (stepped, None);
                Ok(())
            }
            (TicketDid::Redeemed { .. }, _) => {
                refused("a ticket is redeemed that may not be, or by somebody else")
            }
            (TicketDid::RefusedExpired, Err(_)) if at >= known.expires_at => {
                known.ticket = stepped;
                Ok(())
            }
            (TicketDid::RefusedExpired, _) => refused("a ticket is refused as expired that is not"),
            (TicketDid::RefusedUnknown, Err(_)) => Ok(()),
            (TicketDid::RefusedUnknown, Ok(_)) => {
                known.lost_a_race.get_or_insert(line);
                Ok(())
            }
            (TicketDid::Issued { .. }, _) => Ok(()),
        }
    }

    /// Each ticket as `Ticket.tla` has it, its moments counted: no step looks at how far apart they are.
    pub fn slices(&self, slices: &mut Slices) {
        let mut known: Vec<&Known> = self.known.values().collect();
        known.sort_by_key(|known| known.seen.first().map(|(line, ..)| *line));
        known.into_iter().for_each(|known| slices.add(known.slice()));
    }

    /// Checks that every lost race has a winner; `killed`: unless its record was lost with the process.
    pub fn end(&self, killed: bool) -> Result<(), Refused> {
        let lost = self.known.values().filter_map(|known| known.lost_a_race).min();
        match lost {
            Some(line) if !killed => {
                Err(Refused::at(line, "a good ticket is refused, and nobody has redeemed it"))
            }
            _ => Ok(()),
        }
    }
}
