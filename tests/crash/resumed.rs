//! A run with a long log when its process is killed: the next process resumes it, and uses no more memory for
//! it than for a short one (RUN-6, RUN-9, ISO-6).

use serde_json::json;
use tempfile::TempDir;

use crate::{
    context::{CampaignContext, setting},
    ends::audit,
    life::Life,
    process::dev,
};

/// Bound of the memory for resuming a run of any length: three pages of the log, one of which recovery reads,
/// and what the journal's page caches and the allocator take meanwhile.
const GROWTH_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[tokio::test]
async fn run_9_resuming_a_long_run_takes_no_more_memory_than_a_short_one() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let (context, folder) = (CampaignContext::new("a run with a long log"), TempDir::new().unwrap());
    let thoughts = setting("QUINTET_CAMPAIGN_EVENTS").unwrap_or(5_000);
    let bytes = setting("QUINTET_CAMPAIGN_EVENT_BYTES").unwrap_or(12_000) as usize;

    let life = Life::start(&context, dev(folder.path())).await;
    let script = json!({"steps": [
        {"think": "x".repeat(bytes), "repeat": thoughts},
        {"ask": {"call_id": "q", "tool_name": "approve"}},
        {"answer": "so be it"},
    ]});
    let run_id = life.play("long", "t", &script).await;
    context.within("a long run", LONG_WAIT, life.reaches(2 + thoughts + 1)).await;
    life.process.kill(&context).await;

    let life = Life::start(&context, dev(folder.path())).await;
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
    life.drain(&context).await;
    audit(&context, folder.path());
}

/// Peak memory of a process that resumes nothing and plays a short run.
async fn base(context: &CampaignContext) -> u64 {
    let folder = TempDir::new().unwrap();
    let life = Life::start(context, dev(folder.path())).await;
    let run_id = life.play("short", "t", &json!({"steps": [{"answer": "x"}]})).await;
    context.soon("the short run", life.completed(&run_id)).await;
    life.process.peak_bytes()
}

const LONG_WAIT: std::time::Duration = std::time::Duration::from_secs(300);
