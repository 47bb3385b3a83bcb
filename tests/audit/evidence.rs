//! Evidence verifies without its journal, and no longer verifies after any change.

use quintet::{
    audit::{AuditError, EvidenceError, EvidenceSubject, Verdict, export, verify},
    journal::{
        Journal, Retention,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::ids::Timestamp,
};
use tempfile::TempDir;

use crate::support::{LogWriter, run, user};

/// "ann" with three runs, the second of which has the third inside it; "bob" with one.
async fn filled() -> TempDir {
    let folder = TempDir::new().unwrap();
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    ann.whole_run(1, "t").append(&log).await;
    ann.message(2, "t", "m2").started(2, "m2").append(&log).await;
    ann.whole_run(3, "u").think(2, "secret").append(&log).await;
    ann.succeeded(2, "secret").append(&log).await;
    let mut bob = LogWriter::new("bob");
    bob.whole_run(1, "t").append_to(&journal).await;
    folder
}

fn of(folder: &TempDir, subject: EvidenceSubject) -> Vec<u8> {
    let mut out = Vec::new();
    export(folder.path(), &subject, &mut out).unwrap();
    out
}

fn verified(evidence: &[u8]) -> Result<Verdict, EvidenceError> {
    verify(&mut &evidence[..])
}

#[tokio::test]
async fn log_of_a_user_verifies() {
    let folder = filled().await;
    let verdict = verified(&of(&folder, EvidenceSubject::User(user("ann")))).unwrap();
    assert_eq!((verdict.from, verdict.to, verdict.shown, verdict.hidden), (1, 14, 14, 0));
    assert_eq!((verdict.user_id.as_str(), verdict.run_id), ("ann", None));
    assert_eq!(verdict.violations, []);
}

#[tokio::test]
async fn run_verifies_and_shows_no_other_run() {
    let folder = filled().await;
    let evidence = of(&folder, EvidenceSubject::Run(user("ann"), run(2)));
    let verdict = verified(&evidence).unwrap();
    assert_eq!((verdict.from, verdict.to, verdict.shown, verdict.hidden), (6, 14, 4, 5));
    assert_eq!(verdict.violations, []);
    let text = String::from_utf8(evidence).unwrap();
    assert!(text.contains("secret"), "its own entries are shown");
    assert!(!text.contains(&run(3).to_string()) && !text.contains("hello 3"), "others are not");
}

#[tokio::test]
async fn trimmed_log_verifies() {
    let folder = filled().await;
    let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let retention = Retention { age_ms_max: None, user_entries_max: Some(7), ..Retention::default() };
    journal.trim(retention, Timestamp(0)).await.unwrap();
    drop(journal);
    let verdict = verified(&of(&folder, EvidenceSubject::User(user("ann")))).unwrap();
    assert_eq!((verdict.from, verdict.shown, verdict.violations), (8, 7, vec![]));
    let gone = export(folder.path(), &EvidenceSubject::Run(user("ann"), run(2)), &mut Vec::new());
    assert!(matches!(gone, Err(EvidenceError::Journal(AuditError::NoRun(_)))), "{gone:?}");
}

#[tokio::test]
async fn any_change_to_evidence_is_found() {
    let folder = filled().await;
    for subject in [EvidenceSubject::User(user("ann")), EvidenceSubject::Run(user("ann"), run(2))] {
        let evidence = of(&folder, subject);
        let header = evidence.iter().position(|byte| *byte == b'\n').unwrap();
        for at in 0..evidence.len() {
            let mut changed = evidence.clone();
            changed[at] ^= 1;
            match verified(&changed) {
                Err(_) => {}
                // The chain of partial evidence does not cover the names in its header: its entries hold
                // them.
                Ok(verdict) => assert!(!verdict.violations.is_empty() || at < header, "byte {at}"),
            }
        }
        let lines: Vec<_> = evidence.split_inclusive(|byte| *byte == b'\n').collect();
        for i in 0..lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(i);
            assert!(verified(&fewer.concat()).is_err(), "line {i} removed");
            let mut twice = lines.clone();
            twice.insert(i, lines[i]);
            assert!(verified(&twice.concat()).is_err(), "line {i} twice");
            if i + 1 < lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(i, i + 1);
                assert!(verified(&swapped.concat()).is_err(), "lines {i} and {} swapped", i + 1);
            }
        }
    }
}

#[tokio::test]
async fn iso_2_evidence_of_one_user_does_not_pass_for_another() {
    let folder = filled().await;
    let evidence = String::from_utf8(of(&folder, EvidenceSubject::User(user("bob")))).unwrap();
    let forged = evidence.replace("\"bob\"", "\"eve\"");
    assert!(matches!(verified(forged.as_bytes()), Err(EvidenceError::Start(_))));
}

#[tokio::test]
async fn missing_user_or_run_has_no_evidence() {
    let folder = filled().await;
    let nobody = export(folder.path(), &EvidenceSubject::User(user("eve")), &mut Vec::new());
    assert!(matches!(nobody, Err(EvidenceError::Journal(AuditError::NoUser(_)))), "{nobody:?}");
    let foreign = export(folder.path(), &EvidenceSubject::Run(user("bob"), run(2)), &mut Vec::new());
    assert!(matches!(foreign, Err(EvidenceError::Journal(AuditError::NoRun(_)))), "{foreign:?}");
}
