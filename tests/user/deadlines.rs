//! Time limits, seen from outside: each passes in time under any load, and not before (RUN-6, RUN-11).

use std::{rc::Rc, sync::Arc, time::Duration};

use quintet::{
    agent::host::{Assignment, RunHandle},
    journal::{
        Batch, Journal,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Body, CallOwner, CallResult, Entry, Event, RunEntry, RunErrorCode, ThoughtKind},
        ids::{Offset, Timestamp},
        json::Json,
        user::{NewMessage, OnBusy},
    },
    runtime::simulation::{Entered, World, enter},
    user::{deadline::DeadlineLimits, handle::User, limits::UserLimits},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{disk::Disk, manual_agents::*};

/// A wall clock that follows the time of the test.
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
    let deadlines = DeadlineLimits {
        step_timeout_ms: HOUR_MS / 6,
        run_timeout_ms: HOUR_MS,
        client_call_timeout_ms: 24 * HOUR_MS,
    };
    UserLimits { deadlines, ..UserLimits::DEFAULT }
}

fn yes() -> CallResult {
    CallResult::ok(Json::null())
}

/// Starts a run that asks its client.
async fn asks(node: &mut Node) -> Assignment {
    node.user("ann").send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("q", "approve", CallOwner::Client)).await.unwrap();
    run
}

/// Starts the next process on the current log of `last`, which does not notice it.
async fn next_process(last: &Node) -> (Node, Assignment) {
    let ann = last.user("ann");
    let entries = log(&ann).await.into_iter().map(Entry::Run).collect();
    let lines = ann.entries(Offset::ZERO, ALL).await.unwrap();
    let journal = MemoryJournal::default();
    journal.log(ann.user_id()).append(Batch::new(Offset::ZERO, entries, lines)).await.unwrap();
    let mut node = Node::with(&Arc::new(journal), limits(), true);
    node.factory.recover().await.unwrap();
    let run = node.launched().await;
    (node, run)
}

/// Makes a step every nine minutes; returns how long the run continued.
async fn goes_on(handle: &RunHandle, most: Duration) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < most {
        let step = timeout(minutes(1), handle.take(thought(ThoughtKind::Reasoning, "."))).await;
        if step.expect("a step is answered at once").is_err() {
            break;
        }
        sleep(minutes(9)).await;
    }
    begun.elapsed()
}

