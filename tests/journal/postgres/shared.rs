//! Two processes that append to the same logs.

use quintet::{
    journal::{
        AppendError, Extent, Journal, JournalError, Retention,
        chain::{ChainHash, LineDigest},
    },
    kernel::{
        ids::{Offset, Timestamp},
        user::EraseScope,
    },
};

use super::*;
use crate::support::{EVERYTHING, LogWriter, erased, offsets, texts, user};

/// Each process appends to each log. A conflict is read back, and the batch is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_6_appends_of_two_processes_have_one_order_and_none_is_lost() {
    let Some(address) = schema().await else { return };
    let journals = [open_shared(&address).await, open_shared(&address).await];
    let names = ["ann", "bob", "cay"];
    let append = async |process: usize, name: &str| {
        let log = journals[process].log(&user(name));
        let mut own = Vec::new();
        for number in 0..30 {
            loop {
                let mut log_writer = LogWriter::new(name);
                log_writer.head = log.extent().await.unwrap().head;
                let batch = log_writer.whole_run(number * 2 + process as u64 + 1, "t").batch();
                match log.append(batch.clone()).await {
                    Ok(()) => break own.extend(texts(&batch.lines)),
                    Err(AppendError::Conflict { head }) => assert!(head > batch.expected, "{head}"),
                    // The row was locked at each try.
                    Err(AppendError::Journal(JournalError::Unavailable(_))) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        own
    };
    let appends = names.iter().flat_map(|name| [append(0, name), append(1, name)]);
    let appended = futures::future::join_all(appends).await;
    for (name, own) in names.iter().zip(appended.chunks(2)) {
        let log = journals[0].log(&user(name));
        let lines = log.read(Offset::ZERO, EVERYTHING).await.unwrap();
        assert_eq!(offsets(&lines), (1..=300).collect::<Vec<_>>(), "{name}");
        let stored = texts(&lines);
        for (process, own) in own.iter().enumerate() {
            assert_eq!(own.len(), 150);
            assert!(
                own.iter().all(|entry| stored.contains(entry)),
                "{name}: process {process} lost an entry"
            );
        }
    }
}

/// A process that slept while its entries were trimmed knows an old head: the primary key of its batch is free again.
#[tokio::test]
async fn run_6_a_late_append_is_refused_after_the_entries_that_it_knew_were_trimmed() {
    let Some(address) = schema().await else { return };
    let (a, b) = (open_shared(&address).await, open_shared(&address).await);
    let (mut ann, name) = (LogWriter::new("ann"), user("ann"));
    ann.whole_run(1, "t").append(&a.log(&name)).await;
    let late = ann.clone().whole_run(9, "t").batch();
    for number in 2..=4 {
        ann.whole_run(number, "t").append(&b.log(&name)).await;
    }
    let keep = Retention { user_entries_max: Some(5), ..Retention::default() };
    b.trim(keep, Timestamp(0)).await.unwrap();
    let refused = a.log(&name).append(late).await;
    assert!(matches!(refused, Err(AppendError::Conflict { head: Offset(20) })), "{refused:?}");
    let extent = a.log(&name).extent().await.unwrap();
    assert_eq!(extent, Extent { trimmed: Offset(15), head: Offset(20) });
}

/// One user's row is locked by another transaction; the others of the group are appended meanwhile (ISO-6).
#[tokio::test]
async fn iso_6_a_locked_row_delays_its_own_user_alone() {
    let Some(address) = schema().await else { return };
    let mut options = hasty(&address);
    options.limits.postgres_append_timeout_ms = 30_000;
    options.limits.postgres_writer_connections = 1;
    let journal = PostgresJournal::open(options).await.unwrap();
    let names = ["ann", "bob", "cay"];
    let mut writers = names.map(LogWriter::new);
    for log_writer in &mut writers {
        log_writer.whole_run(1, "t").append_to(&journal).await;
    }
    let lock = Lock::take(&address, "SELECT FROM users WHERE user_id = 'ann' FOR NO KEY UPDATE").await;
    let [ann, bob, cay] = writers.each_mut().map(|log_writer| log_writer.whole_run(2, "t").batch());
    let of = |name: &str| journal.log(&user(name));
    let (blocked, bobs, cays) = (of("ann"), of("bob"), of("cay"));
    let waits = blocked.append(ann);
    let others = async {
        let (bob, cay) = tokio::join!(bobs.append(bob), cays.append(cay));
        bob.unwrap();
        cay.unwrap();
        lock.undo().await;
    };
    let (first, ()) = tokio::join!(waits, others);
    first.unwrap();
    assert_eq!(blocked.extent().await.unwrap().head, Offset(10));
}

/// DEL-8: nothing of an erased thread is in a row of any table, and the chain verifies from what is kept.
#[tokio::test]
async fn del_8_erased_text_is_in_no_row() {
    let Some(address) = schema().await else { return };
    let journal = open(&address).await;
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    for number in 1..=20 {
        ann.whole_run(number, "gone")
            .think(number, &"plover ".repeat(number as usize * 40))
            .append(&log)
            .await;
        ann.whole_run(100 + number, "kept").updated("gone", Some("plover"), false).append(&log).await;
    }
    assert!(count(&address, "plover").await > 0, "the search finds what is stored");
    let erasure = ann.intend(&log, EraseScope::Thread(crate::support::thread("gone")), 1).await;
    let record = erased(&log, erasure.receipt).await;
    ann.report(&erasure).append(&log).await;
    assert_eq!(record.entries, 20 * 7);
    assert_eq!(count(&address, "plover").await, 0);
    assert_eq!(count(&address, "\"gone\"").await, 1, "the report alone names the thread");
    verify(&address, journal.epoch(), "ann").await;
}

/// Returns the number of rows with a text.
async fn count(address: &str, text: &str) -> i64 {
    let client = client(address).await;
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM batches WHERE position($1::bytea in lines) > 0)
                  + (SELECT count(*) FROM runs WHERE position($2 in runs::text) > 0)
                  + (SELECT count(*) FROM threads WHERE position($1::bytea in coalesce(title, '')) > 0
                                                     OR position($2 in thread_id) > 0)",
            &[&text.as_bytes(), &text],
        )
        .await
        .unwrap();
    row.get(0)
}

/// Checks the hash chain of a log from the rows of the database: of an erased line, its digest is kept.
pub(super) async fn verify(address: &str, origin: quintet::kernel::ids::Epoch, name: &str) {
    let client = client(address).await;
    let rows = client
        .query(
            "SELECT b.lines, b.erased, b.chain, u.chain FROM users u JOIN batches b ON b.uid = u.id
             WHERE u.user_id = $1 ORDER BY b.last",
            &[&name.as_bytes()],
        )
        .await
        .unwrap();
    let mut chain = ChainHash::start(origin, &user(name));
    for row in &rows {
        let erased = quintet::journal::engine::ErasedLines::parse(row.get(1)).unwrap();
        let lines: &[u8] = row.get(0);
        for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            if !line.is_empty() {
                chain = chain.then(erased.digest(number).unwrap_or_else(|| LineDigest::of(line)));
            }
        }
        assert_eq!(row.get::<_, &[u8]>(2), chain.0, "{name}");
    }
    assert_eq!(rows.last().unwrap().get::<_, &[u8]>(3), chain.0, "{name}");
}
