//! Remote agents over [AG-UI](https://docs.ag-ui.com) as agents of Quintet: an agent of any framework and language runs
//! as one of ours.
//!
//! A run is posted as `RunAgentInput`, and answered with server-sent events, of the generations 0.0.59 and 1.0.0.
//!
//! # Guarantees
//!
//! - The events of a response become the steps of a run by one table ([`mapper`]). A broken order ends the run as a
//!   `violation` (RUN-10), a response without its end as a failure, never as a success.
//! - Calls that the agent executes are calls of the agent. Calls of the front end and interrupts are calls of the client,
//!   whose answers go back in a new request; a refusal is worded as one (RUN-11).
//! - A request is sent again only if the agent cannot have executed it, or has promised to be resumable
//!   ([`config::RemoteOptions::resumable`]).
//! - The end of a run closes its connection.
//! - The user's id is only in signed requests ([`signature`]); the id of a thread is a pseudonym that two users do not
//!   share (ISO-2).
//! - All that an agent sends is limited in bytes, number and time ([`RemoteLimits`]).
//!
//! What AG-UI cannot promise: the service learns of a call of the agent when the agent reports it, and cannot hold it
//! back until it is durable (RUN-9).
//!
//! # The parts
//!
//! - [`RemoteAgent`], [`RemoteConfig`]: the agent and its configuration
//! - [`event`], [`input`]: the wire; [`mapper`]: the table; [`signature`]: signed requests

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod calls;
pub mod config;
pub mod event;
pub mod input;
pub mod langgraph;
mod limits;
pub mod mapper;
mod question;
mod remote;
mod response;
mod round;
mod session;
pub mod signature;
mod stage;
mod texts;
mod transcript;
mod violation;

pub use self::{
    calls::RemoteCall,
    config::{ConfigError, RemoteConfig},
    limits::RemoteLimits,
    remote::RemoteAgent,
    texts::Text,
    violation::{MapError, Violation},
};
