//! A drain that does not wait for the turns that began before it is caught.

#![allow(dead_code, reason = "the files are whole; a test uses a part of them")]

pub use quintet::{journal, kernel, observer, wire};

include!(concat!(env!("OUT_DIR"), "/mutant_drain.rs"));

/// The service's side of the agents' package, of this crate's files.
pub mod agent {
    pub use super::host;
}
use runtime::sync;

#[path = "scenario/runtime.rs"]
pub mod runtime;
#[path = "scenario/mod.rs"]
mod scenario;

#[test]
#[should_panic(expected = "CONN-6")]
fn the_mutant_is_caught() {
    // A turn has to begin between a check and a notification: about one in some hundred schedules.
    scenario::explore(scenario::Scenario { schedules: 3_000, ..scenario::DRAIN });
}
