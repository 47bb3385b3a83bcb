//! Delivery to readers: everything, once, in order, for readers that come at any time (DEL-1 … DEL-6).

use std::{sync::Arc, time::Duration};

use quintet::{
    journal::{ReadLimit, memory::MemoryJournal},
    kernel::{
        entry::{Body, ThoughtKind},
        ids::{AgentName, Offset},
        limits::Limits,
        user::{NewMessage, OnBusy, Refusal},
    },
    user::cursor::Cursor,
    user::tail::TailLimits,
    user::{handle::RequestError, limits::UserLimits},
};

use crate::manual_agents::*;

#[tokio::test]
async fn del_2_readers_that_come_at_any_time_read_the_same_log() {
    // A tail so small that the late readers' past is in the journal only.
    let tail = TailLimits { tail_entries_max: 4, tail_bytes_max: 4096 };
    let mut node =
        Node::with(&Arc::new(MemoryJournal::default()), UserLimits { tail, ..UserLimits::DEFAULT }, true);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    let mut readers = tokio::task::JoinSet::new();
    for i in 0..20 {
        let reader = ann.clone();
        readers.spawn(async move { read_to_end(&reader, "m1").await });
        run.handle.post(thought(ThoughtKind::Answer, &format!("{i} "))).await.unwrap();
    }
    run.handle.take(succeed()).await.unwrap();
    let log = log(&ann).await;
    assert_eq!(
        log.iter().map(|entry| entry.offset.0).collect::<Vec<_>>(),
        (1..=log.len() as u64).collect::<Vec<_>>()
    );
    while let Some(read) = readers.join_next().await {
        assert_eq!(read.unwrap(), log);
    }
}

#[tokio::test]
async fn del_4_reads_are_cut_by_both_limits_and_by_the_requested_end() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    answer(&node.launched().await.handle, "done").await;
    let mut cursor = ann.cursor(Offset::ZERO).await.unwrap();
    assert_eq!(cursor.extent().head, Offset(4));
    assert_eq!(cursor.read(Offset(3), ReadLimit { entries_max: 2, ..ALL }).await.unwrap().len(), 2);
    assert_eq!(cursor.read(Offset(3), ALL).await.unwrap().last(), Offset(3));
    assert!(cursor.read(Offset(3), ALL).await.unwrap().is_empty());
    assert_eq!(cursor.read(Offset(9), ReadLimit { bytes_max: 1, ..ALL }).await.unwrap().last(), Offset(4));
}

#[tokio::test]
async fn del_6_same_message_id_is_the_same_message_at_any_age() {
    let kernel = Limits { recent_messages_max: 2, ..Limits::DEFAULT };
    let journal = Arc::new(MemoryJournal::default());
    let mut node = Node::with(&journal, UserLimits { kernel, ..UserLimits::DEFAULT }, true);
    let ann = node.user("ann");
    let first = ann.send(message("m1", "t")).await.unwrap();
    for id in ["m2", "m3", "m4"] {
        ann.send(message(id, "other")).await.unwrap();
    }
    let again = ann.send(message("m1", "t")).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt);
    let bobs = node.user("bob").send(message("m1", "t")).await.unwrap();
    assert!(!bobs.duplicate, "ISO-2");
    assert_eq!(node.launched().await.run_id, first.receipt.run_id);
}

#[tokio::test]
async fn del_6_used_id_with_other_content_is_refused_and_changes_nothing() {
    let kernel = Limits { recent_messages_max: 1, ..Limits::DEFAULT };
    let journal = Arc::new(MemoryJournal::default());
    let node = Node::with(&journal, UserLimits { kernel, ..UserLimits::DEFAULT }, true);
    let ann = node.user("ann");
    for id in ["old", "recent"] {
        ann.send(message(id, "t")).await.unwrap();
    }
    let head = ann.cursor(Offset::ZERO).await.unwrap().extent().head;
    for id in ["old", "recent"] {
        let same = message(id, "t");
        let others = [
            NewMessage { text: "another text".into(), ..same.clone() },
            NewMessage { text: same.text.to_uppercase(), ..same.clone() },
            NewMessage { text: format!("{} ", same.text), ..same.clone() },
            NewMessage { thread_id: message("m", "elsewhere").thread_id, ..same.clone() },
            NewMessage { agent_name: Some(AgentName::parse("another").unwrap()), ..same.clone() },
            NewMessage { parent: Some(Offset(99)), ..same.clone() },
        ];
        for other in others {
            let refused = ann.send(other.clone()).await;
            assert_eq!(refused, Err(RequestError::Refused(Refusal::MessageIdReused)), "{other:?}");
        }
        let again = ann.send(NewMessage { on_busy: OnBusy::Reject, ..same }).await.unwrap();
        assert!(again.duplicate, "{id}: the same content, under any policy");
    }
    // Both in one batch: the first is not in the journal when the second is decided.
    let (first, second) = futures::future::join(
        ann.send(message("new", "t")),
        ann.send(NewMessage { text: "another text".into(), ..message("new", "t") }),
    )
    .await;
    assert!(!first.unwrap().duplicate);
    assert_eq!(second, Err(RequestError::Refused(Refusal::MessageIdReused)));
    assert_eq!(ann.cursor(Offset::ZERO).await.unwrap().extent().head, Offset(head.0 + 1));
    assert!(!node.user("bob").send(message("old", "elsewhere")).await.unwrap().duplicate, "ISO-2");
}

