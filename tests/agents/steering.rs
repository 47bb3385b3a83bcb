//! Messages that an agent takes while it executes, over crashes at any entry (RUN-12).

use quintet::{
    agent::{AgentRegistry, Executor},
    kernel::{
        entry::{Body, Event, RunEntry, RunStatus},
        ids::RunId,
        user::OnBusy,
    },
    prelude::*,
};
use serde_json::json;

use crate::{
    restart::answered,
    stage::{Stage, Talk, Watch, completion},
};

/// Asks twice, and takes the waiting messages after each answer.
struct Listener;

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

    async fn run(&self, mut run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let none = run.take_messages().await?;
        let mut run = run.answer(format!("[{}:{}]", task.text, none.len())).await?;
        if task.text == "listen" {
            for question in ["1", "2"] {
                (run, _) = run.ask("question", json!({"question": question})).await?;
                for message in run.take_messages().await? {
                    run = run.answer(format!("[{}]", message.text)).await?;
                }
            }
        }
        Ok(run.complete().await?)
    }
}

fn agents() -> AgentRegistry {
    AgentRegistry::new(Listener, Executor::shared()).unwrap()
}

async fn steer(ann: &mut Talk, text: &str) -> Watch {
    ann.send_as("listener", text, OnBusy::Steer, None).await
}

/// Waits until the run has asked as many questions.
async fn asked(run: &mut Watch, call_id: &str) {
    run.until(|event| matches!(event, Event::ToolExecuting(call) if call.call_id.as_str() == call_id)).await;
}

/// A run with two messages taken at its first question, one at its second, and one that is not taken.
async fn uncrashed() -> Vec<RunEntry> {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut run = ann.send("listener", "listen").await;
    asked(&mut run, "c1").await;
    for text in ["a", "b"] {
        steer(&mut ann, text).await;
    }
    let last = ann.send("listener", "enqueued").await;
    let yes = || quintet::kernel::entry::CallResult::ok(Json::parse("true").unwrap());
    let call = |id: &str| quintet::kernel::ids::CallId::parse(id).unwrap();
    ann.user.answer(run.run_id, call("c1"), yes()).await.unwrap();
    asked(&mut run, "c2").await;
    steer(&mut ann, "c").await;
    ann.user.answer(run.run_id, call("c2"), yes()).await.unwrap();
    let events = run.finish().await;
    assert_eq!(completion(&events).final_response.as_deref(), Some("[listen:0][a][b][c]"));
    assert_eq!(completion(&last.finish().await).final_response.as_deref(), Some("[enqueued:0]"));
    ann.log().await
}

/// A run: text, status, answer, and the run that took the message.
type Row = (RunId, String, Option<RunStatus>, String, Option<RunId>);

/// The runs of a log.
fn runs(log: &[RunEntry]) -> Vec<Row> {
    let mut runs = Vec::new();
    for entry in log {
        match &entry.body {
            Body::UserMessage { text, .. } => {
                runs.push((entry.run_id, text.clone(), None, String::new(), None));
            }
            Body::Event { event: Event::Completed(end), .. } => {
                let run = runs.iter_mut().find(|run| run.0 == entry.run_id).unwrap();
                (run.2, run.4) = (Some(end.status), end.merged_into);
                run.3 = end.final_response.clone().unwrap_or_default();
            }
            Body::Event { .. } => {}
        }
    }
    runs
}

/// True if `next` is in the same append as the entry before it: the runs that one take merges, or the start of the next
/// run in line with the end of the one before.
fn is_of_the_same_append(before: &RunEntry, next: &RunEntry, merged: &[RunId]) -> bool {
    let (Body::Event { event: before_event, .. }, Body::Event { event: next_event, .. }) =
        (&before.body, &next.body)
    else {
        return false;
    };
    let of_one_take = merged.contains(&before.run_id) && merged.contains(&next.run_id);
    of_one_take || matches!((before_event, next_event), (Event::Completed(_), Event::Started { .. }))
}

#[tokio::test(start_paused = true)]
async fn run_12_each_message_is_taken_once_whenever_the_service_crashes() {
    let log = uncrashed().await;
    let merged: Vec<RunId> =
        runs(&log).iter().filter(|run| run.2 == Some(RunStatus::Merged)).map(|run| run.0).collect();
    assert_eq!(merged.len(), 3);
    let mut crashes = 0;
    for kept in (2..log.len()).filter(|kept| !is_of_the_same_append(&log[kept - 1], &log[*kept], &merged)) {
        crashes += 1;
        let stage = Stage::after_crash(&log[..kept], agents()).await;
        let ann = stage.ann();
        let run = ann.watch(log[0].run_id).await;
        let answer = completion(&answered(&ann, run).await).final_response.clone().unwrap();
        let sent: Vec<RunId> = runs(&log[..kept]).iter().map(|run| run.0).collect();
        for run_id in &sent {
            answered(&ann, ann.watch(*run_id).await).await;
        }
        let after = ann.log().await;
        assert_eq!(after[..kept], log[..kept], "durable entries are kept");
        let mut expected = String::from("[listen:0]");
        for (run_id, text, status, own, into) in runs(&after).into_iter().skip(1) {
            match status {
                Some(RunStatus::Merged) => {
                    assert_eq!(into, Some(log[0].run_id));
                    expected.push_str(&format!("[{text}]"));
                }
                _ => {
                    assert_eq!((status, own), (Some(RunStatus::Succeeded), format!("[{text}:0]")), "{run_id}")
                }
            }
        }
        assert_eq!(answer, expected, "after {kept} entries");
    }
    assert!(crashes > 15, "{crashes}");
}

#[tokio::test(start_paused = true)]
async fn run_12_message_that_no_run_takes_runs_in_its_turn() {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut run = ann.send("listener", "listen").await;
    asked(&mut run, "c1").await;
    let waiting = steer(&mut ann, "a").await;
    ann.user.cancel(run.run_id).await.unwrap();
    assert_eq!(completion(&waiting.finish().await).final_response.as_deref(), Some("[a:0]"));
}
