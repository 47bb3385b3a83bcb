//! A run with a long log when its process is killed: the next process resumes it, and uses no more memory for
//! it than for a short one (RUN-6, RUN-9, ISO-6).

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    context::{CampaignContext, setting},
    ends::audit,
    http,
    process::{Addresses, Process, dev},
};

/// Bound of the memory for resuming a run of any length: three pages of the log, one of which recovery reads,
/// and what the journal's page caches and the allocator take meanwhile.
const GROWTH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A process, and the token of its user.
struct Life {
    process: Process,
    to: Addresses,
    token: String,
}

impl Life {
    async fn start(context: &CampaignContext, folder: &Path) -> Self {
        let process = Process::start(dev(folder), context.lines());
        let to = process.ready(context).await;
        let token = http::login(to.listen, "ann").await.unwrap();
        Self { process, to, token }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let asked = http::request(self.to.listen, method, path, Some(&self.token), body).await;
        let (status, body) = asked.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Sends a script and returns the id of its run.
    async fn play(&self, message_id: &str, script: &Value) -> String {
        let message = json!({"message_id": message_id, "thread_id": "t", "text": script.to_string(),
            "agent_name": "rehearsal"});
        let (status, accepted) = self.ask("POST", "/v1/messages", Some(&message)).await;
        assert_eq!(status, 202, "{accepted}");
        accepted["run_id"].as_str().unwrap().to_owned()
    }

    /// Polls until the user's log has reached `offset`.
    async fn reaches(&self, offset: u64) {
        let path = format!("/v1/entries?after={}&limit=1", offset - 1);
        while self.ask("GET", &path, None).await.1["entries"].as_array().is_none_or(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
    }

    /// The offset of a run's end.
    async fn completed(&self, run_id: &str) -> u64 {
        loop {
            let (_, run) = self.ask("GET", &format!("/v1/runs/{run_id}"), None).await;
            if run["state"] == "completed" {
                assert_eq!(run["status"], "succeeded", "{run}");
                return run["completed_offset"].as_u64().unwrap();
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn run_9_resuming_a_long_run_takes_no_more_memory_than_a_short_one() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let (context, folder) = (CampaignContext::new("a run with a long log"), TempDir::new().unwrap());
    let thoughts = setting("QUINTET_CAMPAIGN_EVENTS").unwrap_or(5_000);
    let bytes = setting("QUINTET_CAMPAIGN_EVENT_BYTES").unwrap_or(12_000) as usize;

    let life = Life::start(&context, folder.path()).await;
    let script = json!({"steps": [
        {"think": "x".repeat(bytes), "repeat": thoughts},
        {"ask": {"call_id": "q", "tool_name": "approve"}},
        {"answer": "so be it"},
    ]});
    let run_id = life.play("long", &script).await;
    context.within("a long run", LONG_WAIT, life.reaches(2 + thoughts + 1)).await;
    life.process.kill(&context).await;

    let life = Life::start(&context, folder.path()).await;
    let answer = json!({"status": "ok"});
    let path = format!("/v1/runs/{run_id}/calls/q");
    assert_eq!(life.ask("POST", &path, Some(&answer)).await.0, 200, "RUN-11");
    let end = context.within("the run's end", LONG_WAIT, life.completed(&run_id)).await;
    // Message, start, question, its answer, answer of the run, end: nothing was repeated.
    assert_eq!(end, thoughts + 6);
    let (peak, short) = (life.process.peak_bytes(), base(&context).await);
    eprintln!(
        "{} MiB written: peak {} KiB, of which {} KiB without a resumed run",
        (thoughts as usize * bytes) >> 20,
        peak / 1024,
        short / 1024
    );
    assert!(peak < short + GROWTH_BYTES_MAX, "{} bytes to resume a run", peak - short);
    life.process.signal(Signal::TERM);
    assert_eq!(life.process.ended(&context).await.code(), Some(0));
    context.look();
    audit(&context, folder.path());
}

/// Peak memory of a process that resumes nothing and plays a short run.
async fn base(context: &CampaignContext) -> u64 {
    let folder = TempDir::new().unwrap();
    let life = Life::start(context, folder.path()).await;
    let run_id = life.play("short", &json!({"steps": [{"answer": "x"}]})).await;
    context.soon("the short run", life.completed(&run_id)).await;
    life.process.peak_bytes()
}

const LONG_WAIT: std::time::Duration = std::time::Duration::from_secs(300);
