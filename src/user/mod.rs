//! The machines of one user, built by the factory and reached only through its handles (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a handle) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`handle`]: the requests of a user and their errors
//! - [`hub`]: decides, appends and replies, one [`batch`] at a time
//! - [`shared`], [`limits`], [`quiesce`]: the state of all users' machines, their limits, and the work in progress
//! - [`recovery`]: what it learns from the log; [`deadline`]: what may not take longer; [`client_calls`]: what the
//!   client was asked
//! - [`room`]: room on the disk
//! - [`trials`]: suspected runs are resumed one at a time
//! - [`tail`], [`cursor`]: *the log is the only queue*; [`scan`]: a page of it
//!
//! The interface to the agents of these machines is [`crate::agent::host`].

mod batch;
mod client_calls;
pub mod cursor;
pub mod deadline;
pub mod factory;
pub mod handle;
pub mod hub;
pub mod limits;
mod quiesce;
mod recovery;
pub mod registry;
pub mod room;
pub mod scan;
mod shared;
pub mod tail;
mod trials;

pub use limits::HubLimits;

use crate::runtime::sync;