/// A parent older than the recent messages is found in the journal, in any batch; another thread's is not (ISO-3).
#[tokio::test]
async fn iso_3_parent_of_any_age_is_a_message_of_the_thread() {
    let kernel = Limits { recent_messages_max: 2, ..Limits::DEFAULT };
    let journal = Arc::new(MemoryJournal::default());
    let node = Node::with(&journal, UserLimits { kernel, ..UserLimits::DEFAULT }, true);
    let ann = node.user("ann");
    let sent = async |id: &str, thread: &str, parent: Option<u64>| {
        let accepted = ann.send(NewMessage { parent: parent.map(Offset), ..message(id, thread) }).await?;
        Ok(accepted.receipt.offset.0)
    };
    let first = sent("m1", "t", None).await.unwrap();
    let second = sent("m2", "t", None).await.unwrap();
    let elsewhere = sent("m3", "other", None).await.unwrap();
    sent("m4", "other", None).await.unwrap();
    let latest = sent("m5", "t", None).await.unwrap();
    let branch = sent("m6", "t", Some(first)).await.unwrap();
    for parent in [elsewhere, first + 1, branch + 1, u64::MAX] {
        let refused = sent("m7", "t", Some(parent)).await;
        assert_eq!(refused, Err(RequestError::Refused(Refusal::NotFound)), "{parent}");
    }
    let bob = node.user("bob").send(NewMessage { parent: Some(Offset(first)), ..message("m1", "t") }).await;
    assert_eq!(bob, Err(RequestError::Refused(Refusal::NotFound)), "ISO-2");
    // The same message again: with its parent, or without one.
    for parent in [None, Some(first)] {
        assert_eq!(sent("m6", "t", parent).await, Ok(branch));
    }
    assert_eq!(sent("m6", "t", Some(second)).await, Err(RequestError::Refused(Refusal::MessageIdReused)));
    let parents: Vec<_> = log(&ann)
        .await
        .into_iter()
        .filter_map(|entry| match entry.body {
            Body::UserMessage { parent, .. } if entry.thread_id == message("m", "t").thread_id => parent,
            _ => None,
        })
        .collect();
    assert_eq!(parents, [0, first, second, first].map(Offset));
    assert!(second < latest);
}

#[tokio::test]
async fn del_6_ten_senders_of_one_message_at_once_start_one_run() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let sends = (0..10).map(|_| ann.send(message("m1", "t")));
    let accepted: Vec<_> = futures::future::join_all(sends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(accepted.iter().filter(|accepted| !accepted.duplicate).count(), 1);
    assert!(accepted.iter().all(|one| one.receipt == accepted[0].receipt));
    let _run = node.launched().await;
    assert!(node.stage.try_recv().is_err());
}

#[tokio::test]
async fn iso_2_users_with_equal_ids_never_meet() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let names: Vec<String> = (0..50).map(|i| format!("user {i}")).collect();
    for name in &names {
        node.user(name).send(message("m1", "t")).await.unwrap();
    }
    let mut ports = Vec::new();
    for _ in &names {
        ports.push(node.launched().await);
    }
    for run in &ports {
        answer(&run.handle, &run.run_id.to_string()).await;
    }
    let mut runs = std::collections::BTreeSet::new();
    for name in &names {
        let user = node.user(name);
        let log = log(&user).await;
        assert!(log.iter().all(|entry| entry.run_id == log[0].run_id));
        let run = log[0].run_id;
        assert_eq!(words(&log), ["m1", "m1:started", &format!("thinking:{run}"), "Succeeded"]);
        assert!(runs.insert(run));
    }
}

/// ISO-5: the tail of a quiet log is not in memory, even while a reader holds the user's machines; a later
/// batch is.
#[tokio::test(start_paused = true)]
async fn iso_5_tail_of_a_quiet_log_leaves_memory() {
    let journal = Arc::new(MemoryJournal::default());
    let node = Node::new(&journal);
    let ann = node.user("ann");
    ann.send(message("m1", "t1")).await.unwrap();
    let mut cursor = ann.cursor(Offset::ZERO).await.unwrap();
    let from_memory = async |cursor: &mut Cursor| {
        // With the journal down, entries come from memory or not at all.
        journal.set_down(true);
        let read = cursor.read(Offset(u64::MAX), ALL).await;
        journal.set_down(false);
        read.is_ok()
    };
    assert!(from_memory(&mut cursor).await);
    cursor.seek(Offset::ZERO);
    let idle = UserLimits::DEFAULT.hub.tail_idle_timeout_ms;
    tokio::time::sleep(Duration::from_millis(idle + 1)).await;
    assert!(!from_memory(&mut cursor).await, "{idle} ms without an entry");
    cursor.seek(cursor.head());
    ann.send(message("m2", "t2")).await.unwrap();
    cursor.moved().await;
    assert!(from_memory(&mut cursor).await);
}
