//! CONN-6 under every schedule: a task that waits for a stage of the drain is woken, and no stage is left
//! again.

#![cfg(quintet_loom)]

use loom::{future::block_on, thread};
use quintet_runtime::drain::{Drain, ShutdownStage};

mod bound;

/// One signal drains, another closes at once, a connection waits for the close.
fn two_who_advance_and_one_who_waits() {
    let drain = Drain::default();
    let others = [ShutdownStage::Draining, ShutdownStage::Closing].map(|stage| {
        let drain = drain.clone();
        thread::spawn(move || drain.advance(stage))
    });
    block_on(drain.reached(ShutdownStage::Draining));
    let reached = drain.stage();
    assert!(reached >= ShutdownStage::Draining, "a stage was left again");
    block_on(drain.reached(ShutdownStage::Closing));
    assert!(drain.stage() == ShutdownStage::Closing, "a stage was left again");
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(drain.stage() == ShutdownStage::Closing, "a stage was left again");
}

#[test]
fn conn_6_reached_stage_stays_reached() {
    bound::check(two_who_advance_and_one_who_waits);
}
