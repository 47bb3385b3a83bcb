//! A journal of an earlier version is migrated to the newest schema: nothing in it is lost, and its schema
//! equals that of a new one.

use std::{path::Path, sync::Arc};

use quintet::{
    audit::{AuditOptions, audit},
    journal::{
        Batch, Fence, Journal, Log, ResumeRecord, Side,
        lines::LinesBuilder,
        sqlite::{
            SqliteJournal, SqliteOptions,
            schema::{self, DATABASE_FILE, SCHEMA_VERSION},
        },
    },
    kernel::{
        ids::{Epoch, Incarnation, Offset, Seq},
        user::{EraseScope, Resumes},
    },
};
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::*;

const SCHEMA_1: &str = include_str!("schema_1.sql");
/// Its head; the run of its second message is open.
const HEAD: Offset = Offset(12);

fn of_schema_1() -> TempDir {
    let folder = TempDir::new().unwrap();
    Connection::open(folder.path().join(DATABASE_FILE)).unwrap().execute_batch(SCHEMA_1).unwrap();
    folder
}

fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(folder, SqliteOptions::default()).unwrap()
}

fn epoch(folder: &Path) -> Epoch {
    let connection = Connection::open(folder.join(DATABASE_FILE)).unwrap();
    schema::identity(&connection).unwrap().epoch
}

/// The number of the schema, and each table and index with its statement.
fn definition(folder: &Path) -> (u32, Vec<(String, String, Option<String>)>) {
    let connection = schema::open_to_read(&folder.join(DATABASE_FILE)).unwrap();
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut query =
        connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    (version, rows.map(Result::unwrap).collect())
}

#[tokio::test]
async fn journal_of_schema_1_is_migrated_to_the_newest_schema() {
    let (old, new) = (of_schema_1(), TempDir::new().unwrap());
    assert_eq!(definition(old.path()).0, 1);
    drop(open(old.path()));
    drop(open(new.path()));
    let (migrated, fresh) = (definition(old.path()), definition(new.path()));
    assert_eq!(fresh.0, SCHEMA_VERSION);
    assert_eq!(migrated, fresh);
}

