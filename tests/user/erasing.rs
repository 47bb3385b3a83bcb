//! Threads and erasures through the hub (DEL-8): updates, kills between the intent and the end, retries.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;
use quintet::{
    agent::host::RunEnded,
    journal::{
        EraseProgress, Journal, JournalError, JournalLayer, Log, LogLayer,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Entry, ThoughtKind, ThreadChange},
        ids::{Offset, ReceiptId, ThreadId, Title, UserId},
        limits::Limits,
        user::{EraseScope, Refusal, ThreadUpdate},
    },
    user::{
        handle::{RequestError, User},
        limits::UserLimits,
    },
    wire,
};
use tokio::sync::Notify;

use crate::manual_agents::*;

/// A journal in memory whose steps of erasures wait or fail on request.
pub(crate) struct Gated {
    journal: MemoryJournal,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Steps wait while this is true.
    closed: AtomicBool,
    opened: Notify,
    /// The number of steps to fail.
    failures: AtomicUsize,
    steps: AtomicUsize,
}

impl Gated {
    pub(crate) fn over(journal: &MemoryJournal) -> Arc<Self> {
        Arc::new(Self { journal: journal.clone(), gate: Arc::default() })
    }

    pub(crate) fn close(&self) {
        self.gate.closed.store(true, SeqCst);
    }

    pub(crate) fn open(&self) {
        self.gate.closed.store(false, SeqCst);
        self.gate.opened.notify_waiters();
    }
}

#[async_trait]
impl JournalLayer for Gated {
    fn inner(&self) -> &dyn Journal {
        &self.journal
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(GatedLog { log: self.journal.log(user_id), gate: self.gate.clone() })
    }
}

struct GatedLog {
    log: Arc<dyn Log>,
    gate: Arc<Gate>,
}

#[async_trait]
impl LogLayer for GatedLog {
    fn inner(&self) -> &dyn Log {
        &*self.log
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        loop {
            let opened = self.gate.opened.notified();
            if !self.gate.closed.load(SeqCst) {
                break;
            }
            opened.await;
        }
        if self.gate.failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(JournalError::Unavailable("injected fault".into()));
        }
        self.gate.steps.fetch_add(1, SeqCst);
        self.log.erase_step(receipt, limit).await
    }
}

pub(crate) fn thread(id: &str) -> ThreadId {
    ThreadId::parse(id).unwrap()
}

fn erase(id: &str) -> EraseScope {
    EraseScope::Thread(thread(id))
}

pub(crate) async fn entries(user: &User) -> Vec<Entry> {
    let lines = user.entries(Offset::ZERO, ALL).await.unwrap();
    lines.iter().map(|(_, line)| wire::entry::decode(&line).unwrap().1).collect()
}

/// The ends of erasures in a log, with the last erased offset.
pub(crate) fn ends(log: &[Entry]) -> Vec<(ReceiptId, Offset)> {
    let end = |entry: &Entry| match entry {
        Entry::Thread(entry) => match entry.change {
            ThreadChange::Erased { through, receipt } => Some((receipt, through)),
            ThreadChange::Updated { .. } => None,
        },
        Entry::LogErased(entry) => Some((entry.receipt, entry.through)),
        Entry::Run(_) | Entry::Erased(_) => None,
    };
    log.iter().filter_map(end).collect()
}

pub(crate) fn erased(log: &[Entry]) -> Vec<u64> {
    let erased = |entry: &Entry| matches!(entry, Entry::Erased(_)).then_some(entry.offset().0);
    log.iter().filter_map(erased).collect()
}

/// Reads entries until the log has the end of so many erasures.
pub(crate) async fn until_ended(user: &User, count: usize) -> Vec<Entry> {
    let mut cursor = user.cursor(Offset::ZERO).await.unwrap();
    loop {
        let log = entries(user).await;
        if ends(&log).len() >= count {
            return log;
        }
        cursor.moved().await;
        cursor.read(Offset(u64::MAX), ALL).await.unwrap();
    }
}

