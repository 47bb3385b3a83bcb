//! The guarantees of the trait, one by one.

use std::sync::Arc;

use quintet::{
    journal::{AppendError, Extent, JournalError, Log, ReadLimit, Recovery, ThreadsQuery},
    kernel::{
        entry::RunStatus,
        ids::{Offset, Timestamp},
        user::{Receipt, RecentMessage},
    },
};

use crate::support::{EVERYTHING, LogWriter, engines, latest, message, offsets, run, texts, thread, user};

async fn all(log: &Arc<dyn Log>) -> Vec<(u64, String)> {
    texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap())
}

#[tokio::test]
async fn empty_log_spans_nothing() {
    for engine in engines().await {
        let log = engine.journal.log(&user("nobody"));
        assert_eq!(log.extent().await.unwrap(), Extent::default(), "{}", engine.name);
        let lines = log.read(Offset::ZERO, EVERYTHING).await.unwrap();
        assert!(lines.is_empty() && lines.first() == Offset(1), "{}", engine.name);
        assert_eq!(log.recovery(10).await.unwrap(), Recovery::default(), "{}", engine.name);
        assert_eq!(engine.journal.unfinished().await.unwrap(), []);
        assert_eq!(log.threads(latest(10)).await.unwrap(), []);
        assert_eq!(log.message(&message("m")).await.unwrap(), None);
        assert_eq!(log.run(run(1)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn appended_entries_are_read_back_in_order() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        let mut expected = vec![];
        for number in 1..=40 {
            let batch = log_writer.whole_run(number, "t").batch();
            expected.extend(texts(&batch.lines));
            log.append(batch).await.unwrap();
        }
        assert_eq!(all(&log).await, expected, "{}", engine.name);
        assert_eq!(log.extent().await.unwrap(), Extent { trimmed: Offset(0), head: Offset(200) });
    }
}

#[tokio::test]
async fn long_batch_is_stored_and_read_whole() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=300 {
            log_writer.whole_run(number, "t").think_long(number);
        }
        let batch = log_writer.batch();
        let expected = texts(&batch.lines);
        log.append(batch).await.unwrap();
        assert_eq!(all(&log).await, expected, "{}", engine.name);
        for after in [0, 1, 255, 256, 257, 700, expected.len() as u64 - 1] {
            let one = log.read(Offset(after), ReadLimit { entries_max: 1, bytes_max: 1 }).await.unwrap();
            assert_eq!(texts(&one), [expected[after as usize].clone()], "{} after {after}", engine.name);
        }
    }
}

#[tokio::test]
async fn run_6_append_that_expects_another_head_is_refused_and_changes_nothing() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        let before = all(&log).await;
        for stale in [0, 4, 6, u64::MAX / 2] {
            let mut other = LogWriter::new("ann");
            other.head = Offset(stale);
            let refused = log.append(other.whole_run(2, "t").batch()).await;
            assert!(
                matches!(refused, Err(AppendError::Conflict { head: Offset(5) })),
                "{} {stale}: {refused:?}",
                engine.name
            );
        }
        assert_eq!(all(&log).await, before, "{}", engine.name);
        assert_eq!(log.run(run(2)).await.unwrap(), None, "{}", engine.name);
        let nobody = engine.journal.log(&user("nobody"));
        let mut late = LogWriter::new("nobody");
        late.head = Offset(3);
        let refused = nobody.append(late.whole_run(1, "t").batch()).await;
        assert!(matches!(refused, Err(AppendError::Conflict { head: Offset(0) })), "{}", engine.name);
    }
}

#[tokio::test]
async fn of_two_racing_appends_one_wins() {
    for engine in engines().await {
        let (mut a, mut b) = (LogWriter::new("ann"), LogWriter::new("ann"));
        let log = engine.journal.log(&a.user_id);
        let (a, b) = (a.whole_run(1, "t").batch(), b.whole_run(2, "t").batch());
        let texts_of = [texts(&a.lines), texts(&b.lines)];
        let (a, b) = tokio::join!(log.append(a), log.append(b));
        let winner = match (a, b) {
            (Ok(()), Err(AppendError::Conflict { head: Offset(5) })) => 0,
            (Err(AppendError::Conflict { head: Offset(5) }), Ok(())) => 1,
            other => panic!("{}: {other:?}", engine.name),
        };
        assert_eq!(all(&log).await, texts_of[winner], "{}", engine.name);
    }
}

