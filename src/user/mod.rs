//! The machines of one user, built by the factory and reached only through its handles (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a handle) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: shares them while a handle exists
//! - [`hub`]: decides, appends and replies, one batch ([`turn`]) at a time; [`order`]: its inputs
//! - [`recovery`]: loads the state from the log; [`deadline`]: timeouts; [`asked`]: calls of the client
//! - [`trials`]: resumes suspected runs one at a time
//! - [`tail`], [`cursor`]: *the log is the only queue*; [`walk`]: the source of a page
//! - [`port`], [`signal`]: an agent's handle to its run; [`agents`]: the interface to the agents;
//!   [`line`]: the time that a run waits for its user's other runs

pub mod agents;
mod asked;
pub mod cursor;
pub mod deadline;
pub mod factory;
pub mod hub;
pub mod line;
mod order;
pub mod port;
mod recovery;
pub mod registry;
mod signal;
pub(crate) mod sync;
pub mod tail;
mod trials;
mod turn;
pub mod walk;

pub use hub::HubLimits;
