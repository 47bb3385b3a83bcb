//! The runtime monitor: observes the service at its journal and its sockets, without influence on it.
//!
//! ```text
//!   hub ──▶ [MonitoredLog] ──▶ journal        conformance: checked at once     ──▶ metric, log
//!   cursor ──▶ connection ──▶ [frames] ──▶ socket    trace: recorded           ──▶ file, for `accept`
//! ```
//!
//! Guarantee: the service knows only the traits of `quintet-observer`, which [`Monitor`] implements; switched
//! off, no code of this package runs. Switched on, its memory is bounded by the open runs and
//! connections, it never waits, and neither a finding nor a failure of its own affects the service.
//!
//! - [`process`]: the monitor of one process; [`watch`]: what its parts share
//! - [`log`]: every append and its outcome; [`link`]: every step and frame of a connection
//! - [`frames`]: the rules that frames alone can break, independent of the connection's machine;
//!   `quintet_audit::live` has those of entries
//! - [`record`]: the records of a trace; [`names`]: the pseudonyms in them
//! - [`trace`]: the file

mod frames;
mod link;
mod log;
mod names;
mod process;
pub mod record;
pub mod trace;
mod watch;

pub use self::{process::Monitor, watch::RULES};
