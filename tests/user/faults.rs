//! A journal that fails, and processes that die: nothing accepted is lost, nothing false is reported (RUN-6,
//! RUN-9, DEL-5, DEL-7).

use std::{sync::Arc, time::Duration};

use quintet::{
    agent::host::{RunEnded, TextSpan},
    journal::{
        ThreadsQuery,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Body, CallOwner, CallResult, CallStatus, Event, RunEntry, ThoughtKind},
        ids::{CallId, Offset, RunId},
        json::Json,
        user::Refusal,
    },
    user::{handle::RequestError, limits::UserLimits},
};

use tokio::time::{sleep, timeout};

use crate::{disk::Disk, manual_agents::*};

#[tokio::test]
async fn del_7_append_of_unknown_outcome_is_never_reported_as_success() {
    for (fault, expected) in [(AppendFault::Lost, false), (AppendFault::Applied, true)] {
        let journal = Arc::new(MemoryJournal::default());
        let mut node = Node::new(&journal);
        let ann = node.user("ann");
        journal.fail_next_append(fault);
        assert_eq!(ann.send(message("m1", "t")).await, Err(RequestError::Unavailable), "{fault:?}");
        let again = ann.send(message("m1", "t")).await.unwrap();
        assert_eq!(again.duplicate, expected, "{fault:?}: the outcome is read back");
        let run = node.launched().await;
        assert_eq!(run.run_id, again.receipt.run_id);
        answer(&run.handle, "done").await;
        assert_eq!(words(&log(&ann).await), ["m1", "m1:started", "thinking:done", "Succeeded"], "{fault:?}");
    }
}

/// A failed append appears after the log was read back. A repeat of its message must not be accepted by a hub
/// that does not know its run: the run would never start (RUN-6).
#[tokio::test(start_paused = true)]
async fn run_6_batch_that_appears_late_is_accepted_only_with_its_run() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::new(&journal);
    let ann = node.user("ann");
    journal.fail_next_append(AppendFault::Late);
    assert_eq!(ann.send(message("m1", "t")).await, Err(RequestError::Unavailable));
    let unknown = RunId(uuid::Uuid::from_u128(1));
    let not_found = Err(RequestError::Refused(Refusal::NotFound));
    assert_eq!(ann.cancel(unknown).await, not_found, "the log is read back here, without the batch");
    journal.land_late_appends();
    let mut answer_to_repeat = ann.send(message("m1", "t")).await;
    if answer_to_repeat == Err(RequestError::Unavailable) {
        answer_to_repeat = ann.send(message("m1", "t")).await;
    }
    let accepted = answer_to_repeat.unwrap();
    assert!(accepted.duplicate, "DEL-6");
    let run = tokio::time::timeout(Duration::from_secs(60), node.launched()).await.expect("its run starts");
    assert_eq!(run.run_id, accepted.receipt.run_id);
    answer(&run.handle, "done").await;
    assert_eq!(words(&log(&ann).await), ["m1", "m1:started", "thinking:done", "Succeeded"]);
}

/// The same for a cancel: a run that the hub does not know yet has not ended.
#[tokio::test(start_paused = true)]
async fn del_7_run_that_appears_late_is_not_reported_as_ended() {
    let journal = Arc::new(MemoryJournal::default());
    let node = Node::new(&journal);
    let ann = node.user("ann");
    journal.fail_next_append(AppendFault::Late);
    assert_eq!(ann.send(message("m1", "t")).await, Err(RequestError::Unavailable));
    assert!(ann.cancel(RunId(uuid::Uuid::from_u128(1))).await.is_err(), "the log is read back here");
    journal.land_late_appends();
    let run_id = ann.threads(ThreadsQuery { before: None, archived: None, limit: 9 }).await.unwrap()[0].first;
    let run_id = decode(&ann, &ann.entries(Offset(run_id.0 - 1), ALL).await.unwrap())[0].run_id;
    assert_eq!(ann.cancel(run_id).await, Err(RequestError::Unavailable), "not `run_ended`");
    assert_eq!(ann.cancel(run_id).await, Ok(()));
    assert_eq!(words(&log(&ann).await).last().map(String::as_str), Some("Cancelled"));
}

