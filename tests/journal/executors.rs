//! The executors of runs, and the fence beside the head (RUN-13).

use std::collections::BTreeSet;

use quintet::{
    journal::{
        AppendError, Batch, Fence, Journal, JournalError, Log, Position, Recovery,
        lines::LinesBuilder,
        memory::MemoryJournal,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::ids::{Incarnation, Offset, RunId},
};
use uuid::Uuid;

use crate::support::{LogWriter, engines, run};

const FIRST: Incarnation = Incarnation(Uuid::from_u128(1));
const SECOND: Incarnation = Incarnation(Uuid::from_u128(2));

/// A batch that takes runs over and adds no entry.
fn takes(head: Offset, fence: Fence, by: Incarnation, taken_over: Vec<RunId>) -> Batch {
    let lines = LinesBuilder::new(head.next()).finish();
    Batch { fence, executor: Some(by), taken_over, ..Batch::new(head, vec![], lines) }
}

async fn executor(log: &dyn Log, number: u64) -> Option<Incarnation> {
    log.run(run(number)).await.unwrap().unwrap().executor
}

#[tokio::test]
async fn run_13_append_that_starts_a_run_records_its_executor_and_later_ones_keep_it() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        let waits = log_writer.message(1, "t", "m1").message(2, "t", "m2").batch();
        log.append(Batch { executor: Some(FIRST), ..waits }).await.unwrap();
        assert_eq!(executor(&*log, 1).await, None, "{}: it has not started", engine.name);
        let starts = log_writer.started(1, "m1").batch();
        log.append(Batch { executor: Some(FIRST), ..starts }).await.unwrap();
        let steps = log_writer.think(1, "hm").batch();
        log.append(Batch { executor: Some(SECOND), ..steps }).await.unwrap();
        assert_eq!(executor(&*log, 1).await, Some(FIRST), "{}", engine.name);
        // The append that ends a run starts the next one of its thread.
        let ends = log_writer.started_after_end(1, 2).batch();
        log.append(Batch { executor: Some(SECOND), ..ends }).await.unwrap();
        let executors = (executor(&*log, 1).await, executor(&*log, 2).await);
        assert_eq!(executors, (Some(FIRST), Some(SECOND)), "{}", engine.name);
        let whole = log_writer.message(3, "u", "m3").started(3, "m3").batch();
        log.append(Batch { executor: Some(FIRST), ..whole }).await.unwrap();
        let unfinished = log.recovery(9).await.unwrap().unfinished;
        let executors: Vec<_> = unfinished.iter().map(|run| run.executor).collect();
        assert_eq!(executors, [Some(SECOND), Some(FIRST)], "{}", engine.name);
    }
}

#[tokio::test]
async fn run_13_take_over_without_an_entry_refuses_whoever_does_not_know_of_it() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        let starts = log_writer.message(1, "t", "m1").started(1, "m1").batch();
        log.append(Batch { executor: Some(FIRST), ..starts }).await.unwrap();
        let head = Offset(2);
        assert_eq!(log.position().await.unwrap(), Position { head, fence: Fence(0) }, "{}", engine.name);
        log.append(takes(head, Fence(0), SECOND, vec![run(1)])).await.unwrap();
        assert_eq!(executor(&*log, 1).await, Some(SECOND), "{}", engine.name);
        assert_eq!(log.position().await.unwrap(), Position { head, fence: Fence(1) }, "{}", engine.name);
        // The first executor, which the head alone would let through.
        let step = log_writer.think(1, "hm").batch();
        let refused = log.append(Batch { executor: Some(FIRST), ..step.clone() }).await;
        assert!(matches!(refused, Err(AppendError::Conflict { head: Offset(2) })), "{}", engine.name);
        // A second one that takes it over at the same time.
        let refused = log.append(takes(head, Fence(0), FIRST, vec![run(1)])).await;
        assert!(matches!(refused, Err(AppendError::Conflict { head: Offset(2) })), "{}", engine.name);
        assert_eq!(executor(&*log, 1).await, Some(SECOND), "{}", engine.name);
        log.append(Batch { executor: Some(SECOND), fence: Fence(1), ..step }).await.unwrap();
        let Recovery { head, fence, .. } = log.recovery(9).await.unwrap();
        assert_eq!((head, fence), (Offset(3), Fence(1)), "{}", engine.name);
    }
}

#[tokio::test]
async fn run_13_run_that_has_not_started_or_has_ended_is_not_taken_over() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").message(2, "t", "m2").append(&log).await;
        for number in [1, 2, 3] {
            let refused = log.append(takes(Offset(6), Fence(0), FIRST, vec![run(number)])).await;
            let damaged = matches!(refused, Err(AppendError::Journal(JournalError::Damaged(_))));
            assert!(damaged, "{} {number}: {refused:?}", engine.name);
        }
        assert_eq!(log.position().await.unwrap().fence, Fence(0), "{}", engine.name);
    }
}

#[tokio::test]
async fn run_13_each_start_of_a_process_has_an_incarnation_and_to_it_the_others_have_expired() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let journal = open();
    let (first, mut log_writer) = (journal.incarnation(), LogWriter::new("ann"));
    let log = journal.log(&log_writer.user_id);
    let starts = log_writer.message(1, "t", "m1").started(1, "m1").batch();
    log.append(Batch { executor: Some(first), ..starts }).await.unwrap();
    log.append(takes(Offset(2), Fence(0), first, vec![run(1)])).await.unwrap();
    drop((log, journal));
    let journal = open();
    let second = journal.incarnation();
    let log = journal.log(&log_writer.user_id);
    assert_eq!(executor(&*log, 1).await, Some(first));
    assert_eq!(log.position().await.unwrap().fence, Fence(1));
    assert_eq!(journal.expired(&BTreeSet::from([first, second])).await.unwrap(), BTreeSet::from([first]));
    assert!(!journal.is_shared());
}

#[tokio::test]
async fn run_13_nodes_in_memory_expire_when_their_leases_do() {
    let journal = MemoryJournal::default();
    let (a, b, gone) = (journal.node(), journal.node(), journal.incarnation());
    let all = BTreeSet::from([a.incarnation(), b.incarnation(), gone]);
    assert_eq!(a.expired(&all).await.unwrap(), BTreeSet::from([gone]));
    journal.expire(b.incarnation());
    for node in [&a, &b] {
        assert_eq!(node.expired(&all).await.unwrap(), BTreeSet::from([b.incarnation(), gone]));
    }
}
