//! Tickets: two users issue them, two connections on two nodes race to redeem them, guess, and come
//! too late; time passes whenever it likes. The store is that of `src/tickets/lib.rs`: it takes a
//! ticket out before it looks at it, in one step. Its specification is `Ticket.tla`.

use std::fmt::Debug;

use quintet::kernel::{
    ids::{Timestamp, UserId},
    ticket::{AnyTicket, Identity, Lifetime, Ticket, TicketInput, Unissuable, Unredeemable},
};
use stateright::{Model, Property};

use crate::{
    checks,
    checks::{Check, Checked},
};

/// The ticket machine as a parameter. Every method's default is the shipped code.
pub trait TicketMachine: Debug + Send + Sync {
    fn issue(
        &self,
        issuer: Identity,
        ttl_ms: Option<u64>,
        lifetime: Lifetime,
        at: Timestamp,
    ) -> Result<AnyTicket, Unissuable> {
        Ticket::issue(issuer, ttl_ms, lifetime, at).map(AnyTicket::Issued)
    }

    fn step(
        &self,
        ticket: AnyTicket,
        input: TicketInput,
        at: Timestamp,
    ) -> (AnyTicket, Result<Option<Identity>, Unredeemable>) {
        ticket.step(input, at)
    }
}

#[derive(Debug)]
pub struct ShippedTickets;

impl TicketMachine for ShippedTickets {}

#[derive(Clone, Debug)]
pub struct TicketModel {
    pub machine: &'static dyn TicketMachine,
    /// The number of tickets, issued to the users in turns from user 1 on.
    pub tickets: u8,
    pub time_max: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TicketState {
    pub now: u8,
    pub tickets: Vec<Option<Slot>>,
    pub seats: [Seat; 2],
}

/// A ticket, and the data of its issue that the rules need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub ticket: AnyTicket,
    pub issued: u8,
    pub ttl: u8,
    /// The number of connections that it has opened, counted up to two.
    pub opened: u8,
}

