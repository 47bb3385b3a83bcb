//! Messages that a run takes while it executes (RUN-12), through faults of the journal and the end of the run.

use std::sync::Arc;

use quintet::{
    agent::host::{RunEnded, RunHandle},
    journal::memory::{AppendFault, MemoryJournal},
    kernel::{
        entry::{CallOwner, ThoughtKind},
        user::{NewMessage, OnBusy},
    },
};

use crate::manual_agents::*;

fn steer(message_id: &str) -> NewMessage {
    NewMessage { on_busy: OnBusy::Steer, ..message(message_id, "t") }
}

async fn taken(handle: &RunHandle) -> Vec<String> {
    handle.take_messages().await.unwrap().into_iter().map(|message| message.text).collect()
}

#[tokio::test]
async fn run_12_messages_are_taken_once_in_order_by_the_active_run() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    assert_eq!(taken(&run.handle).await, [""; 0]);
    let second = ann.send(steer("m2")).await.unwrap();
    ann.send(message("m3", "t")).await.unwrap();
    ann.send(steer("m4")).await.unwrap();
    ann.send(NewMessage { on_busy: OnBusy::Steer, ..message("m5", "other") }).await.unwrap();
    let other = node.launched().await;
    assert_eq!(other.message_id.as_str(), "m5", "a thread that is free is not steered");
    assert_eq!(taken(&run.handle).await, ["text of m2", "text of m4"]);
    assert_eq!(taken(&run.handle).await, [""; 0]);
    assert_eq!(ann.send(steer("m2")).await.unwrap().receipt, second.receipt, "DEL-6");
    answer(&run.handle, "done").await;
    assert_eq!(node.launched().await.message_id.as_str(), "m3");
    assert_eq!(run.handle.take_messages().await, Err(RunEnded::Ended));
    let words = words(&log(&ann).await);
    let merged = ["m2:started", "Merged", "m4:started", "Merged", "thinking:done", "Succeeded", "m3:started"];
    assert_eq!(words[words.len() - 7..], merged);
}

#[tokio::test]
async fn run_12_messages_end_with_the_run_that_took_them_and_others_run_in_their_turn() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let first = ann.send(message("m1", "t")).await.unwrap().receipt;
    let run = node.launched().await;
    ann.send(steer("m2")).await.unwrap();
    assert_eq!(taken(&run.handle).await, ["text of m2"]);
    ann.send(steer("m3")).await.unwrap();
    ann.cancel(first.run_id).await.unwrap();
    let next = node.launched().await;
    assert_eq!((next.message_id.as_str(), next.taken.len()), ("m3", 0));
    assert_eq!(taken(&next.handle).await, [""; 0]);
}

/// The append of a take fails, is lost, or is applied unheard: each text is handed to the run once (DEL-7).
#[tokio::test]
async fn run_12_take_of_unknown_outcome_hands_each_message_over_once() {
    for fault in [AppendFault::Lost, AppendFault::Applied] {
        let journal = Arc::new(MemoryJournal::default());
        let mut node = Node::new(&journal);
        let ann = node.user("ann");
        ann.send(message("m1", "t")).await.unwrap();
        let run = node.launched().await;
        run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();
        run.handle.take(open("c1", "again", CallOwner::Agent)).await.unwrap();
        run.handle.take(close("c1")).await.unwrap();
        let second = ann.send(steer("m2")).await.unwrap().receipt;
        journal.fail_next_append(fault);
        assert_eq!(run.handle.take_messages().await, Err(RunEnded::Unavailable), "{fault:?}");
        let resumed = node.launched().await;
        let recorded: Vec<_> = resumed.taken.iter().map(|taken| (taken.offset, taken.calls)).collect();
        let texts = taken(&resumed.handle).await;
        match fault {
            AppendFault::Applied => {
                assert_eq!(recorded, [(second.offset, 1)], "the log has it as taken, after one call");
                assert_eq!(texts, [""; 0]);
            }
            _ => {
                assert_eq!(recorded, []);
                assert_eq!(texts, ["text of m2"]);
            }
        }
        answer(&resumed.handle, "done").await;
        let words = words(&log(&ann).await);
        assert_eq!(words.iter().filter(|word| *word == "Merged").count(), 1, "{fault:?}: {words:?}");
    }
}
