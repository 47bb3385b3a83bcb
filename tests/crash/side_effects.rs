//! Tools with an effect that the service cannot undo: a line in a file, written by a process that is killed
//! at random instants. Every call has at most one effect, a completed one has exactly one, and every effect
//! belongs to a call in the log (RUN-9).
//!
//! The process is this test, run as a whole service with its own agents: `ledger` resumes runs after a crash,
//! `brittle` does not.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Thinking, Tool,
        ToolContext, ToolError,
    },
    kernel::{entry::ThoughtKind, json::Json},
};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    campaign::kill_and_judge,
    child,
    context::{CampaignContext, setting},
    crowd::Crowd,
    ends::audit,
    ledger::Ledger,
    planned_message::{Expect, ExpectedCall, PlannedMessage, place},
};

const FOLDER: &str = "QUINTET_CAMPAIGN_LEDGER";

/// The file that the tools write to.
const LEDGER: &str = "ledger";

/// A tool whose effect is a line.
struct Append {
    name: &'static str,
    idempotent: bool,
    ledger: PathBuf,
}

#[async_trait]
impl Tool for Append {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        "Writes a line that cannot be undone."
    }

    fn parameters_schema(&self) -> Value {
        json!({"type": "object"})
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        let parameters = parameters.to_value();
        let pause = || Duration::from_millis(parameters["pause_ms"].as_u64().unwrap_or_default());
        // A kill may come before the effect, or after it and before the result is recorded.
        tokio::time::sleep(pause()).await;
        let run_id = parameters["run_id"].as_str().unwrap_or_default();
        let line = format!("{run_id} {}\n", context.call_id);
        let mut file = OpenOptions::new().append(true).create(true).open(&self.ledger).unwrap();
        file.write_all(line.as_bytes()).unwrap();
        tokio::time::sleep(pause()).await;
        Ok(Json::from(&json!({"written": line.trim()})))
    }
}

/// An agent that makes the calls of its message: groups of calls, in parallel within a group.
struct Clerk {
    name: &'static str,
    resumable: bool,
    tools: [Arc<dyn Tool>; 2],
}

impl Clerk {
    fn new(name: &'static str, resumable: bool, folder: &Path) -> Self {
        let append = |name, idempotent| Append { name, idempotent, ledger: folder.join(LEDGER) };
        Self { name, resumable, tools: [Arc::new(append("append", false)), Arc::new(append("assert", true))] }
    }

    async fn group(
        &self,
        run: Run<Thinking>,
        task: &Task,
        group: &Value,
    ) -> Result<Run<Thinking>, AgentError> {
        let calls = group.as_array().into_iter().flatten().map(|call| {
            let tool = &*self.tools[usize::from(call["tool"] == "assert")];
            let pause_ms = &call["pause_ms"];
            (tool, Json::from(&json!({"run_id": task.run_id.to_string(), "pause_ms": pause_ms})))
        });
        let (run, results) = run.call_all(calls).await?;
        Ok(run.answer(format!("{} done. ", results.len())).await?)
    }
}

#[async_trait]
impl Agent for Clerk {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        "Makes the calls of its message, once."
    }

    fn resumable(&self) -> bool {
        self.resumable
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let groups: Value =
            serde_json::from_str(&task.text).map_err(|error| AgentError::user_facing(error.to_string()))?;
        let mut run = run.think(ThoughtKind::Reasoning, "I do as I am told. ").await?;
        for group in groups.as_array().into_iter().flatten() {
            run = self.group(run, &task, group).await?;
        }
        Ok(run.complete().await?)
    }
}

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "the child of another test"]
fn child_that_serves_until_it_is_killed() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    child::serve(&folder, child::often_killed(), || {
        AgentRegistry::new(Clerk::new("ledger", true, &folder), Executor::threads().unwrap())
            .unwrap()
            .with(Clerk::new("brittle", false, &folder))
            .unwrap()
    });
}

