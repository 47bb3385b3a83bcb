//! One life of the service as a process, and requests of one user to it.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    context::CampaignContext,
    http,
    process::{Addresses, Process},
};

/// A process, and the token of its user.
pub struct Life {
    pub process: Process,
    to: Addresses,
    token: String,
}

impl Life {
    /// Starts the service, and logs the user "ann" in.
    pub async fn start(context: &CampaignContext, command: Command) -> Self {
        let process = Process::start(command, context.lines());
        let to = process.ready(context).await;
        let token = http::login(to.listen, "ann").await.unwrap();
        Self { process, to, token }
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.try_ask(method, path, body).await.expect("the service runs")
    }

    /// The same; `None` if the service was killed before it had answered.
    pub async fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let asked = http::request(self.to.listen, method, path, Some(&self.token), body).await;
        let (status, body) = asked.ok()?;
        Some((status, serde_json::from_str(&body).ok()?))
    }

    /// Sends a message to an agent and returns the id of its run.
    pub async fn send(&self, agent: &str, message_id: &str, thread_id: &str, text: &str) -> String {
        let message =
            json!({"message_id": message_id, "thread_id": thread_id, "text": text, "agent_name": agent});
        let (status, accepted) = self.ask("POST", "/v1/messages", Some(&message)).await;
        assert_eq!(status, 202, "{accepted}");
        accepted["run_id"].as_str().unwrap().to_owned()
    }

    /// Sends a script and returns the id of its run.
    pub async fn play(&self, message_id: &str, thread_id: &str, script: &Value) -> String {
        self.send("rehearsal", message_id, thread_id, &script.to_string()).await
    }

    /// Polls until the user's log has reached `offset`.
    pub async fn reaches(&self, offset: u64) {
        let path = format!("/v1/entries?after={}&limit=1", offset - 1);
        while self.ask("GET", &path, None).await.1["entries"].as_array().is_none_or(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
    }

    /// Polls until a run has succeeded, and returns the offset of its end.
    pub async fn completed(&self, run_id: &str) -> u64 {
        loop {
            let (_, run) = self.ask("GET", &format!("/v1/runs/{run_id}"), None).await;
            if run["state"] == "completed" {
                assert_eq!(run["status"], "succeeded", "{run}");
                return run["completed_offset"].as_u64().unwrap();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the whole log; `None` if the service was killed meanwhile.
    pub async fn try_log(&self) -> Option<Vec<Value>> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/v1/entries?after={after}&limit=1000");
            let (status, mut page) = self.try_ask("GET", &path, None).await?;
            // A test that polls may reach the rate of its user.
            if status == 429 {
                tokio::task::yield_now().await;
                continue;
            }
            assert_eq!((status, &page["gap"]), (200, &Value::Null), "{page}");
            entries.append(page["entries"].as_array_mut()?);
            match page["next_after"].as_u64() {
                Some(next) => after = next,
                None => return Some(entries),
            }
        }
    }

    pub async fn log(&self) -> Vec<Value> {
        self.try_log().await.expect("the service runs")
    }

    /// Ends the service in order.
    pub async fn drain(&self, context: &CampaignContext) {
        self.process.signal(Signal::TERM);
        let status = self.process.ended(context).await;
        assert_eq!(status.code(), Some(0), "{status}");
        context.look();
    }
}
