//! One process serves a database; a database that was put back has another epoch, and a lossy one is refused.

use quintet::{
    journal::{Journal, JournalError, ReadLimit},
    kernel::ids::Offset,
};
use quintet_postgres::OpenError;

use super::*;
use crate::support::LogWriter;

#[tokio::test]
async fn del_3_second_process_is_refused_while_the_first_lives_and_takes_over_after_it() {
    let Some(address) = schema().await else { return };
    let first = PostgresJournal::open(hasty(&address)).await.unwrap();
    let mut ann = LogWriter::new("ann");
    ann.whole_run(1, "t").append_to(&first).await;
    let refused = PostgresJournal::open(hasty(&address)).await.err();
    assert!(matches!(refused, Some(OpenError::Claimed { .. })), "{refused:?}");
    first.probe().await.unwrap();
    first.close().await.unwrap();
    let mut patient = hasty(&address);
    patient.limits.postgres_lease_ms = 600_000;
    let second = PostgresJournal::open(patient).await.unwrap();
    assert_eq!(second.epoch(), first.epoch(), "nothing was lost");
    ann.whole_run(2, "t").append_to(&second).await;
    assert!(second.log(&ann.user_id).continues(first.epoch(), Offset(5)).await.unwrap());
    assert!(!second.log(&ann.user_id).continues(first.epoch(), Offset(11)).await.unwrap(), "past the head");
}

/// A process that was stopped past its lease finds its writers fenced, before it knows that its claim is lost.
#[tokio::test]
async fn run_6_a_process_whose_claim_was_taken_over_cannot_append() {
    let Some(address) = schema().await else { return };
    let mut options = PostgresOptions::new(&address);
    options.limits.postgres_lease_ms = 600_000;
    let first = PostgresJournal::open(options).await.unwrap();
    let mut ann = LogWriter::new("ann");
    ann.whole_run(1, "t").append_to(&first).await;
    execute(&address, "UPDATE nodes SET lease_until = now()").await;
    let second = PostgresJournal::open(hasty(&address)).await.unwrap();
    let mut late = ann.clone();
    let refused = first.log(&late.user_id).append(late.whole_run(9, "t").batch()).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(matches!(first.probe().await, Err(JournalError::Unavailable(_))), "it is not ready");
    ann.whole_run(2, "t").append_to(&second).await;
    let log = second.log(&ann.user_id);
    let all = ReadLimit { entries_max: 99, bytes_max: 1 << 20 };
    assert_eq!(log.read(Offset::ZERO, all).await.unwrap().len(), 10);
}

/// Another cluster, or another timeline: entries that clients have seen may be missing.
#[tokio::test]
async fn del_3_a_database_that_was_restored_has_a_new_epoch() {
    let Some(address) = schema().await else { return };
    let journal = open(&address).await;
    let (epoch, mut ann) = (journal.epoch(), LogWriter::new("ann"));
    ann.whole_run(1, "t").append_to(&journal).await;
    journal.close().await.unwrap();
    execute(&address, "UPDATE meta SET value = '7/00000001' WHERE name = 'place'").await;
    let restored = open(&address).await;
    assert_ne!(restored.epoch(), epoch);
    let log = restored.log(&ann.user_id);
    assert!(!log.continues(epoch, Offset(5)).await.unwrap());
    assert!(log.continues(restored.epoch(), Offset(5)).await.unwrap());
    ann.whole_run(2, "t").append(&log).await;
}

#[tokio::test]
async fn database_of_another_application_or_a_newer_version_is_refused() {
    let Some(address) = schema().await else { return };
    execute(&address, "CREATE TABLE users (name text)").await;
    let refused = PostgresJournal::open(hasty(&address)).await.err();
    assert!(matches!(refused, Some(OpenError::NotAJournal)), "{refused:?}");
    let Some(address) = schema().await else { return };
    open(&address).await.close().await.unwrap();
    execute(&address, "UPDATE meta SET value = '999' WHERE name = 'version'").await;
    let refused = PostgresJournal::open(hasty(&address)).await.err();
    assert!(matches!(refused, Some(OpenError::NewerSchema { found: 999, .. })), "{refused:?}");
}

#[tokio::test]
async fn del_1_a_server_that_would_lose_acknowledged_entries_is_refused() {
    let Some(address) = schema().await else { return };
    let lossy = PostgresJournal::open(hasty(&format!("{address}%20-csynchronous_commit%3Doff"))).await.err();
    let Some(OpenError::NotDurable { setting }) = &lossy else { panic!("{lossy:?}") };
    assert_eq!(setting, "synchronous_commit");
    PostgresJournal::open(hasty(&format!("{address}%20-csynchronous_commit%3Dlocal"))).await.unwrap();
}

#[tokio::test]
async fn changed_row_is_an_error_and_not_an_entry() {
    let Some(address) = schema().await else { return };
    let journal = open(&address).await;
    let mut ann = LogWriter::new("ann");
    ann.whole_run(1, "t").append_to(&journal).await;
    execute(&address, "UPDATE batches SET lines = set_byte(lines, 9, get_byte(lines, 9) # 1)").await;
    let log = journal.log(&ann.user_id);
    let limit = ReadLimit { entries_max: 1, bytes_max: 1 };
    assert!(matches!(log.read(Offset::ZERO, limit).await, Err(JournalError::Damaged(_))));
    assert!(matches!(log.read_before(Offset(9), limit).await, Err(JournalError::Damaged(_))));
}
