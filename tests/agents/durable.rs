//! Order of durability and effects: no tool acts before its call is durable, and no result is visible before
//! it is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError,
    },
    journal::memory::MemoryJournal,
    kernel::{
        entry::{Event, RunStatus, ThoughtKind},
        json::Json,
    },
};
use tokio::sync::Notify;

use crate::stage::{Stage, ending};

#[derive(Clone, Default)]
struct Signs {
    go: Arc<Notify>,
    invoked: Arc<AtomicBool>,
    acting: Arc<Notify>,
    result_seen: Arc<AtomicBool>,
}

/// A tool that holds back appends once it acts.
struct Marked(Signs, MemoryJournal);

#[async_trait]
impl Tool for Marked {
    fn name(&self) -> &str {
        "marked"
    }

    fn description(&self) -> &str {
        "Leaves a mark."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    async fn invoke(&self, _: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        self.0.invoked.store(true, Ordering::SeqCst);
        self.1.pause_appends();
        self.0.acting.notify_one();
        Ok(Json::null())
    }
}

struct Caller(Signs, [Arc<dyn Tool>; 1]);

#[async_trait]
impl Agent for Caller {
    fn name(&self) -> &str {
        "caller"
    }

    fn description(&self) -> &str {
        "Calls one tool when released."
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        self.0.go.notified().await;
        let (run, _) = run.call(&*self.1[0], Json::empty_object()).await?;
        self.0.result_seen.store(true, Ordering::SeqCst);
        Ok(run.complete().await?)
    }
}

#[tokio::test]
async fn run_9_tool_acts_after_its_call_is_durable_and_result_is_visible_after_it_is_durable() {
    let (journal, signs) = (MemoryJournal::default(), Signs::default());
    let caller = Caller(signs.clone(), [Arc::new(Marked(signs.clone(), journal.clone()))]);
    let stage = Stage::over(journal.clone(), AgentRegistry::new(caller, Executor::shared()).unwrap());
    let mut run = stage.ann().send("caller", "go").await;
    run.until(|event| matches!(event, Event::Thinking(_))).await;

    journal.pause_appends();
    signs.go.notify_one();
    journal.appends_held(1).await;
    assert!(!signs.invoked.load(Ordering::SeqCst), "tool_executing is not durable yet");
    journal.release_appends();

    signs.acting.notified().await;
    journal.appends_held(1).await;
    assert!(!signs.result_seen.load(Ordering::SeqCst), "tool_completed is not durable yet");
    journal.release_appends();
    assert_eq!(ending(&run.finish().await).0, RunStatus::Succeeded);
    assert!(signs.result_seen.load(Ordering::SeqCst));
}