/// Sends a message and lets its run succeed.
pub(crate) async fn talk(node: &mut Node, user: &User, message_id: &str, thread_id: &str) {
    user.send(message(message_id, thread_id)).await.unwrap();
    answer(&node.launched().await.handle, "done").await;
}

#[tokio::test]
async fn del_8_an_erasure_ends_the_run_of_its_thread_and_leaves_the_other_thread() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    talk(&mut node, &ann, "m1", "t").await;
    talk(&mut node, &ann, "m2", "u").await;
    ann.send(message("m3", "t")).await.unwrap();
    let open = node.launched().await;
    let erasure = ann.erase(erase("t")).await.unwrap();
    let step = open.handle.take(thought(ThoughtKind::Answer, "late")).await;
    assert_eq!(step, Err(RunEnded::Ended), "the run was cancelled");
    let log = until_ended(&ann, 1).await;
    assert_eq!(ends(&log), [(erasure.receipt, erasure.through)]);
    assert_eq!(erased(&log), [1, 2, 3, 4, 9, 10, 11], "m1 and its run, m3 and its run");
    let record = ann.erasure(erasure.receipt).await.unwrap().unwrap();
    assert!(record.completed_at.is_some());
    assert_eq!((record.entries, record.through), (7, erasure.through));
    let bob = node.user("bob");
    assert_eq!(bob.erasure(erasure.receipt).await.unwrap(), None, "ISO-3");
}

/// DEL-8: the process dies after the intent, before the first step, between steps, or before the end is in the log.
#[tokio::test]
async fn del_8_a_kill_between_the_intent_and_the_end_leaves_exactly_one_end() {
    let journal = MemoryJournal::default();
    for (round, lost) in [None, Some(AppendFault::Lost), Some(AppendFault::Applied)].into_iter().enumerate() {
        let name = format!("ann{round}");
        let receipt = {
            let gated = Gated::over(&journal);
            gated.close();
            let mut first = Node::new(&gated);
            let ann = first.user(&name);
            talk(&mut first, &ann, "m1", "t").await;
            ann.erase(erase("t")).await.unwrap().receipt
            // The process ends here: its machines are dropped, and no step was made.
        };
        if let Some(fault) = lost {
            // The end of the erasure fails once in the next process, with and without effect.
            journal.fail_next_append(fault);
        }
        let second = Node::new(&Arc::new(journal.clone()));
        second.factory.recover().await.unwrap();
        let ann = second.user(&name);
        let log = until_ended(&ann, 1).await;
        drop(second);
        let third = Node::new(&Arc::new(journal.clone()));
        third.factory.recover().await.unwrap();
        let ann = third.user(&name);
        ann.send(message("m9", "u")).await.unwrap();
        let later = entries(&ann).await;
        assert_eq!(ends(&later), ends(&log), "{lost:?}: it ends once");
        assert_eq!(ends(&log)[0].0, receipt);
        assert_eq!(erased(&log), [1, 2, 3, 4]);
        assert!(journal.unfinished().await.unwrap().contains(ann.user_id()), "for the run of m9");
    }
}

