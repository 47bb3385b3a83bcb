//! With retention on, a journal that is written and read all the time stays within a bound: trimmed space is
//! reused, and the write-ahead log begins anew despite constant readers.

use std::{cell::Cell, fs, path::Path};

use quintet::{
    journal::{
        Journal, Retention,
        sqlite::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
    kernel::ids::{Offset, Timestamp},
};
use tempfile::TempDir;

use crate::support::{EVERYTHING, LogWriter};

/// Bytes of the journal's files: database, write-ahead log.
fn sizes(folder: &Path) -> (u64, u64) {
    let bytes = |file: &str| fs::metadata(folder.join(file)).map_or(0, |meta| meta.len());
    (bytes(DATABASE_FILE), bytes(&format!("{DATABASE_FILE}-wal")))
}

/// Runs in a round: five entries and about six pages of log each.
const RUNS: u64 = 200;

/// Rounds until the sizes are steady, and rounds in all.
const WARM: usize = 6;
const ROUNDS: usize = 14;

/// The log is moved at 4000 pages of 8 KiB and begun anew at 8000 at the latest; one commit adds little to
/// that here.
const LOG_BYTES_MAX: u64 = 80 << 20;

#[tokio::test]
async fn size_stays_bounded_under_steady_load() {
    let folder = TempDir::new().unwrap();
    let options =
        SqliteOptions { run_records_max: 500, survives_power_loss: false, ..SqliteOptions::default() };
    let journal = SqliteJournal::open(folder.path(), options).unwrap();
    let mut log_writer = LogWriter::new("ann");
    let log = journal.log(&log_writer.user_id);
    let over = Cell::new(false);
    // Two of these never end.
    let read = async || {
        let mut reads = 0;
        while !over.get() {
            log.read(Offset(0), EVERYTHING).await.unwrap();
            reads += 1;
        }
        reads
    };
    let write = async {
        let text = "x".repeat(2_000);
        let keep = Retention { age_ms_max: None, user_entries_max: Some(1_000), ..Retention::default() };
        let mut seen = Vec::new();
        for round in 0..ROUNDS as u64 {
            for number in round * RUNS..(round + 1) * RUNS {
                let message_id = format!("m{number}");
                log_writer.message(number, "t", &message_id).started(number, &message_id).append(&log).await;
                log_writer.think(number, &text).think(number, &text).append(&log).await;
                log_writer.succeeded(number, &format!("{text}{text}")).append(&log).await;
            }
            journal.trim(keep, Timestamp(0)).await.unwrap();
            seen.push(sizes(folder.path()));
        }
        over.set(true);
        seen
    };
    let (first, second, seen) = tokio::join!(read(), read(), write);
    assert!(first > ROUNDS && second > ROUNDS, "a reader did not read");

    eprintln!("database and log after each round, in KiB:");
    eprintln!("{:?}", seen.iter().map(|(a, b)| (a / 1024, b / 1024)).collect::<Vec<_>>());
    let largest = |rounds: &[(u64, u64)]| rounds.iter().map(|(database, _)| *database).max().unwrap();
    let (warm, steady) = (largest(&seen[..WARM]), largest(&seen[WARM..]));
    assert!(steady <= warm + warm / 4, "the database grew from {warm} to {steady} bytes");
    let log_bytes = seen.iter().map(|(_, log)| *log).max().unwrap();
    assert!(log_bytes <= LOG_BYTES_MAX, "the log has grown to {log_bytes} bytes");
}
