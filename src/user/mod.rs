//! One user's machines: made by the factory, reached only through what it hands out (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a lease) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`hub`]: decides, appends, tells, one [`turn`] at a time; [`order`]: what it is asked
//! - [`recovery`]: what it learns from the log; [`deadline`]: what may not take longer; [`asked`]: what the
//!   client was asked
//! - [`trials`]: suspected runs are resumed one at a time
//! - [`tail`], [`cursor`]: *the log is the only queue*; [`walk`]: a page of it
//! - [`port`], [`signal`]: what an agent holds of a run; [`agents`]: what the hub needs of them;
//!   [`line`]: how long a run waits for its user's others

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
