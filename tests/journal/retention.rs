//! What goes when retention is applied, and what never goes.

use quintet::{
    journal::{Extent, Retention, Trimmed},
    kernel::{
        entry::RunStatus,
        ids::{Offset, Timestamp},
        user::Receipt,
    },
};

use crate::support::{EVERYTHING, Scribe, engines, message, offsets, run, thread};

const NOW: Timestamp = Timestamp(1_800_000_000_100);

fn by_count(user_entries_max: u64) -> Retention {
    Retention { age_ms_max: None, user_entries_max: Some(user_entries_max), ..Retention::default() }
}

#[tokio::test]
async fn by_count_whole_batches_go_and_the_rest_stays() {
    for engine in engines() {
        let mut scribe = Scribe::new("ann");
        let log = engine.journal.log(&scribe.user_id);
        for number in 1..=4 {
            scribe.whole_run(number, "t").append(&log).await;
        }
        let trimmed = engine.journal.trim(by_count(8), NOW).await.unwrap();
        assert_eq!(trimmed, Trimmed { users: 1, entries: 10 }, "{}: 12 would cut a batch", engine.name);
        assert_eq!(
            log.extent().await.unwrap(),
            Extent { trimmed: Offset(10), head: Offset(20) },
            "{}",
            engine.name
        );
        for after in [0, 3, 9, 10] {
            let lines = log.read(Offset(after), EVERYTHING).await.unwrap();
            assert_eq!(offsets(&lines), (11..=20).collect::<Vec<_>>(), "{} after {after}", engine.name);
        }
        assert_eq!(
            engine.journal.trim(by_count(8), NOW).await.unwrap(),
            Trimmed::default(),
            "{}",
            engine.name
        );

        // The log goes on where it was.
        scribe.whole_run(5, "t").append(&log).await;
        assert_eq!(log.extent().await.unwrap().head, Offset(25), "{}", engine.name);
    }
}

#[tokio::test]
async fn by_age_what_is_older_goes_and_the_head_never_moves_back() {
    for engine in engines() {
        let mut scribe = Scribe::new("ann");
        let log = engine.journal.log(&scribe.user_id);
        scribe.whole_run(1, "t").append(&log).await;
        scribe.now += 50;
        scribe.whole_run(2, "t").append(&log).await;
        let by_age = |age| Retention { age_ms_max: Some(age), user_entries_max: None, ..Retention::default() };
        assert_eq!(engine.journal.trim(by_age(95), NOW).await.unwrap().entries, 0, "{}", engine.name);
        assert_eq!(engine.journal.trim(by_age(94), NOW).await.unwrap().entries, 5, "{}", engine.name);
        assert_eq!(engine.journal.trim(by_age(0), Timestamp(u64::MAX / 4)).await.unwrap().entries, 5);
        let everything_gone = Extent { trimmed: Offset(10), head: Offset(10) };
        assert_eq!(log.extent().await.unwrap(), everything_gone, "{}", engine.name);
        assert!(log.read(Offset(0), EVERYTHING).await.unwrap().is_empty(), "{}", engine.name);
        scribe.whole_run(3, "t").append(&log).await;
        let lines = log.read(Offset(0), EVERYTHING).await.unwrap();
        assert_eq!(offsets(&lines), (11..=15).collect::<Vec<_>>(), "{}", engine.name);
    }
}

#[tokio::test]
async fn run_6_nothing_of_an_open_run_goes_nor_anything_after_it() {
    for engine in engines() {
        let mut scribe = Scribe::new("ann");
        let log = engine.journal.log(&scribe.user_id);
        scribe.whole_run(1, "t").append(&log).await;
        scribe.message(2, "t", "m2").started(2, "m2").append(&log).await;
        scribe.whole_run(3, "u").append(&log).await;
        assert_eq!(engine.journal.trim(by_count(0), NOW).await.unwrap().entries, 5, "{}", engine.name);
        let lines = log.read(Offset(0), EVERYTHING).await.unwrap();
        assert_eq!(offsets(&lines), (6..=12).collect::<Vec<_>>(), "{}", engine.name);
        scribe.think(2, "x").completed(2, RunStatus::Succeeded).append(&log).await;
        assert_eq!(engine.journal.trim(by_count(0), NOW).await.unwrap().entries, 9, "{}", engine.name);
    }
}

#[tokio::test]
async fn del_6_messages_are_known_after_their_entries_are_gone() {
    for engine in engines() {
        let mut scribe = Scribe::new("ann");
        let log = engine.journal.log(&scribe.user_id);
        scribe.whole_run(1, "t").append(&log).await;
        engine.journal.trim(by_count(0), NOW).await.unwrap();
        let receipt = Receipt { run_id: run(1), offset: Offset(1) };
        assert_eq!(log.message(&message("m1")).await.unwrap(), Some(receipt), "{}", engine.name);
        let record = log.run(run(1)).await.unwrap().unwrap();
        assert_eq!(record.completed, Some((Offset(5), RunStatus::Succeeded)), "{}", engine.name);
        assert_eq!(log.recovery(9).await.unwrap().recent, [(message("m1"), receipt)], "{}", engine.name);
        assert_eq!(log.threads(None, 9).await.unwrap()[0].thread_id, thread("t"), "{}", engine.name);
        assert!(log.append(scribe.message(2, "t", "m1").batch()).await.is_err(), "{}", engine.name);
    }
}

#[tokio::test]
async fn every_user_is_trimmed_however_many_there_are() {
    for engine in engines() {
        let mut users = vec![];
        for i in 0..300 {
            let mut scribe = Scribe::new(&format!("user {i}"));
            let log = engine.journal.log(&scribe.user_id);
            users.push(async move {
                for number in 1..=3 {
                    scribe.whole_run(number, "t").append(&log).await;
                }
                log
            });
        }
        let logs = futures::future::join_all(users).await;
        let trimmed = engine.journal.trim(by_count(5), NOW).await.unwrap();
        assert_eq!(trimmed, Trimmed { users: 300, entries: 3000 }, "{}", engine.name);
        for log in logs {
            assert_eq!(log.extent().await.unwrap(), Extent { trimmed: Offset(10), head: Offset(15) });
        }
    }
}
