//! ISO-6 in bytes: the bytes of a user per day, and the free space of the disk. Accepted runs end all the
//! same (RUN-6).

use std::{future::Future, sync::Arc};

use quintet::{
    agent::host::{RunEnded, RunHandle},
    journal::memory::MemoryJournal,
    kernel::{
        entry::{CallOwner, CallResult, ThoughtKind},
        json::Json,
        user::{NewMessage, Refusal},
    },
    observer::NoObserver,
    runtime::saturation::{Saturation, Scope},
    user::{factory::Factory, handle::RequestError, limits::UserLimits, room::Room},
};

use crate::manual_agents::*;

const DAY: u64 = 1_000_000;
const LIMIT: RunEnded = RunEnded::LimitReached("user_bytes_per_day_max");

fn limits() -> UserLimits {
    let mut limits = UserLimits::DEFAULT;
    limits.hub.user_bytes_per_day_max = DAY;
    limits
}

fn node(journal: &Arc<MemoryJournal>) -> Node {
    Node::with(journal, limits(), true)
}

fn long(message_id: &str, thread_id: &str) -> NewMessage {
    NewMessage { text: "x".repeat(60_000), ..message(message_id, thread_id) }
}

/// Thinks until it is stopped; returns the number of accepted bytes, and the reason.
async fn floods(handle: &RunHandle) -> (u64, RunEnded) {
    let mut bytes = 0;
    loop {
        match handle.take(thought(ThoughtKind::Reasoning, &"y".repeat(60_000))).await {
            Ok(()) => bytes += 60_000,
            Err(why) => return (bytes, why),
        }
        assert!(bytes < 10 * DAY, "nothing stops it");
    }
}

async fn log_bytes(user: &quintet::user::handle::User) -> u64 {
    user.entries(quintet::kernel::ids::Offset::ZERO, ALL).await.unwrap().as_bytes().len() as u64
}

#[tokio::test(start_paused = true)]
async fn iso_6_only_the_flooding_user_is_refused() {
    let mut node = node(&Arc::new(MemoryJournal::default()));
    let (ann, ben) = (node.user("ann"), node.user("ben"));
    let mut sent = 0;
    let refused = loop {
        match ann.send(long(&format!("m{sent}"), &format!("t{sent}"))).await {
            Ok(_) => sent += 1,
            Err(why) => break why,
        }
        answer(&node.launched().await.handle, "done").await;
        assert!(sent < 100, "nothing stops it");
    };
    let RequestError::LimitReached { limit: "user_bytes_per_day_max", retry_after_ms } = refused else {
        panic!("{refused:?}");
    };
    assert!((1..86_400_000).contains(&retry_after_ms), "{retry_after_ms}");
    assert!(log_bytes(&ann).await < DAY, "the rest is for runs that are open");
    // An accepted message is answered as before (DEL-6), and another user is not affected.
    assert!(ann.send(long("m0", "t0")).await.unwrap().duplicate);
    ben.send(long("m0", "t0")).await.unwrap();
    answer(&node.launched().await.handle, "done").await;
}

