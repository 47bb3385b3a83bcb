//! The service's side of the SDK: the interface between a user's hub and the agents.
//!
//! Only a service calls what is here. An agent receives a [`Run`](crate::Run), which is built from an
//! [`Assignment`]; nothing that an agent holds leads to another user (ISO-4).
//!
//! - [`Agents`] ([`agents`]): the registered agents, as a hub sees them; an [`Assignment`] is a run to execute
//! - [`RunPort`] ([`port`]): the handle of an agent to its run; its steps are the hub's [`Order`]s ([`order`])
//! - [`RunSignal`] ([`signal`]): signals from the hub to the port; [`Line`] ([`line`]): time spent waiting

mod agents;
mod line;
mod order;
mod port;
mod signal;

use crate::sync;

pub use self::{
    agents::{Agents, Assignment, Owner, Said, SharedAgents, Spoken, Treatment},
    line::{InLine, Line},
    order::Order,
    port::{HubSenders, PortParts, RunPort, Stopped},
    signal::RunSignal,
};