#[tokio::test]
async fn invalid_batch_is_refused_whole_without_affecting_others() {
    for engine in engines().await {
        let (mut ann, mut bob, mut cay) =
            (LogWriter::new("ann"), LogWriter::new("bob"), LogWriter::new("cay"));
        let logs = [&ann, &bob, &cay].map(|log_writer| engine.journal.log(&log_writer.user_id));
        ann.whole_run(1, "t").append(&logs[0]).await;
        bob.whole_run(1, "t").append(&logs[1]).await;

        // The message id and the run are used up; three appends at once, so that they share a commit.
        let bad = ann.message(9, "t", "fresh").message(7, "t", "m1").batch();
        let also_bad = bob.completed(1, RunStatus::Failed).batch();
        let good = cay.whole_run(1, "t").batch();
        let (bad, also_bad, good) =
            tokio::join!(logs[0].append(bad), logs[1].append(also_bad), logs[2].append(good));
        assert!(
            matches!(bad, Err(AppendError::Journal(JournalError::Damaged(_)))),
            "{}: {bad:?}",
            engine.name
        );
        assert!(matches!(also_bad, Err(AppendError::Journal(JournalError::Damaged(_)))), "{}", engine.name);
        assert!(good.is_ok(), "{}: {good:?}", engine.name);
        assert_eq!(all(&logs[0]).await.len(), 5, "{}", engine.name);
        assert_eq!(logs[0].message(&message("fresh")).await.unwrap(), None, "{}", engine.name);
        assert_eq!(all(&logs[2]).await.len(), 5, "{}", engine.name);

        // And the logs continue.
        ann.head = Offset(5);
        ann.whole_run(2, "t").append(&logs[0]).await;
        assert_eq!(all(&logs[0]).await.len(), 10, "{}", engine.name);
    }
}

#[tokio::test]
async fn batch_with_unequal_lines_and_entries_is_refused() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        let batch = log_writer.whole_run(1, "t").batch();
        let mut fewer = batch.clone();
        fewer.entries.pop();
        let mut moved = batch.clone();
        moved.entries[2] = moved.entries[2].clone().at(Offset(9));
        for wrong in [fewer, moved] {
            let refused = log.append(wrong).await;
            assert!(
                matches!(refused, Err(AppendError::Journal(JournalError::Damaged(_)))),
                "{}",
                engine.name
            );
        }
        log.append(batch).await.unwrap();
    }
}

