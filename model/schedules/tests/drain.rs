//! CONN-6 under every schedule: a task that waits for a stage of the drain is woken, and no stage is left
//! again.

use loom::{future::block_on, thread};

mod bound;

/// The scenes, for the shipped latch and for its mutant.
macro_rules! scenes {
    ($drain:ident) => {
        use quintet_schedules::$drain::{Drain, ShutdownStage};

        use super::*;

        /// One signal drains, another closes at once, a connection waits for the close.
        pub fn two_who_advance_and_one_who_waits() {
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
    };
}

mod shipped {
    scenes!(drain);
}

mod mutant {
    scenes!(mutant_drain);
}

#[test]
fn conn_6_reached_stage_stays_reached() {
    bound::check(shipped::two_who_advance_and_one_who_waits);
}

#[test]
#[should_panic(expected = "a stage was left again")]
fn latch_that_goes_back_is_caught() {
    bound::check(mutant::two_who_advance_and_one_who_waits);
}
