//! Tests with storage faults, injected on the writer's own connection.

mod cost;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use quintet_kernel::{
    entry::{Body, Event, RunEntry},
    ids::{AgentName, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, UserId},
};
use tempfile::TempDir;

use super::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE};
use crate::{AppendError, Batch, Journal, JournalError, Log, ReadLimit, lines::LinesBuilder};

fn batch(after: u64, bytes: usize) -> Batch {
    let offset = Offset(after + 1);
    let mut lines = LinesBuilder::new(offset);
    let text = "x".repeat(bytes);
    lines.push(|line| line.extend_from_slice(format!("{{\"text\":\"{text}\"}}").as_bytes()));
    let entry = RunEntry {
        offset,
        thread_id: ThreadId::parse("t").unwrap(),
        run_id: RunId(uuid::Uuid::from_u128(u128::from(offset.0))),
        timestamp: Timestamp(1),
        agent_name: AgentName::parse("assistant").unwrap(),
        body: Body::UserMessage {
            message_id: MessageId::parse(&format!("m{offset}")).unwrap(),
            text,
            parent: None,
            steers: false,
        },
    };
    Batch::new(Offset(after), vec![entry.into()], lines.finish())
}

struct Bench {
    journal: SqliteJournal,
    log: Arc<dyn Log>,
    _folder: TempDir,
}

fn bench() -> Bench {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let log = journal.log(&UserId::parse("ann").unwrap());
    Bench { journal, log, _folder: folder }
}

async fn count(log: &Arc<dyn Log>) -> usize {
    log.read(Offset::ZERO, ReadLimit { entries_max: 1 << 20, bytes_max: 1 << 30 }).await.unwrap().len()
}

#[tokio::test]
async fn del_7_full_disk_refuses_appends_and_the_writer_continues_once_there_is_room() {
    let Bench { journal, log, _folder } = bench();
    log.append(batch(0, 10)).await.unwrap();
    // The cap belongs to the connection, which the writer gives up after a fault: it finds room again.
    journal
        .on_writer(|connection| {
            let pages: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        })
        .await;
    let refused = log.append(batch(1, 500_000)).await;
    assert!(
        matches!(&refused, Err(AppendError::Journal(JournalError::Unavailable(why))) if why.contains("full")),
        "{refused:?}"
    );
    assert_eq!(log.extent().await.unwrap().head, Offset(1));
    assert_eq!(count(&log).await, 1, "reads go on");
    log.append(batch(1, 500_000)).await.unwrap();
    assert_eq!(count(&log).await, 2);
}

#[tokio::test]
async fn del_4_read_lines_keep_no_larger_buffer_alive() {
    let Bench { journal: _journal, log, _folder } = bench();
    let (mut together, mut lines) = (batch(0, 1), LinesBuilder::new(Offset(1)));
    together.entries.clear();
    for after in 0..100 {
        let one = batch(after, 5_000);
        lines.extend(&one.lines);
        together.entries.extend(one.entries);
    }
    together.lines = lines.finish();
    log.append(together).await.unwrap();
    for after in [0, 50, 90] {
        let limit = ReadLimit { entries_max: 256, bytes_max: 32 * 1024 };
        let lines = log.read(Offset(after), limit).await.unwrap();
        assert_eq!(lines.len(), 6, "as many as there is room for");
        let bytes = lines.as_bytes().clone();
        drop(lines);
        let (long, held) = (bytes.len(), bytes.try_into_mut().expect("nobody else has it").capacity());
        assert!(held < 2 * long + 1, "{long} bytes hold on to {held} after {after}");
    }
}

#[tokio::test]
async fn del_7_a_database_that_cannot_be_written_refuses_all_that_wait() {
    let Bench { journal, log, _folder } = bench();
    log.append(batch(0, 10)).await.unwrap();
    let other = journal.log(&UserId::parse("bob").unwrap());
    journal.on_writer(|connection| connection.pragma_update(None, "query_only", true).unwrap()).await;
    let (a, b) = tokio::join!(log.append(batch(1, 10)), other.append(batch(0, 10)));
    // They shared one commit, or the second one found the writer on a new connection.
    assert!(matches!(a, Err(AppendError::Journal(JournalError::Unavailable(_)))), "{a:?}");
    let recovered = if b.is_ok() { 0 } else { 1 };
    log.append(batch(1, 10)).await.unwrap();
    if recovered == 1 {
        other.append(batch(0, 10)).await.unwrap();
    }
    assert_eq!((count(&log).await, count(&other).await), (2, 1));
}

