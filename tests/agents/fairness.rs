//! One user at full load beside another (ISO-6): measured in turns and in runs, not in time.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentLimits, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError, rehearsal::Rehearsal,
    },
    assistant::tools::search_history::{STEP_BYTES_MAX, SearchHistory},
    journal::memory::MemoryJournal,
    kernel::{
        entry::{Event, RunStatus, ThoughtKind},
        ids::{AgentName, MessageId, RunId, ThreadId},
        json::Json,
        user::{NewMessage, OnBusy},
    },
    service::built_in,
    user::limits::UserLimits,
};

use crate::stage::{Stage, Talk, completion, ending};

/// An agent that computes, searches or waits, as its message requests, and counts.
struct Worker {
    counts: Arc<Counts>,
    tools: [Arc<dyn Tool>; 1],
}

#[derive(Default)]
struct Counts {
    /// Turns that computing runs have taken.
    turns: AtomicUsize,
    /// Polls of searches.
    polls: AtomicUsize,
    /// Releases runs that compute or hold their thread.
    released: AtomicBool,
}

/// The search tool with a count of its polls.
struct Counted(SearchHistory, Arc<Counts>);

#[async_trait]
impl Tool for Counted {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn description(&self) -> &str {
        self.0.description()
    }

    fn parameters_schema(&self) -> serde_json::Value {
        self.0.parameters_schema()
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        let mut work = pin!(self.0.invoke(parameters, context));
        poll_fn(|context| {
            self.1.polls.fetch_add(1, Ordering::Relaxed);
            work.as_mut().poll(context)
        })
        .await
    }
}

#[async_trait]
impl Agent for Worker {
    fn name(&self) -> &str {
        "worker"
    }

