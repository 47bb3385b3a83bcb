//! The steps of an erasure, on each engine.

use quintet_journal::{EraseProgress, Journal, JournalError, RunRecord, ThreadsQuery};
use quintet_kernel::{
    ids::{Offset, ReceiptId},
    user::{EraseScope, Receipt},
};
use uuid::Uuid;

use crate::scribe::*;

fn every_thread() -> ThreadsQuery {
    ThreadsQuery { before: None, archived: None, limit: 9 }
}

fn of_thread(name: &str) -> EraseScope {
    EraseScope::Thread(thread(name))
}

#[tokio::test]
async fn del_8_lines_of_the_scope_are_erased_and_others_are_not() {
    for (name, journal, _folder) in engines().await {
        let mut ann = Scribe::new("ann");
        let log = journal.log(&ann.user_id);
        ann.say("a", "m1", "one").say("b", "m2", "two").append(&log).await;
        ann.title("a", "first").say("a", "m3", "three").append(&log).await;
        let erasure = ann.say("a", "m4", "four").intend(&log, of_thread("a"), 1).await;
        assert_eq!(log.recovery(9).await.unwrap().erasures, std::slice::from_ref(&erasure), "{name}");
        assert_eq!(journal.unfinished().await.unwrap(), [user("ann")], "{name}");
        ann.say("a", "m5", "five").append(&log).await;
        let record = erase(&log, erasure.receipt, 3).await;
        assert_eq!((record.entries, record.through), (13, Offset(17)), "{name}");
        assert_eq!(log.erasure(erasure.receipt).await.unwrap(), Some(record.clone()), "{name}");
        ann.erased(&erasure);
        assert_eq!(texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap()), ann.lines, "{name}");
        // Again: nothing changes.
        let again = log.erase_step(erasure.receipt, 100).await.unwrap();
        assert_eq!(again, EraseProgress::Done(record), "{name}");
        ann.closing(&erasure).append(&log).await;
        assert_eq!(log.recovery(9).await.unwrap().erasures, [], "{name}");
        assert_eq!(journal.unfinished().await.unwrap(), [], "{name}");
        assert_eq!(texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap()), ann.lines, "{name}");
    }
}

#[tokio::test]
async fn del_8_no_index_leads_to_what_is_erased() {
    for (name, journal, _folder) in engines().await {
        let mut ann = Scribe::new("ann");
        let log = journal.log(&ann.user_id);
        ann.say("a", "m1", "one").say("b", "m2", "two").say("a", "m3", "three").append(&log).await;
        let erasure = ann.intend(&log, of_thread("a"), 1).await;
        erase(&log, erasure.receipt, 1).await;
        let threads = log.threads(every_thread()).await.unwrap();
        assert_eq!(
            threads.iter().map(|thread| &thread.thread_id).collect::<Vec<_>>(),
            [&thread("b")],
            "{name}"
        );
        assert_eq!(log.thread_runs(&thread("a"), Offset::ZERO, 9).await.unwrap(), [], "{name}");
        assert_eq!(log.thread_message(&thread("a"), None).await.unwrap(), None, "{name}");
        assert_eq!(log.thread_message(&thread("a"), Some(Offset(1))).await.unwrap(), None, "{name}");
        assert_eq!(log.path(Offset(9), 9).await.unwrap(), Vec::<RunRecord>::new(), "{name}");
        assert_eq!(log.run(run(1)).await.unwrap(), None, "{name}");
        let recent = log.recovery(9).await.unwrap().recent;
        assert_eq!(
            recent.iter().map(|recent| &recent.message_id).collect::<Vec<_>>(),
            [&message("m2")],
            "{name}"
        );
    }
}

#[tokio::test]
async fn del_6_an_erased_message_keeps_its_receipt_and_its_id() {
    for (name, journal, _folder) in engines().await {
        let mut ann = Scribe::new("ann");
        let log = journal.log(&ann.user_id);
        ann.say("a", "m1", "one").say("b", "m2", "two").append(&log).await;
        let erasure = ann.intend(&log, EraseScope::Log, 1).await;
        erase(&log, erasure.receipt, 1).await;
        let receipt = Receipt { run_id: run(2), offset: Offset(5) };
        assert_eq!(log.message(&message("m2")).await.unwrap(), Some(receipt), "{name}");
        assert_eq!(log.message(&message("m3")).await.unwrap(), None, "{name}");
        let mut twice = Scribe::new("ann");
        (twice.head, twice.runs) = (ann.head, 2);
        twice.lines = ann.lines.clone();
        assert!(log.append(twice.say("a", "m2", "other").batch(vec![])).await.is_err(), "{name}");
        // The same id of another user is another message (ISO-2).
        assert_eq!(journal.log(&user("bob")).message(&message("m2")).await.unwrap(), None, "{name}");
        Scribe::new("bob").say("a", "m2", "other").append(&journal.log(&user("bob"))).await;
    }
}

