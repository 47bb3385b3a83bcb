//! Agents that misbehave: the run ends for each way in which its agent stops, and other users are not affected
//! (RUN-6).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError, call::CALL_TIMEOUT_MS, host::AgentLauncher, rehearsal::Rehearsal,
    },
    journal::memory::MemoryJournal,
    kernel::{
        entry::{Event, RunStatus, ThoughtKind},
        ids::{AgentName, ToolName},
        json::Json,
    },
    service::built_in,
    user::limits::UserLimits,
};
use tokio::sync::Notify;

use crate::stage::{Stage, ending, words};

/// An agent that misbehaves as its message requests.
struct Rogue {
    /// Set when the agent's future is dropped.
    dropped: Arc<Notify>,
    /// Ends the busy loop.
    released: Arc<AtomicBool>,
    tools: [Arc<dyn Tool>; 1],
}

/// A tool that misbehaves as its parameters request.
struct RogueTool(Arc<AtomicU32>);

struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Tool for RogueTool {
    fn name(&self) -> &str {
        "rogue"
    }

    fn description(&self) -> &str {
        "Misbehaves."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match parameters.to_value()["do"].as_str() {
            Some("panic") => panic!("tool: {}", context.call_id),
            Some("hang") => std::future::pending().await,
            _ => Ok(Json::from(&serde_json::json!({"call": context.call_id}))),
        }
    }
}

#[async_trait]
impl Agent for Rogue {
    fn name(&self) -> &str {
        "rogue"
    }

    fn description(&self) -> &str {
        "Misbehaves."
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let _dropped = Dropped(self.dropped.clone());
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let tool = &*self.tools[0];
        match task.text.as_str() {
            "give up" => Err(AgentError::user_facing("I give up")),
            "give up with a call open" => {
                let (_run, _call) = run.open(tool.name(), Json::empty_object()).await?;
                Err(AgentError::user_facing("x".repeat(100_000)))
            }
            "panic with a call open" => {
                let (_run, _call) = run.open(tool.name(), Json::empty_object()).await?;
                panic!("a literal");
            }
            "panic with a secret" => panic!("the password is {}", task.text),
            "panic in a helper task" => {
                drop(run);
                panic!("after the run was dropped");
            }
            "forget the run" => std::future::pending().await,
            "busy loop" => {
                while !self.released.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                Ok(run.complete().await?)
            }
            tools => {
                let calls = tools.split(' ').map(|what| (tool, Json::from(&serde_json::json!({"do": what}))));
                let (run, results) = run.call_all(calls).await?;
                let statuses: Vec<_> = results.iter().map(|result| format!("{:?}", result.status)).collect();
                Ok(run.answer(statuses.join(" ")).await?.complete().await?)
            }
        }
    }
}

struct Scenario {
    stage: Stage,
    dropped: Arc<Notify>,
    released: Arc<AtomicBool>,
    invoked: Arc<AtomicU32>,
}

fn scenario(executor: Executor, limits: UserLimits) -> Scenario {
    let (dropped, released, invoked): (Arc<Notify>, Arc<AtomicBool>, Arc<AtomicU32>) = Default::default();
    let tool: Arc<dyn Tool> = Arc::new(RogueTool(invoked.clone()));
    let rogue = Rogue { dropped: dropped.clone(), released: released.clone(), tools: [tool] };
    let agents = AgentRegistry::new(rogue, executor).unwrap().with(Rehearsal).unwrap();
    Scenario { stage: Stage::within(MemoryJournal::default(), agents, limits), dropped, released, invoked }
}

async fn ended(text: &str) -> Vec<Event> {
    scenario(Executor::shared(), UserLimits::DEFAULT).stage.ann().play("rogue", text).await
}

#[tokio::test(start_paused = true)]
async fn run_7_open_call_is_closed_when_its_agent_stops() {
    let events = ended("panic with a call open").await;
    assert_eq!(words(&events)[2..], ["open:c1", "cancelled:c1", "failed"]);
    assert_eq!(ending(&events), (RunStatus::Failed, "agent_panic".into(), "a literal".into()));
    let events = ended("give up with a call open").await;
    assert_eq!(words(&events)[2..], ["open:c1", "cancelled:c1", "failed"]);
    assert!(ending(&events).2.len() < 5000, "the message is bounded");
}

