//! Retention: what it trims, and what it never trims.

use quintet::{
    journal::{
        Batch, Extent, Journal, Retention, Trimmed,
        sqlite::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
    kernel::{
        entry::RunStatus,
        ids::{Offset, Timestamp},
        spending::Spending,
        user::{Receipt, RecentMessage},
    },
};

use crate::support::{EVERYTHING, LogWriter, engines, latest, message, offsets, run, thread, user};

const NOW: Timestamp = Timestamp(1_800_000_000_100);

fn by_count(user_entries_max: u64) -> Retention {
    Retention { age_ms_max: None, user_entries_max: Some(user_entries_max), ..Retention::default() }
}

#[tokio::test]
async fn by_count_whole_batches_are_trimmed() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=4 {
            log_writer.whole_run(number, "t").append(&log).await;
        }
        let trimmed = engine.journal.trim(by_count(8), NOW).await.unwrap();
        assert_eq!(trimmed, Trimmed { users: 1, entries: 10 }, "{}: 12 would cut a batch", engine.name);
        assert_eq!(
            log.extent().await.unwrap(),
            Extent { trimmed: Offset(10), head: Offset(20) },
            "{}",
            engine.name
        );
        for after in [0, 3, 9, 10] {
            let lines = log.read(Offset(after), EVERYTHING).await.unwrap();
            assert_eq!(offsets(&lines), (11..=20).collect::<Vec<_>>(), "{} after {after}", engine.name);
        }
        assert_eq!(
            engine.journal.trim(by_count(8), NOW).await.unwrap(),
            Trimmed::default(),
            "{}",
            engine.name
        );

        // The log continues where it was.
        log_writer.whole_run(5, "t").append(&log).await;
        assert_eq!(log.extent().await.unwrap().head, Offset(25), "{}", engine.name);
    }
}

#[tokio::test]
async fn by_age_older_entries_are_trimmed_and_the_head_never_moves_back() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        log_writer.now += 50;
        log_writer.whole_run(2, "t").append(&log).await;
        let by_age =
            |age| Retention { age_ms_max: Some(age), user_entries_max: None, ..Retention::default() };
        assert_eq!(engine.journal.trim(by_age(95), NOW).await.unwrap().entries, 0, "{}", engine.name);
        assert_eq!(engine.journal.trim(by_age(94), NOW).await.unwrap().entries, 5, "{}", engine.name);
        assert_eq!(engine.journal.trim(by_age(0), Timestamp(u64::MAX / 4)).await.unwrap().entries, 5);
        let everything_gone = Extent { trimmed: Offset(10), head: Offset(10) };
        assert_eq!(log.extent().await.unwrap(), everything_gone, "{}", engine.name);
        assert!(log.read(Offset(0), EVERYTHING).await.unwrap().is_empty(), "{}", engine.name);
        log_writer.whole_run(3, "t").append(&log).await;
        let lines = log.read(Offset(0), EVERYTHING).await.unwrap();
        assert_eq!(offsets(&lines), (11..=15).collect::<Vec<_>>(), "{}", engine.name);
    }
}

#[tokio::test]
async fn run_6_entries_of_an_open_run_and_after_it_are_never_trimmed() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        log_writer.message(2, "t", "m2").started(2, "m2").append(&log).await;
        log_writer.whole_run(3, "u").append(&log).await;
        assert_eq!(engine.journal.trim(by_count(0), NOW).await.unwrap().entries, 5, "{}", engine.name);
        let lines = log.read(Offset(0), EVERYTHING).await.unwrap();
        assert_eq!(offsets(&lines), (6..=12).collect::<Vec<_>>(), "{}", engine.name);
        log_writer.think(2, "x").completed(2, RunStatus::Succeeded).append(&log).await;
        assert_eq!(engine.journal.trim(by_count(0), NOW).await.unwrap().entries, 9, "{}", engine.name);
    }
}

#[tokio::test]
async fn del_6_messages_are_known_after_their_entries_are_trimmed() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        engine.journal.trim(by_count(0), NOW).await.unwrap();
        let receipt = Receipt { run_id: run(1), offset: Offset(1) };
        assert_eq!(log.message(&message("m1")).await.unwrap(), Some(receipt), "{}", engine.name);
        let record = log.run(run(1)).await.unwrap().unwrap();
        assert_eq!(record.completed, Some((Offset(5), RunStatus::Succeeded)), "{}", engine.name);
        let recent = RecentMessage { message_id: message("m1"), thread_id: thread("t"), receipt };
        assert_eq!(log.recovery(9).await.unwrap().recent, [recent], "{}", engine.name);
        // The path leads over messages whose entries are trimmed.
        assert_eq!(log.path(Offset(1), 9).await.unwrap().len(), 1, "{}", engine.name);
        assert_eq!(log.threads(latest(9)).await.unwrap()[0].thread_id, thread("t"), "{}", engine.name);
        assert!(log.append(log_writer.message(2, "t", "m1").batch()).await.is_err(), "{}", engine.name);
    }
}

#[tokio::test]
async fn any_number_of_users_are_trimmed() {
    for engine in engines().await {
        let mut users = vec![];
        for i in 0..300 {
            let mut log_writer = LogWriter::new(&format!("user {i}"));
            let log = engine.journal.log(&log_writer.user_id);
            users.push(async move {
                for number in 1..=3 {
                    log_writer.whole_run(number, "t").append(&log).await;
                }
                log
            });
        }
        let logs = futures::future::join_all(users).await;
        let trimmed = engine.journal.trim(by_count(5), NOW).await.unwrap();
        assert_eq!(trimmed, Trimmed { users: 300, entries: 3000 }, "{}", engine.name);
        for log in logs {
            assert_eq!(log.extent().await.unwrap(), Extent { trimmed: Offset(10), head: Offset(15) });
        }
    }
}