#[tokio::test]
async fn del_1_nothing_is_visible_or_accepted_before_it_is_durable() {
    let journal = Arc::new(MemoryJournal::default());
    let node = Node::new(&journal);
    let ann = node.user("ann");
    let mut cursor = ann.cursor(Offset::ZERO).await.unwrap();
    journal.pause_appends();
    let sending = ann.send(message("m1", "t"));
    tokio::pin!(sending);
    tokio::select! {
        _ = &mut sending => panic!("accepted before it was durable"),
        () = cursor.moved() => panic!("visible before it was durable"),
        () = journal.appends_held(1) => {}
    }
    assert_eq!(cursor.head(), Offset::ZERO);
    journal.release_appends();
    sending.await.unwrap();
    cursor.moved().await;
    assert_eq!(words(&decode(&ann, &cursor.read(Offset(9), ALL).await.unwrap())), ["m1", "m1:started"]);
}

#[tokio::test(start_paused = true)]
async fn run_6_run_outlives_an_unavailable_journal() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::new(&journal);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    journal.set_down(true);
    assert_eq!(run.handle.take(open("c1", "tool", CallOwner::Agent)).await, Err(RunEnded::Unavailable));
    assert_eq!(ann.send(message("m2", "t")).await, Err(RequestError::Unavailable));
    journal.set_down(false);
    // No command comes meanwhile, and no other timer of the hub is so early: it retries by itself.
    let again = tokio::time::timeout(Duration::from_secs(2), node.launched()).await.expect("it is resumed");
    assert_eq!((again.run_id, again.past.len(), again.text.as_str()), (run.run_id, 1, "text of m1"));
    assert_eq!(
        again.emitted.of(ThoughtKind::Reasoning),
        TextSpan { first: Offset(3), last: Offset(3), bytes: 2 }
    );
    assert_eq!(
        run.handle.take(succeed()).await,
        Err(RunEnded::Unavailable),
        "the first agent has lost the run"
    );
    answer(&again.handle, "done").await;
    assert_eq!(words(&log(&ann).await), ["m1", "m1:started", "thinking:hm", "thinking:done", "Succeeded"]);
}

/// ISO-6: while the journal is down, the log of a user is read again after 100 ms, then half as often each
/// time, at last every 5 s; after it is back, the next failure begins at 100 ms again.
#[tokio::test(start_paused = true)]
async fn iso_6_unavailable_journal_is_retried_with_backoff() {
    let memory = MemoryJournal::default();
    let disk = Arc::new(Disk::new(&memory, Duration::ZERO));
    let mut node = Node::new(&disk);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let mut run = node.launched().await;
    for _ in 0..2 {
        memory.set_down(true);
        let lost = run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await;
        assert_eq!(lost, Err(RunEnded::Unavailable));
        disk.take_recoveries();
        // 100, 300, 700 and 1500 ms after the failure.
        sleep(Duration::from_millis(1_600)).await;
        assert_eq!(disk.take_recoveries(), 4, "soon at first");
        // 3100, 6300 and 11300 ms after the failure, and every 5 s from then on.
        sleep(Duration::from_secs(60)).await;
        assert_eq!(disk.take_recoveries(), 13, "then every 5 s");
        memory.set_down(false);
        run = timeout(Duration::from_millis(5_100), node.launched()).await.expect("resumed");
        assert_eq!(disk.take_recoveries(), 1);
    }
    answer(&run.handle, "done").await;
}

/// Returns the call that an entry closes.
fn closed(entry: &RunEntry) -> Option<CallId> {
    match &entry.body {
        Body::Event { event: Event::ToolCompleted { call_id, .. }, .. } => Some(call_id.clone()),
        _ => None,
    }
}

/// Starts a run that has thought, opened an idempotent call, another one, and a question.
async fn half_done(node: &mut Node) {
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    ann.send(message("m2", "t")).await.unwrap();
    let handle = node.launched().await.handle;
    handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    for (call_id, tool, by) in [
        ("done", "tool", CallOwner::Agent),
        ("open", "tool", CallOwner::Agent),
        ("idem", "again", CallOwner::Agent),
        ("q", "ask", CallOwner::Client),
    ] {
        handle.take(open(call_id, tool, by)).await.unwrap();
    }
    handle.take(close("done")).await.unwrap();
    // The process dies here: the port must not fail the run as for an agent that gives up.
    std::mem::forget(handle);
}

