//! Messages that an active run takes, by a process that is killed at random instants: each is in the answer of one run, once
//! (RUN-12).
//!
//! The process is this test, run as a whole service with an agent that takes what waits, again and again.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError,
    },
    kernel::json::Json,
};
use rand::RngExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    child,
    context::{CampaignContext, setting},
    ends::audit,
    life::Life,
};

const FOLDER: &str = "QUINTET_CAMPAIGN_STEER";

/// A tool that takes a moment, and may be called again.
struct Pause;

#[async_trait]
impl Tool for Pause {
    fn name(&self) -> &str {
        "pause"
    }

    fn description(&self) -> &str {
        "Takes a moment."
    }

    fn parameters_schema(&self) -> Value {
        json!({"type": "object"})
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn invoke(&self, _: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(Json::null())
    }
}

/// An agent that repeats its message and every one that it takes, until one of them is "stop".
struct Listener {
    tools: [Arc<dyn Tool>; 1],
}

#[async_trait]
impl Agent for Listener {
    fn name(&self) -> &str {
        "listener"
    }

    fn description(&self) -> &str {
        "Takes messages."
    }

    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let mut run = run.answer(format!("[{}]", task.text)).await?;
        let mut stops = task.text == "stop";
        for _ in 0..ROUNDS_MAX {
            if stops {
                break;
            }
            (run, _) = run.call_all([(&*self.tools[0], Json::empty_object())]).await?;
            for message in run.take_messages().await? {
                run = run.answer(format!("[{}]", message.text)).await?;
                stops |= message.text == "stop";
            }
        }
        Ok(run.complete().await?)
    }
}

/// So that a run ends also without "stop", and the next message in line has a run of its own.
const ROUNDS_MAX: usize = 12;

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "the child of another test"]
fn child_that_takes_messages_until_it_is_killed() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    child::serve(&folder, child::often_killed(), || {
        AgentRegistry::new(Listener { tools: [Arc::new(Pause)] }, Executor::threads().unwrap()).unwrap()
    });
}

fn child(folder: &std::path::Path) -> Command {
    child::command("steer::child_that_takes_messages_until_it_is_killed", FOLDER, folder)
}

/// The messages of a test, and how far they are sent.
struct Sender {
    sent: usize,
}

impl Sender {
    /// Sends messages until the service is gone; returns at `count` sent ones. A message without an answer is sent again.
    async fn send(&mut self, life: &Life, count: usize) {
        while self.sent < count {
            let text = format!("m{}", self.sent);
            if !Self::accepted(life, &text).await {
                return;
            }
            self.sent += 1;
        }
    }

    async fn accepted(life: &Life, text: &str) -> bool {
        let message = json!({"message_id": text, "thread_id": "t", "text": text, "on_busy": "steer"});
        loop {
            match life.try_ask("POST", "/v1/messages", Some(&message)).await {
                None => return false,
                Some((202, _)) => return true,
                // Too many wait: the run takes them at its next step.
                Some((429 | 503, _)) => tokio::task::yield_now().await,
                Some(refused) => panic!("{refused:?}"),
            }
        }
    }
}

/// A run of a log.
struct LoggedRun {
    text: String,
    ends: usize,
    status: String,
    merged_into: Value,
    answer: String,
}

fn runs(log: &[Value]) -> Vec<(String, LoggedRun)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut runs: Vec<(String, LoggedRun)> = Vec::new();
    for entry in log {
        let run_id = text(&entry["run_id"]);
        match entry["type"].as_str() {
            Some("user_message") => {
                let run = LoggedRun {
                    text: text(&entry["text"]),
                    ends: 0,
                    status: String::new(),
                    merged_into: Value::Null,
                    answer: String::new(),
                };
                runs.push((run_id, run));
            }
            Some("agent_completed") => {
                let (_, run) = runs.iter_mut().find(|(known, _)| *known == run_id).unwrap();
                run.ends += 1;
                run.status = text(&entry["status"]);
                run.merged_into = entry["merged_into"].clone();
                run.answer = text(&entry["final_response"]);
            }
            _ => {}
        }
    }
    runs
}

/// Polls until every run of the log has ended, and returns the log.
async fn settled(life: &Life) -> Vec<Value> {
    loop {
        let log = life.log().await;
        if runs(&log).iter().all(|(_, run)| run.ends > 0) {
            return log;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn run_12_a_message_is_in_one_answer_once_however_often_the_process_is_killed() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let kills = setting("QUINTET_CAMPAIGN_STEERS").unwrap_or(15);
    let (context, folder) = (CampaignContext::new("steers"), TempDir::new().unwrap());
    let mut rng = context.rng(0);
    let mut sender = Sender { sent: 0 };
    for _ in 0..kills {
        let life = Life::start(&context, child(folder.path())).await;
        let instant = Duration::from_millis(rng.random_range(0..150));
        tokio::select! {
            // The instant itself is random here: the test waits for nothing.
            () = tokio::time::sleep(instant) => {}
            () = sender.send(&life, usize::MAX) => panic!("the service is gone"),
        }
        life.process.kill(&context).await;
        context.look();
    }
    let life = Life::start(&context, child(folder.path())).await;
    let all = sender.sent + 5;
    context.soon("the last messages", sender.send(&life, all)).await;
    context.soon("the last one", Sender::accepted(&life, "stop")).await;
    let log = context.soon("the end of all runs", settled(&life)).await;
    life.drain(&context).await;
    audit(&context, folder.path());

    let runs = runs(&log);
    let mut expected: Vec<String> = (0..all).map(|number| format!("m{number}")).collect();
    expected.push("stop".to_owned());
    let texts: Vec<&str> = runs.iter().map(|(_, run)| run.text.as_str()).collect();
    assert_eq!(texts, expected, "DEL-6: each message once, in the order in which they were sent");
    let mut merged = 0;
    for (run_id, run) in &runs {
        let of_run = format!("[{}]", run.text);
        let named: usize = runs.iter().map(|(_, other)| other.answer.matches(&of_run).count()).sum();
        assert_eq!((run.ends, named), (1, 1), "{run_id}: {of_run} is in {named} answers");
        let taker = match run.status.as_str() {
            "merged" => {
                merged += 1;
                let taker = runs.iter().find(|(other, _)| run.merged_into == other.as_str());
                &taker.expect("a run took it").1
            }
            "succeeded" => run,
            other => panic!("{run_id} ended as {other}"),
        };
        assert!(taker.answer.contains(&of_run), "{run_id}: {of_run} in {}", taker.answer);
    }
    eprintln!("{kills} kills, {} messages, {merged} of them taken", runs.len());
    assert!(merged as u64 > kills && merged < runs.len(), "{merged} of {}", runs.len());
}