/// A message may be the only entry of its batch, as one that is accepted while another run is active: the
/// batch before it is the last that may be trimmed.
#[tokio::test]
async fn run_6_message_of_an_open_run_in_its_own_batch_is_kept() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        log_writer.message(2, "t", "m2").append(&log).await;
        log_writer.started(2, "m2").append(&log).await;
        for retention in [by_count(0), by_bytes(1), Retention { age_ms_max: Some(0), ..Retention::default() }]
        {
            engine.journal.trim(retention, Timestamp(u64::MAX / 4)).await.unwrap();
            let extent = log.extent().await.unwrap();
            assert_eq!(extent, Extent { trimmed: Offset(5), head: Offset(7) }, "{}", engine.name);
            let lines = log.read(Offset(0), EVERYTHING).await.unwrap();
            assert_eq!(offsets(&lines), [6, 7], "{}", engine.name);
            assert_eq!(log.recovery(9).await.unwrap().unfinished[0].accepted, Offset(6), "{}", engine.name);
        }
    }
}

fn by_bytes(user_bytes_max: u64) -> Retention {
    Retention { user_bytes_max: Some(user_bytes_max), ..Retention::default() }
}

#[tokio::test]
async fn iso_6_by_bytes_the_oldest_batches_are_trimmed_until_the_rest_fits() {
    for engine in engines().await {
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        let mut sizes = vec![];
        for number in 1..=6 {
            let batch = log_writer.whole_run(number, "t").batch();
            sizes.push(batch.lines.as_bytes().len() as u64);
            log.append(batch).await.unwrap();
        }
        let all: u64 = sizes.iter().sum();
        let trim = async |bytes| engine.journal.trim(by_bytes(bytes), NOW).await.unwrap().entries;
        assert_eq!(trim(all).await, 0, "{}: it fits", engine.name);
        assert_eq!(trim(all - 1).await, 5, "{}: one batch makes enough room", engine.name);
        assert_eq!(trim(all - sizes[0]).await, 0, "{}: it fits again", engine.name);
        assert_eq!(trim(sizes[4] + sizes[5]).await, 15, "{}", engine.name);
        // Trimmed bytes no longer count, and new ones do.
        let batch = log_writer.whole_run(7, "t").batch();
        let added = batch.lines.as_bytes().len() as u64;
        log.append(batch).await.unwrap();
        assert_eq!(trim(sizes[4] + sizes[5] + added).await, 0, "{}", engine.name);
        assert_eq!(trim(sizes[5] + added).await, 5, "{}", engine.name);
        assert_eq!(log.extent().await.unwrap(), Extent { trimmed: Offset(25), head: Offset(35) });
    }
}

/// The count of a user's day is that of the last commit, in every later process.
#[tokio::test]
async fn iso_6_byte_count_of_a_day_outlives_the_process() {
    let folder = tempfile::TempDir::new().unwrap();
    let spending = Spending { bytes: 4_711, at: NOW };
    {
        let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
        let mut log_writer = LogWriter::new("ann");
        let log = journal.log(&log_writer.user_id);
        log.append(Batch { spending, ..log_writer.whole_run(1, "t").batch() }).await.unwrap();
        assert_eq!(log.recovery(9).await.unwrap().spending, spending);
    }
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let of = async |name: &str| journal.log(&user(name)).recovery(9).await.unwrap().spending;
    assert_eq!(of("ann").await, spending);
    assert_eq!(of("bob").await, Spending::default());
}

/// A journal of an earlier version has no byte counts: its entries are counted once, as it is opened.
#[tokio::test]
async fn iso_6_journal_without_byte_counts_is_counted_at_its_first_opening() {
    let folder = tempfile::TempDir::new().unwrap();
    let size = {
        let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
        let mut log_writer = LogWriter::new("ann");
        let batches = [log_writer.whole_run(1, "t").batch(), log_writer.whole_run(2, "t").batch()];
        let size = batches[1].lines.as_bytes().len() as u64;
        for batch in batches {
            journal.log(&user("ann")).append(batch).await.unwrap();
        }
        size
    };
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database
        .execute_batch(
            "ALTER TABLE users DROP COLUMN kept_bytes; ALTER TABLE users DROP COLUMN spent_bytes;
             ALTER TABLE users DROP COLUMN spent_at; ALTER TABLE runs DROP COLUMN parent;
             DROP INDEX threads_by_archived; ALTER TABLE threads DROP COLUMN title;
             ALTER TABLE threads DROP COLUMN archived; ALTER TABLE threads DROP COLUMN updated;
             DROP TABLE erasures; ALTER TABLE batches DROP COLUMN erased;
             DROP TABLE thread_changes; ALTER TABLE runs DROP COLUMN executor;
             ALTER TABLE users DROP COLUMN fence;
             PRAGMA user_version = 3;",
        )
        .unwrap();
    drop(database);
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    assert_eq!(journal.trim(by_bytes(size), NOW).await.unwrap().entries, 5);
    assert_eq!(journal.trim(by_bytes(size), NOW).await.unwrap().entries, 0);
}