#[tokio::test]
async fn reads_keep_both_limits_and_return_at_least_one() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=4 {
            log_writer.whole_run(number, "t").append(&log).await;
        }
        let all = all(&log).await;
        for after in 0..=20usize {
            for entries_max in [1, 2, 5, 6, 100] {
                for bytes_max in [1, 250, 700, 1_000_000] {
                    let limit = ReadLimit { entries_max, bytes_max };
                    let found = texts(&log.read(Offset(after as u64), limit).await.unwrap());
                    let mut bytes = 0;
                    let expected: Vec<_> = all[after..]
                        .iter()
                        .take(entries_max)
                        .enumerate()
                        .take_while(|(i, (_, line))| {
                            bytes += line.len() + 1;
                            *i == 0 || bytes <= bytes_max
                        })
                        .map(|(_, line)| line.clone())
                        .collect();
                    assert_eq!(found, expected, "{} after {after} {limit:?}", engine.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn read_at_or_past_the_head_is_empty() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        for after in [5, 6, 1 << 40, u64::MAX] {
            let lines = log.read(Offset(after), EVERYTHING).await.unwrap();
            assert!(lines.is_empty(), "{} {after}", engine.name);
        }
        assert_eq!(log.read(Offset(5), EVERYTHING).await.unwrap().first(), Offset(6), "{}", engine.name);
    }
}

#[tokio::test]
async fn iso_2_equal_ids_of_two_users_never_meet() {
    for engine in engines().await {
        let (mut ann, mut bob) = (LogWriter::new("ann"), LogWriter::new("bob"));
        let (a, b) = (engine.journal.log(&ann.user_id), engine.journal.log(&bob.user_id));
        ann.whole_run(1, "t").append(&a).await;
        bob.message(9, "t", "m9").batch();
        (bob.head, bob.now) = (Offset(0), 0);
        bob.message(1, "t", "m1").started(1, "m1").append(&b).await;
        bob.message(2, "t", "m2").append(&b).await;
        let own = |texts: Vec<(u64, String)>, name: &str| texts.iter().all(|(_, text)| text.contains(name));
        assert!(own(all(&a).await, "\"ann\"") && own(all(&b).await, "\"bob\""), "{}", engine.name);
        assert!(a.run(run(1)).await.unwrap().unwrap().completed.is_some(), "{}", engine.name);
        assert!(b.run(run(1)).await.unwrap().unwrap().completed.is_none(), "{}", engine.name);
        assert_eq!(a.run(run(2)).await.unwrap(), None, "{}", engine.name);
        assert_eq!(a.message(&message("m2")).await.unwrap(), None, "{}", engine.name);
        assert_eq!(
            b.message(&message("m2")).await.unwrap(),
            Some(Receipt { run_id: run(2), offset: Offset(3) })
        );
        assert_eq!(a.threads(latest(9)).await.unwrap()[0].messages, 1, "{}", engine.name);
        assert_eq!(b.threads(latest(9)).await.unwrap()[0].messages, 2, "{}", engine.name);
        assert_eq!(a.thread_runs(&thread("t"), Offset(0), 9).await.unwrap().len(), 1, "{}", engine.name);
        assert_eq!(engine.journal.unfinished().await.unwrap(), [user("bob")], "{}", engine.name);
    }
}

#[tokio::test]
async fn recovery_returns_unfinished_runs_and_the_latest_messages() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        log_writer.message(2, "t", "m2").started(2, "m2").append(&log).await;
        log_writer.message(3, "t", "m3").append(&log).await;
        log_writer.message(4, "u", "m4").append(&log).await;
        log_writer.started(4, "m4").append(&log).await;
        log_writer.completed(4, RunStatus::Interrupted).append(&log).await;

        let recovery = log.recovery(3).await.unwrap();
        assert_eq!(recovery.head, Offset(11), "{}", engine.name);
        let receipt = |number, offset| Receipt { run_id: run(number), offset: Offset(offset) };
        let recent = [("m2", "t", receipt(2, 6)), ("m3", "t", receipt(3, 8)), ("m4", "u", receipt(4, 9))];
        let recent = recent.map(|(message_id, thread_id, receipt)| RecentMessage {
            message_id: message(message_id),
            thread_id: thread(thread_id),
            receipt,
        });
        assert_eq!(recovery.recent, recent, "{}", engine.name);
        let numbers: Vec<_> =
            recovery.unfinished.iter().map(|run| (run.run_id, run.accepted, run.started)).collect();
        let expected = [(run(2), Offset(6), Some(Offset(7))), (run(3), Offset(8), None)];
        assert_eq!(numbers, expected, "{}", engine.name);

        let ended = log.run(run(4)).await.unwrap().unwrap();
        assert_eq!(
            (ended.accepted, ended.accepted_at, ended.started, ended.completed),
            (
                Offset(9),
                Timestamp(1_800_000_000_009),
                Some(Offset(10)),
                Some((Offset(11), RunStatus::Interrupted))
            ),
            "{}",
            engine.name
        );
        assert_eq!((ended.thread_id, ended.message_id), (thread("u"), message("m4")), "{}", engine.name);
    }
}

#[tokio::test]
async fn threads_are_listed_latest_first_in_pages() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=6 {
            log_writer.whole_run(number, &format!("t{}", number % 3)).append(&log).await;
        }
        let first = log.threads(latest(2)).await.unwrap();
        let names: Vec<_> =
            first.iter().map(|t| (t.thread_id.as_str().to_owned(), t.first, t.last)).collect();
        let expected = [("t0".to_owned(), Offset(11), Offset(30)), ("t2".to_owned(), Offset(6), Offset(25))];
        assert_eq!(names, expected, "{}", engine.name);
        assert_eq!(
            (first[0].messages, first[0].last_at),
            (2, Timestamp(1_800_000_000_030)),
            "{}",
            engine.name
        );
        let rest = log.threads(ThreadsQuery { before: Some(first[1].last), ..latest(2) }).await.unwrap();
        assert_eq!(rest.len(), 1, "{}", engine.name);
        assert_eq!(rest[0].thread_id, thread("t1"), "{}", engine.name);
        assert_eq!(
            log.threads(ThreadsQuery { before: Some(Offset(u64::MAX)), ..latest(usize::MAX) })
                .await
                .unwrap()
                .len(),
            3,
            "{}",
            engine.name
        );
    }
}

