//! The service's side of the SDK: the interface between a user's hub and the agents.
//!
//! Only a service calls what is here. An agent receives a [`Run`](crate::Run), which is built from an
//! [`Assignment`]; nothing that an agent holds leads to another user (ISO-4).
//!
//! - [`AgentLauncher`]: the registered agents, as a hub sees them; an [`Assignment`] is a run to execute
//! - [`RunHandle`]: the handle of an agent to its run; its steps are the hub's [`AgentCommand`]s
//! - [`RunSignal`]: signals from the hub to a run; [`QueueTime`]: time spent waiting

mod agents;
mod command;
mod queue_time;
mod run_ended;
mod run_handle;
mod signal;
mod taken;

use crate::sync;

pub use self::{
    agents::{
        AgentCapabilities, AgentLauncher, Assignment, EmittedText, Owner, SharedAgentLauncher, TextSpan,
    },
    command::AgentCommand,
    queue_time::{QueueTime, QueueTimeGuard},
    run_ended::RunEnded,
    run_handle::{HubSenders, RunHandle, RunHandleParts},
    signal::RunSignal,
    taken::{Message, TakenRecord},
};
