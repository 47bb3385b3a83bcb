//! The machines of one user, built by the factory and reached only through its handles (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a handle) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`hub`]: decides, appends and replies, one [`turn`] at a time; [`order`]: its commands
//! - [`recovery`]: what it learns from the log; [`deadline`]: what may not take longer; [`asked`]: what the
//!   client was asked
//! - [`room`]: room on the disk
//! - [`trials`]: suspected runs are resumed one at a time
//! - [`tail`], [`cursor`]: *the log is the only queue*; [`walk`]: a page of it
//!
//! The interface to the agents of these machines is [`crate::agent::host`].

mod asked;
pub mod cursor;
pub mod deadline;
pub mod factory;
pub mod hub;
mod order;
mod recovery;
pub mod registry;
pub mod room;
pub mod tail;
mod trials;
mod turn;
pub mod walk;

pub use hub::HubLimits;

use crate::runtime::sync;
