//! The instances that are checked: small ones with every commit, large ones in the long campaign. Each
//! is named here once, with the numbers that an exploration of it has to find.

use quintet::kernel::limits::Limits;

use crate::{
    machine::{Machine, Shipped},
    models::{
        connection::{ConnectionModel, LIMITS, ShippedConnection},
        delivery::{DeliveryModel, Slip},
        fence::{FenceModel, Flaw},
        isolation::{IsolationModel, Leak},
        run::RunModel,
        ticket::{ShippedTickets, TicketModel},
        user::UserModel,
    },
};

/// What an exploration finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub states: usize,
    pub edges: usize,
}

const fn size(states: usize, edges: usize) -> Size {
    Size { states, edges }
}

fn limits(run_events_max: u64) -> Limits {
    Limits { run_events_max, ..UserModel::small_limits() }
}

pub fn run(calls: u8, events_max: usize) -> RunModel {
    RunModel { machine: &Shipped, calls, events_max }
}

pub fn user(messages: u8, threads: u8, calls: u8, run_events_max: u64) -> UserModel {
    user_with(&Shipped, messages, threads, calls, run_events_max)
}

pub fn user_with(
    machine: &'static dyn Machine,
    messages: u8,
    threads: u8,
    calls: u8,
    run_events_max: u64,
) -> UserModel {
    let limits = Limits { open_calls_max: calls.into(), ..limits(run_events_max) };
    UserModel { machine, messages, threads, calls, limits }
}

pub fn fence(nodes: u8, messages: u8, run_events_max: u64) -> FenceModel {
    FenceModel { machine: &Shipped, flaw: Flaw::None, nodes, messages, limits: limits(run_events_max) }
}

/// One client or two; only the first sends. In the small instances entries are read all at once.
pub fn delivery(clients: usize) -> DeliveryModel {
    DeliveryModel {
        machine: &Shipped,
        connection: &ShippedConnection,
        slip: Slip::None,
        clients,
        senders: 1,
        limits: limits(2),
        drains: false,
        trims: false,
        reads_singly: false,
    }
}

pub fn isolation(connections: u8, run_events_max: u64) -> IsolationModel {
    IsolationModel { machine: &Shipped, leak: Leak::None, connections, limits: limits(run_events_max) }
}

pub fn connection(known: bool, offset_max: u64) -> ConnectionModel {
    ConnectionModel { machine: &ShippedConnection, known, offset_max, limits: LIMITS }
}

pub fn ticket(tickets: u8, time_max: u8) -> TicketModel {
    TicketModel { machine: &ShippedTickets, tickets, time_max }
}

/// The sizes of the instances that every commit explores.
pub mod sizes {
    use super::{Size, size};

    pub const RUN: Size = size(2003, 2418);
    pub const USER: Size = size(42985, 63034);
    pub const FENCE: Size = size(19940, 120826);
    pub const DELIVERY: Size = size(20574, 110953);
    pub const DELIVERY_SINGLY: Size = size(6281, 31534);
    pub const ISOLATION: Size = size(43681, 361570);
    pub const ISOLATION_ANSWERS: Size = size(20736, 103968);
    pub const CONNECTION: Size = size(46858, 347580);
    pub const CONNECTION_KNOWN: Size = size(71412, 690267);
    pub const TICKET: Size = size(3129, 7634);
}

/// The sizes of the instances of the long campaign.
pub mod large_sizes {
    use super::{Size, size};

    pub const RUN: Size = size(174449, 221830);
    pub const USER_THREADS: Size = size(6545, 9988);
    pub const FENCE: Size = size(404269, 1245536);
    pub const FENCE_NODES: Size = size(409141, 2494796);
    pub const DELIVERY: Size = size(40039, 225375);
    pub const DELIVERY_TWO: Size = size(217347, 1507857);
    pub const CONNECTION: Size = size(143132, 1379079);
    pub const TICKET: Size = size(113177, 357212);
}