/// One end that tries to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seat {
    Free,
    Open { ticket: u8, identity: Identity, at: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketAction {
    Tick,
    Issue {
        ticket: u8,
        ttl: u8,
    },
    /// Of tickets that exist and such that never did.
    Redeem {
        seat: u8,
        ticket: u8,
    },
    Lapse {
        ticket: u8,
    },
    Close {
        seat: u8,
    },
}

/// The greatest lifetime of a ticket, and the requested ones: the limit, less, and more.
pub const TTL_MAX: u8 = 2;
/// When the credentials of user 1 and user 2 end: before and after a ticket of full length would.
pub const CREDENTIAL_ENDS: [u8; 2] = [2, 9];

pub fn owner(ticket: u8) -> usize {
    usize::from((ticket - 1) % 2)
}

pub(crate) fn identity(user: usize) -> Identity {
    let user_id = UserId::parse(["u1", "u2"][user]).expect("a short name is valid");
    Identity { user_id, expires_at: Timestamp(CREDENTIAL_ENDS[user].into()) }
}

impl Slot {
    fn good_until(&self, ticket: u8) -> u8 {
        (self.issued + self.ttl).min(CREDENTIAL_ENDS[owner(ticket)])
    }
}

impl TicketModel {
    fn redeem(&self, state: &mut TicketState, seat: usize, number: u8) -> Option<()> {
        if state.seats[seat] != Seat::Free {
            return None;
        }
        let slot = state.tickets.get_mut(usize::from(number - 1))?.as_mut()?;
        let at = Timestamp(state.now.into());
        let (ticket, yielded) = self.machine.step(slot.ticket.clone(), TicketInput::Redeem, at);
        slot.ticket = ticket;
        if let Ok(Some(identity)) = yielded {
            slot.opened = (slot.opened + 1).min(2);
            state.seats[seat] = Seat::Open { ticket: number, identity, at: state.now };
        }
        Some(())
    }
}

impl Model for TicketModel {
    type State = TicketState;
    type Action = TicketAction;

    fn init_states(&self) -> Vec<TicketState> {
        vec![TicketState {
            now: 0,
            tickets: vec![None; self.tickets.into()],
            seats: [Seat::Free, Seat::Free],
        }]
    }

    fn actions(&self, _: &TicketState, actions: &mut Vec<TicketAction>) {
        use TicketAction as A;
        actions.push(A::Tick);
        for ticket in 1..=self.tickets + 1 {
            actions.extend((0..=TTL_MAX + 1).map(|ttl| A::Issue { ticket, ttl }));
            actions.extend([0, 1].map(|seat| A::Redeem { seat, ticket }));
            actions.push(A::Lapse { ticket });
        }
        actions.extend([0, 1].map(|seat| A::Close { seat }));
    }

    fn next_state(&self, state: &TicketState, action: TicketAction) -> Option<TicketState> {
        use TicketAction as A;
        let mut next = state.clone();
        let at = Timestamp(state.now.into());
        match action {
            A::Tick => next.now = (state.now < self.time_max).then_some(state.now + 1)?,
            A::Issue { ticket, ttl } => {
                let slot = next.tickets.get_mut(usize::from(ticket - 1)).filter(|slot| slot.is_none())?;
                let lifetime = Lifetime { ttl_ms_default: 1, ttl_ms_max: TTL_MAX.into() };
                let issued =
                    self.machine.issue(identity(owner(ticket)), Some(ttl.into()), lifetime, at).ok()?;
                *slot = Some(Slot { ticket: issued, issued: state.now, ttl, opened: 0 });
            }
            A::Redeem { seat, ticket } => self.redeem(&mut next, seat.into(), ticket)?,
            A::Lapse { ticket } => {
                let slot = next.tickets.get_mut(usize::from(ticket - 1))?.as_mut()?;
                slot.ticket = self.machine.step(slot.ticket.clone(), TicketInput::Lapse, at).0;
            }
            A::Close { seat } => next.seats[usize::from(seat)] = Seat::Free,
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

impl Checked for TicketModel {
    const NAME: &str = "ticket";

    fn checks() -> Vec<Check<Self>> {
        fn slots(s: &TicketState) -> impl Iterator<Item = (u8, &Slot)> {
            (1..).zip(&s.tickets).filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
        }
        fn open(s: &TicketState) -> impl Iterator<Item = (Option<&Slot>, u8, &Identity, u8)> {
            s.seats.iter().filter_map(move |seat| match seat {
                Seat::Open { ticket, identity, at } => Some((
                    s.tickets.get(usize::from(*ticket - 1)).and_then(Option::as_ref),
                    *ticket,
                    identity,
                    *at,
                )),
                Seat::Free => None,
            })
        }
        checks![TicketModel;
            always ["AUTH-1"] "a ticket opens at most one connection"
                case "a ticket is open at one end while the other asks for it" => |_, s| {
                slots(s).all(|(_, slot)| slot.opened <= 1)
            };
            always ["AUTH-2"] "it opens within its time, which is at most the limit"
                case "a ticket expires unused" => |_, s| {
                open(s).all(|(slot, number, _, at)| slot.is_none_or(|slot| at < slot.good_until(number)))
                    && slots(s).all(|(_, slot)| (1..=TTL_MAX).contains(&slot.ttl))
            };
            always ["AUTH-2"] "it carries its issuer's rights and no more"
                case "the issuer's credential ends before the ticket's time" => |_, s| {
                open(s).all(|(_, number, got, _)| *got == identity(owner(number)))
            };
            always ["AUTH-2"] "only its redemption or the end of its time consumes it"
                case "a ticket is looked at, and stays good" => |_, s| {
                slots(s).all(|(number, slot)| match slot.ticket {
                    AnyTicket::Issued(_) => slot.opened == 0,
                    AnyTicket::Redeemed(_) => slot.opened >= 1,
                    AnyTicket::Expired(_) => slot.opened == 0 && s.now >= slot.good_until(number),
                })
            };
            always ["AUTH-5"] "what was never issued opens nothing"
                case "there is a ticket, and one that never was is asked for" => |_, s| {
                open(s).all(|(slot, ..)| slot.is_some())
            };
            always ["UNCHANGED"] "a refused redemption changes nothing, but that time is over"
                case "a ticket is spent, and its seat is free again" => |m, s| {
                slots(s).all(|(_, slot)| {
                    let at = Timestamp(s.now.into());
                    let (after, got) = m.machine.step(slot.ticket.clone(), TicketInput::Redeem, at);
                    got.is_ok() || after == slot.ticket || matches!(after, AnyTicket::Expired(_))
                })
            };
            sometimes ["AUTH-1"] "a ticket is open at one end while the other asks for it" => |m, s| {
                s.seats.contains(&Seat::Free)
                    && open(s).any(|(slot, ..)| {
                        slot.is_some_and(|slot| {
                            let at = Timestamp(s.now.into());
                            m.machine.step(slot.ticket.clone(), TicketInput::Redeem, at).1.is_err()
                        })
                    })
            };
            sometimes ["AUTH-1"] "both tickets are open at once" => |_, s| open(s).count() == 2;
            sometimes ["AUTH-2"] "a ticket expires unused" => |_, s| {
                slots(s).any(|(_, slot)| matches!(slot.ticket, AnyTicket::Expired(_)))
            };
            sometimes ["AUTH-2"] "the issuer's credential ends before the ticket's time" => |_, s| {
                slots(s).any(|(n, slot)| {
                    slot.good_until(n) < slot.issued + slot.ttl
                        && matches!(slot.ticket, AnyTicket::Redeemed(_))
                })
            };
            sometimes ["AUTH-2"] "a ticket is looked at, and stays good" => |m, s| {
                slots(s).any(|(_, slot)| {
                    let looked = m.machine.step(slot.ticket.clone(), TicketInput::Lapse, Timestamp(s.now.into()));
                    s.now > slot.issued
                        && matches!(slot.ticket, AnyTicket::Issued(_))
                        && looked.0 == slot.ticket
                })
            };
            sometimes ["AUTH-5"] "there is a ticket, and one that never was is asked for" => |m, s| {
                let asks = TicketAction::Redeem { seat: 0, ticket: m.tickets + 1 };
                slots(s).count() > 0 && s.seats[0] == Seat::Free && m.next_state(s, asks).is_none()
            };
            sometimes ["AUTH-5", "UNCHANGED"] "a ticket is spent, and its seat is free again" => |_, s| {
                slots(s).any(|(_, slot)| matches!(slot.ticket, AnyTicket::Redeemed(_)))
                    && s.seats.iter().all(|seat| *seat == Seat::Free)
            };
        ]
    }
}
