//! The shared primitives of `quintet`, the same source files, under every schedule that loom can think
//! of: `cargo test -p quintet-schedules`; `docs/model/concurrency.md` tells what is looked at and how far.

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

/// Why a run is over, for its signal.
pub mod port {
    pub use quintet::agent::host::Stopped;
}

// Each with a defect that its test has to see.
include!(concat!(env!("OUT_DIR"), "/twins.rs"));
