//! Watches what the service does from outside, at its journal and at its sockets; sees and never acts.
//!
//! ```text
//!   hub ──▶ [WatchedLog] ──▶ journal          conformance: is it legal, now?   ──▶ metric, log
//!   cursor ──▶ connection ──▶ [frames] ──▶ socket    trace: what was it?       ──▶ FILE, for `accept`
//! ```
//!
//! Guarantee: switched off it costs a branch; switched on, its memory is bounded by what is open, it
//! never waits, and whatever it finds or fails at, the service goes on.
//!
//! - [`log`]: every append and what came of it; [`link`]: every step and frame of a connection
//! - [`frames`]: the rules that frames can show, written apart from the connection's machine;
//!   `audit::live` has those of entries
//! - [`record`]: what a trace says, in which words; [`names`]: and whom it does not name
//! - [`trace`]: how it gets into a file

mod frames;
mod link;
mod log;
mod names;
pub mod record;
pub mod trace;
mod watch;

pub use self::{
    frames::Resumed,
    link::ConnectionWitness,
    log::UserWitness,
    watch::{RULES, Witness},
};
