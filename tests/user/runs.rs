//! Runs from their message to each kind of end.

use std::{sync::Arc, time::Duration};

use quintet::{
    agent::host::RunEnded,
    journal::memory::MemoryJournal,
    kernel::{
        entry::{CallOwner, CallResult, RunError, RunErrorCode, ThoughtKind},
        ids::RunId,
        json::Json,
        run::{Breach, EarlyEnd},
        user::{OnBusy, Refusal},
    },
    user::{deadline::DeadlineLimits, handle::RequestError, limits::UserLimits},
};

use crate::manual_agents::*;

#[tokio::test]
async fn message_goes_in_and_five_events_come_out() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let accepted = ann.send(message("m1", "t")).await.unwrap();
    assert!(!accepted.duplicate);
    let run = node.launched().await;
    assert_eq!((run.run_id, run.text.as_str()), (accepted.receipt.run_id, "text of m1"));
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("c1", "tool", CallOwner::Agent)).await.unwrap();
    run.handle.take(close("c1")).await.unwrap();
    answer(&run.handle, "done").await;
    let expected =
        ["m1", "m1:started", "thinking:hm", "executing:c1", "completed:c1:Ok", "thinking:done", "Succeeded"];
    assert_eq!(words(&log(&ann).await), expected);
}

#[tokio::test]
async fn step_waits_for_room_and_is_never_dropped() {
    let mut limits = UserLimits::DEFAULT;
    limits.hub.hub_steps_max = 1;
    let mut node = Node::with(&Arc::new(MemoryJournal::default()), limits, true);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    let thoughts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let posts = thoughts.iter().map(|delta| run.handle.post(thought(ThoughtKind::Reasoning, delta)));
    for posted in futures::future::join_all(posts).await {
        posted.unwrap();
    }
    answer(&run.handle, "done").await;
    let told = words(&log(&ann).await);
    let expected = thoughts.iter().map(|delta| format!("thinking:{delta}"));
    assert_eq!(told[2..202], expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn run_8_messages_of_a_thread_run_one_after_another() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    for id in ["m1", "m2", "m3"] {
        ann.send(message(id, "t")).await.unwrap();
    }
    for id in ["m1", "m2", "m3"] {
        let run = node.launched().await;
        assert_eq!((run.message_id.as_str(), run.text.as_str()), (id, format!("text of {id}").as_str()));
        assert!(node.stage.try_recv().is_err(), "one at a time");
        answer(&run.handle, id).await;
    }
    let expected = [
        "m1",
        "m1:started",
        "m2",
        "m3",
        "thinking:m1",
        "Succeeded",
        "m2:started",
        "thinking:m2",
        "Succeeded",
        "m3:started",
        "thinking:m3",
        "Succeeded",
    ];
    assert_eq!(words(&log(&ann).await), expected);
}

#[tokio::test]
async fn run_8_busy_thread_rejects_or_is_interrupted_as_requested() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let first = node.launched().await;
    ann.send(message("m2", "t")).await.unwrap();
    let rejected =
        ann.send(quintet::kernel::user::NewMessage { on_busy: OnBusy::Reject, ..message("m3", "t") });
    assert_eq!(rejected.await, Err(RequestError::Refused(Refusal::ThreadBusy)));
    let urgent = quintet::kernel::user::NewMessage { on_busy: OnBusy::Interrupt, ..message("m4", "t") };
    ann.send(urgent).await.unwrap();
    first.handle.ended().await;
    assert_eq!(first.handle.take(succeed()).await, Err(RunEnded::Ended));
    assert_eq!(node.launched().await.message_id.as_str(), "m4");
    let expected = ["m1", "m1:started", "m2", "Cancelled", "m2:started", "Cancelled", "m4", "m4:started"];
    assert_eq!(words(&log(&ann).await), expected);
}

#[tokio::test]
async fn run_7_cancel_closes_open_calls_and_stops_the_agent() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let accepted = ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("c1", "tool", CallOwner::Agent)).await.unwrap();
    ann.cancel(accepted.receipt.run_id).await.unwrap();
    run.handle.ended().await;
    assert_eq!(run.handle.take(close("c1")).await, Err(RunEnded::Ended));
    let again = ann.cancel(accepted.receipt.run_id).await;
    assert_eq!(again, Err(RequestError::Refused(Refusal::RunEnded)));
    let words = words(&log(&ann).await);
    assert_eq!(words[3..], ["executing:c1", "completed:c1:Cancelled", "Cancelled"]);
}

#[tokio::test]
async fn iso_3_foreign_run_looks_like_a_missing_one() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let (ann, bob) = (node.user("ann"), node.user("bob"));
    let accepted = ann.send(message("m1", "t")).await.unwrap();
    let _run = node.launched().await;
    let foreign = bob.cancel(accepted.receipt.run_id).await;
    let unknown = bob.cancel(RunId(uuid::Uuid::now_v7())).await;
    assert_eq!(foreign, Err(RequestError::Refused(Refusal::NotFound)));
    assert_eq!(foreign, unknown);
    let answer = bob.answer(accepted.receipt.run_id, call("c1"), CallResult::ok(Json::null())).await;
    assert_eq!(answer, Err(RequestError::Refused(Refusal::NotFound)));
}

