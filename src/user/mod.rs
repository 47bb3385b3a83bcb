//! One user's machines: made by the factory, reached only through what it hands out (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a lease) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`hub`]: decides, appends, tells; [`deadline`]: what may not take longer
//! - [`tail`], [`cursor`]: *the log is the only queue*
//! - [`port`]: what an agent holds of a run; [`agents`]: what the hub needs of the agents

pub mod agents;
pub mod cursor;
pub mod factory;
pub mod port;
