//! A drain that does not wait for the turns that began before it is caught.

#![allow(dead_code, reason = "the files are whole; a test uses a part of them")]

pub use quintet::{journal, kernel, observer, wire};

include!(concat!(env!("OUT_DIR"), "/twin_drain.rs"));

/// The service's side of the agents' package, of this crate's files.
pub mod agent {
    pub use super::host;
}
use runtime::sync;

#[path = "scene/runtime.rs"]
pub mod runtime;
#[path = "scene/mod.rs"]
mod scene;

#[test]
#[should_panic(expected = "CONN-6")]
fn the_twin_is_caught() {
    // A turn has to begin between a check and a notification: about one in some hundred schedules.
    scene::explore(scene::Scene { schedules: 3_000, ..scene::DRAIN });
}
