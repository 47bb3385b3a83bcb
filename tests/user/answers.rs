//! Answers of the client that come late or during faults (RUN-11): nothing waits for them, and no valid one
//! is refused.

use std::{sync::Arc, time::Duration};

use quintet::{
    journal::memory::MemoryJournal,
    kernel::{
        entry::{CallOwner, CallResult, ThoughtKind},
        json::Json,
        user::Refusal,
    },
    user::handle::RequestError,
};
use tokio::time::timeout;

use crate::{disk::Disk, manual_agents::*};

const SOON: Duration = Duration::from_secs(5);

fn disk() -> Arc<Disk> {
    Arc::new(Disk::new(&MemoryJournal::default(), Duration::ZERO))
}

fn yes() -> CallResult {
    CallResult::ok(Json::null())
}

#[tokio::test(start_paused = true)]
async fn iso_6_lookup_of_a_late_answer_delays_no_other_command() {
    let disk = disk();
    let mut node = Node::new(&disk);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let old = node.launched().await;
    old.handle.take(thought(ThoughtKind::Answer, "hm")).await.unwrap();
    old.handle.take(open("q", "approve", CallOwner::Client)).await.unwrap();
    ann.answer(old.run_id, call("q"), yes()).await.unwrap();
    old.handle.take(succeed()).await.unwrap();
    ann.send(message("m2", "t")).await.unwrap();
    let run = node.launched().await;

    disk.hold_reads(true);
    let late = ann.answer(old.run_id, call("q"), yes());
    let unknown = ann.answer(old.run_id, call("other"), yes());
    tokio::pin!(late, unknown);
    tokio::select! {
        _ = &mut late => panic!("nothing can be read"),
        _ = &mut unknown => panic!("nothing can be read"),
        () = disk.read_is_held() => {}
    }
    let step = timeout(SOON, run.handle.take(thought(ThoughtKind::Answer, "hm")));
    step.await.expect("the agent's step does not wait for it").unwrap();
    timeout(SOON, ann.send(message("m3", "t"))).await.expect("a message does not wait either").unwrap();
    disk.hold_reads(false);
    let refused = |refusal| Err(RequestError::Refused(refusal));
    let expected = (refused(Refusal::CallClosed), refused(Refusal::NotFound));
    assert_eq!(tokio::join!(late, unknown), expected);
}

#[tokio::test(start_paused = true)]
async fn run_11_late_answer_to_an_open_run_is_refused_without_reading_its_log() {
    let disk = disk();
    let mut node = Node::new(&disk);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Answer, "hm")).await.unwrap();
    run.handle.take(open("q", "approve", CallOwner::Client)).await.unwrap();
    run.handle.take(open("c", "tool", CallOwner::Agent)).await.unwrap();
    run.handle.take(close("c")).await.unwrap();
    ann.answer(run.run_id, call("q"), yes()).await.unwrap();
    std::mem::forget(run.handle);
    // This process has seen the calls; the next one has read them.
    let mut next = Node::new(&disk);
    next.factory.recover().await.unwrap();
    let _again = next.launched().await;
    disk.hold_reads(true);
    disk.fail_lookups(true);
    for node in [&node, &next] {
        let ann = node.user("ann");
        for (call_id, refusal) in
            [("q", Refusal::CallClosed), ("c", Refusal::NotFound), ("unknown", Refusal::NotFound)]
        {
            let late = timeout(SOON, ann.answer(run.run_id, call(call_id), yes())).await;
            assert_eq!(late.expect("nothing is read"), Err(RequestError::Refused(refusal)), "{call_id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_11_valid_answer_needs_no_index_read() {
    let disk = disk();
    let mut node = Node::new(&disk);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Answer, "hm")).await.unwrap();
    run.handle.take(open("q", "approve", CallOwner::Client)).await.unwrap();
    disk.fail_lookups(true);
    ann.answer(run.run_id, call("q"), yes()).await.unwrap();
    let foreign = node.user("bob").answer(run.run_id, call("q"), yes()).await;
    assert_eq!(
        foreign,
        Err(RequestError::Unavailable),
        "an answer without an index read is not refused as unknown"
    );
}
