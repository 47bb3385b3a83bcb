//! A hub that panics: its user is affected for a moment, and no state of it stays (RUN-6, DEL-7, ISO-5,
//! ISO-6).

use std::{sync::Arc, time::Duration};

use quintet::{
    agent::host::RunEnded, journal::memory::MemoryJournal, kernel::entry::ThoughtKind,
    user::handle::RequestError,
};
use tokio::time::timeout;

use crate::manual_agents::*;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn run_6_panicked_hub_is_replaced_and_its_runs_are_resumed() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Reasoning, "hm")).await.unwrap();

    node.fall(1);
    // It panics once the message is in the log: the outcome is unknown, so none is reported (DEL-7).
    assert_eq!(ann.send(message("m2", "u")).await, Err(RequestError::Unavailable));
    assert_eq!(
        run.handle.take(succeed()).await,
        Err(RunEnded::Unavailable),
        "the first agent has lost its run"
    );
    for _ in 0..2 {
        let again = timeout(SOON, node.launched()).await.expect("both runs are resumed without a command");
        answer(&again.handle, "done").await;
    }
    assert!(ann.send(message("m2", "u")).await.unwrap().duplicate, "DEL-6");
    let words = words(&log(&ann).await);
    assert_eq!(words.iter().filter(|word| *word == "Succeeded").count(), 2, "{words:?}");
    timeout(SOON, node.factory.idle()).await.expect("a drain waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn run_6_hub_that_panics_repeatedly_is_replaced_with_a_backoff() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    node.fall(12);
    let begun = tokio::time::Instant::now();
    assert_eq!(ann.send(message("m1", "t")).await, Err(RequestError::Unavailable));
    drop(ann);
    let run = timeout(10 * SOON, node.launched()).await.expect("it is resumed in the end");
    assert!(begun.elapsed() > SOON, "and not without a pause between: {:?}", begun.elapsed());
    answer(&run.handle, "done").await;
    drop(run);
    timeout(SOON, node.factory.idle()).await.expect("a drain waits for nothing");
    timeout(SOON, async {
        while node.factory.live_users() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("ISO-5: nothing is left of ann");
}
