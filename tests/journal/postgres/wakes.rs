//! Wake-ups between the nodes of a database: hints, which may be lost (NODE-4).

use std::{future::poll_fn, sync::Arc, time::Duration};

use quintet::{journal::Journal, kernel::ids::Offset};
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use super::*;
use crate::support::{LogWriter, user};

/// Longest wait for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Opens the journal of a node that polls seldom, or never within a test.
async fn node(address: &str, poll_interval_ms: u64) -> PostgresJournal {
    let mut options = PostgresOptions { exclusive: false, ..PostgresOptions::new(address) };
    options.limits.postgres_poll_interval_ms = poll_interval_ms;
    PostgresJournal::open(options).await.unwrap()
}

async fn woken(wake: &Notify) {
    tokio::time::timeout(WAIT_MAX, wake.notified()).await.expect("a wake-up");
}

/// Waits until this many nodes listen.
async fn listens(address: &str, nodes: i64) {
    let query = "SELECT count(*) = $1 FROM pg_stat_activity WHERE query = 'LISTEN quintet_' ||
                     (SELECT replace(value, '-', '') FROM meta WHERE name = 'origin')";
    let client = client(address).await;
    let asked = async { while !client.query_one(query, &[&nodes]).await.unwrap().get::<_, bool>(0) {} };
    tokio::time::timeout(WAIT_MAX, asked).await.expect("the nodes listen");
}

#[tokio::test]
async fn node_4_an_append_wakes_the_other_nodes_and_not_its_own() {
    let Some(address) = schema().await else { return };
    let (a, b) = (node(&address, 60_000).await, node(&address, 60_000).await);
    listens(&address, 2).await;
    let [own, other, bobs]: [Arc<Notify>; 3] = Default::default();
    let _watches = [
        a.watch(&user("ann"), own.clone()),
        b.watch(&user("ann"), other.clone()),
        b.watch(&user("bob"), bobs.clone()),
    ];
    let mut ann = LogWriter::new("ann");
    for number in 1..=3 {
        ann.whole_run(number, "t").append_to(&a).await;
        woken(&other).await;
        assert_eq!(b.log(&user("ann")).extent().await.unwrap().head, Offset(number * 5), "it is committed");
    }
    LogWriter::new("bob").whole_run(1, "t").append_to(&a).await;
    woken(&bobs).await;
    // Its own notifications have arrived before those of the last append of the other node.
    let cays = Arc::new(Notify::new());
    let _watch = a.watch(&user("cay"), cays.clone());
    LogWriter::new("cay").whole_run(1, "t").append_to(&b).await;
    woken(&cays).await;
    assert!(futures::FutureExt::now_or_never(own.notified()).is_none(), "the sender knows");
}

/// A log that moves without a notification.
#[tokio::test]
async fn node_4_a_lost_wake_up_is_found_by_the_poll() {
    let Some(address) = schema().await else { return };
    let journal = node(&address, 500).await;
    LogWriter::new("ann").whole_run(1, "t").append_to(&journal).await;
    let wake = Arc::new(Notify::new());
    let watch = journal.watch(&user("ann"), wake.clone());
    woken(&wake).await;
    let begin = tokio::time::Instant::now();
    execute(&address, "UPDATE users SET fence = fence + 1").await;
    woken(&wake).await;
    eprintln!("a lost wake-up cost {} ms", begin.elapsed().as_millis());
    drop(watch);
}

/// The connection for wake-ups breaks: what was sent meanwhile is lost, so that the next one wakes everyone.
#[tokio::test]
async fn node_4_a_broken_connection_wakes_everyone_once_there_is_another() {
    let Some(address) = schema().await else { return };
    let journal = node(&address, 60_000).await;
    listens(&address, 1).await;
    let wake = Arc::new(Notify::new());
    let _watch = journal.watch(&user("ann"), wake.clone());
    let listeners =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN quintet_' ||
                         (SELECT replace(value, '-', '') FROM meta WHERE name = 'origin')";
    execute(&address, listeners).await;
    woken(&wake).await;
    listens(&address, 1).await;
}

/// AUTH-6: a payload shows that something happened, not to whom and not what.
#[tokio::test]
async fn node_4_payloads_have_no_content() {
    let Some(address) = schema().await else { return };
    let journal = node(&address, 60_000).await;
    let (client, mut connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    let (payloads, mut received) = tokio::sync::mpsc::unbounded_channel();
    let tasks = quintet::runtime::tasks::Tasks::default();
    tasks.spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                payloads.send(notification.payload().to_owned()).unwrap();
            }
        }
    });
    let channel: String = client
        .query_one("SELECT 'quintet_' || replace(value, '-', '') FROM meta WHERE name = 'origin'", &[])
        .await
        .unwrap()
        .get(0);
    client.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
    let mut ann = LogWriter::new("plover@example.org");
    ann.whole_run(1, "t").append_to(&journal).await;
    let payload = received.recv().await.unwrap();
    let (sender, key) = payload.split_once(' ').unwrap();
    assert_eq!(sender, journal.incarnation().0.simple().to_string());
    assert!(key.len() <= 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{payload}");
}