/// DEL-3, DEL-5: entries accepted under schema 1 are kept, and their cursors continue.
#[tokio::test]
async fn del_3_journal_of_schema_1_keeps_its_entries_and_continues_its_cursors() {
    let folder = of_schema_1();
    let before = epoch(folder.path());
    let journal = open(folder.path());
    assert_ne!(journal.epoch(), before);
    let log = journal.log(&user("ann"));
    assert_eq!(log.read(Offset::ZERO, EVERYTHING).await.unwrap().len() as u64, HEAD.0);
    assert!(log.continues(before, HEAD).await.unwrap());
    assert!(!log.continues(before, HEAD.next()).await.unwrap(), "that epoch ended here");
    drop((log, journal));
    let report = audit(folder.path(), &AuditOptions::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// Under schema 1 a thread was a list: each message follows the previous one of its thread.
#[tokio::test]
async fn messages_of_schema_1_follow_the_previous_one_of_their_thread() {
    let folder = of_schema_1();
    let journal = open(folder.path());
    let log = journal.log(&user("ann"));
    let recent = log.recovery(10).await.unwrap().recent;
    let [first, second] = &recent[..] else { panic!("{recent:?}") };
    assert_eq!(first.thread_id, second.thread_id);
    let path = log.path(second.receipt.offset, 10).await.unwrap();
    let parents: Vec<_> = path.iter().map(|run| (run.accepted, run.parent)).collect();
    let (first, second) = (first.receipt.offset, second.receipt.offset);
    assert_eq!(parents, [(second, first), (first, Offset::ZERO)]);
}

/// RUN-6: a run that was open under schema 1 counts as never resumed, and its resumes are counted from now
/// on.
#[tokio::test]
async fn run_6_resumes_of_a_run_open_under_schema_1_count_from_now_on() {
    let folder = of_schema_1();
    let before = epoch(folder.path());
    let journal = open(folder.path());
    let log = journal.log(&user("ann"));
    let recovery = log.recovery(10).await.unwrap();
    assert_eq!((recovery.head, recovery.resumes), (HEAD, vec![]));
    let [open_run] = &recovery.unfinished[..] else { panic!("{:?}", recovery.unfinished) };
    // RUN-13: no node is the executor of a run of an earlier journal.
    assert_eq!((open_run.executor, recovery.fence), (None, Fence::default()));
    let process = Incarnation(Uuid::from_u128(1));
    let record = ResumeRecord::resumed(open_run.run_id, Resumes::default(), Seq(2), process);
    let lines = LinesBuilder::new(HEAD.next()).finish();
    let batch = Batch { resumes: vec![record], ..Batch::new(HEAD, vec![], lines) };
    log.append(batch).await.unwrap();
    // A record of resumes is not an entry: earlier cursors continue.
    assert!(log.continues(before, HEAD).await.unwrap());
    // Without closing, as in a process that died, the resume stays counted.
    drop((log, journal));
    let journal = open(folder.path());
    assert_eq!(journal.log(&user("ann")).recovery(10).await.unwrap().resumes, [record]);
}

/// DEL-8: what an older version left in free pages and free blocks goes when the journal is first opened.
#[tokio::test]
async fn del_8_text_that_was_freed_before_secure_delete_is_gone() {
    let folder = of_schema_1();
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let insert = "INSERT INTO batches SELECT user, 1000 + ?1, 1000 + ?1, last_at, chain, checksum, digests,
                      CAST(?2 AS BLOB) FROM batches LIMIT 1";
    for number in 0..50 {
        connection.execute(insert, (number, "plover ".repeat(30 * number))).unwrap();
    }
    connection.execute("DELETE FROM batches WHERE last >= 1000", []).unwrap();
    drop(connection);
    assert_ne!(files_with(folder.path(), "plover"), [""; 0], "the older version left it");
    // A process was killed during the rewrite.
    std::fs::write(folder.path().join("quintet.db.rewritten"), "plover").unwrap();
    drop(open(folder.path()));
    assert_eq!(files_with(folder.path(), "plover"), [""; 0]);
    let report = audit(folder.path(), &AuditOptions::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// The index of the changes of threads is made from the entries, as if it had been there from the first.
#[tokio::test]
async fn changes_of_threads_of_schema_7_are_found_in_its_entries() {
    let folder = TempDir::new().unwrap();
    let mut log_writer = LogWriter::new("ann");
    let journal = open(folder.path());
    let log = journal.log(&log_writer.user_id);
    log_writer
        .whole_run(1, "t")
        .updated("t", Some("\"a\", \"type\":\"thread_updated\""), false)
        .append(&log)
        .await;
    log_writer.whole_run(2, "u").updated("u", None, true).updated("t", Some("{,}"), false).append(&log).await;
    log_writer.erase(&log, EraseScope::Thread(thread("u")), 1).await;
    let changes = async |log: &Arc<dyn Log>, name: &str| {
        log.thread_changes(&thread(name), Side::After(Offset::ZERO), 9).await.unwrap()
    };
    let before = (changes(&log, "t").await, changes(&log, "u").await);
    assert_eq!(before, (vec![Offset(6), Offset(13)], vec![Offset(14)]), "a record of an erasure is kept");
    drop((log, journal));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection
        .execute_batch(
            "DROP TABLE thread_changes; ALTER TABLE runs DROP COLUMN executor;
             ALTER TABLE users DROP COLUMN fence; PRAGMA user_version = 7",
        )
        .unwrap();
    drop(connection);
    let journal = open(folder.path());
    let log = journal.log(&log_writer.user_id);
    assert_eq!((changes(&log, "t").await, changes(&log, "u").await), before);
    drop((log, journal));
    let report = audit(folder.path(), &AuditOptions::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let new = TempDir::new().unwrap();
    drop(open(new.path()));
    assert_eq!(definition(folder.path()), definition(new.path()));
}