/// A thread that is used again while its erasure goes on begins anew.
#[tokio::test]
async fn del_8_a_thread_with_later_messages_is_listed_as_of_them() {
    for scope in [of_thread("a"), EraseScope::Log] {
        for (name, journal, _folder) in engines().await {
            let mut ann = Scribe::new("ann");
            let log = journal.log(&ann.user_id);
            ann.say("a", "m1", "one").say("b", "m2", "two").say("a", "m3", "three").append(&log).await;
            let erasure = ann.intend(&log, scope.clone(), 1).await;
            ann.say("a", "m4", "four").append(&log).await;
            log.erase_step(erasure.receipt, 1).await.unwrap();
            ann.say("a", "m5", "five").append(&log).await;
            erase(&log, erasure.receipt, 2).await;
            let threads = log.threads(every_thread()).await.unwrap();
            let a = threads.iter().find(|record| record.thread_id == thread("a")).unwrap();
            assert_eq!((a.first, a.last, a.messages), (Offset(13), Offset(20), 2), "{name} {scope:?}");
            assert_eq!(threads.len(), if scope == EraseScope::Log { 1 } else { 2 }, "{name} {scope:?}");
            assert_eq!(log.thread_runs(&thread("a"), Offset::ZERO, 9).await.unwrap().len(), 2, "{name}");
        }
    }
}

#[tokio::test]
async fn iso_3_an_erasure_of_another_user_does_not_exist() {
    for (name, journal, _folder) in engines().await {
        let mut ann = Scribe::new("ann");
        let log = journal.log(&ann.user_id);
        let erasure = ann.say("a", "m1", "one").intend(&log, EraseScope::Log, 1).await;
        Scribe::new("bob").say("a", "m1", "one").append(&journal.log(&user("bob"))).await;
        for other in ["bob", "nobody"] {
            let log = journal.log(&user(other));
            assert_eq!(log.erasure(erasure.receipt).await.unwrap(), None, "{name}");
            let refused = log.erase_step(erasure.receipt, 9).await;
            assert!(matches!(refused, Err(JournalError::Damaged(_))), "{name}: {refused:?}");
        }
        let unknown = ReceiptId(Uuid::from_u128(5));
        assert!(log.erase_step(unknown, 9).await.is_err(), "{name}");
        let short = ann.intent(EraseScope::Log, 2);
        let late = ann.say("a", "m2", "two").batch(vec![short]);
        assert!(log.append(late).await.is_err(), "{name}: an intent covers the end of its batch");
    }
}

/// DEL-2: a reader during an erasure gets every offset once, each line as it was or erased.
#[tokio::test]
async fn del_2_reads_during_an_erasure_are_contiguous() {
    for (name, journal, _folder) in engines().await {
        let mut ann = Scribe::new("ann");
        let log = journal.log(&ann.user_id);
        for number in 0..60 {
            let (thread, id) = (["a", "b"][number % 2], format!("m{number}"));
            ann.say(thread, &id, &"x".repeat(number * 97)).append(&log).await;
        }
        let erasure = ann.intend(&log, of_thread("a"), 1).await;
        let before = ann.lines.clone();
        ann.erased(&erasure);
        loop {
            let done = log.erase_step(erasure.receipt, 5).await.unwrap() != EraseProgress::Working;
            let lines = texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap());
            assert_eq!(lines.len(), before.len(), "{name}");
            for (line, (old, new)) in lines.iter().zip(before.iter().zip(&ann.lines)) {
                assert!(line == old || line == new, "{name}: {line}");
            }
            if done {
                assert_eq!(lines, ann.lines, "{name}");
                break;
            }
        }
    }
}

/// An erasure goes on where it was after the process has died, and counts each entry once.
#[tokio::test]
async fn del_8_an_erasure_goes_on_after_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut ann = Scribe::new("ann");
    let mut journal = open(folder.path());
    let mut log = journal.log(&ann.user_id);
    for number in 0..20 {
        ann.say("a", &format!("m{number}"), "secret").append(&log).await;
    }
    let erasure = ann.intend(&log, EraseScope::Log, 1).await;
    let record = loop {
        if let EraseProgress::Done(record) = log.erase_step(erasure.receipt, 1).await.unwrap() {
            break record;
        }
        assert_eq!(log.recovery(9).await.unwrap().erasures, std::slice::from_ref(&erasure));
        // Without `close`, as in a process that died.
        drop((log, journal));
        journal = open(folder.path());
        log = journal.log(&ann.user_id);
        // A search of the files begins anew with each process, so let it end in one.
        if log.erasure(erasure.receipt).await.unwrap().unwrap().entries == 80 {
            break erase(&log, erasure.receipt, 1).await;
        }
    };
    assert_eq!(record.entries, 80);
    assert_eq!(files_with(folder.path(), "secret"), [""; 0]);
}

/// A step is bounded for every limit, and another user's append is served between two steps.
#[tokio::test]
async fn iso_6_an_erasure_lets_others_write() {
    let folder = tempfile::TempDir::new().unwrap();
    let journal = open(folder.path());
    let mut ann = Scribe::new("ann");
    let log = journal.log(&ann.user_id);
    for number in 0..1000 {
        ann.say("a", &format!("m{number}"), "one");
    }
    ann.append(&log).await;
    for number in 1000..1010 {
        ann.say("a", &format!("m{number}"), &"x".repeat(100_000)).append(&log).await;
    }
    let erasure = ann.intend(&log, of_thread("a"), 1).await;
    let mut bob = Scribe::new("bob");
    let (mut before, mut steps) = (0, 0);
    while log.erase_step(erasure.receipt, usize::MAX).await.unwrap() == EraseProgress::Working {
        let entries = log.erasure(erasure.receipt).await.unwrap().unwrap().entries;
        // 1024 entries, and the rest of a row of 256; or 1 MiB, and the rest of a row.
        assert!(entries - before <= 1280, "{} entries in one step", entries - before);
        (before, steps) = (entries, steps + 1);
        let others = journal.log(&bob.user_id);
        bob.say("a", &format!("m{steps}"), "two").append(&others).await;
    }
    assert!(steps >= 5, "{steps}");
    assert_eq!(bob.lines.len(), 4 * steps);
}