#[tokio::test(start_paused = true)]
async fn iso_6_flooding_agent_is_stopped_and_its_run_ends() {
    let mut node = node(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    ann.send(message("m2", "u")).await.unwrap();
    ann.send(message("m3", "v")).await.unwrap();
    let (flood, asks, other) = (node.launched().await, node.launched().await, node.launched().await);
    asks.handle.take(thought(ThoughtKind::Reasoning, "?")).await.unwrap();
    asks.handle.take(open("c", "ask", CallOwner::Client)).await.unwrap();
    other.handle.take(thought(ThoughtKind::Answer, "here")).await.unwrap();
    let (bytes, why) = floods(&flood.handle).await;
    assert_eq!(why, LIMIT);
    assert!(bytes > DAY / 2 && log_bytes(&ann).await < DAY + 70_000, "one step at most is over it");
    // A question stays open rather than lose its run; a run about to end may end.
    let answered = ann.answer(asks.run_id, call("c"), CallResult::ok(Json::null())).await;
    assert!(matches!(answered, Err(RequestError::LimitReached { .. })), "{answered:?}");
    other.handle.take(succeed()).await.unwrap();
    ann.cancel(asks.run_id).await.unwrap();
    let told = words(&log(&ann).await);
    assert_eq!(told[told.len() - 4..], ["Failed", "Succeeded", "completed:c:Cancelled", "Cancelled"]);
    assert!(matches!(ann.send(message("m4", "t")).await, Err(RequestError::LimitReached { .. })));
}

/// A restart or the end of the user's machines does not reset the day; time does.
#[tokio::test(start_paused = true)]
async fn iso_6_restart_does_not_reset_the_day() {
    let journal = Arc::new(MemoryJournal::default());
    let mut before = node(&journal);
    before.user("ann").send(message("m1", "t")).await.unwrap();
    assert_eq!(floods(&before.launched().await.handle).await.1, LIMIT);
    drop(before);
    let after = node(&journal);
    let refused = after.user("ann").send(message("m2", "t")).await;
    assert!(matches!(refused, Err(RequestError::LimitReached { .. })), "{refused:?}");
    let unlimited = Node::new(&journal);
    unlimited.user("ann").send(message("m3", "t")).await.unwrap();
}

#[tokio::test]
async fn iso_6_bytes_are_not_counted_without_a_limit() {
    let mut limits = limits();
    limits.hub.user_bytes_per_day_max = 0;
    let mut node = Node::with(&Arc::new(MemoryJournal::default()), limits, true);
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    for _ in 0..40 {
        run.handle.take(thought(ThoughtKind::Reasoning, &"y".repeat(60_000))).await.unwrap();
    }
    answer(&run.handle, "done").await;
}

#[tokio::test]
async fn iso_6_nearly_full_disk_accepts_no_message_and_lets_runs_end() {
    let mut node = Node::new(&Arc::new(MemoryJournal::default()));
    let ann = node.user("ann");
    ann.send(message("m1", "t")).await.unwrap();
    let run = node.launched().await;
    node.factory.set_room(Room::Low);
    let refused = ann.send(message("m2", "u")).await;
    assert!(matches!(refused, Err(RequestError::DiskNearlyFull { .. })), "{refused:?}");
    assert!(ann.send(message("m1", "t")).await.unwrap().duplicate, "it is accepted already");
    run.handle.take(thought(ThoughtKind::Answer, "still ")).await.unwrap();
    run.handle.take(open("c", "tool", CallOwner::Agent)).await.unwrap();
    run.handle.take(close("c")).await.unwrap();
    answer(&run.handle, "here").await;
    node.factory.set_room(Room::Enough);
    ann.send(message("m2", "u")).await.unwrap();
    let run = node.launched().await;
    run.handle.take(thought(ThoughtKind::Answer, "done")).await.unwrap();
    ann.send(message("m3", "v")).await.unwrap();
    let flood = node.launched().await;
    node.factory.set_room(Room::Reserved);
    let stopped = flood.handle.take(thought(ThoughtKind::Reasoning, "more")).await;
    assert_eq!(stopped, Err(RunEnded::LimitReached("disk_free_bytes_min")));
    run.handle.take(succeed()).await.unwrap();
    let told = words(&log(&ann).await);
    assert_eq!(told[told.len() - 2..], ["Failed", "Succeeded"]);
}

#[tokio::test]
async fn iso_6_each_limit_of_the_users_machines_reports_its_refusals() {
    let mut limits = limits();
    (limits.kernel.open_runs_max, limits.kernel.queued_messages_max) = (3, 1);
    limits.kernel.delta_bytes_max = 10;
    let (to_stage, mut stage) = tokio::sync::mpsc::unbounded_channel();
    let saturation = Saturation::default();
    let agents = Arc::new(ManualAgents::new(to_stage));
    let journal = Arc::new(MemoryJournal::default());
    let factory =
        Factory::observed(journal.clone(), agents, limits, Arc::new(NoObserver), saturation.clone());
    let ann = factory.attach(&quintet::kernel::ids::UserId::parse("ann").unwrap());
    ann.send(message("m1", "t")).await.unwrap();
    ann.send(message("m2", "t")).await.unwrap();
    let refused = Err(RequestError::Refused(Refusal::LimitReached("queued_messages_max")));
    assert_eq!(ann.send(message("m3", "t")).await, refused);
    assert_eq!(saturation.current(), [("queued_messages_max", Scope::User)]);
    ann.send(message("m4", "u")).await.unwrap();
    assert!(ann.send(message("m5", "v")).await.is_err());
    assert!(saturation.current().contains(&("open_runs_max", Scope::User)));

    let run = stage.recv().await.unwrap();
    assert!(run.handle.take(thought(ThoughtKind::Answer, "longer than ten")).await.is_err());
    assert!(saturation.current().contains(&("delta_bytes_max", Scope::User)));

    factory.set_room(Room::Low);
    assert!(ann.send(message("m6", "w")).await.is_err());
    assert!(saturation.current().contains(&("disk_free_bytes_min", Scope::Service)));
    factory.set_room(Room::Enough);

    // The hub waits for the journal, and its inbox fills.
    journal.pause_appends();
    let requests = (0..80).map(|n| ann.send(message(&format!("q{n}"), "x")));
    let mut requests: Vec<_> = requests.map(Box::pin).collect();
    let overloaded = futures::future::poll_fn(|cx| {
        let polled = requests.iter_mut().map(|request| request.as_mut().poll(cx));
        let refused =
            polled.filter(|answer| matches!(answer, std::task::Poll::Ready(Err(RequestError::Overloaded))));
        std::task::Poll::Ready(refused.count())
    });
    assert!(overloaded.await > 0);
    assert!(saturation.current().contains(&("hub_requests_max", Scope::User)));
    journal.release_appends();
}
