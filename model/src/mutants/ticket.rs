//! Defects of tickets and of the store around them.

use quintet::kernel::{
    ids::{Timestamp, UserId},
    ticket::{AnyTicket, Identity, Lifetime, Ticket, TicketInput, Unissuable, Unredeemable},
};
use stateright::Model;

use super::{Hunted, suites};
use crate::{
    models::ticket::{Seat, TicketAction, TicketMachine, TicketModel, TicketState},
    mutants,
};

type Stepped = (AnyTicket, Result<Option<Identity>, Unredeemable>);

fn identity(name: &str, expires_at: u64) -> Identity {
    let user_id = UserId::parse(name).expect("a short name is valid");
    Identity { user_id, expires_at: Timestamp(expires_at) }
}

macro_rules! defect {
    ($name:ident { $($body:tt)* }) => {
        #[derive(Debug)]
        struct $name;
        impl TicketMachine for $name { $($body)* }
    };
}

defect!(LooksConsume {
    fn step(&self, ticket: AnyTicket, input: TicketInput, at: Timestamp) -> Stepped {
        match input {
            // An endpoint that checks a ticket redeems it.
            TicketInput::Lapse => (ticket.step(TicketInput::Redeem, at).0, Ok(None)),
            TicketInput::Redeem => ticket.step(input, at),
        }
    }
});

defect!(SpentTwice {
    fn step(&self, ticket: AnyTicket, input: TicketInput, at: Timestamp) -> Stepped {
        match (ticket.clone(), input, ticket.clone().step(input, at)) {
            (AnyTicket::Redeemed(redeemed), TicketInput::Redeem, (after, Err(_))) => {
                let credential = if redeemed.user_id().as_str() == "u1" { 2 } else { 9 };
                (after, Ok(Some(identity(redeemed.user_id().as_str(), credential))))
            }
            (.., stepped) => stepped,
        }
    }
});

defect!(RefusalsRevive {
    fn step(&self, ticket: AnyTicket, input: TicketInput, at: Timestamp) -> Stepped {
        match (ticket.clone(), input, ticket.clone().step(input, at)) {
            (AnyTicket::Expired(expired), TicketInput::Redeem, (after, refused @ Err(_))) => {
                // A look-up of an expired ticket puts it back.
                let lifetime = Lifetime { ttl_ms_default: 1, ttl_ms_max: 2 };
                let issued = Ticket::issue(identity(expired.user_id().as_str(), u64::MAX), None, lifetime, at);
                (issued.map_or(after, AnyTicket::Issued), refused)
            }
            (.., stepped) => stepped,
        }
    }
});

defect!(TimeStandsStill {
    fn step(&self, ticket: AnyTicket, input: TicketInput, _: Timestamp) -> Stepped {
        ticket.step(input, Timestamp(0))
    }
});

defect!(NoLongestLife {
    fn issue(
        &self,
        issuer: Identity,
        ttl_ms: Option<u64>,
        lifetime: Lifetime,
        at: Timestamp,
    ) -> Result<AnyTicket, Unissuable> {
        Ticket::issue(issuer, ttl_ms, Lifetime { ttl_ms_max: u64::MAX, ..lifetime }, at).map(AnyTicket::Issued)
    }
});

defect!(OutlivesItsIssuer {
    fn issue(
        &self,
        issuer: Identity,
        ttl_ms: Option<u64>,
        lifetime: Lifetime,
        at: Timestamp,
    ) -> Result<AnyTicket, Unissuable> {
        let issuer = Identity { expires_at: Timestamp(u64::MAX), ..issuer };
        Ticket::issue(issuer, ttl_ms, lifetime, at).map(AnyTicket::Issued)
    }
});

defect!(HashesTheUser {
    fn step(&self, ticket: AnyTicket, input: TicketInput, at: Timestamp) -> Stepped {
        let (ticket, yielded) = ticket.step(input, at);
        // All users share one number.
        let one = |found: Identity| identity("u1", found.expires_at.0);
        (ticket, yielded.map(|found| found.map(one)))
    }
});

/// The store reads a ticket, and deletes it in a second step: two seats may both have read it by then.
fn looks_first(m: &TicketModel, s: &TicketState, action: TicketAction) -> Option<TicketState> {
    let TicketAction::Redeem { seat, ticket } = action else { return m.next_state(s, action) };
    let (seat, other) = (usize::from(seat), usize::from(1 - seat));
    match (&s.seats[seat], &s.seats[other]) {
        (Seat::Free, winner @ Seat::Open { ticket: of, at, .. }) if *of == ticket && *at == s.now => {
            let mut next = s.clone();
            next.seats[seat] = winner.clone();
            next.tickets.get_mut(usize::from(ticket - 1))?.as_mut()?.opened = 2;
            Some(next)
        }
        _ => m.next_state(s, action),
    }
}

/// The store lets in the bearer of a ticket that it does not know.
fn lets_strangers_in(m: &TicketModel, s: &TicketState, action: TicketAction) -> Option<TicketState> {
    match action {
        TicketAction::Redeem { seat, ticket }
            if s.seats[usize::from(seat)] == Seat::Free
                && s.tickets.get(usize::from(ticket - 1)).is_none_or(Option::is_none) =>
        {
            let mut next = s.clone();
            next.seats[usize::from(seat)] = Seat::Open { ticket, identity: identity("u1", 2), at: s.now };
            Some(next)
        }
        _ => m.next_state(s, action),
    }
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "looks-first-takes-later" ["AUTH-1"] Some("ticket spent twice"), "a ticket is read, and deleted by a second step",
            "ticket: AUTH-1" => suites::ticket_store(looks_first);
        "spent-tickets-are-good" ["AUTH-1"] Some("ticket spent twice"), "a redeemed ticket yields its identity again",
            "ticket: AUTH-1" => suites::ticket(&SpentTwice);
        "a-look-consumes-it" ["AUTH-2"] Some("ticket spent twice"), "whoever asks whether a ticket is good consumes it",
            "ticket: AUTH-2 only" => suites::ticket(&LooksConsume);
        "refusals-revive" ["UNCHANGED"] None, "a ticket that is over is good again once it was refused",
            "ticket: UNCHANGED" => suites::ticket(&RefusalsRevive);
        "tickets-never-expire" ["AUTH-2"] None, "the clock is not looked at",
            "ticket: AUTH-2 it opens" => suites::ticket(&TimeStandsStill);
        "no-longest-life" ["AUTH-2"] Some("limits that do not limit"), "a ticket lives as long as is asked for",
            "ticket: AUTH-2 it opens" => suites::ticket(&NoLongestLife);
        "outlives-its-issuer" ["AUTH-2"] None, "a ticket carries more time than its issuer has",
            "ticket: AUTH-2 it carries" => suites::ticket(&OutlivesItsIssuer);
        "user-id-from-a-hash" ["AUTH-2"] Some("identity fails open"), "two users are one, as after a hash modulo a number",
            "ticket: AUTH-2 it carries" => suites::ticket(&HashesTheUser);
        "strangers-get-in" ["AUTH-5"] Some("identity fails open"), "a ticket that was never issued lets its bearer in",
            "ticket: AUTH-5" => suites::ticket_store(lets_strangers_in);
    ]
}