#[tokio::test]
async fn iso_6_messages_are_accepted_while_an_erasure_is_under_way() {
    let gated = Gated::over(&MemoryJournal::default());
    gated.close();
    let mut node = Node::new(&gated);
    let ann = node.user("ann");
    talk(&mut node, &ann, "m1", "t").await;
    let erasure = ann.erase(erase("t")).await.unwrap();
    // Answered at once, in the same thread too. The message follows nothing that is erased.
    talk(&mut node, &ann, "m2", "t").await;
    gated.open();
    let log = until_ended(&ann, 1).await;
    assert_eq!(erased(&log), [1, 2, 3, 4]);
    let kept: Vec<_> = log.into_iter().filter_map(Entry::into_run).collect();
    assert_eq!(words(&kept), ["m2", "m2:started", "thinking:done", "Succeeded"]);
    assert!(kept.iter().all(|entry| entry.offset > erasure.through));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_repeated() {
    let gated = Gated::over(&MemoryJournal::default());
    gated.gate.failures.store(3, SeqCst);
    let mut node = Node::new(&gated);
    let ann = node.user("ann");
    talk(&mut node, &ann, "m1", "t").await;
    ann.erase(erase("t")).await.unwrap();
    assert_eq!(erased(&until_ended(&ann, 1).await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn del_6_a_retry_of_an_erased_message_is_answered_with_its_first_receipt() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let first = ann.send(message("m1", "t")).await.unwrap();
    answer(&node.launched().await.handle, "done").await;
    ann.erase(EraseScope::Log).await.unwrap();
    until_ended(&ann, 1).await;
    for node in [Node::new(&Arc::new(MemoryJournal::default())), node] {
        // The first node is another service, to which the message is new.
        let ann = node.user("ann");
        let mut again = message("m1", "t");
        again.text = "another text".to_owned();
        let accepted = ann.send(again).await.unwrap();
        if accepted.duplicate {
            assert_eq!(accepted.receipt, first.receipt);
        } else {
            assert_ne!(accepted.receipt.run_id, first.receipt.run_id);
        }
    }
    let log = entries(&ann).await;
    assert!(log.iter().filter_map(Entry::run).next().is_none(), "a retry adds nothing");
}

#[tokio::test]
async fn del_8_nothing_erased_is_read_from_memory() {
    let gated = Gated::over(&MemoryJournal::default());
    let mut node = Node::new(&gated);
    let ann = node.user("ann");
    let mut reader = ann.cursor(Offset::ZERO).await.unwrap();
    talk(&mut node, &ann, "m1", "t").await;
    ann.erase(erase("t")).await.unwrap();
    let log = until_ended(&ann, 1).await;
    let lines = reader.read(Offset(u64::MAX), ALL).await.unwrap();
    let text = String::from_utf8_lossy(lines.as_bytes()).into_owned();
    assert_eq!(lines.len(), log.len(), "DEL-2");
    assert!(!text.contains("text of m1") && !text.contains("done"), "{text}");
}

#[tokio::test]
async fn threads_have_titles_until_they_are_erased() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    let titled = |text: &str| ThreadUpdate { title: Some(Title::parse(text).ok()), archived: None };
    let unknown = Err(RequestError::Refused(Refusal::NotFound));
    assert_eq!(ann.update_thread(thread("t"), titled("none")).await, unknown);
    talk(&mut node, &ann, "m1", "t").await;
    ann.update_thread(thread("t"), titled("first")).await.unwrap();
    let archived = ThreadUpdate { title: None, archived: Some(true) };
    ann.update_thread(thread("t"), archived.clone()).await.unwrap();
    let log = entries(&ann).await;
    let Some(Entry::Thread(last)) = log.last() else { panic!("{log:?}") };
    let kept = ThreadChange::Updated { title: Title::parse("first").ok(), archived: true };
    assert_eq!(last.change, kept, "the title is carried on");
    ann.erase(erase("t")).await.unwrap();
    until_ended(&ann, 1).await;
    assert_eq!(ann.update_thread(thread("t"), archived).await, unknown, "nothing is left of it");
}

#[tokio::test]
async fn erasures_under_way_are_bounded() {
    let gated = Gated::over(&MemoryJournal::default());
    gated.close();
    let kernel = Limits { erasures_open_max: 1, ..Limits::DEFAULT };
    let node = Node::with(&gated, UserLimits { kernel, ..UserLimits::DEFAULT }, true);
    let ann = node.user("ann");
    ann.erase(EraseScope::Log).await.unwrap();
    let refused = Err(RequestError::Refused(Refusal::LimitReached("erasures_open_max")));
    assert_eq!(ann.erase(erase("t")).await, refused);
    gated.open();
    until_ended(&ann, 1).await;
    ann.erase(erase("t")).await.unwrap();
    assert_eq!(ends(&until_ended(&ann, 2).await).len(), 2, "an unknown thread may be erased");
}
