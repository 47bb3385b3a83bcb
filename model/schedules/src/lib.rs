//! The shared primitives of `quintet`, the same source files, under every schedule that loom explores: `cargo
//! test -p quintet-schedules`; `docs/model/concurrency.md` lists the checks and their bounds.

pub use quintet::{journal, kernel, runtime};

#[path = "../../../src/gateway/drain.rs"]
pub mod drain;
#[path = "../../../src/user/registry.rs"]
pub mod registry;
#[path = "../../../src/agent/host/signal.rs"]
pub mod signal;
pub mod stand_ins;
#[path = "../../../src/runtime/sync.rs"]
pub mod sync;
#[path = "../../../src/user/tail.rs"]
pub mod tail;
#[path = "../../../src/gateway/tickets.rs"]
pub mod tickets;

/// The reason for the end of a run, for its signal.
pub mod run_ended {
    pub use quintet::agent::host::RunEnded;
}

// Each has a defect that its test has to find.
include!(concat!(env!("OUT_DIR"), "/twins.rs"));