/// Groups of calls, for either agent.
fn planned(_: &str, number: usize, rng: &mut StdRng) -> PlannedMessage {
    let (mut calls, mut groups, mut answer) = (BTreeMap::new(), Vec::new(), String::new());
    for _ in 0..rng.random_range(1..4) {
        let group: Vec<Value> = (0..rng.random_range(1..4))
            .map(|_| {
                let tool = if rng.random_bool(0.3) { "assert" } else { "append" };
                let expected =
                    ExpectedCall { by: "agent", tool_name: tool.to_owned(), status: "ok", results: None };
                calls.insert(format!("c{}", calls.len() + 1), expected);
                json!({"tool": tool, "pause_ms": rng.random_range(0..8)})
            })
            .collect();
        answer.push_str(&format!("{} done. ", group.len()));
        groups.push(group);
    }
    let (thread_id, on_busy) = place(rng);
    let breaks = rng.random_bool(0.25);
    PlannedMessage {
        message_id: format!("m-{number}"),
        thread_id,
        agent_name: if breaks { "brittle" } else { "ledger" },
        text: json!(groups).to_string(),
        on_busy,
        expect: Expect {
            status: "succeeded",
            reasoning: Some("I do as I am told. ".to_owned()),
            answer: Some(answer),
            calls: Some(calls),
            breaks,
            ..Expect::default()
        },
        cancels: rng.random_bool(0.05),
    }
}

/// The number of effects of each call of a run.
type Effects = BTreeMap<(String, String), usize>;

#[tokio::test]
async fn run_9_call_has_at_most_one_effect_under_random_kills() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let kills = setting("QUINTET_CAMPAIGN_KILLS").unwrap_or(20);
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(4);
    let context = CampaignContext::new("ledger campaign");
    let folder = TempDir::new().unwrap();
    let crowd = Crowd::new(&context, users as usize, planned);
    let tally = kill_and_judge(&context, &crowd, kills, || {
        child::command("side_effects::child_that_serves_until_it_is_killed", FOLDER, folder.path())
    })
    .await;
    audit(&context, folder.path());

    let mut effects = Effects::new();
    for line in fs::read_to_string(folder.path().join(LEDGER)).unwrap().lines() {
        let (run_id, call_id) = line.split_once(' ').unwrap();
        *effects.entry((run_id.to_owned(), call_id.to_owned())).or_default() += 1;
    }
    let lines: usize = effects.values().sum();
    let mut again = 0;
    for ledger in &crowd.books {
        again += account(&ledger.borrow(), &mut effects);
    }
    for (call, count) in &effects {
        context.found(format!("{call:?} had {count} effects, and is in no log (RUN-9)"));
    }
    context.look();

    eprintln!(
        "{kills} kills, {users} users, {lines} effects, {again} repeated by idempotent tools: {tally:?}"
    );
    assert!(lines as u64 > kills, "a campaign without effects shows nothing");
    assert!(tally.unknown_calls > 0 && tally.interrupted > 0, "{tally:?}");
}

/// Takes the effects of one user's calls out of the ledger; returns how many were repeated, by tools that
/// may.
fn account(ledger: &Ledger, effects: &mut Effects) -> usize {
    let mut again = 0;
    let mut tools = BTreeMap::new();
    for text in &ledger.log {
        let entry: Value = serde_json::from_str(text).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let call = (text("run_id"), text("call_id"));
        match entry["type"].as_str() {
            Some("tool_executing") => {
                tools.insert(call, text("tool_name"));
            }
            Some("tool_completed") => {
                let count = effects.remove(&call).unwrap_or_default();
                let may_repeat = tools[&call] == "assert";
                let fits = match (text("status").as_str(), may_repeat) {
                    ("ok", false) => count == 1,
                    ("ok", true) => count >= 1,
                    (_, false) => count <= 1,
                    // A call that may be made again is made again, by an agent that resumes.
                    ("unknown", true) => entry["agent_name"] == "brittle",
                    (_, true) => true,
                };
                if !fits {
                    ledger.found(format_args!("{count} effects (RUN-9): {entry}"));
                }
                again += count.saturating_sub(1);
            }
            _ => {}
        }
    }
    again
}