#[tokio::test(start_paused = true)]
async fn agent_that_gives_up_ends_with_its_reason() {
    assert_eq!(
        ending(&ended("give up").await),
        (RunStatus::Failed, "agent_error".into(), "I give up".into())
    );
}

#[tokio::test(start_paused = true)]
async fn panic_message_is_not_sent_to_the_client() {
    let events = ended("panic with a secret").await;
    assert_eq!(ending(&events), (RunStatus::Failed, "agent_panic".into(), "the agent panicked".into()));
}

#[tokio::test(start_paused = true)]
async fn run_6_panic_after_the_run_was_dropped_ends_it() {
    assert_eq!(ending(&ended("panic in a helper task").await).0, RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn panic_or_hang_of_a_tool_is_its_result() {
    let scenario = scenario(Executor::shared(), UserLimits::DEFAULT);
    let events = scenario.stage.ann().play("rogue", "panic fine hang").await;
    let (status, _, _) = ending(&events);
    assert_eq!(status, RunStatus::Succeeded);
    let closed = [&words(&events)[5..8], &[]].concat();
    assert!(closed.contains(&"error:c1".into()) && closed.contains(&"ok:c2".into()), "{closed:?}");
    assert_eq!(closed[2], "timedout:c3", "after {CALL_TIMEOUT_MS} ms");
    assert_eq!(scenario.invoked.load(Ordering::SeqCst), 3);
    assert!(!format!("{events:?}").contains("tool: c1"), "the panic message is not sent to the client");
}

#[tokio::test(start_paused = true)]
async fn run_that_ends_early_drops_its_agent() {
    let scenario = scenario(Executor::shared(), UserLimits::DEFAULT);
    let mut ann = scenario.stage.ann();
    let mut run = ann.send("rogue", "forget the run").await;
    run.until(|event| matches!(event, Event::Thinking(_))).await;
    ann.user.cancel(run.run_id).await.unwrap();
    assert_eq!(ending(&run.finish().await).0, RunStatus::Cancelled);
    scenario.dropped.notified().await;
}

/// ISO-6: a busy loop holds one of the agents' threads; its own run ends at its deadline, and another user's
/// run completes meanwhile.
#[tokio::test]
async fn iso_6_agent_in_a_busy_loop_delays_no_other_user() {
    let mut limits = UserLimits::DEFAULT;
    limits.deadlines.step_timeout_ms = 200;
    let scenario = scenario(Executor::threads().unwrap(), limits);
    let mut run = scenario.stage.ann().send("rogue", "busy loop").await;
    run.until(|event| matches!(event, Event::Thinking(_))).await;
    let other = scenario.stage.user("bob").play("rehearsal", r#"{"steps":[{"answer":"fine"}]}"#).await;
    assert_eq!(ending(&other).0, RunStatus::Succeeded);
    let (status, code, _) = ending(&run.finish().await);
    assert_eq!((status, code.as_str()), (RunStatus::TimedOut, "step_timeout"));
    scenario.released.store(true, Ordering::SeqCst);
    scenario.dropped.notified().await;
}

/// Dropping the directory while an agent never yields returns at once.
#[tokio::test]
async fn agent_threads_end_in_the_background() {
    let scenario = scenario(Executor::threads().unwrap(), UserLimits::DEFAULT);
    let mut run = scenario.stage.ann().send("rogue", "busy loop").await;
    run.until(|event| matches!(event, Event::Thinking(_))).await;
    drop((run, scenario.stage));
    scenario.released.store(true, Ordering::SeqCst);
    scenario.dropped.notified().await;
}

#[test]
fn run_9_only_a_declared_tool_is_idempotent() {
    let agents = built_in(Executor::shared()).with(Rehearsal).unwrap();
    let idempotent = |agent: &str, tool: &str| {
        agents.is_idempotent(&AgentName::parse(agent).unwrap(), &ToolName::parse(tool).unwrap())
    };
    assert!(["calculate", "current_time", "search_history"].iter().all(|tool| idempotent("assistant", tool)));
    assert!(
        !idempotent("assistant", "x") && !idempotent("rehearsal", "calculate") && !idempotent("nobody", "x")
    );
    assert!(
        agents.find(&AgentName::parse("rehearsal").unwrap()).is_some_and(|treatment| treatment.resumable)
    );
    assert!(built_in(Executor::shared()).find(&AgentName::parse("rehearsal").unwrap()).is_none());
    assert_eq!(agents.default_agent().as_str(), "assistant");
}
