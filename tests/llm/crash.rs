//! A crash at every entry of a run's log (RUN-6, RUN-9, RUN-11).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quintet::agent::ToolPattern;
use quintet::kernel::{
    entry::{Body, CallOwner, CallResult, CallStatus, Event, RunEntry, RunStatus},
    ids::CallId,
};
use quintet_llm::ModelConfig;
use tokio::time::timeout;

use crate::{
    agents, config,
    stage::{Stage, Talk, Watch, completion},
    three_doubles,
    upstream::Upstream,
};

/// Greatest time for which a test waits for a question or the end.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a run to its end, and approves each of its questions.
pub async fn approved(talk: &Talk, mut run: Watch) -> Vec<Event> {
    let mut answered: Vec<CallId> = Vec::new();
    loop {
        let open = |event: &Event| match event {
            Event::ToolExecuting(call) => call.by == CallOwner::Client && !answered.contains(&call.call_id),
            Event::Completed(_) => true,
            _ => false,
        };
        let reached = timeout(STEP_TIMEOUT, run.until(open)).await;
        let events = reached.expect("the run goes on").to_vec();
        for event in &events {
            match event {
                Event::Completed(_) => return events,
                Event::ToolExecuting(call)
                    if call.by == CallOwner::Client && !answered.contains(&call.call_id) =>
                {
                    answered.push(call.call_id.clone());
                    // After a crash, some are answered already.
                    let _answered = talk
                        .user
                        .answer(
                            run.run_id,
                            call.call_id.clone(),
                            CallResult::ok(quintet::prelude::Json::null()),
                        )
                        .await;
                }
                _ => {}
            }
        }
    }
}

/// Plays a run, crashes it after each of its entries, and resumes it.
async fn crash_everywhere(config: impl Fn(&Upstream) -> ModelConfig) {
    let upstream = Upstream::start_with(three_doubles).await;
    let executed = Arc::new(AtomicUsize::new(0));
    let stage = Stage::with(agents(config(&upstream), &executed));
    let mut ann = stage.ann();
    let run = ann.send("model", "1, 2, 3").await;
    let run_id = run.run_id;
    let whole = approved(&ann, run).await;
    assert_eq!(completion(&whole).status, RunStatus::Succeeded, "{whole:?}");
    let log: Vec<RunEntry> = ann.log().await;
    assert_eq!(executed.load(Ordering::SeqCst), 3);
    for crash in 2..log.len() {
        let left = &log[..crash];
        let (mut opened, mut closed) = (0, 0);
        for entry in left {
            match &entry.body {
                Body::Event { event: Event::ToolExecuting(call), .. } => {
                    opened += usize::from(call.by == CallOwner::Agent)
                }
                Body::Event { event: Event::ToolCompleted { tool_name, .. }, .. } => {
                    closed += usize::from(tool_name.as_str() == "double");
                }
                _ => {}
            }
        }
        let executed = Arc::new(AtomicUsize::new(0));
        let stage = Stage::after_crash(left, agents(config(&upstream), &executed)).await;
        let ann = stage.ann();
        let events = approved(&ann, ann.watch(run_id).await).await;
        let end = completion(&events);
        assert_eq!(end.status, RunStatus::Succeeded, "crash after {crash}: {events:?}");
        let unknown = events
            .iter()
            .filter(|event| matches!(event, Event::ToolCompleted { result, .. } if result.status == CallStatus::Unknown))
            .count();
        assert_eq!(unknown, opened - closed, "crash after {crash}: open calls have an unknown outcome");
        // A call that is in the log is not executed again; the model does not repeat those of unknown outcome.
        assert_eq!(executed.load(Ordering::SeqCst), 3 - opened, "crash after {crash}: {events:?}");
        let answer = end.final_response.as_deref().unwrap();
        assert!(answer.ends_with('.') && answer.contains("They are "), "crash after {crash}: {answer}");
        if unknown == 0 {
            assert!(answer.ends_with("They are 2, 4, 6."), "crash after {crash}: {answer}");
        }
        assert_eq!(
            answer.matches("They are").count(),
            1,
            "crash after {crash}: text is not doubled: {answer}"
        );
    }
}

#[tokio::test]
async fn rule_run_9_a_run_that_is_resumed_after_any_entry_repeats_no_call() {
    crash_everywhere(config).await;
}

#[tokio::test]
async fn rule_run_11_approvals_survive_crashes() {
    crash_everywhere(|upstream| {
        let mut config = config(upstream);
        config.approve = vec![ToolPattern::new("*")];
        config
    })
    .await;
}
