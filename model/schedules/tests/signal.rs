//! RUN-11, RUN-6 under every schedule: an agent that waits for its client is woken by the answer or by the
//! end of its run, and gets the reason.

use loom::{future::block_on, sync::Arc, thread};
use quintet_schedules::{
    kernel::{entry::CallResult, ids::CallId, json::Json},
    run_ended::RunEnded,
};

mod bound;

fn call() -> CallId {
    CallId::parse("q").unwrap()
}

/// The scenes, for the shipped signal and for its mutant.
macro_rules! scenes {
    ($signal:ident) => {
        use quintet_schedules::$signal::RunSignal;

        use super::*;

        fn asked() -> Arc<RunSignal> {
            let signal = Arc::new(RunSignal::default());
            signal.opened(call());
            signal
        }

        pub fn the_client_answers() {
            let signal = asked();
            let hub = {
                let signal = signal.clone();
                thread::spawn(move || signal.note_close(&call(), &CallResult::ok(Json::null())))
            };
            assert_eq!(block_on(signal.closed(&call())), Ok(CallResult::ok(Json::null())));
            hub.join().unwrap();
        }

        pub fn the_client_answers_and_the_run_ends() {
            let signal = asked();
            let hub = {
                let signal = signal.clone();
                thread::spawn(move || {
                    signal.note_close(&call(), &CallResult::ok(Json::null()));
                    signal.stop(RunEnded::Ended);
                    // A later reason does not replace the first.
                    signal.stop(RunEnded::Unavailable);
                })
            };
            let watcher = {
                let signal = signal.clone();
                thread::spawn(move || {
                    block_on(signal.over());
                    assert_eq!(signal.stopped(), Some(RunEnded::Ended), "ended without a reason");
                })
            };
            let closed = block_on(signal.closed(&call()));
            assert!(closed.is_ok() || closed == Err(RunEnded::Ended), "{closed:?}");
            hub.join().unwrap();
            watcher.join().unwrap();
        }
    };
}

mod shipped {
    scenes!(signal);
}

#[allow(dead_code, reason = "one scene is enough to see it")]
mod mutant {
    scenes!(mutant_signal);
}

#[test]
fn run_11_waiting_agent_is_woken_by_the_answer() {
    bound::check(shipped::the_client_answers);
}

#[test]
fn run_6_waiting_agent_is_woken_by_the_end_with_its_reason() {
    bound::check(shipped::the_client_answers_and_the_run_ends);
}

#[test]
#[ignore = "it deadlocks, as it has to"]
fn mutant_that_looks_first() {
    bound::check(mutant::the_client_answers);
}

#[test]
fn signal_that_reads_before_it_registers_is_caught() {
    bound::deadlocks("mutant_that_looks_first");
}
