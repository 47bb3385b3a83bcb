//! The data folder: reopened, shared, newer, foreign, damaged, copied.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quintet::{
    audit::AuditOptions,
    journal::{
        Extent, Journal, JournalError, Retention,
        sqlite::{
            BackupError, OpenError, SqliteJournal, SqliteOptions, lock::LockError, schema::DATABASE_FILE,
        },
    },
    kernel::{
        entry::RunStatus,
        ids::{Epoch, Offset, Timestamp},
    },
};
use tempfile::TempDir;

use crate::support::{EVERYTHING, LogWriter, latest, message, offsets, run, texts, user};

fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(folder, SqliteOptions::default()).unwrap()
}

fn refusal(folder: &Path) -> OpenError {
    match SqliteJournal::open(folder, SqliteOptions::default()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// A closed journal with 40 runs of one user.
async fn filled() -> TempDir {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path());
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    for number in 1..=40 {
        log_writer.whole_run(number, "t").append(&log).await;
    }
    folder
}

fn sql(folder: &Path, statements: &str) {
    rusqlite::Connection::open(folder.join(DATABASE_FILE)).unwrap().execute_batch(statements).unwrap();
}

#[tokio::test]
async fn journal_reopens_unchanged() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path());
    let epoch = journal.epoch();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    log_writer.whole_run(1, "t").message(2, "t", "m2").started(2, "m2").append(&log).await;
    let before = (texts(&log.read(Offset(0), EVERYTHING).await.unwrap()), log.recovery(9).await.unwrap());
    drop((log, journal));

    let journal = open(folder.path());
    assert_ne!(journal.epoch(), epoch, "each opening has its own epoch");
    let log = journal.log(&log_writer.user_id);
    assert!(log.continues(epoch, Offset(7)).await.unwrap(), "DEL-3: earlier cursors continue");
    let after = (texts(&log.read(Offset(0), EVERYTHING).await.unwrap()), log.recovery(9).await.unwrap());
    assert_eq!(after, before);
    assert_eq!(journal.unfinished().await.unwrap(), [user("ann")]);
    log_writer.completed(2, RunStatus::Interrupted).append(&log).await;
    assert_eq!(journal.unfinished().await.unwrap(), []);
}

#[tokio::test]
async fn two_journals_have_two_epochs_in_order_of_creation() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (a, b) = (open(a.path()).epoch(), open(b.path()).epoch());
    assert_ne!(a, b);
    assert_eq!(a.0.get_version_num(), 7);
}

#[tokio::test]
async fn folder_in_use_is_refused_and_free_again_when_its_journal_is_gone() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path());
    let log = journal.log(&user("ann"));
    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::Lock(LockError::InUse { .. })), "{refused:?}");
    let message = refused.to_string();
    assert!(message.contains(&std::process::id().to_string()), "the id of the owning process: {message}");
    drop(journal);
    assert!(SqliteJournal::open(folder.path(), SqliteOptions::default()).is_err(), "a log keeps it open");
    drop(log);
    open(folder.path());
}

