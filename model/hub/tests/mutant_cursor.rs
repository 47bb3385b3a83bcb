//! A cursor that reads before it registers is caught.

#![allow(dead_code, reason = "the files are whole; a test uses a part of them")]

pub use quintet::{journal, kernel, observer, wire};

include!(concat!(env!("OUT_DIR"), "/mutant_cursor.rs"));

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
#[should_panic(expected = "deadlock")]
fn the_mutant_is_caught() {
    scenario::explore(scenario::PAIR);
}
