//! The process is killed while it writes. Everything that it acknowledged as durable is there afterwards.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use quintet::{
    audit::{AuditOptions, audit},
    journal::{
        EraseProgress, Journal,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::user::EraseScope,
};
use tempfile::TempDir;

use crate::{
    killed::{USERS, kill_after, whole_log, write_without_end},
    support::{LogWriter, erased, files_with},
};

const FOLDER: &str = "QUINTET_TEST_CRASH_FOLDER";

/// Not a test of its own: the process that is killed. Prints the acknowledged offsets.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child_that_writes_until_it_is_killed() {
    let folder = std::env::var(FOLDER).unwrap();
    let journal = SqliteJournal::open(folder.as_ref(), SqliteOptions::default()).unwrap();
    write_without_end(&journal).await;
}

#[tokio::test]
async fn del_5_acknowledged_entries_survive_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut heads = [0u64; USERS];
    for (round, lines) in [1usize, 7, 50, 200].into_iter().enumerate() {
        let path = folder.path().to_str().unwrap();
        let acknowledged = kill_after(lines, "crash::child_that_writes_until_it_is_killed", (FOLDER, path));
        let journal = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
        for (i, acknowledged) in acknowledged.into_iter().enumerate() {
            let log = journal.log(&LogWriter::new(&format!("user{i}")).user_id);
            let head = log.extent().await.unwrap().head.0;
            assert!(head >= acknowledged.max(heads[i]), "round {round}: user {i} lost acknowledged entries");
            whole_log(&log, head).await;
            heads[i] = head;
        }
    }
}

/// Not a test of its own: the process that is killed. Prints a line after each step of the erasure.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child_that_erases_until_it_is_killed() {
    let folder = std::env::var(FOLDER).unwrap();
    let journal = SqliteJournal::open(folder.as_ref(), SqliteOptions::default()).unwrap();
    let log = journal.log(&LogWriter::new("ann").user_id);
    let erasures = log.recovery(9).await.unwrap().erasures;
    while log.erase_step(erasures[0].receipt, 2).await.unwrap() == EraseProgress::Working {
        writeln!(std::io::stdout().lock(), "erased a part").unwrap();
    }
}

/// DEL-8: an erasure whose process is killed at any step is completed by the next one, and counts each entry once.
#[tokio::test]
async fn del_8_an_erasure_survives_kills() {
    let folder = TempDir::new().unwrap();
    let open = || SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut ann = LogWriter::new("ann");
    let journal = open();
    let log = journal.log(&ann.user_id);
    for number in 1..=40 {
        ann.whole_run(number, "t").think(number, &"plover ".repeat(number as usize * 40)).append(&log).await;
    }
    let erasure = ann.intend(&log, EraseScope::Log, 1).await;
    drop((log, journal));
    for steps in [1usize, 2, 5, 9, 40] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_erases_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let parts = output.map_while(Result::ok).filter(|line| line.contains("erased a part"));
        assert!(parts.take(steps).count() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        let report = audit(folder.path(), &AuditOptions::default()).unwrap();
        assert!(report.is_clean(), "after {steps} steps: {report}");
    }
    let journal = open();
    let log = journal.log(&ann.user_id);
    let record = erased(&log, erasure.receipt).await;
    assert_eq!(record.entries, 240);
    assert_eq!(files_with(folder.path(), "plover"), [""; 0]);
}
