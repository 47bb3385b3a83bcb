//! Failed syncs and power cuts. After a failed sync the kernel shows bytes that are not on the disk and that
//! no later sync writes: what the service sends afterwards has to be true of the disk all the same (DEL-1,
//! DEL-5).

use rusqlite::OpenFlags;

use crate::{
    control::{Action, Call, DATABASE, LOG},
    disk::{EIO, Fault},
    ledger::FrameSeen,
    storage::Scenario,
};

fn one_sync_fails(files: u32) -> Fault {
    Fault { files, times: 1, ..Fault::every(Call::Sync, Action::Fail, EIO) }
}

#[tokio::test]
async fn del_5_replies_after_a_failed_sync_survive_a_power_cut() {
    for killed_between in [false, true] {
        let (mut scenario, mut ann, mut bob) = Scenario::new("a failed sync, then no power").await;
        scenario.disk.set(one_sync_fails(LOG));
        scenario.send(&scenario.ann, &mut ann).await;
        scenario.until(&mut ann, FrameSeen::Error { code: "unavailable".into() }).await;
        assert_eq!(scenario.disk.bitten(Call::Sync), 1);
        if killed_between {
            // The next process finds in the log what the kernel shows, and must not treat it as synced.
            scenario.again().await;
            ann = scenario.open(&scenario.ann).await;
            bob = scenario.open(&scenario.bob).await;
        }
        scenario.finish(&scenario.ann, &mut ann).await;
        scenario.run(&scenario.bob, &mut bob).await;
        scenario.process.kill(&scenario.context).await;
        scenario.disk.lose_power();
        scenario.start().await;
        let (mut ann, mut bob) = (scenario.open(&scenario.ann).await, scenario.open(&scenario.bob).await);
        scenario.run(&scenario.ann, &mut ann).await;
        scenario.run(&scenario.bob, &mut bob).await;
        scenario.end().await;
    }
}

#[tokio::test]
async fn del_5_power_cut_loses_nothing_acknowledged() {
    let (mut scenario, mut ann, mut bob) = Scenario::new("no power").await;
    for round in 0..3 {
        scenario.run(&scenario.ann, &mut ann).await;
        // In the middle of a run.
        scenario.send(&scenario.bob, &mut bob).await;
        if round > 0 {
            scenario.until(&mut bob, FrameSeen::Accepted).await;
        }
        scenario.process.kill(&scenario.context).await;
        scenario.disk.lose_power();
        scenario.start().await;
        ann = scenario.open(&scenario.ann).await;
        bob = scenario.open(&scenario.bob).await;
        scenario.finish(&scenario.bob, &mut bob).await;
    }
    scenario.end().await;
}

#[tokio::test]
async fn write_ahead_log_is_kept_until_the_database_can_be_synced() {
    let (mut scenario, mut ann, mut bob) = Scenario::new("no sync of the database").await;
    scenario.disk.set(Fault { files: DATABASE, ..Fault::every(Call::Sync, Action::Fail, EIO) });
    scenario.run_long("long", 700, &mut ann).await;
    assert!(scenario.disk.bitten(Call::Sync) > 0, "the log was never moved into the database");
    scenario.run(&scenario.bob, &mut bob).await;
    scenario.disk.clear();
    scenario.run(&scenario.bob, &mut bob).await;
    scenario.process.kill(&scenario.context).await;
    scenario.disk.lose_power();
    scenario.start().await;
    let mut bob = scenario.open(&scenario.bob).await;
    scenario.run(&scenario.bob, &mut bob).await;
    scenario.end().await;
}

/// A part of the log is moved while a reader still uses what is before it: SQLite writes those pages and does
/// not sync them yet. If the sync that would have covered them fails, they are lost with the rest, and have
/// to be moved once more, though SQLite has counted them as moved.
#[tokio::test]
async fn del_5_pages_moved_before_a_failed_sync_are_moved_again() {
    let (mut scenario, mut ann, _) = Scenario::new("a log moved in two parts").await;
    scenario.run_long("first", 200, &mut ann).await;
    let database = scenario.disk.folder().join("quintet.db");
    let reader = rusqlite::Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    scenario.run_long("second", 350, &mut ann).await;
    drop(reader);
    scenario.disk.set(one_sync_fails(DATABASE));
    // How many pages an append takes is up to SQLite and to how many steps share a commit.
    for part in ["third", "third-again", "third-once-more", "third-at-last"] {
        scenario.run_long(part, 150, &mut ann).await;
        if scenario.disk.bitten(Call::Sync) > 0 {
            break;
        }
    }
    assert_eq!(scenario.disk.bitten(Call::Sync), 1, "the log was not moved again");
    // It is moved completely, and begins anew.
    scenario.run_long("fourth", 300, &mut ann).await;
    scenario.run_long("fifth", 300, &mut ann).await;
    scenario.process.kill(&scenario.context).await;
    scenario.disk.lose_power();
    scenario.start().await;
    let mut ann = scenario.open(&scenario.ann).await;
    scenario.run(&scenario.ann, &mut ann).await;
    scenario.end().await;
}
