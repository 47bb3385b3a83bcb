//! The machines of one user, built by the factory and reached only through its handles (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a handle) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`handle`]: the requests of a user and their errors
//! - [`hub`]: decides, appends and replies, one [`turn`] at a time; [`order`]: the steps of agents
//! - [`shared`], [`limits`], [`quiesce`]: the state of all users' machines, their limits, and the work in progress
//! - [`recovery`]: what it learns from the log; [`deadline`]: what may not take longer; [`asked`]: what the
//!   client was asked
//! - [`room`]: room on the disk
//! - [`trials`]: suspected runs are resumed one at a time
//! - [`tail`], [`cursor`]: *the log is the only queue*; [`walk`]: a page of it
//! - [`port`], [`signal`]: what an agent holds of a run; [`agents`]: what the hub needs of them;
//!   [`line`]: how long a run waits for its user's others

pub mod agents;
mod asked;
pub mod cursor;
pub mod deadline;
pub mod factory;
pub mod handle;
pub mod hub;
pub mod limits;
pub mod line;
mod order;
pub mod port;
mod quiesce;
mod recovery;
pub mod registry;
pub mod room;
mod shared;
mod signal;
pub(crate) mod sync;
pub mod tail;
mod trials;
mod turn;
pub mod walk;

pub use limits::HubLimits;