#[tokio::test]
async fn run_11_first_answer_of_the_owner_closes_a_call_and_a_second_changes_nothing() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let run_id = ann.send(message("m1", "t")).await.unwrap().receipt.run_id;
    let run = node.launched().await;
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("mine", "tool", CallOwner::Agent)).await.unwrap();
    run.handle.take(open("q", "approve", CallOwner::Client)).await.unwrap();
    let yes = CallResult::ok(Json::parse("{\"approved\":true}").unwrap());
    let answer = |call_id: &str| ann.answer(run_id, call(call_id), yes.clone());

    assert_eq!(answer("mine").await, Err(RequestError::Refused(Refusal::NotFound)), "not the client's");
    assert_eq!(answer("unknown").await, Err(RequestError::Refused(Refusal::NotFound)));
    answer("q").await.unwrap();
    assert_eq!(run.handle.closed(&call("q")).await, Ok(yes.clone()));
    assert_eq!(answer("q").await, Err(RequestError::Refused(Refusal::CallClosed)));
    run.handle.take(close("mine")).await.unwrap();
    run.handle.take(succeed()).await.unwrap();
    assert_eq!(answer("q").await, Err(RequestError::Refused(Refusal::CallClosed)));
    assert_eq!(answer("mine").await, Err(RequestError::Refused(Refusal::NotFound)));
}

#[tokio::test]
async fn run_10_illegal_step_fails_the_run_and_reaches_no_reader() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    let illegal = run.handle.take(open("c1", "tool", CallOwner::Agent)).await;
    assert_eq!(illegal, Err(RunEnded::Violated(Breach::NothingThought)));
    assert_eq!(words(&log(&ann).await), ["m1", "m1:started", "Failed"]);

    ann.send(message("m2", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.post(close("c9")).await.unwrap();
    run.handle.ended().await;
    let told = run.handle.post(thought(ThoughtKind::Answer, "late")).await;
    assert_eq!(
        told,
        Err(RunEnded::Violated(Breach::CallNotOpen)),
        "the error of a posted step is returned by the next step"
    );
}

#[tokio::test]
async fn run_6_run_dropped_by_its_agent_fails() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    ann.send(message("m2", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    drop(run);
    assert_eq!(words(&read_to_end(&ann, "m1").await).last().unwrap(), "Failed");
    let error = RunError { code: RunErrorCode::AgentPanic, message: "boom".into() };
    node.launched().await.handle.cut(EarlyEnd::Failed(error)).await;
    assert_eq!(words(&read_to_end(&ann, "m2").await).last().unwrap(), "Failed");
}

#[tokio::test(start_paused = true)]
async fn run_6_run_without_a_step_in_time_ends_as_timed_out_after_its_open_calls() {
    let deadlines = DeadlineLimits {
        step_timeout_ms: 1_000,
        run_timeout_ms: 3_600_000,
        client_call_timeout_ms: 3_600_000,
    };
    let limits = UserLimits { deadlines, ..UserLimits::DEFAULT };
    let mut node = Node::with(&Arc::new(MemoryJournal::default()), limits, true);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("c1", "tool", CallOwner::Agent)).await.unwrap();
    run.handle.ended().await;
    let words = words(&log(&ann).await);
    assert_eq!(words[3..], ["executing:c1", "completed:c1:TimedOut", "TimedOut"]);
    // Long after, all of it is gone.
    tokio::time::timeout(Duration::from_secs(10), node.factory.idle()).await.unwrap();
}

#[tokio::test]
async fn iso_5_machines_go_with_the_last_handle_and_the_last_run() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    drop(ann);
    assert_eq!(node.factory.live_users(), 1, "a run is open");
    answer(&run.handle, "done").await;
    drop(run);
    node.factory.idle().await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while node.factory.live_users() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing is left of ann");
}

#[tokio::test]
async fn conn_6_quiesced_run_is_not_moved_by_its_client_before_the_process_ends() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::new(&journal);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.post(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
    run.handle.take(open("q1", "approve", CallOwner::Client)).await.unwrap();
    run.handle.take(open("c1", "tool", CallOwner::Agent)).await.unwrap();
    node.factory.drain();
    let resting = tokio_test::task::spawn(node.factory.quiesced());
    let mut resting = resting;
    assert!(resting.poll().is_pending(), "a call of the agent is open beside the question");
    run.handle.take(close("c1")).await.unwrap();
    drop(resting);
    node.factory.quiesced().await;

    let yes = CallResult::ok(Json::null());
    assert_eq!(ann.answer(run.run_id, call("q1"), yes.clone()).await, Err(RequestError::Draining));
    assert_eq!(ann.cancel(run.run_id).await, Err(RequestError::Draining));
    let said = words(&log(&ann).await);
    assert_eq!(said[3..], ["executing:q1", "executing:c1", "completed:c1:Ok"], "nothing has changed");

    let mut next = Node::new(&journal);
    next.factory.recover().await.unwrap();
    let again = next.launched().await;
    let ann = next.user("ann");
    ann.answer(again.run_id, call("q1"), yes.clone()).await.unwrap();
    assert_eq!(again.handle.closed(&call("q1")).await, Ok(yes));
}

#[tokio::test]
async fn conn_6_decided_but_unstarted_run_counts_as_active() {
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::new(&journal);
    let ann = node.user("ann");
    journal.pause_appends();
    let mut sending = tokio_test::task::spawn(ann.send(message("m1", "t")));
    assert!(sending.poll().is_pending());
    journal.appends_held(1).await;
    node.factory.drain();
    {
        let mut resting = tokio_test::task::spawn(node.factory.quiesced());
        assert!(resting.poll().is_pending(), "a run is about to start");
        journal.release_appends();
        sending.await.unwrap();
        let run = node.stage.recv().await.unwrap();
        assert!(resting.poll().is_pending(), "it runs");
        answer(&run.handle, "done").await;
    }
    node.factory.quiesced().await;
}