#[tokio::test]
async fn newer_schema_is_refused_and_left_unchanged() {
    let folder = filled().await;
    sql(folder.path(), "PRAGMA user_version = 4711");
    let before = fs::read(folder.path().join(DATABASE_FILE)).unwrap();
    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::NewerSchema { found: 4711, .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer version"), "{refused}");
    assert_eq!(fs::read(folder.path().join(DATABASE_FILE)).unwrap(), before);
}

#[tokio::test]
async fn foreign_database_and_foreign_file_are_refused_and_left_unchanged() {
    let folder = TempDir::new().unwrap();
    sql(folder.path(), "CREATE TABLE recipes (name TEXT)");
    assert!(matches!(refusal(folder.path()), OpenError::NotAJournal { .. }));
    fs::write(folder.path().join(DATABASE_FILE), "this is not a database at all, but long enough to look at")
        .unwrap();
    assert!(matches!(refusal(folder.path()), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn torn_database_is_refused() {
    let folder = filled().await;
    let file = fs::OpenOptions::new().write(true).open(folder.path().join(DATABASE_FILE)).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes / 2).unwrap();
    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn flipped_bit_is_found_at_open_or_when_it_is_read() {
    let folder = filled().await;
    let path = folder.path().join(DATABASE_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let needle = b"hello 17";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 7] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
    assert!(refused.to_string().contains("81"), "names the entries: {refused}");

    let unchecked = SqliteOptions { check_bytes_max: 0, ..SqliteOptions::default() };
    let journal = SqliteJournal::open(folder.path(), unchecked).unwrap();
    let log = journal.log(&user("ann"));
    let read = log.read(Offset(0), EVERYTHING).await;
    assert!(matches!(read, Err(JournalError::Damaged(_))), "{read:?}");
    assert_eq!(offsets(&log.read(Offset(150), EVERYTHING).await.unwrap()).len(), 50, "the rest is readable");
}

#[tokio::test]
async fn inconsistent_index_is_found_at_open() {
    let folder = filled().await;
    sql(
        folder.path(),
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'message_id)', 'agent_name)') WHERE name = 'runs_by_message';",
    );
    let refused = refusal(folder.path());
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

/// The files that a kill would leave of a journal with 40 runs, and the epoch of that journal.
async fn left_behind(options: SqliteOptions) -> (TempDir, Epoch) {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), options).unwrap();
    let mut log_writer = LogWriter::new("ann");
    for number in 1..=40 {
        log_writer.whole_run(number, "t").append_to(&journal).await;
    }
    let left = TempDir::new().unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    (left, journal.epoch())
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join(format!("{DATABASE_FILE}-wal"))
}

async fn head(journal: &SqliteJournal) -> u64 {
    journal.log(&user("ann")).extent().await.unwrap().head.0
}

#[tokio::test]
async fn del_5_write_ahead_log_left_by_a_kill_is_recovered_and_its_cursors_continue() {
    let (folder, epoch) = left_behind(SqliteOptions::default()).await;
    let journal = open(folder.path());
    assert_eq!(head(&journal).await, 200);
    assert!(journal.log(&user("ann")).continues(epoch, Offset(200)).await.unwrap());
}

#[tokio::test]
async fn truncated_last_transaction_was_never_acknowledged_and_is_dropped() {
    let (folder, epoch) = left_behind(SqliteOptions::default()).await;
    let file = fs::OpenOptions::new().write(true).open(log_file(folder.path())).unwrap();
    file.set_len(file.metadata().unwrap().len() - 100).unwrap();
    let journal = open(folder.path());
    assert_eq!(head(&journal).await, 195);
    let ann = journal.log(&user("ann"));
    assert!(ann.continues(epoch, Offset(195)).await.unwrap());
    assert!(!ann.continues(epoch, Offset(196)).await.unwrap(), "DEL-3");
}

#[tokio::test]
async fn del_7_bit_flipped_inside_the_write_ahead_log_is_an_error_not_its_end() {
    let (folder, epoch) = left_behind(SqliteOptions::default()).await;
    let path = log_file(folder.path());
    let sound = fs::read(&path).unwrap();
    // In the header of the log, in the header of a frame, in a page; each far from the end.
    for at in [9, 17, 32 + 2, 32 + 9, 32 + 17, sound.len() / 2, sound.len() / 3, sound.len() / 5 * 3] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = refusal(folder.path());
        assert!(matches!(refused, OpenError::Damaged { .. }), "byte {at}: {refused:?}");
        assert!(refused.to_string().contains("write-ahead log"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is changed");
        // If the damage hides the schema itself, there is nothing to report on: that is an error.
        if let Ok(report) = quintet::audit::audit(folder.path(), &AuditOptions::default()) {
            assert!(report.violations().iter().any(|v| v.rule == "STORAGE"), "byte {at}: {report}");
        }
    }
    // On request it opens with the entries before the damage, and reports a gap to every client.
    let unchecked = SqliteOptions { check_bytes_max: 0, ..SqliteOptions::default() };
    let journal = SqliteJournal::open(folder.path(), unchecked).unwrap();
    assert!((1..200).contains(&head(&journal).await));
    let first = journal.log(&user("ann")).continues(epoch, Offset(1)).await.unwrap();
    assert!(!first, "DEL-3: no cursor of the earlier epoch is continued");
}

#[tokio::test]
async fn del_3_journal_without_syncs_takes_a_new_epoch_unless_it_was_closed() {
    let lossy = SqliteOptions { survives_power_loss: false, ..SqliteOptions::default() };
    let (folder, epoch) = left_behind(lossy).await;
    let journal = SqliteJournal::open(folder.path(), lossy).unwrap();
    let second = journal.epoch();
    let continues = async |journal: &SqliteJournal, epoch| {
        journal.log(&user("ann")).continues(epoch, Offset(5)).await.unwrap()
    };
    assert!(!continues(&journal, epoch).await, "cursors may hold entries lost in a power cut");
    drop(journal);
    let journal = SqliteJournal::open(folder.path(), lossy).unwrap();
    assert!(continues(&journal, second).await, "it was closed");
    drop(journal);
    assert!(continues(&open(folder.path()), second).await);
    assert!(continues(&open(folder.path()), second).await);
}

#[tokio::test]
async fn backup_made_during_appends_is_a_journal_with_a_new_epoch() {
    let folder = filled().await;
    let journal = open(folder.path());
    let mut log_writer = LogWriter::new("bob");
    let log = journal.log(&log_writer.user_id);
    let target = TempDir::new().unwrap();
    let to = target.path().join("copy");
    let appends = async {
        for number in 1..=20 {
            log_writer.whole_run(number, "t").append(&log).await;
        }
    };
    let (backup, ()) = tokio::join!(journal.backup(&to), appends);
    backup.unwrap();
    assert!(matches!(journal.backup(&to).await, Err(BackupError::Exists { .. })), "never over another");

    let restored = open(&to);
    let of_before = restored.log(&user("ann")).continues(journal.epoch(), Offset(1)).await.unwrap();
    assert!(!of_before, "DEL-3: cursors behind the copy must find a gap");
    let ann = restored.log(&user("ann"));
    assert_eq!(
        texts(&ann.read(Offset(0), EVERYTHING).await.unwrap()),
        texts(&journal.log(&user("ann")).read(Offset(0), EVERYTHING).await.unwrap())
    );
    // Appends of bob are in the copy completely or not at all.
    let bob = restored.log(&user("bob"));
    assert_eq!(bob.extent().await.unwrap().head.0 % 5, 0);
    assert_eq!(restored.unfinished().await.unwrap(), []);
    let epoch = restored.epoch();
    drop((ann, bob, restored));
    let again = open(&to).log(&user("ann")).continues(epoch, Offset(5)).await.unwrap();
    assert!(again, "the new epoch is kept");
}

#[tokio::test]
async fn del_6_run_records_are_kept_up_to_their_limit() {
    let folder = TempDir::new().unwrap();
    let options = SqliteOptions { run_records_max: 3, ..SqliteOptions::default() };
    let journal = SqliteJournal::open(folder.path(), options).unwrap();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    for number in 1..=6 {
        log_writer.whole_run(number, &format!("t{number}")).append(&log).await;
    }
    let keep = |user_entries_max| Retention {
        age_ms_max: None,
        user_entries_max: Some(user_entries_max),
        ..Retention::default()
    };
    journal.trim(keep(25), Timestamp(0)).await.unwrap();
    assert_eq!(log.message(&message("m1")).await.unwrap(), None);
    assert!(log.message(&message("m2")).await.unwrap().is_some(), "its entries are kept, so its record is");
    assert_eq!(log.threads(latest(9)).await.unwrap().len(), 5, "a thread without entries is gone");
    journal.trim(keep(0), Timestamp(0)).await.unwrap();
    assert_eq!(log.run(run(3)).await.unwrap(), None);
    assert_eq!(log.recovery(9).await.unwrap().recent.len(), 3);
    assert_eq!(log.extent().await.unwrap(), Extent { trimmed: Offset(30), head: Offset(30) });
}
