//! The models of the shipped machines, in any size. [`crate::claims`] lists the checked instances, and the
//! expected findings of each.

use quintet::kernel::limits::Limits;

use crate::{
    machine::{Machine, Shipped},
    models::{
        connection::{ConnectionModel, LIMITS, ShippedConnection},
        delivery::DeliveryModel,
        erasure::ErasureModel,
        fence::FenceModel,
        isolation::IsolationModel,
        run::RunModel,
        ticket::{ShippedTickets, TicketModel},
        user::UserModel,
    },
};

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

/// One message and two calls, of which so many may be open at once, and be opened in all: with room for one
/// of either, only this limit stops the second call.
pub fn two_calls(open_calls_max: usize, run_calls_max: usize) -> UserModel {
    let model = user(1, 1, 2, 4);
    UserModel { limits: Limits { open_calls_max, run_calls_max, ..model.limits }, ..model }
}

/// Two messages on one thread, with room for two runs, and none in line.
pub fn no_line() -> UserModel {
    let model = user(2, 1, 1, 2);
    UserModel { limits: Limits { queued_messages_max: 0, ..model.limits }, ..model }
}

/// Two messages on two threads, with room for one run, and none in line behind it.
pub fn crowded() -> UserModel {
    let model = user(2, 2, 1, 2);
    let limits = Limits { open_runs_max: 1, queued_messages_max: 0, ..model.limits };
    UserModel { limits, ..model }
}

/// Two messages on two threads; memory keeps none.
pub fn forgetful() -> UserModel {
    let model = user(2, 2, 0, 1);
    UserModel { limits: Limits { recent_messages_max: 0, ..model.limits }, ..model }
}

/// Runs that do nothing, which are cancelled or erased; memory keeps one message.
pub fn erasure(messages: u8, threads: u8, intents_max: usize) -> ErasureModel {
    erasure_with(&Shipped, messages, threads, intents_max)
}

pub fn erasure_with(
    machine: &'static dyn Machine,
    messages: u8,
    threads: u8,
    intents_max: usize,
) -> ErasureModel {
    let limits = Limits { erasures_open_max: 1, ..limits(1) };
    ErasureModel { machine, messages, threads, intents_max, limits }
}

pub fn fence(nodes: u8, messages: u8, run_events_max: u64) -> FenceModel {
    FenceModel { machine: &Shipped, nodes, messages, limits: limits(run_events_max) }
}

/// One client or two; only the first sends. In the small instances entries are read all at once.
pub fn delivery(clients: usize) -> DeliveryModel {
    DeliveryModel {
        machine: &Shipped,
        connection: &ShippedConnection,
        clients,
        senders: 1,
        limits: limits(2),
        drains: false,
        trims: false,
        reads_singly: false,
        head_starts: false,
    }
}

/// One client, a drain, and runs of one event.
pub fn drain() -> DeliveryModel {
    DeliveryModel { drains: true, limits: limits(1), ..delivery(1) }
}

/// Two clients of a service that drains; only the first sends.
pub fn drained_pair() -> DeliveryModel {
    DeliveryModel { drains: true, limits: limits(1), ..delivery(2) }
}

pub fn isolation(connections: u8, run_events_max: u64) -> IsolationModel {
    let limits = limits(run_events_max);
    IsolationModel { machine: &Shipped, connections, fails: false, limits }
}

pub fn connection(known: bool, offset_max: u64) -> ConnectionModel {
    ConnectionModel { machine: &ShippedConnection, known, offset_max, limits: LIMITS }
}

pub fn ticket(tickets: u8, time_max: u8) -> TicketModel {
    TicketModel { machine: &ShippedTickets, tickets, time_max }
}
