//! The cost of `PRAGMA secure_delete` (DEL-8), as a ratio measured in one run:
//!
//!     cargo test --release -p quintet-journal --lib secure_delete -- --ignored --nocapture

use std::time::Duration;

use quintet_runtime::clock;
use tokio::time::Instant;

use super::{Bench, batch, bench};
use crate::{Journal, Retention};

const ROUNDS: usize = 7;
const BATCHES: u64 = 600;

/// The times of the appends and of the trims that follow them.
async fn measure(secure: bool, bytes: usize) -> (Duration, Duration) {
    let Bench { journal, log, _folder } = bench();
    journal
        .on_writer(move |connection| {
            let set =
                connection.pragma_update_and_check(None, "secure_delete", secure, |row| row.get::<_, i64>(0));
            assert_eq!(set.unwrap(), i64::from(secure));
        })
        .await;
    let began = Instant::now();
    for after in 0..BATCHES {
        log.append(batch(after, bytes)).await.unwrap();
    }
    let appended = began.elapsed();
    // The runs of these batches are open, and an open run is not trimmed.
    journal
        .on_writer(|connection| connection.execute("UPDATE runs SET completed = accepted", []).unwrap())
        .await;
    let began = Instant::now();
    for kept in (0..BATCHES / 50).rev().map(|part| part * 50) {
        let by_count = Retention { user_entries_max: Some(kept), ..Retention::default() };
        journal.trim(by_count, clock::now()).await.unwrap();
    }
    (appended, began.elapsed())
}

#[tokio::test]
#[ignore = "a measurement"]
async fn secure_delete_costs() {
    for bytes in [400, 4_000, 40_000] {
        let mut ratios = [vec![], vec![]];
        for _ in 0..ROUNDS {
            let (with, without) = (measure(true, bytes).await, measure(false, bytes).await);
            ratios[0].push(with.0.as_secs_f64() / without.0.as_secs_f64());
            ratios[1].push(with.1.as_secs_f64() / without.1.as_secs_f64());
        }
        let [append, trim] = ratios.map(|mut ratios| {
            ratios.sort_by(f64::total_cmp);
            ratios[ROUNDS / 2]
        });
        println!("batches of {bytes} bytes: append {append:.2}, trim {trim:.2} times the time without");
    }
}
