//! Failed syncs and power cuts. After a failed sync the kernel shows bytes that are not on the disk and that
//! no later sync writes: what the service sends afterwards has to be true of the disk all the same (DEL-1,
//! DEL-5).

use rusqlite::OpenFlags;

use crate::{
    control::{Action, Call, DATABASE, LOG},
    disk::{EIO, Fault},
    storage::Scene,
    witness::Heard,
};

fn one_sync_fails(files: u32) -> Fault {
    Fault { files, times: 1, ..Fault::every(Call::Sync, Action::Fail, EIO) }
}

#[tokio::test]
async fn del_5_replies_after_a_failed_sync_survive_a_power_cut() {
    for killed_between in [false, true] {
        let (mut scene, mut ann, mut bob) = Scene::new("a failed sync, then no power").await;
        scene.disk.set(one_sync_fails(LOG));
        scene.send(&scene.ann, &mut ann).await;
        scene.until(&mut ann, Heard::Error { code: "unavailable".into() }).await;
        assert_eq!(scene.disk.bitten(Call::Sync), 1);
        if killed_between {
            // The next process finds in the log what the kernel shows, and must not treat it as synced.
            scene.again().await;
            ann = scene.open(&scene.ann).await;
            bob = scene.open(&scene.bob).await;
        }
        scene.finish(&scene.ann, &mut ann).await;
        scene.run(&scene.bob, &mut bob).await;
        scene.process.kill(&scene.stage).await;
        scene.disk.lose_power();
        scene.start().await;
        let (mut ann, mut bob) = (scene.open(&scene.ann).await, scene.open(&scene.bob).await);
        scene.run(&scene.ann, &mut ann).await;
        scene.run(&scene.bob, &mut bob).await;
        scene.end().await;
    }
}

#[tokio::test]
async fn del_5_power_cut_loses_nothing_acknowledged() {
    let (mut scene, mut ann, mut bob) = Scene::new("no power").await;
    for round in 0..3 {
        scene.run(&scene.ann, &mut ann).await;
        // In the middle of a run.
        scene.send(&scene.bob, &mut bob).await;
        if round > 0 {
            scene.until(&mut bob, Heard::Accepted).await;
        }
        scene.process.kill(&scene.stage).await;
        scene.disk.lose_power();
        scene.start().await;
        ann = scene.open(&scene.ann).await;
        bob = scene.open(&scene.bob).await;
        scene.finish(&scene.bob, &mut bob).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn write_ahead_log_is_kept_until_the_database_can_be_synced() {
    let (mut scene, mut ann, mut bob) = Scene::new("no sync of the database").await;
    scene.disk.set(Fault { files: DATABASE, ..Fault::every(Call::Sync, Action::Fail, EIO) });
    scene.run_long("long", 700, &mut ann).await;
    assert!(scene.disk.bitten(Call::Sync) > 0, "the log was never moved into the database");
    scene.run(&scene.bob, &mut bob).await;
    scene.disk.clear();
    scene.run(&scene.bob, &mut bob).await;
    scene.process.kill(&scene.stage).await;
    scene.disk.lose_power();
    scene.start().await;
    let mut bob = scene.open(&scene.bob).await;
    scene.run(&scene.bob, &mut bob).await;
    scene.end().await;
}

/// A part of the log is moved while a reader still uses what is before it: SQLite writes those pages and does
/// not sync them yet. If the sync that would have covered them fails, they are lost with the rest, and have
/// to be moved once more, though SQLite has counted them as moved.
#[tokio::test]
async fn del_5_pages_moved_before_a_failed_sync_are_moved_again() {
    let (mut scene, mut ann, _) = Scene::new("a log moved in two parts").await;
    scene.run_long("first", 200, &mut ann).await;
    let database = scene.disk.folder().join("quintet.db");
    let reader = rusqlite::Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM users").unwrap();
    scene.run_long("second", 350, &mut ann).await;
    drop(reader);
    scene.disk.set(one_sync_fails(DATABASE));
    scene.run_long("third", 150, &mut ann).await;
    assert_eq!(scene.disk.bitten(Call::Sync), 1, "the log was not moved again");
    // It is moved completely, and begins anew.
    scene.run_long("fourth", 300, &mut ann).await;
    scene.run_long("fifth", 300, &mut ann).await;
    scene.process.kill(&scene.stage).await;
    scene.disk.lose_power();
    scene.start().await;
    let mut ann = scene.open(&scene.ann).await;
    scene.run(&scene.ann, &mut ann).await;
    scene.end().await;
}
