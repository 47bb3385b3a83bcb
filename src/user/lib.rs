//! The machines of one user, built by the factory and reached only through its handles (ISO-4).
//!
//! ```text
//!   Factory ── attach ──▶ User (a handle) ── send, cancel, answer ──▶ hub ──▶ journal
//!                          └── cursor ──▶ Cursor ◀── tail ◀── durable entries ──┘
//! ```
//!
//! - [`factory`]: builds a user's machines; [`registry`]: finds them again while they live
//! - [`handle`]: the requests of a user and their errors; `codes`: the error codes of the protocol
//! - `hub`: decides, appends and replies, one `batch` at a time
//! - `lookups`: look-ups in the index of the log
//! - `shared`, [`limits`], `quiesce`: the state of all users' machines, their limits, and the work in progress
//! - `recovery`: the state read back from the log; [`deadline`]: the timeouts of runs; `client_calls`: the open
//!   calls that wait for the client
//! - [`room`]: the room on the disk, which limits new work
//! - `trials`: suspected runs are resumed one at a time
//! - [`tail`]: the newest entries in memory; [`cursor`]: a position in the log; [`scan`],
//!   [`scan_before`]: a page of the log, forwards and backwards;
//!   [`runs`]: a page of a conversation
//!
//! The interface to the agents of these machines is [`quintet_agent::host`].

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod batch;
mod client_calls;
mod codes;
pub mod cursor;
pub mod deadline;
pub mod export;
pub mod factory;
pub mod handle;
mod hub;
pub mod limits;
mod lookups;
mod quiesce;
mod recovery;
pub mod registry;
pub mod room;
pub mod runs;
pub mod scan;
pub mod scan_before;
mod shared;
pub mod tail;
mod trials;

pub use limits::HubLimits;

// The layers below, under the names of their folders.
use quintet_agent as agent;
use quintet_journal as journal;
use quintet_kernel as kernel;
use quintet_observer as observer;
use quintet_runtime::{self as runtime, sync};
use quintet_wire as wire;
