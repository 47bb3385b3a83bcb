//! AUTH-1 under every schedule: a ticket yields its identity to one of several racing redeemers, and the
//! store is bounded and empty at the end; and a store that reads first and deletes later, as the
//! predecessor's did, is caught.

#![cfg(quintet_loom)]

use std::collections::HashMap;

use loom::{sync::Arc, thread};
use quintet_kernel::{
    ids::{Timestamp, UserId},
    ticket::{Identity, Lifetime},
};
use quintet_runtime::sync::Mutex;
use quintet_tickets::{Secret, TicketLimits, Tickets};

mod bound;
use bound::check;

const LIMITS: TicketLimits = TicketLimits {
    lifetime: Lifetime { ttl_ms_default: 10, ttl_ms_max: 10 },
    outstanding_max: 2,
    user_outstanding_max: 1,
};

fn ada() -> Identity {
    Identity { user_id: UserId::parse("ada").unwrap(), expires_at: Timestamp(1_000) }
}

fn issue(tickets: &Tickets, secret: u8, at: u64) -> Option<String> {
    tickets.issue(Secret::new([secret; 32]), ada(), None, Timestamp(at)).ok().map(|issued| issued.text)
}

#[test]
fn auth_1_of_three_concurrent_redeemers_one_wins() {
    check(|| {
        let tickets = Arc::new(Tickets::new(LIMITS));
        let ticket = issue(&tickets, 1, 0).unwrap();
        let redeem = |tickets: &Tickets, ticket: &str| tickets.redeem(ticket, Timestamp(1)).is_ok();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (tickets, ticket) = (tickets.clone(), ticket.clone());
                thread::spawn(move || redeem(&tickets, &ticket))
            })
            .collect();
        let mut winners = usize::from(redeem(&tickets, &ticket));
        winners += others.into_iter().filter_map(|other| other.join().ok()).filter(|won| *won).count();
        assert_eq!(winners, 1);
        assert_eq!(tickets.len(Timestamp(1)), 0);
    });
}

#[test]
fn auth_2_ticket_that_expires_during_its_redemption_is_released_once() {
    check(|| {
        let tickets = Arc::new(Tickets::new(LIMITS));
        let ticket = issue(&tickets, 1, 0).unwrap();
        let issuer = {
            let tickets = tickets.clone();
            // By its clock the first ticket has expired, so there is room for another.
            thread::spawn(move || issue(&tickets, 2, 10).is_some())
        };
        let redeemed = tickets.redeem(&ticket, Timestamp(9)).is_ok();
        assert!(issuer.join().unwrap());
        assert_eq!(tickets.len(Timestamp(10)), 1);
        assert!(!redeemed || tickets.redeem(&ticket, Timestamp(9)).is_err());
    });
}

#[test]
fn auth_2_concurrent_requests_do_not_exceed_the_tickets_of_a_user() {
    check(|| {
        let tickets = Arc::new(Tickets::new(LIMITS));
        let other = {
            let tickets = tickets.clone();
            thread::spawn(move || issue(&tickets, 1, 0).is_some())
        };
        let mine = issue(&tickets, 2, 0).is_some();
        assert!(other.join().unwrap() ^ mine, "one ticket, no more and no fewer");
    });
}

/// The predecessor's way: GET, then DELETE.
#[derive(Default)]
struct LooksThenDeletes(Mutex<HashMap<u8, Identity>>);

impl LooksThenDeletes {
    fn redeem(&self, ticket: u8) -> Option<Identity> {
        let found = self.0.lock().get(&ticket).cloned();
        self.0.lock().remove(&ticket);
        found
    }
}

#[test]
#[should_panic(expected = "the ticket was spent twice")]
fn auth_1_store_that_reads_first_and_deletes_later_is_caught() {
    check(|| {
        let tickets = Arc::new(LooksThenDeletes::default());
        tickets.0.lock().insert(7, ada());
        let other = {
            let tickets = tickets.clone();
            thread::spawn(move || tickets.redeem(7).is_some())
        };
        let mine = tickets.redeem(7).is_some();
        assert!(!(other.join().unwrap() && mine), "the ticket was spent twice");
    });
}
