//! A changed database. Each change is found, with the entry where it can be determined.

use std::path::Path;

use quintet::{
    audit::{AuditOptions, audit},
    journal::{
        Journal,
        sqlite::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::support::LogWriter;

/// A change of the database, and the expected findings: rule, user, entry.
type Deed = (&'static str, &'static [(&'static str, &'static str, u64)]);

/// Two users, "ann" and "bob", each with four runs of five entries, a row a run.
const DEEDS: &[Deed] = &[
    ("", &[]),
    // One byte of entry 8 of ann: the third line of her second row.
    (
        "UPDATE batches SET lines = CAST(replace(CAST(lines AS TEXT), '\"delta\":\"a\"', '\"delta\":\"z\"') AS BLOB)
         WHERE user = 1 AND last = 10",
        &[("CHAIN", "ann", 8), ("ENTRY", "ann", 10)],
    ),
    ("UPDATE batches SET checksum = checksum + 1 WHERE user = 1 AND last = 10", &[("STORAGE", "ann", 6)]),
    ("UPDATE batches SET digests = zeroblob(40) WHERE user = 2 AND last = 5", &[("CHAIN", "bob", 1)]),
    ("UPDATE batches SET chain = zeroblob(32) WHERE user = 1 AND last = 10", &[("CHAIN", "ann", 6), ("CHAIN", "ann", 11)]),
    // Drops a row and renumbers the log behind it as well as possible.
    (
        "DELETE FROM batches WHERE user = 1 AND last = 10",
        &[("DEL-2", "ann", 11), ("CHAIN", "ann", 11), ("INDEX", "ann", 0)],
    ),
    (
        "DELETE FROM batches WHERE user = 1 AND last = 20",
        &[("DEL-2", "ann", 0), ("CHAIN", "ann", 15), ("INDEX", "ann", 0), ("INDEX", "ann", 0)],
    ),
    ("UPDATE users SET head = 25 WHERE id = 1", &[("DEL-2", "ann", 0)]),
    ("UPDATE users SET chain = zeroblob(32) WHERE id = 1", &[("CHAIN", "ann", 20)]),
    // Moves a whole log to another user (ISO-2): none of it fits its new owner.
    (
        "UPDATE users SET user_id = 'eve' WHERE id = 2",
        &[("CHAIN", "eve", 0), ("ISO-1", "eve", 1), ("ISO-1", "eve", 2), ("ISO-1", "eve", 3)],
    ),
    // Moves a row from one user to the other.
    (
        "DELETE FROM batches WHERE user = 2 AND last = 20;
         INSERT INTO batches SELECT 2, last, first, last_at, chain, checksum, digests, lines, erased
                             FROM batches WHERE user = 1 AND last = 20",
        &[("CHAIN", "bob", 16), ("ISO-1", "bob", 16), ("ISO-1", "bob", 17)],
    ),
    ("UPDATE batches SET last_at = last_at + 1 WHERE user = 1 AND last = 10", &[("INDEX", "ann", 10)]),
    ("UPDATE runs SET status = 'failed' WHERE user = 1 AND accepted = 6", &[("INDEX", "ann", 10)]),
    ("UPDATE runs SET started = 9 WHERE user = 1 AND accepted = 6", &[("INDEX", "ann", 10)]),
    ("UPDATE runs SET completed = NULL, status = NULL WHERE user = 1 AND accepted = 6", &[("INDEX", "ann", 10)]),
    ("UPDATE runs SET message_id = 'other' WHERE user = 1 AND accepted = 6", &[("INDEX", "ann", 6)]),
    ("UPDATE runs SET thread_id = 'other' WHERE user = 1 AND accepted = 6", &[("INDEX", "ann", 6)]),
    (
        "DELETE FROM runs WHERE user = 1 AND accepted = 6",
        &[("INDEX", "ann", 6), ("INDEX", "ann", 10), ("INDEX", "ann", 0), ("INDEX", "ann", 0)],
    ),
    (
        "INSERT INTO runs SELECT user, 7, accepted_at, zeroblob(16), 'extra', thread_id, agent_name, 8, 9, 'failed', 0, NULL
                          FROM runs WHERE user = 1 AND accepted = 6",
        &[("INDEX", "ann", 0), ("INDEX", "ann", 0)],
    ),
    ("UPDATE users SET runs = 3 WHERE id = 2", &[("INDEX", "bob", 0)]),
    ("UPDATE threads SET last = 19 WHERE user = 1", &[("INDEX", "ann", 0)]),
    ("UPDATE threads SET messages = 5 WHERE user = 1", &[("INDEX", "ann", 0)]),
    ("DELETE FROM threads WHERE user = 1", &[("INDEX", "ann", 0)]),
    ("INSERT INTO thread_changes VALUES (1, 3, 't')", &[("INDEX", "ann", 0)]),
    // Removes entries of an open run, as if by retention.
    (
        "UPDATE runs SET completed = NULL, status = NULL WHERE user = 1 AND accepted = 1;
         UPDATE users SET trimmed = 5, trimmed_chain = (SELECT chain FROM batches WHERE user = 1 AND last = 5)
                      WHERE id = 1;
         DELETE FROM batches WHERE user = 1 AND last = 5",
        &[("RUN-6", "ann", 1), ("INDEX", "ann", 0)],
    ),
    // Removes entries, and sets the mark without the chain.
    (
        "UPDATE users SET trimmed = 5 WHERE id = 1; DELETE FROM batches WHERE user = 1 AND last = 5",
        &[("CHAIN", "ann", 6)],
    ),
];

async fn journal_of_two() -> TempDir {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    for name in ["ann", "bob"] {
        let mut log_writer = LogWriter::new(name);
        let log = journal.log(&log_writer.user_id);
        for number in 1..=4 {
            log_writer.whole_run(number, "t").append(&log).await;
        }
    }
    folder
}

#[tokio::test]
async fn every_change_is_found() {
    for (deed, expected) in DEEDS {
        let folder = journal_of_two().await;
        let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        database.execute_batch(deed).unwrap();
        drop(database);
        let report = audit(folder.path(), &AuditOptions::default()).unwrap();
        let found: Vec<_> = report
            .violations()
            .iter()
            .map(|v| (v.rule.as_str(), v.user_id.as_deref().unwrap_or(""), v.offset.unwrap_or(0)))
            .collect();
        // A log of the wrong user has a finding for each entry: the first ones are enough.
        assert_eq!(found[..found.len().min(expected.len())], **expected, "{deed}: {report}");
        assert!(
            found.len() == expected.len() || deed.contains("ISO") || expected.len() >= 3,
            "{deed}: {report}"
        );
        assert_eq!(report.is_clean(), expected.is_empty(), "{deed}");
    }
}

/// Every value in every table; `None` if they cannot be read.
fn content(path: &Path) -> Option<Vec<Value>> {
    let database = rusqlite::Connection::open(path).ok()?;
    let mut values = vec![];
    for table in ["meta", "users", "batches", "runs", "threads", "thread_changes", "epochs", "epoch_heads"] {
        let mut query = database.prepare(&format!("SELECT * FROM {table}")).ok()?;
        let columns = query.column_count();
        let mut rows = query.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            (0..columns).for_each(|column| values.push(row.get_unwrap(column)));
        }
    }
    Some(values)
}

#[tokio::test]
async fn flipped_bit_that_changes_a_value_is_found() {
    let folder = journal_of_two().await;
    let path = folder.path().join(DATABASE_FILE);
    let sound = std::fs::read(&path).unwrap();
    let sound_content = content(&path);
    let mut changes = 0;
    // The first page holds the schema: without its tables nothing can be read.
    for at in (8192..sound.len()).step_by(89).filter(|at| sound[*at] != 0) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        // Pages also hold unused remains of moved rows.
        if content(&path) != sound_content {
            changes += 1;
            let clean = audit(folder.path(), &AuditOptions::default()).is_ok_and(|report| report.is_clean());
            assert!(!clean, "byte {at}");
        }
    }
    assert!(changes > 50, "{changes}");
}

#[tokio::test]
async fn findings_are_bounded_and_counted() {
    let folder = journal_of_two().await;
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database.execute_batch("UPDATE users SET user_id = 'eve' WHERE id = 2").unwrap();
    drop(database);
    let options = AuditOptions { violations_max: 2, ..AuditOptions::default() };
    let report = audit(folder.path(), &options).unwrap();
    assert_eq!(report.violations().len(), 2);
    assert_eq!(report.violations_total, 21, "{report}");
    assert!(report.to_string().contains("and 19 more"), "{report}");
}