fn why(log: &[RunEntry]) -> Option<RunErrorCode> {
    match &log.last()?.body {
        Body::Event { event: Event::Completed(completion), .. } => Some(completion.error.as_ref()?.code),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn run_11_client_time_does_not_count_against_a_run_resumed_by_a_new_process() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    let _run = asks(&mut first).await;
    sleep(minutes(240)).await;

    let (node, run) = next_process(&first).await;
    sleep(minutes(60)).await;
    let ann = node.user("ann");
    ann.answer(run.run_id, call("q"), yes()).await.unwrap();
    run.handle.closed(&call("q")).await.unwrap();
    let took = goes_on(&run.handle, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
    assert_eq!(why(&log(&ann).await), Some(RunErrorCode::RunTimeout), "its own hour counts");
}

#[tokio::test(start_paused = true)]
async fn run_11_time_of_a_question_answered_before_the_crash_does_not_count() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    let run = asks(&mut first).await;
    // Two questions at once: the time in which both are open counts once.
    sleep(minutes(120)).await;
    run.handle.take(open("q2", "approve", CallOwner::Client)).await.unwrap();
    sleep(minutes(60)).await;
    first.user("ann").answer(run.run_id, call("q"), yes()).await.unwrap();
    sleep(minutes(60)).await;
    first.user("ann").answer(run.run_id, call("q2"), yes()).await.unwrap();

    let (node, run) = next_process(&first).await;
    let took = goes_on(&run.handle, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
    assert_eq!(why(&log(&node.user("ann")).await), Some(RunErrorCode::RunTimeout));
}

#[tokio::test(start_paused = true)]
async fn run_11_client_time_does_not_count_after_a_failed_append() {
    let _clock = clock();
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::with(&journal, limits(), true);
    let run = asks(&mut node).await;
    sleep(minutes(240)).await;
    node.user("ann").answer(run.run_id, call("q"), yes()).await.unwrap();
    journal.fail_next_append(AppendFault::Lost);
    run.handle.take(thought(ThoughtKind::Reasoning, "lost")).await.unwrap_err();
    let run = node.launched().await;
    let took = goes_on(&run.handle, minutes(120)).await;
    assert!((minutes(54)..=minutes(72)).contains(&took), "it ran for {took:?}");
}

/// The wall clock stands still here: only the process's own time passes.
#[tokio::test(start_paused = true)]
async fn run_keeps_its_age_over_a_failed_append_for_any_wall_clock() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::with(&journal, limits(), true);
    node.user("ann").send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    goes_on(&run.handle, minutes(45)).await;
    journal.fail_next_append(AppendFault::Lost);
    run.handle.take(thought(ThoughtKind::Reasoning, "lost")).await.unwrap_err();
    let run = node.launched().await;
    let took = goes_on(&run.handle, minutes(120)).await;
    assert!(took <= minutes(18), "45 minutes were over, and it ran for {took:?} more");
    assert_eq!(why(&log(&node.user("ann")).await), Some(RunErrorCode::RunTimeout));
}

/// A message of the user every 2 ms, each instead of the one before, until the result is dropped.
fn flood(user: &User) -> JoinSet<()> {
    let (user, mut flood) = (user.clone(), JoinSet::new());
    flood.spawn(async move {
        let mut sent = JoinSet::new();
        for n in 0.. {
            let message = NewMessage { on_busy: OnBusy::Interrupt, ..message(&format!("f{n}"), "flood") };
            let user = user.clone();
            sent.spawn(async move { user.send(message).await.expect("there is room") });
            sleep(Duration::from_millis(2)).await;
        }
    });
    flood
}

/// A run whose user sends without a pause, on a disk that takes 5 ms.
async fn beside_a_flood(limits: UserLimits) -> (Node, Assignment, JoinSet<()>) {
    let disk = Arc::new(Disk::new(&MemoryJournal::default(), Duration::from_millis(5)));
    let mut node = Node::with(&disk, limits, true);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    let flood = flood(&ann);
    sleep(Duration::from_millis(500)).await;
    (node, run, flood)
}

#[tokio::test(start_paused = true)]
async fn run_6_deadline_of_a_busy_user_passes_in_time() {
    let mut limits = limits();
    limits.deadlines.step_timeout_ms = 1_000;
    let (_node, run, _flood) = beside_a_flood(limits).await;
    timeout(Duration::from_secs(1), run.handle.ended()).await.expect("it has made no step for a second");
}

#[tokio::test(start_paused = true)]
async fn run_6_abandoned_run_of_a_busy_user_ends() {
    let (node, run, _flood) = beside_a_flood(limits()).await;
    drop(run);
    let ended = timeout(Duration::from_secs(1), read_to_end(&node.user("ann"), "m1")).await;
    let ended = ended.expect("its agent is gone");
    assert_eq!(why(&ended), Some(RunErrorCode::AgentError));
}

#[tokio::test(start_paused = true)]
async fn run_6_resumed_run_has_only_its_remaining_time() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    first.user("ann").send(message("m1", "t")).await.unwrap();
    let run = first.launched().await;
    assert_eq!(goes_on(&run.handle, minutes(50)).await, minutes(54));
    run.handle.take(thought(ThoughtKind::Reasoning, ".")).await.unwrap();
    sleep(minutes(5) + Duration::from_secs(45)).await;
    let (_node, run) = next_process(&first).await;
    let left = Instant::now();
    timeout(minutes(1), run.handle.ended()).await.expect("its hour is over");
    assert!(left.elapsed() < Duration::from_secs(30), "{:?}", left.elapsed());
}

#[tokio::test(start_paused = true)]
async fn run_11_resumed_question_has_only_its_remaining_time() {
    let _clock = clock();
    let mut first = Node::with(&Arc::new(MemoryJournal::default()), limits(), true);
    let _run = asks(&mut first).await;
    sleep(minutes(24 * 60) - Duration::from_secs(20)).await;
    let (_node, run) = next_process(&first).await;
    let closed = timeout(Duration::from_secs(25), run.handle.closed(&call("q"))).await;
    closed.expect("its day is over").unwrap();
}