#[tokio::test]
async fn del_7_failed_commit_is_dropped_completely() {
    let Bench { journal, log, _folder } = bench();
    log.append(batch(0, 10)).await.unwrap();
    journal
        .on_writer(|connection| {
            // A table that vanishes: the transaction fails half-way, after the lines were inserted.
            connection.execute_batch("ALTER TABLE threads RENAME TO gone").unwrap();
        })
        .await;
    assert!(log.append(batch(1, 10)).await.is_err());
    assert_eq!(log.extent().await.unwrap().head, Offset(1));
    assert_eq!(count(&log).await, 1);
    let found = log.message(&MessageId::parse("m2").unwrap()).await.unwrap();
    assert_eq!(found, None);
    let repair = rusqlite::Connection::open(_folder.path().join(DATABASE_FILE)).unwrap();
    repair.execute_batch("ALTER TABLE gone RENAME TO threads").unwrap();
    log.append(batch(1, 10)).await.unwrap();
    assert_eq!(count(&log).await, 2);
}

#[tokio::test]
async fn del_7_a_log_is_read_back_only_once_its_outcome_is_known() {
    let Bench { journal, log, _folder } = bench();
    log.append(batch(0, 10)).await.unwrap();
    journal.fail_sync().await;
    // While a copy is made, the writer cannot bring the log to the disk again.
    let copying = super::lock::CopyLock::shared(&_folder.path().join(DATABASE_FILE)).unwrap();
    assert!(matches!(log.recovery(9).await, Err(JournalError::Unavailable(_))), "the outcome is not known");
    assert_eq!(
        log.extent().await.unwrap().head,
        Offset(1),
        "what is known to be durable is read all the same"
    );
    drop(copying);
    assert_eq!(log.recovery(9).await.unwrap().head, Offset(1));
}

/// Runs `appends` while the writer is blocked, so that all of them are queued when it resumes. Returns their
/// result and the number of commits.
async fn in_one_turn<T>(journal: &SqliteJournal, appends: impl Future<Output = T>) -> (T, usize) {
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let blocked = journal.on_writer(move |connection| {
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.commit_hook(Some(count)).unwrap();
        gate.recv().unwrap();
    });
    let release = async { open.send(()).unwrap() };
    let ((), result, ()) = tokio::join!(blocked, appends, release);
    (result, commits.load(Ordering::Relaxed))
}

#[tokio::test]
async fn appends_that_wait_share_a_commit() {
    let Bench { journal, .. } = &bench();
    let logs: Vec<_> = (0..100).map(|i| journal.log(&UserId::parse(&format!("user {i}")).unwrap())).collect();
    let appends = futures::future::join_all(logs.iter().map(|log| log.append(batch(0, 10))));
    let (results, commits) = in_one_turn(journal, appends).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    assert_eq!(commits, 1, "one commit for a hundred users");
}

#[tokio::test]
async fn invalid_batch_does_not_affect_others_of_its_commit() {
    let Bench { journal, log, .. } = &bench();
    let other = journal.log(&UserId::parse("bob").unwrap());
    let mut misfit = batch(0, 10);
    misfit.entries[0].run_mut().unwrap().body =
        Body::Event { seq: Seq(1), event: Event::Started { message_id: MessageId::parse("m").unwrap() } };
    let appends = async { tokio::join!(log.append(batch(0, 10)), other.append(misfit)) };
    let ((good, bad), _) = in_one_turn(journal, appends).await;
    assert!(good.is_ok(), "{good:?}");
    assert!(matches!(bad, Err(AppendError::Journal(JournalError::Damaged(_)))), "{bad:?}");
    assert_eq!((count(log).await, count(&other).await), (1, 0));
    log.append(batch(1, 10)).await.unwrap();
    other.append(batch(0, 10)).await.unwrap();
}

#[tokio::test]
async fn two_appends_of_one_user_in_one_commit_follow_each_other() {
    let Bench { journal, log, .. } = &bench();
    let appends =
        async { tokio::join!(log.append(batch(0, 10)), log.append(batch(1, 10)), log.append(batch(1, 10))) };
    let ((first, second, third), commits) = in_one_turn(journal, appends).await;
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(third, Err(AppendError::Conflict { head: Offset(2) })), "{third:?}");
    assert_eq!((commits, count(log).await), (1, 2));
}