#[tokio::test]
async fn runs_of_a_thread_are_those_with_entries_after_the_offset() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").whole_run(2, "other").message(3, "t", "m3").started(3, "m3");
        log_writer
            .message(4, "t", "m4")
            .started(4, "m4")
            .completed(4, RunStatus::Cancelled)
            .append(&log)
            .await;
        let ids = async |after, limit| {
            let runs = log.thread_runs(&thread("t"), Offset(after), limit).await.unwrap();
            runs.iter().map(|found| found.run_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(0, 9).await, [run(1), run(3), run(4)], "{}", engine.name);
        assert_eq!(ids(0, 2).await, [run(1), run(3)], "{}", engine.name);
        assert_eq!(ids(4, 9).await, [run(1), run(3), run(4)], "{}", engine.name);
        assert_eq!(ids(5, 9).await, [run(3), run(4)], "{}", engine.name);
        assert_eq!(ids(15, 9).await, [run(3)], "{}: the open one has more to come", engine.name);
        assert_eq!(ids(u64::MAX, 9).await, [run(3)], "{}", engine.name);
        assert_eq!(log.thread_runs(&thread("none"), Offset(0), 9).await.unwrap(), [], "{}", engine.name);
    }
}

#[tokio::test]
async fn path_leads_from_a_message_over_its_parents_to_the_root() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.message(1, "t", "m1").message(2, "other", "m2").message(3, "t", "m3");
        log_writer.append(&log).await;
        log_writer.message_under(4, "t", "m4", Some(1)).message(5, "t", "m5").append(&log).await;
        log_writer
            .message_under(6, "t", "m6", Some(0))
            .message_under(7, "t", "m7", Some(3))
            .append(&log)
            .await;
        let path = async |message, limit| {
            let path = log.path(Offset(message), limit).await.unwrap();
            path.iter().map(|run| (run.accepted.0, run.parent.0)).collect::<Vec<_>>()
        };
        let name = engine.name;
        assert_eq!(path(5, 9).await, [(5, 4), (4, 1), (1, 0)], "{name}: without a parent, the previous one");
        assert_eq!(path(7, 9).await, [(7, 3), (3, 1), (1, 0)], "{name}");
        assert_eq!(path(7, 2).await, [(7, 3), (3, 1)], "{name}");
        assert_eq!(path(6, 9).await, [(6, 0)], "{name}");
        assert_eq!(path(2, 9).await, [(2, 0)], "{name}");
        for nothing in [0, 8, u64::MAX] {
            assert_eq!(path(nothing, 9).await, [], "{name}");
        }
        let message = async |thread_id, at: Option<u64>| {
            log.thread_message(&thread(thread_id), at.map(Offset)).await.unwrap().map(|offset| offset.0)
        };
        assert_eq!(message("t", None).await, Some(7), "{name}");
        assert_eq!(message("none", None).await, None, "{name}");
        assert_eq!(message("t", Some(3)).await, Some(3), "{name}");
        for (thread_id, at) in [("t", 2), ("other", 3), ("t", 8), ("t", u64::MAX), ("none", 1)] {
            assert_eq!(message(thread_id, Some(at)).await, None, "{name}: {thread_id} {at}");
        }
        let bob = engine.journal.log(&user("bob"));
        assert_eq!(bob.path(Offset(5), 9).await.unwrap(), [], "{name}: ISO-2");
        assert_eq!(bob.thread_message(&thread("t"), Some(Offset(3))).await.unwrap(), None, "{name}: ISO-2");
    }
}

#[tokio::test]
async fn many_users_append_and_read_at_once() {
    for engine in engines().await {
        let tasks = quintet::runtime::tasks::Tasks::default();
        let users: Vec<_> = (0..50)
            .map(|i| {
                let mut log_writer = LogWriter::new(&format!("user {i}"));
                let log = engine.journal.log(&log_writer.user_id);
                tasks.spawn(async move {
                    for number in 1..=10 {
                        log_writer.whole_run(number, "t").append(&log).await;
                        let lines = log.read(Offset(log_writer.head.0 - 5), EVERYTHING).await.unwrap();
                        // DEL-1: an acknowledged entry is visible to the next read.
                        assert_eq!(
                            offsets(&lines),
                            (log_writer.head.0 - 4..=log_writer.head.0).collect::<Vec<_>>()
                        );
                    }
                    all(&log).await.iter().all(|(_, text)| text.contains(&format!("\"user {i}\"")))
                })
            })
            .collect();
        for user in users {
            assert!(user.await.unwrap(), "{}", engine.name);
        }
    }
}
