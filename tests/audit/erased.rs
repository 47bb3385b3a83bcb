//! Journals with erased entries (DEL-8): they verify, and every planted contradiction is found.

use std::sync::Arc;

use quintet::{
    audit::{AuditOptions, EvidenceError, EvidenceSubject, Report, audit, export, verify},
    journal::{
        Journal, Log, Retention,
        sqlite::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
    kernel::{
        ids::Timestamp,
        user::{EraseScope, Erasure},
    },
};
use tempfile::TempDir;

use crate::support::{LogWriter, erased, run, thread, user};

fn of_thread(name: &str) -> EraseScope {
    EraseScope::Thread(thread(name))
}

fn report(folder: &TempDir) -> Report {
    audit(folder.path(), &AuditOptions::default()).unwrap()
}

struct Written {
    folder: TempDir,
    journal: SqliteJournal,
    ann: LogWriter,
    log: Arc<dyn Log>,
}

/// "ann" with two runs in "t", the second around one in "u".
async fn written() -> Written {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    ann.whole_run(1, "t").append(&log).await;
    ann.message(2, "t", "m2").started(2, "m2").append(&log).await;
    ann.whole_run(3, "u").think(2, "secret").append(&log).await;
    ann.succeeded(2, "secret").append(&log).await;
    Written { folder, journal, ann, log }
}

/// The same, with the thread "t" erased and used again.
async fn erased_thread() -> TempDir {
    let Written { folder, mut ann, log, journal } = written().await;
    ann.erase(&log, of_thread("t"), 1).await;
    ann.whole_run(4, "t").append(&log).await;
    drop((log, journal));
    folder
}

#[tokio::test]
async fn del_8_a_journal_with_erased_entries_verifies_and_lists_its_receipts() {
    let folder = erased_thread().await;
    let found = report(&folder);
    assert!(found.is_clean(), "{found}");
    assert_eq!((found.entries, found.erased, found.runs, found.receipts_total), (20, 9, 2, 1));
    let [receipt] = &found.receipts[..] else { panic!("{found}") };
    assert_eq!((receipt.thread_id.as_deref(), receipt.through, receipt.entries), (Some("t"), 14, 9));
    assert_eq!((receipt.closed, receipt.user_id.as_str()), (Some(15), "ann"));
    assert!(found.to_string().contains(&receipt.receipt), "{found}");
}

#[tokio::test]
async fn del_8_an_erasure_of_everything_again_and_again_verifies() {
    let Written { folder, mut ann, log, journal } = written().await;
    ann.erase(&log, of_thread("t"), 1).await;
    ann.erase(&log, EraseScope::Log, 2).await;
    ann.whole_run(4, "t").append(&log).await;
    ann.erase(&log, of_thread("t"), 3).await;
    ann.erase(&log, of_thread("none"), 4).await;
    ann.erase(&log, EraseScope::Log, 5).await;
    drop((log, journal));
    let found = report(&folder);
    assert!(found.is_clean(), "{found}");
    assert_eq!((found.erased, found.receipts_total), (19, 5));
}

/// Every state in which a crash can leave an erasure verifies, also as a backup, and after the backup went on.
#[tokio::test]
async fn del_8_an_erasure_under_way_verifies_and_its_backup_goes_on() {
    for scope in [of_thread("t"), EraseScope::Log] {
        for steps in 0.. {
            let Written { folder, mut ann, log, journal } = written().await;
            let erasure: Erasure = ann.intend(&log, scope.clone(), 1).await;
            ann.whole_run(4, "t").append(&log).await;
            for _ in 0..steps {
                log.erase_step(erasure.receipt, 1).await.unwrap();
            }
            let is_done = log.erasure(erasure.receipt).await.unwrap().unwrap().completed_at.is_some();
            let copy = TempDir::new().unwrap();
            journal.backup(&copy.path().join("copy")).await.unwrap();
            drop((log, journal));
            let found = report(&folder);
            assert!(found.is_clean(), "{scope:?} after {steps} steps: {found}");

            let copy_path = copy.path().join("copy");
            let journal = SqliteJournal::open(&copy_path, SqliteOptions::default()).unwrap();
            let log = journal.log(&ann.user_id);
            assert_eq!(log.recovery(9).await.unwrap().erasures, std::slice::from_ref(&erasure));
            let record = erased(&log, erasure.receipt).await;
            assert_eq!(record.entries, if scope == EraseScope::Log { 14 } else { 9 });
            ann.report(&erasure).append(&log).await;
            drop((log, journal));
            let found = audit(&copy_path, &AuditOptions::default()).unwrap();
            assert!(found.is_clean(), "{scope:?}, the backup after {steps} steps: {found}");
            if is_done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn retention_trims_erased_rows_and_the_rest_verifies() {
    for user_entries_max in [0, 6, 11, 14] {
        let Written { folder, mut ann, log, journal } = written().await;
        ann.erase(&log, of_thread("t"), 1).await;
        ann.whole_run(4, "t").append(&log).await;
        let by_count = Retention { user_entries_max: Some(user_entries_max), ..Retention::default() };
        assert!(journal.trim(by_count, Timestamp(0)).await.unwrap().entries > 0);
        drop((log, journal));
        let found = report(&folder);
        assert!(found.is_clean(), "{user_entries_max}: {found}");
    }
}

/// A change of the database, and the rule and the entry of a finding.
const DEEDS: &[(&str, &str, u64)] = &[
    ("UPDATE erasures SET through = 5", "DEL-8", 6),
    ("UPDATE erasures SET thread_id = 'u'", "DEL-8", 8),
    ("UPDATE erasures SET chain = zeroblob(32)", "DEL-8", 14),
    ("UPDATE erasures SET receipt = zeroblob(16)", "DEL-8", 15),
    ("UPDATE erasures SET closed = 20", "DEL-8", 15),
    ("DELETE FROM erasures", "DEL-8", 1),
    ("UPDATE batches SET erased = NULL WHERE last = 5", "CHAIN", 1),
    ("UPDATE batches SET erased = zeroblob(170) WHERE last = 5", "STORAGE", 1),
    (
        "UPDATE batches SET erased = CAST(substr(erased, 1, 33) || zeroblob(1) || substr(erased, 35) AS BLOB) WHERE last = 5",
        "CHAIN",
        1,
    ),
    ("UPDATE runs SET agent_name = 'assistant' WHERE accepted = 1", "INDEX", 1),
    ("UPDATE runs SET message_id = 'm1' WHERE accepted = 1", "INDEX", 1),
    ("UPDATE runs SET thread_id = '' WHERE accepted = 8", "INDEX", 8),
    ("DELETE FROM thread_changes", "INDEX", 15),
    ("UPDATE thread_changes SET thread_id = 'u'", "INDEX", 15),
    // An erased entry beyond the receipt: the digest is right, and no erasure covers it.
    ("UPDATE erasures SET through = 4", "DEL-8", 5),
];

#[tokio::test]
async fn del_8_contradictions_are_found() {
    for (deed, rule, entry) in DEEDS {
        let folder = erased_thread().await;
        let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        connection.execute_batch(deed).unwrap();
        drop(connection);
        let found = report(&folder);
        let fits =
            found.violations().iter().any(|broken| broken.rule == *rule && broken.offset == Some(*entry));
        assert!(fits, "{deed}: {found}");
    }
}

/// A line that is replaced by an `erased` one without an erasure is a change of the log like any other.
#[tokio::test]
async fn del_8_an_entry_is_not_erased_by_writing_that_it_is() {
    let Written { folder, log, journal, .. } = written().await;
    drop((log, journal));
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let line = r#"{"type":"erased","offset":14,"timestamp":1800000000014}"#.to_owned() + "\n";
    connection.execute("UPDATE batches SET lines = CAST(?1 AS BLOB) WHERE last = 14", [line]).unwrap();
    drop(connection);
    let found = report(&folder);
    assert!(
        found.violations().iter().any(|broken| broken.rule == "CHAIN" && broken.offset == Some(14)),
        "{found}"
    );
}

#[tokio::test]
async fn del_8_evidence_with_erased_entries_verifies_and_has_none_of_their_content() {
    let folder = erased_thread().await;
    let of = |subject| {
        let mut out = Vec::new();
        export(folder.path(), &subject, &mut out).map(|()| out)
    };
    let evidence = of(EvidenceSubject::User(user("ann"))).unwrap();
    let verdict = verify(&mut &evidence[..]).unwrap();
    assert_eq!((verdict.shown, verdict.hidden, verdict.erased, verdict.to), (11, 0, 9, 20));
    assert_eq!(verdict.violations, []);
    let text = String::from_utf8(evidence).unwrap();
    assert!(!text.contains("secret") && !text.contains("hello 1"), "{text}");
    let forged =
        text.replacen(r#""erased":"#, r#""erased" :"#, 1).replacen("\"erased\" :\"", "\"erased\":\"0", 1);
    assert!(verify(&mut forged.as_bytes()).is_err());
    let named =
        text.replacen(r#"{"type":"erased","offset":1,"#, r#"{"type":"erased","offset":1,"text":"x","#, 1);
    assert_ne!(named, text);
    let verdict = verify(&mut named.as_bytes()).unwrap();
    assert_eq!(verdict.violations.len(), 1, "{:?}", verdict.violations);
    // The entries of an erased run are not evidence of it; those of another run hide them.
    let gone = of(EvidenceSubject::Run(user("ann"), run(2)));
    assert!(matches!(gone, Err(EvidenceError::Journal(_))), "{gone:?}");
    let other = of(EvidenceSubject::Run(user("ann"), run(3))).unwrap();
    let verdict = verify(&mut &other[..]).unwrap();
    assert_eq!((verdict.shown, verdict.hidden, verdict.erased), (5, 0, 0));
}