#[tokio::test]
async fn run_9_resumable_run_is_resumed_from_its_own_log() {
    let journal = Arc::new(MemoryJournal::default());
    half_done(&mut Node::new(&journal)).await;

    let mut node = Node::new(&journal);
    node.factory.recover().await.unwrap();
    let run = node.launched().await;
    let ann = node.user("ann");
    assert_eq!(run.text, "text of m1");
    let past = words(&run.past);
    assert_eq!(past.first().unwrap(), "m1:started");
    assert_eq!(
        past[past.len() - 2..],
        ["completed:done:Ok", "completed:open:Unknown"],
        "closed, never run again"
    );
    ann.answer(run.run_id, call("q"), CallResult::ok(Json::null())).await.unwrap();
    assert_eq!(
        run.handle.closed(&call("q")).await.unwrap().status,
        CallStatus::Ok,
        "RUN-11: still answerable"
    );
    run.handle.take(close("idem")).await.unwrap();
    answer(&run.handle, "done").await;
    let second = node.launched().await;
    assert_eq!((second.message_id.as_str(), second.text.as_str()), ("m2", "text of m2"));
    answer(&second.handle, "too").await;
    let all = words(&log(&ann).await);
    assert_eq!(all.iter().filter(|word| *word == "Succeeded").count(), 2);
}

#[tokio::test]
async fn run_11_answer_that_makes_the_hub_resume_the_run_reaches_its_agent() {
    let journal = Arc::new(MemoryJournal::default());
    let mut first = Node::new(&journal);
    half_done(&mut first).await;

    // There was no recovery yet: the answer wakes the hub, and is in the same batch.
    let mut node = Node::new(&journal);
    let ann = node.user("ann");
    let run_id = log(&ann).await[0].run_id;
    let answer = CallResult::ok(Json::parse("7").unwrap());
    ann.answer(run_id, call("q"), answer.clone()).await.unwrap();
    let run = node.launched().await;
    assert!(run.past.iter().all(|entry| closed(entry) != Some(call("q"))), "the agent has to wait for it");
    let told = tokio::time::timeout(Duration::from_secs(5), run.handle.closed(&call("q"))).await;
    assert_eq!(told.expect("the agent gets the answer"), Ok(answer));
}

#[tokio::test]
async fn run_6_run_without_resume_ends_interrupted_and_the_next_one_runs() {
    let journal = Arc::new(MemoryJournal::default());
    half_done(&mut Node::new(&journal)).await;

    let mut node = Node::with(&journal, UserLimits::DEFAULT, false);
    node.factory.recover().await.unwrap();
    let next = node.launched().await;
    assert_eq!(next.message_id.as_str(), "m2");
    answer(&next.handle, "done").await;
    let all = words(&log(&node.user("ann")).await);
    let ends = [
        "completed:idem:Unknown",
        "completed:open:Unknown",
        "completed:q:Unknown",
        "Interrupted",
        "m2:started",
    ];
    let at = all.iter().position(|word| word == ends[0]).unwrap();
    assert_eq!(all[at..at + ends.len()], ends);
}

#[tokio::test]
async fn zombie_process_is_fenced_off_by_the_log() {
    let journal = Arc::new(MemoryJournal::default());
    let mut old = Node::new(&journal);
    let ann = old.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let zombie = old.launched().await;
    // Another node takes the run over while the first one still treats it as its own.
    let mut new = Node::new(&journal);
    new.factory.recover().await.unwrap();
    let heir = new.launched().await;
    heir.handle.take(thought(ThoughtKind::Reasoning, "heir")).await.unwrap();
    let refused = zombie.handle.take(thought(ThoughtKind::Reasoning, "zombie")).await;
    assert_eq!(refused, Err(RunEnded::Unavailable));
    assert_eq!(words(&log(&ann).await), ["m1", "m1:started", "thinking:heir"]);
}
