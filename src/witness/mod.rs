//! The runtime monitor: observes the service at its journal and its sockets, without influence on it.
//!
//! ```text
//!   hub ──▶ [WatchedLog] ──▶ journal          conformance: checked at once     ──▶ metric, log
//!   cursor ──▶ connection ──▶ [frames] ──▶ socket    trace: recorded           ──▶ file, for `accept`
//! ```
//!
//! Guarantee: switched off, it costs one branch. Switched on, its memory is bounded by the open runs and
//! connections, it never waits, and neither a finding nor a failure of its own affects the service.
//!
//! - [`log`]: every append and its outcome; [`link`]: every step and frame of a connection
//! - [`frames`]: the rules that frames alone can break, independent of the connection's machine; `audit::live`
//!   has those of entries
//! - [`record`]: the records of a trace; [`names`]: the pseudonyms in them
//! - [`trace`]: the file

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
