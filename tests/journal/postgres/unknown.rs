//! Commits whose outcome is not known: they are never reported as success, and are final before the log is read back.

use std::sync::Arc;

use quintet::{
    journal::{AppendError, Journal, JournalError, Log},
    kernel::ids::Offset,
};

use super::*;
use crate::support::{LogWriter, user};

fn is_unknown(result: &Result<(), AppendError>) -> bool {
    matches!(result, Err(AppendError::Journal(JournalError::Unavailable(_))))
}

/// Waits until the log can be read back.
async fn settled(log: &Arc<dyn Log>) -> Offset {
    loop {
        match log.recovery(9).await {
            Ok(recovery) => return recovery.head,
            Err(JournalError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The statement waits on the server beyond its time limit, and is committed later. It waits for another transaction,
/// which has a row with its key.
#[tokio::test]
async fn del_7_a_log_is_read_back_only_once_the_append_that_timed_out_has_ended() {
    let Some(address) = schema().await else { return };
    let journal = PostgresJournal::open(hasty(&address)).await.unwrap();
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    ann.whole_run(1, "t").append(&log).await;
    let lock = Lock::take(
        &address,
        "INSERT INTO batches SELECT uid, 10, first, last_at, chain, checksum, digests, lines FROM batches",
    )
    .await;
    let late = log.append(ann.whole_run(2, "t").batch()).await;
    assert!(is_unknown(&late), "{late:?}");
    let early = log.recovery(9).await;
    assert!(matches!(early, Err(JournalError::Unavailable(_))), "the outcome is not known: {early:?}");
    lock.undo().await;
    assert_eq!(settled(&log).await, Offset(10), "the server has committed it after the time limit");
    ann.whole_run(3, "t").append(&log).await;
    assert_eq!(log.extent().await.unwrap().head, Offset(15));
}

/// The statement has not begun when the log is read back: it finds its connection fenced, and never appends.
#[tokio::test]
async fn del_7_an_append_that_begins_after_the_log_was_read_back_never_succeeds() {
    let Some(address) = schema().await else { return };
    let journal = PostgresJournal::open(hasty(&address)).await.unwrap();
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    ann.whole_run(1, "t").append(&log).await;
    let lock = Lock::take(&address, "LOCK TABLE batches IN EXCLUSIVE MODE").await;
    let late = log.append(ann.clone().whole_run(2, "t").batch()).await;
    assert!(is_unknown(&late), "{late:?}");
    assert_eq!(settled(&log).await, Offset(5));
    lock.undo().await;
    // An append that waits for the table follows the one that waited before it.
    let whole = Lock::take(&address, "LOCK TABLE batches").await;
    assert_eq!(log.recovery(9).await.unwrap().head, Offset(5));
    whole.undo().await;
    ann.whole_run(3, "t").append(&log).await;
    assert_eq!(log.extent().await.unwrap().head, Offset(10));
}

/// NODE-5: the wait for a replica is cancelled by someone else. The server reports success, with a warning.
#[tokio::test]
async fn node_5_a_commit_that_was_not_replicated_is_not_acknowledged() {
    let Some(server) = Server::start() else { return };
    let address = server.address();
    let mut options = hasty(&address);
    options.limits.postgres_append_timeout_ms = 30_000;
    options.limits.postgres_lease_ms = 60_000;
    options.limits.postgres_writer_connections = 1;
    let journal = PostgresJournal::open(options).await.unwrap();
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    ann.whole_run(1, "t").append(&log).await;
    execute(&address, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'").await;
    execute(&address, "SELECT pg_reload_conf()").await;
    let batch = ann.whole_run(2, "t").batch();
    let cancel = async {
        let client = client(&address).await;
        loop {
            let query = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
                         WHERE wait_event = 'SyncRep' AND application_name = 'quintet'";
            let cancelled: i64 = client.query_one(query, &[]).await.unwrap().get(0);
            if cancelled > 0 {
                break;
            }
        }
    };
    let (outcome, ()) = tokio::join!(log.append(batch), cancel);
    assert!(is_unknown(&outcome), "{outcome:?}");
    execute(&address, "ALTER SYSTEM RESET synchronous_standby_names").await;
    execute(&address, "SELECT pg_reload_conf()").await;
    assert_eq!(settled(&log).await, Offset(10), "it is in the log of this server");
    assert_eq!(journal.log(&user("bob")).recovery(9).await.unwrap().head, Offset::ZERO);
}