    fn description(&self) -> &str {
        "Works."
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        match task.text.split_once(' ').map_or(task.text.as_str(), |(first, _)| first) {
            "compute" => {
                while !self.counts.released.load(Ordering::SeqCst) {
                    self.counts.turns.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
            "hold" => {
                while !self.counts.released.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
            }
            "hang" => std::future::pending().await,
            "search" => {
                let query = Json::from(&serde_json::json!({"query": &task.text["search ".len()..]}));
                let (run, result) = run.call(&*self.tools[0], query).await?;
                return Ok(run.answer(result.results.as_str().to_owned()).await?.complete().await?);
            }
            _ => {}
        }
        Ok(run.complete().await?)
    }
}

struct Scenario {
    stage: Stage,
    counts: Arc<Counts>,
}

fn scenario(executor: Executor, limits: UserLimits) -> Scenario {
    let counts = Arc::new(Counts::default());
    let search: Arc<dyn Tool> = Arc::new(Counted(SearchHistory::new(&AgentLimits::DEFAULT), counts.clone()));
    let agents = built_in(executor)
        .with(Rehearsal)
        .unwrap()
        .with(Worker { counts: counts.clone(), tools: [search] })
        .unwrap();
    Scenario { stage: Stage::within(MemoryJournal::default(), agents, limits), counts }
}

/// Sends a message on a thread of its own, so that it does not wait for an earlier one.
async fn send(talk: &Talk, agent: &str, n: usize, text: String) -> RunId {
    let message = NewMessage {
        message_id: MessageId::parse(&format!("{agent}-{n}")).unwrap(),
        thread_id: ThreadId::parse(&format!("{agent}-{n}")).unwrap(),
        text,
        agent_name: Some(AgentName::parse(agent).unwrap()),
        on_busy: OnBusy::Enqueue,
        parent: None,
    };
    talk.user.send(message).await.unwrap().receipt.run_id
}

/// The result of the worker's search.
fn results(events: &[Event]) -> serde_json::Value {
    serde_json::from_str(completion(events).final_response.as_deref().unwrap()).unwrap()
}

/// A text of `bytes` bytes, unlike any other.
fn long_text(n: usize, bytes: usize) -> String {
    format!("text{n} ") + &"lorem ipsum ".repeat(bytes / 12 - 2)
}

/// 200 runs of one user that compute without end take few turns while another user's run completes.
#[tokio::test]
async fn iso_6_turns_are_shared_by_users_not_by_runs() {
    let Scenario { stage, counts } = scenario(Executor::shared(), UserLimits::DEFAULT);
    let (ann, mut bob) = (stage.ann(), stage.user("bob"));
    for n in 0..200 {
        send(&ann, "worker", n, "compute".into()).await;
    }
    while counts.turns.load(Ordering::SeqCst) < 1_000 {
        tokio::task::yield_now().await;
    }
    let before = counts.turns.load(Ordering::SeqCst);
    let events = bob.play("rehearsal", r#"{"steps":[{"think":"x"},{"answer":"fine"}]}"#).await;
    let taken = counts.turns.load(Ordering::SeqCst) - before;
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
    assert!(taken < 400, "{taken} turns were taken beside the run of another user");
    counts.released.store(true, Ordering::SeqCst);
}

/// A user with 50 long texts and 64 searches over them: another user's run takes its turns between
/// theirs.
#[tokio::test]
async fn iso_6_searches_over_long_texts_delay_no_other_user() {
    let Scenario { stage, counts } = scenario(Executor::shared(), UserLimits::DEFAULT);
    let (ann, mut bob) = (stage.ann(), stage.user("bob"));
    for n in 0..50 {
        send(&ann, "worker", n, long_text(n, 64 * 1024 - 64)).await;
    }
    stage.factory.idle().await;
    for n in 200..264 {
        send(&ann, "worker", n, format!("search {n}{}b", "a".repeat(40_000))).await;
    }
    let polls = || counts.polls.load(Ordering::Relaxed);
    while polls() == 0 {
        tokio::task::yield_now().await;
    }
    let before = polls();
    let events = bob.play("rehearsal", r#"{"steps":[{"think":"x"},{"answer":"fine"}]}"#).await;
    let taken = polls() - before;
    assert_eq!(ending(&events).0, RunStatus::Succeeded);
    assert!(taken < 100, "searches were polled {taken} times beside the run of another user");
    stage.factory.idle().await;
    assert!(polls() > 64 * 50 / 2, "the searches still run");
}

/// A run that waits in line behind a run of its own user for longer than `step_timeout_ms` does not time out for
/// it.
#[tokio::test]
async fn iso_6_waiting_for_a_turn_does_not_count_as_step_time() {
    let mut limits = UserLimits::DEFAULT;
    limits.deadlines.step_timeout_ms = 200;
    let Scenario { stage, counts } = scenario(Executor::threads().unwrap(), limits);
    let (ann, mut bob) = (stage.ann(), stage.user("bob"));
    let mut holds = ann.watch(send(&ann, "worker", 0, "hold".into()).await).await;
    holds.until(|event| matches!(event, Event::Thinking(_))).await;
    let waits = ann.watch(send(&ann, "worker", 1, "nothing".into()).await).await;
    // Both of these take longer than the limit of a step, one after the other.
    assert_eq!(ending(&holds.finish().await).1, "step_timeout");
    assert_eq!(ending(&bob.play("worker", "hang").await).1, "step_timeout");
    counts.released.store(true, Ordering::SeqCst);
    assert_eq!(ending(&waits.finish().await).0, RunStatus::Succeeded);
}

#[tokio::test]
async fn iso_6_a_search_yields_and_ends_within_its_bytes() {
    let Scenario { stage, counts } = scenario(Executor::shared(), UserLimits::DEFAULT);
    let ann = stage.ann();
    for n in 0..40 {
        send(&ann, "worker", n, long_text(n, 60_000)).await;
    }
    stage.factory.idle().await;
    let run_id = send(&ann, "worker", 40, "search nowhere".into()).await;
    let found = results(&ann.watch(run_id).await.finish().await);
    assert_eq!(found["complete"], true);
    let (polls, steps) = (counts.polls.load(Ordering::Relaxed), 40 * 60_000 / STEP_BYTES_MAX / 2);
    assert!(polls >= steps, "{polls} polls for 2.4 MB");

    let limits = AgentLimits { search_bytes_max: 500_000, ..AgentLimits::DEFAULT };
    let agents = built_in(Executor::shared_within(limits)).with(Rehearsal).unwrap();
    let stage = Stage::with(agents);
    let mut ann = stage.ann();
    for n in 0..20 {
        send(&ann, "assistant", n, long_text(n, 60_000)).await;
    }
    stage.factory.idle().await;
    let events = ann.play("assistant", "search for nowhere").await;
    let closed = events.iter().find_map(|event| match event {
        Event::ToolCompleted { result, .. } => Some(result.results.to_value()),
        _ => None,
    });
    let found = closed.unwrap();
    assert_eq!(found["complete"], false, "{found}");
    assert!(found["entries_read"].as_u64().unwrap() < ann.log().await.len() as u64 - 10, "{found}");
}

/// Every entry before the run is read once, for any sizes and page ends.
#[tokio::test]
async fn search_reads_every_entry_once() {
    let Scenario { stage, .. } = scenario(Executor::shared(), UserLimits::DEFAULT);
    let ann = stage.ann();
    let sizes = [100, 60_000, 40_000, 100, 200, 64_000, 64_000, 64_000, 64_000, 64_000, 64_000, 100];
    for n in 0..300 {
        let bytes = if n < 48 { sizes[n % sizes.len()] } else { 0 };
        send(&ann, "worker", n, long_text(n, bytes + 60)).await;
        stage.factory.idle().await;
        if n % 100 == 3 {
            for word in [0, n / 2, n] {
                let before = ann.log().await.len();
                let run_id =
                    send(&ann, "worker", 1_000 * n + word + 1_000, format!("search text{word}")).await;
                let found = results(&ann.watch(run_id).await.finish().await);
                // The entries up to the asking message, and that message.
                assert_eq!(found["entries_read"], before + 1, "{found}");
                assert_eq!((&found["complete"], &found["matches"][0]["who"]), (&true.into(), &"user".into()));
            }
        }
    }
}

#[tokio::test]
async fn search_does_not_find_answers_of_earlier_searches() {
    let mut ann = Stage::new().ann();
    ann.play("rehearsal", r#"{"steps":[{"answer":"A walrus has tusks."}]}"#).await;
    for _ in 0..3 {
        let events = ann.play("assistant", "search for walrus").await;
        let said = completion(&events).final_response.clone().unwrap();
        assert!(!said.contains("nothing about") && !said.contains("I said “You"), "{said}");
        let found = events.iter().find_map(|event| match event {
            Event::ToolCompleted { result, .. } => Some(result.results.to_value()),
            _ => None,
        });
        let found = found.unwrap();
        let agents: Vec<_> =
            found["matches"].as_array().unwrap().iter().filter(|found| found["who"] == "agent").collect();
        assert_eq!(agents.len(), 1, "{found}");
        assert_eq!(agents[0]["excerpt"], "A walrus has tusks.");
    }
}
