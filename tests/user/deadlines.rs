//! What may not take longer, seen from outside: in time, whatever else goes on, and not before (RUN-6,
//! RUN-11).

use std::{rc::Rc, sync::Arc, time::Duration};

use quintet::{
    journal::{
        Batch, Journal,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Body, By, CallResult, Entry, Event, RunErrorCode, ThoughtKind},
        ids::{Offset, Timestamp},
        json::Json,
    },
    runtime::simulation::{Entered, World, enter},
    user::{agents::Assignment, deadline::DeadlineLimits, factory::UserLimits, port::RunPort},
};
use tokio::time::{Instant, sleep};

use crate::puppets::*;

/// A wall's clock that goes with the time of the test.
struct Clock(Instant);

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000 + self.0.elapsed().as_millis() as u64)
    }

    fn random(&self) -> [u8; 10] {
        rand::random()
    }
}

fn clock() -> Entered {
    enter(Rc::new(Clock(Instant::now())))
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const HOUR_MS: u64 = 3_600_000;

/// A run may take an hour, a step ten minutes, a client a day.
fn limits() -> UserLimits {
    let deadlines =
        DeadlineLimits { step_ms_max: HOUR_MS / 6, run_ms_max: HOUR_MS, client_call_ms_max: 24 * HOUR_MS };
    UserLimits { deadlines, ..UserLimits::DEFAULT }
}

fn yes() -> CallResult {
    CallResult::ok(Json::null())
}

/// A run that asks its client.
async fn asks(node: &mut Node) -> Assignment {
    node.user("ann").send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.port.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.port.take(open("q", "approve", By::Client)).await.unwrap();
    run
}

/// The next process, which finds what `last` has left at this moment; `last` itself does not see it.
async fn next_process(last: &Node) -> (Node, Assignment) {
    let ann = last.user("ann");
    let (entries, lines) = (log(&ann).await, ann.entries(Offset::ZERO, ALL).await.unwrap());
    let journal = MemoryJournal::default();
    journal.log(ann.user_id()).append(Batch { expected: Offset::ZERO, entries, lines }).await.unwrap();
    let mut node = Node::with(&Arc::new(journal), limits(), true);
    node.factory.recover().await.unwrap();
    let run = node.launched().await;
    (node, run)
}

/// Steps every nine minutes; for how long the run went on.
async fn goes_on(port: &RunPort, most: Duration) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < most && port.take(thought(ThoughtKind::Reasoning, ".")).await.is_ok() {
        sleep(minutes(9)).await;
    }
    begun.elapsed()
}

fn why(log: &[Entry]) -> Option<RunErrorCode> {
    match &log.last()?.body {
        Body::Event { event: Event::Completed(completion), .. } => Some(completion.error.as_ref()?.code),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn run_11_the_time_a_client_took_does_not_count_against_a_run_that_a_new_process_takes_up() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    let _run = asks(&mut first).await;
    sleep(minutes(240)).await;

    let (node, run) = next_process(&first).await;
    sleep(minutes(60)).await;
    let ann = node.user("ann");
    ann.answer(run.run_id, call("q"), yes()).await.unwrap();
    run.port.closed(&call("q")).await.unwrap();
    let took = goes_on(&run.port, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
    assert_eq!(why(&log(&ann).await), Some(RunErrorCode::RunTimeout), "its own hour counts");
}

#[tokio::test(start_paused = true)]
async fn run_11_nor_does_the_time_of_a_question_that_was_answered_before_the_crash() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    let run = asks(&mut first).await;
    // Two questions at once: the time in which both are open counts once.
    sleep(minutes(120)).await;
    run.port.take(open("q2", "approve", By::Client)).await.unwrap();
    sleep(minutes(60)).await;
    first.user("ann").answer(run.run_id, call("q"), yes()).await.unwrap();
    sleep(minutes(60)).await;
    first.user("ann").answer(run.run_id, call("q2"), yes()).await.unwrap();

    let (node, run) = next_process(&first).await;
    let took = goes_on(&run.port, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
    assert_eq!(why(&log(&node.user("ann")).await), Some(RunErrorCode::RunTimeout));
}

#[tokio::test(start_paused = true)]
async fn run_11_nor_after_an_append_that_failed() {
    let _clock = clock();
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::with(&journal, limits(), true);
    let run = asks(&mut node).await;
    sleep(minutes(240)).await;
    node.user("ann").answer(run.run_id, call("q"), yes()).await.unwrap();
    journal.fail_next_append(AppendFault::Lost);
    run.port.take(thought(ThoughtKind::Reasoning, "lost")).await.unwrap_err();
    let run = node.launched().await;
    let took = goes_on(&run.port, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
}

/// The wall's clock stands still here: only the process's own time passes.
#[tokio::test(start_paused = true)]
async fn a_run_is_as_old_as_it_was_when_an_append_failed_whatever_the_clock_says() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::with(&journal, limits(), true);
    node.user("ann").send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    goes_on(&run.port, minutes(45)).await;
    journal.fail_next_append(AppendFault::Lost);
    run.port.take(thought(ThoughtKind::Reasoning, "lost")).await.unwrap_err();
    let run = node.launched().await;
    let took = goes_on(&run.port, minutes(120)).await;
    assert!(took <= minutes(18), "45 minutes were over, and it ran for {took:?} more");
    assert_eq!(why(&log(&node.user("ann")).await), Some(RunErrorCode::RunTimeout));
}
