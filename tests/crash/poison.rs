//! An agent that ends the whole process, as a stack overflow or an out-of-memory killer does: its run fails
//! after two resumes, and no other run does (RUN-6).
//!
//! The process is this test, run as a whole service with its own agents: `poison` calls `abort`, `patient`
//! makes no step before a process in which [`ANSWERS`] is set.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use quintet::{
    agent::{Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task},
    kernel::entry::ThoughtKind,
    ops::config::Settings,
    user::HubLimits,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    child,
    context::CampaignContext,
    ends::audit,
    http,
    process::{Addresses, Process},
};

const FOLDER: &str = "QUINTET_CAMPAIGN_POISON";

/// Set for the processes in which `patient` answers.
const ANSWERS: &str = "QUINTET_CAMPAIGN_POISON_ANSWERS";

struct Poison;

#[async_trait]
impl Agent for Poison {
    fn name(&self) -> &str {
        "poison"
    }

    fn description(&self) -> &str {
        "Ends the process."
    }

    fn resumable(&self) -> bool {
        true
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        if task.text == "after a step" {
            let again = if run.is_replaying() { "again" } else { "first" };
            let _run = run.think(ThoughtKind::Reasoning, format!("{again} {:?}", std::process::id())).await?;
            std::process::abort();
        }
        std::process::abort();
    }
}

struct Patient;

#[async_trait]
impl Agent for Patient {
    fn name(&self) -> &str {
        "patient"
    }

    fn description(&self) -> &str {
        "Answers in a later process."
    }

    fn resumable(&self) -> bool {
        true
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        if std::env::var_os(ANSWERS).is_none() {
            std::future::pending::<()>().await;
        }
        let run = run.think(ThoughtKind::Reasoning, "Now.").await?;
        Ok(run.answer("done").await?.complete().await?)
    }
}

/// Not a test of its own: the process that an agent ends.
#[test]
#[ignore = "the child of another test"]
fn child_that_serves_until_an_agent_ends_it() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    // Trials as by default, in a shorter time.
    let hub = HubLimits { resume_settle_timeout_ms: 50, resume_trial_timeout_ms: 500, ..HubLimits::DEFAULT };
    let mut settings = Settings { hub, ..Settings::default() };
    settings.kernel.run_resumes_total_max = 6;
    child::serve(&folder, settings, || {
        AgentRegistry::new(Patient, Executor::threads().unwrap()).unwrap().with(Poison).unwrap()
    });
}

fn serve(context: &CampaignContext, folder: &Path, answers: bool) -> Process {
    let mut command = child::command("poison::child_that_serves_until_an_agent_ends_it", FOLDER, folder);
    if answers {
        command.env(ANSWERS, "1");
    }
    Process::start_as_it_is(command, context.lines())
}

async fn send(to: Addresses, user: &str, message_id: &str, agent_name: &str, text: &str) {
    let token = http::login(to.listen, user).await.unwrap();
    let message =
        json!({"message_id": message_id, "thread_id": message_id, "text": text, "agent_name": agent_name});
    // A message that ends the process may end it before its reply.
    let _ = http::request(to.listen, "POST", "/v1/messages", Some(&token), Some(&message)).await;
}

/// The end of the run of each message of a user, as `status` or its error code.
async fn ends(to: Addresses, user: &str) -> Vec<(String, String)> {
    let token = http::login(to.listen, user).await.unwrap();
    let (_, body) =
        http::request(to.listen, "GET", "/v1/entries?limit=1000", Some(&token), None).await.unwrap();
    let page: Value = serde_json::from_str(&body).unwrap();
    let entries = page["entries"].as_array().unwrap().clone();
    let message = |run_id: &Value| {
        let sent = entries.iter().find(|e| e["type"] == "user_message" && e["run_id"] == *run_id);
        sent.unwrap()["message_id"].as_str().unwrap().to_owned()
    };
    let completed = entries.iter().filter(|entry| entry["type"] == "agent_completed");
    let mut ends: Vec<_> = completed
        .map(|end| {
            let how = end["error"]["code"].as_str().unwrap_or(end["status"].as_str().unwrap());
            (message(&end["run_id"]), how.to_owned())
        })
        .collect();
    ends.sort();
    ends
}

async fn ends_become(context: &CampaignContext, to: Addresses, user: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(id, how)| ((*id).to_owned(), (*how).to_owned())).collect();
    let wait = async {
        while ends(to, user).await.len() < expected.len() {
            tokio::task::yield_now().await;
        }
    };
    context.soon("the ends of all runs", wait).await;
    assert_eq!(ends(to, user).await, expected, "{user}");
}

#[tokio::test]
async fn run_6_run_that_ends_every_process_fails_after_two_resumes_and_no_other_does() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let (context, folder) = (CampaignContext::new("a run that ends every process"), TempDir::new().unwrap());

    let process = serve(&context, folder.path(), false);
    let to = process.ready(&context).await;
    for (user, message_id) in [("ann", "before"), ("ben", "beside")] {
        send(to, user, message_id, "patient", "hello").await;
    }
    send(to, "ann", "poison", "poison", "at once").await;
    assert!(!process.ended(&context).await.success(), "its agent ended it");

    for restart in 1..=2 {
        let process = serve(&context, folder.path(), false);
        assert!(!process.ended(&context).await.success(), "restart {restart}");
    }

    let process = serve(&context, folder.path(), true);
    let to = process.ready(&context).await;
    send(to, "ann", "after", "patient", "hello").await;
    let of_ann = [("after", "succeeded"), ("before", "succeeded"), ("poison", "resume_limit")];
    ends_become(&context, to, "ann", &of_ann).await;
    ends_become(&context, to, "ben", &[("beside", "succeeded")]).await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&context).await.code(), Some(0));
    context.look();
    audit(&context, folder.path());
}

#[tokio::test]
async fn run_6_run_that_steps_and_ends_every_process_fails_in_the_end() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let (context, folder) =
        (CampaignContext::new("a run that steps and ends every process"), TempDir::new().unwrap());
    let process = serve(&context, folder.path(), true);
    let to = process.ready(&context).await;
    send(to, "ann", "poison", "poison", "after a step").await;
    assert!(!process.ended(&context).await.success());
    let mut restarts = 0;
    let process = loop {
        let process = serve(&context, folder.path(), true);
        if process.becomes_ready(&context).await {
            let to = process.ready(&context).await;
            // It may have been ready for a moment before it ended.
            if http::login(to.listen, "ann").await.is_ok()
                && tokio::time::timeout(std::time::Duration::from_secs(2), process.ended(&context))
                    .await
                    .is_err()
            {
                break process;
            }
        }
        restarts += 1;
        assert!(restarts <= 6, "no crash loop");
    };
    let to = process.ready(&context).await;
    ends_become(&context, to, "ann", &[("poison", "resume_limit")]).await;
    process.signal(Signal::TERM);
    assert_eq!(process.ended(&context).await.code(), Some(0));
    audit(&context, folder.path());
}
