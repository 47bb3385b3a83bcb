//! Settings below their defaults: an agent's steps within them are legal, and a result over them is an error
//! of its tool, not the end of its run.

use std::sync::Arc;

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError,
    },
    journal::memory::MemoryJournal,
    kernel::{
        entry::{CallStatus, Event, RunStatus, ThoughtKind},
        json::Json,
        limits::Limits,
    },
    user::limits::UserLimits,
};

use crate::stage::{Stage, completion, ending, words};

/// Answers with its message, and calls its tool with it.
struct Echo([Arc<dyn Tool>; 1]);

struct EchoTool;

#[async_trait]
impl Tool for EchoTool {
    fn name(&self) -> &str {
        "echo"
    }

    fn description(&self) -> &str {
        "Returns its parameters, as a result or as an error."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        let text = parameters.to_value()["text"].as_str().unwrap().to_owned();
        if text.starts_with('!') {
            Err(ToolError::user_facing(text))
        } else {
            Ok(Json::from(&serde_json::Value::from(text)))
        }
    }
}

#[async_trait]
impl Agent for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn description(&self) -> &str {
        "Repeats its message."
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.0
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, task.text.clone()).await?;
        let parameters = Json::from(&serde_json::json!({"text": task.text}));
        let (run, _) = run.call(&*self.0[0], parameters).await?;
        Ok(run.answer(task.text).await?.complete().await?)
    }
}

async fn play(kernel: Limits, text: &str) -> Vec<Event> {
    let echo = Echo([Arc::new(EchoTool)]);
    let limits = UserLimits { kernel, ..UserLimits::DEFAULT };
    let stage = Stage::within(
        MemoryJournal::default(),
        AgentRegistry::new(echo, Executor::shared()).unwrap(),
        limits,
    );
    stage.ann().play("echo", text).await
}

#[tokio::test]
async fn thought_is_split_into_pieces_within_the_limits() {
    let text = "é€𝄞 ".repeat(100);
    for delta_bytes_max in [4, 5, 100, 16 * 1024] {
        let events = play(Limits { delta_bytes_max, ..Limits::DEFAULT }, &text).await;
        assert_eq!(ending(&events).0, RunStatus::Succeeded, "{delta_bytes_max}: {:?}", ending(&events));
        assert_eq!(completion(&events).final_response.as_ref(), Some(&text));
    }
}

#[tokio::test]
async fn result_over_the_limits_is_a_tool_error_for_any_limits() {
    for results_bytes_max in [4, 6, 7, 40, 99, 150] {
        for text in ["x".repeat(200), format!("!{}", "é".repeat(100))] {
            let events = play(Limits { results_bytes_max, ..Limits::DEFAULT }, &text).await;
            let what = format!("{results_bytes_max}: {:?} {:?}", words(&events), ending(&events));
            assert_eq!(ending(&events).0, RunStatus::Succeeded, "{what}");
            let closed = events.iter().find_map(|event| match event {
                Event::ToolCompleted { result, .. } => Some(result),
                _ => None,
            });
            let closed = closed.expect("the call is closed");
            assert_eq!(closed.status, CallStatus::Error, "{what}");
            let bytes = closed.results.as_str().len() + closed.error.as_ref().unwrap().len();
            assert!(bytes <= results_bytes_max, "{what}");
        }
    }
}
