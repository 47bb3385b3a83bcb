//! A journal that went back in time: a restored copy of the folder, a copy served beside its original, files
//! that do not belong together. A cursor of another history is never continued here (DEL-3).

use std::{fs, path::Path};

use quintet::{
    journal::{
        Journal,
        sqlite::{OpenError, SqliteJournal, SqliteOptions, epochs, schema},
    },
    kernel::ids::{Epoch, Offset},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::*;

fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(folder, SqliteOptions::default()).unwrap()
}

/// Copies a folder without closing its journal.
fn copy(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

async fn continues(journal: &SqliteJournal, epoch: Epoch, after: u64) -> bool {
    journal.log(&user("ann")).continues(epoch, Offset(after)).await.unwrap()
}

/// Appends whole runs of ann, five entries each, numbered from `number`.
async fn runs(journal: &SqliteJournal, log_writer: &mut LogWriter, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log_writer.whole_run(number, "t").append_to(journal).await;
    }
}

#[tokio::test]
async fn del_3_restored_folder_is_another_history_even_when_longer_again() {
    let folder = TempDir::new().unwrap();
    let mut ann = LogWriter::new("ann");
    let journal = open(folder.path());
    let first = journal.epoch();
    runs(&journal, &mut ann, 1..3).await;
    journal.close().await.unwrap();
    drop(journal);
    let copied = copy(folder.path());
    let mut of_copy = ann.clone();

    let journal = open(folder.path());
    let lost = journal.epoch();
    runs(&journal, &mut ann, 3..5).await;
    drop(journal);

    let put_back = open(copied.path());
    assert!(continues(&put_back, first, 10).await, "the common part continues");
    assert!(!continues(&put_back, lost, 20).await, "past the head");
    assert!(!continues(&put_back, lost, 10).await, "an epoch that this copy never had");
    runs(&put_back, &mut of_copy, 13..23).await;
    assert!(!continues(&put_back, lost, 20).await, "the log is longer again, with other entries");
    assert!(continues(&put_back, first, 10).await);
    assert!(!continues(&put_back, first, 11).await, "the first epoch ended here at entry 10");
}

/// A snapshot of the volume of a running service, at any instant.
#[tokio::test]
async fn del_3_snapshot_of_a_running_journal_ends_the_epoch_where_it_was_taken() {
    let folder = TempDir::new().unwrap();
    let mut ann = LogWriter::new("ann");
    let journal = open(folder.path());
    let epoch = journal.epoch();
    runs(&journal, &mut ann, 1..3).await;
    let snapshot = copy(folder.path());
    let mut of_copy = ann.clone();
    runs(&journal, &mut ann, 3..5).await;
    let put_back = open(snapshot.path());
    assert!(continues(&put_back, epoch, 10).await);
    assert!(!continues(&put_back, epoch, 11).await);
    runs(&put_back, &mut of_copy, 13..23).await;
    assert!(!continues(&put_back, epoch, 20).await, "the log is longer again, with other entries");
}

#[tokio::test]
async fn del_3_cursors_outlive_any_number_of_restarts_up_to_the_epochs_kept() {
    let folder = TempDir::new().unwrap();
    let mut ann = LogWriter::new("ann");
    let mut epochs = Vec::new();
    for number in 1..40 {
        let journal = open(folder.path());
        epochs.push(journal.epoch());
        if number % 3 == 0 {
            runs(&journal, &mut ann, number..number + 1).await;
        }
    }
    let journal = open(folder.path());
    for (index, epoch) in epochs.iter().enumerate() {
        let head = (index as u64 + 1) / 3 * 5;
        assert!(continues(&journal, *epoch, head).await, "{index}");
        assert!(!continues(&journal, *epoch, head + 1).await, "{index}");
    }
    assert!(!continues(&journal, Epoch(Uuid::from_u128(7)), 0).await, "made up");
    drop(journal);
    let connection = schema::open_to_read(&folder.path().join(schema::DATABASE_FILE)).unwrap();
    let history = epochs::history(&connection).unwrap();
    assert_eq!(history.len(), 40);
    assert_eq!((&*history[0].reason, &*history[39].reason), ("created", "opened"));
}

#[tokio::test]
async fn del_3_database_without_its_write_ahead_log_continues_no_cursor() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path());
    let epoch = journal.epoch();
    runs(&journal, &mut LogWriter::new("ann"), 1..3).await;
    let alone = TempDir::new().unwrap();
    fs::copy(folder.path().join(schema::DATABASE_FILE), alone.path().join(schema::DATABASE_FILE)).unwrap();
    let journal = open(alone.path());
    assert!(!continues(&journal, epoch, 0).await);
    drop(journal);
    let connection = schema::open_to_read(&alone.path().join(schema::DATABASE_FILE)).unwrap();
    assert_eq!(epochs::history(&connection).unwrap()[0].reason, "entries lost");
}

#[tokio::test]
async fn del_3_empty_or_missing_database_of_a_used_folder_is_refused() {
    for whole in [true, false] {
        let folder = TempDir::new().unwrap();
        let journal = open(folder.path());
        runs(&journal, &mut LogWriter::new("ann"), 1..3).await;
        let left = copy(folder.path());
        let database = left.path().join(schema::DATABASE_FILE);
        if whole {
            fs::remove_file(&database).unwrap()
        } else {
            fs::write(&database, b"").unwrap()
        }
        let refused = SqliteJournal::open(left.path(), SqliteOptions::default()).err();
        assert!(matches!(refused, Some(OpenError::JournalGone { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn del_3_backup_beside_a_foreign_write_ahead_log_is_refused() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let journal = open(folder.path());
    let mut ann = LogWriter::new("ann");
    runs(&journal, &mut ann, 1..3).await;
    let backup = target.path().join("backup");
    journal.backup(&backup).await.unwrap();
    runs(&journal, &mut ann, 3..5).await;
    let left = copy(folder.path());
    let file = |folder: &Path| folder.join(schema::DATABASE_FILE);
    fs::copy(file(&backup), file(left.path())).unwrap();
    let refused = SqliteJournal::open(left.path(), SqliteOptions::default()).err();
    assert!(matches!(refused, Some(OpenError::ForeignLog { .. })), "{refused:?}");
}

/// A backup of a running journal has everything that was acknowledged, including its write-ahead log.
#[tokio::test]
async fn del_5_backup_has_everything_acknowledged_before_it() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let journal = open(folder.path());
    runs(&journal, &mut LogWriter::new("ann"), 1..5).await;
    let backup = target.path().join("backup");
    journal.backup(&backup).await.unwrap();
    let restored = open(&backup);
    assert_eq!(restored.log(&user("ann")).extent().await.unwrap().head, Offset(20));
}
