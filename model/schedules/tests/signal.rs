//! RUN-11, RUN-6 under every schedule: an agent that waits for its client is woken by the answer or by the
//! end of its run, and gets the reason.

#![cfg(quintet_loom)]

use loom::{future::block_on, sync::Arc, thread};
use quintet_agent::host::{RunEnded, RunSignal};
use quintet_kernel::{entry::CallResult, ids::CallId, json::Json};

mod bound;

fn call() -> CallId {
    CallId::parse("q").unwrap()
}

fn asked() -> Arc<RunSignal> {
    let signal = Arc::new(RunSignal::default());
    signal.opened(call());
    signal
}

fn the_client_answers() {
    let signal = asked();
    let hub = {
        let signal = signal.clone();
        thread::spawn(move || signal.note_close(&call(), &CallResult::ok(Json::null())))
    };
    assert_eq!(block_on(signal.closed(&call())), Ok(CallResult::ok(Json::null())));
    hub.join().unwrap();
}

fn the_client_answers_and_the_run_ends() {
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

#[test]
fn run_11_waiting_agent_is_woken_by_the_answer() {
    bound::check(the_client_answers);
}

#[test]
fn run_6_waiting_agent_is_woken_by_the_end_with_its_reason() {
    bound::check(the_client_answers_and_the_run_ends);
}
