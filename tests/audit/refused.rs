//! Journals that cannot be audited, and the errors.

use quintet::{
    audit::{AuditError, AuditOptions, audit},
    journal::{
        Journal,
        sqlite::{OpenError, SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
};
use tempfile::TempDir;

use crate::support::{LogWriter, user};

#[tokio::test]
async fn journal_in_use_is_refused_and_its_backup_is_audited() {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut log_writer = LogWriter::new("ann");
    log_writer.whole_run(1, "t").append_to(&journal).await;
    let refused = audit(folder.path(), &AuditOptions::default()).unwrap_err();
    assert!(matches!(refused, AuditError::InUse(_)), "{refused:?}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    assert!(refused.to_string().contains("backup"), "{refused}");

    let backup = folder.path().join("backup");
    journal.backup(&backup).await.unwrap();
    let report = audit(&backup, &AuditOptions::default()).unwrap();
    assert!(report.is_clean() && report.entries == 5, "{report}");
    assert_eq!(report.epoch, journal.epoch().to_string());

    // A restored backup is a journal of its own, and its chains still hold.
    let restored = SqliteJournal::open(&backup, SqliteOptions::default()).unwrap();
    log_writer.whole_run(2, "t").append_to(&restored).await;
    drop(restored);
    let report = audit(&backup, &AuditOptions::default()).unwrap();
    assert!(report.is_clean() && report.entries == 10, "{report}");
    assert_eq!(report.origin, journal.epoch().to_string());
    assert_ne!(report.epoch, report.origin);
}

#[tokio::test]
async fn folder_without_a_journal_is_refused_and_left_unchanged() {
    let folder = TempDir::new().unwrap();
    let options = AuditOptions::default();
    assert!(matches!(audit(folder.path(), &options), Err(AuditError::NoJournal(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap());
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert!(matches!(audit(folder.path(), &options), Err(AuditError::Open(OpenError::NewerSchema { .. }))));
}

#[tokio::test]
async fn audit_can_be_limited_to_one_user() {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    for name in ["ann", "bob"] {
        let mut log_writer = LogWriter::new(name);
        log_writer.whole_run(1, "t").append_to(&journal).await;
    }
    drop(journal);
    let of = |name| AuditOptions { user_id: Some(user(name)), ..AuditOptions::default() };
    assert_eq!(audit(folder.path(), &of("bob")).unwrap().entries, 5);
    assert!(matches!(audit(folder.path(), &of("eve")), Err(AuditError::NoUser(_))));
}
