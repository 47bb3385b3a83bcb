//! Tools that report progress and ask the client while they execute, several questions at once, and the recorded calls
//! of a resumed run (RUN-9, RUN-11).

use std::{sync::Arc, time::Duration};

use quintet::{
    agent::{AgentRegistry, Executor, RecordedCall, call::CALL_TIMEOUT_MS},
    kernel::{
        entry::{Body, Call, CallOwner, CallResult, CallStatus, Event, RunStatus},
        ids::{CallId, Offset, ToolName},
        user::OnBusy,
    },
    prelude::*,
};
use serde_json::json;

use crate::{
    restart::{answered, at_every_crash},
    stage::{Stage, completion, words},
};

#[derive(serde::Deserialize, JsonSchema)]
struct Question {
    question: String,
}

/// Asks what its tools are called with.
struct Surveyor {
    tools: [Arc<dyn Tool>; 2],
}

impl Surveyor {
    fn new() -> Self {
        let survey =
            tool("survey", "Asks the client.", |Question { question }, context: ToolContext| async move {
                context.progress("I ask.").await;
                let answer = context.ask("question", json!({"question": question})).await?;
                context.progress("I asked.").await;
                Ok::<_, ToolError>(format!("{answer:?}"))
            });
        let rude = tool("rude", "Asks and does not wait.", |_: Question, context: ToolContext| async move {
            let asked = context.ask("question", json!({}));
            let answer = tokio::time::timeout(Duration::from_millis(5), asked).await;
            Ok::<_, ToolError>(answer.is_ok())
        });
        Self { tools: [Arc::new(survey.declared_idempotent()), Arc::new(rude)] }
    }
}

#[async_trait]
impl Agent for Surveyor {
    fn name(&self) -> &str {
        "surveyor"
    }

    fn description(&self) -> &str {
        "Asks."
    }

    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let [survey, rude] = &self.tools;
        let question = |text: &str| json!({"question": text});
        let run = match &*task.text {
            "at once" => {
                let (run, answers) = run.ask_all([("a", question("1")), ("b", question("2"))]).await?;
                run.answer(format!("{answers:?}")).await?
            }
            "rude" => {
                let (run, result) = run.call(&**rude, question("?")).await?;
                run.answer(result.results.as_str()).await?
            }
            "history" => {
                let past = run.history().conversation(100).await?;
                let runs: Vec<_> =
                    past.iter().map(|run| (&run.message, run.calls.len(), &run.answer)).collect();
                run.answer(format!("{runs:?}")).await?
            }
            _ => {
                let calls = [(&**survey, question("1")), (&**survey, question("2"))];
                let (run, results) = run.call_all(calls).await?;
                run.answer(format!("{}", results.len())).await?
            }
        };
        Ok(run.complete().await?)
    }
}

fn agents() -> AgentRegistry {
    AgentRegistry::new(Surveyor::new(), Executor::shared()).unwrap()
}

fn ok() -> CallResult {
    CallResult::ok(Json::parse("true").unwrap())
}

#[tokio::test(start_paused = true)]
async fn run_11_a_tool_asks_the_client_and_its_wait_does_not_count_as_its_time() {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut run = ann.send("surveyor", "in parallel").await;
    let asked = |wanted: &'static str| move |event: &Event| matches!(event, Event::ToolExecuting(call) if call.call_id.as_str() == wanted);
    for question in ["c2.q1", "c1.q1"] {
        run.until(asked(question)).await;
        tokio::time::advance(Duration::from_millis(2 * CALL_TIMEOUT_MS)).await;
        ann.user.answer(run.run_id, CallId::parse(question).unwrap(), ok()).await.unwrap();
        let closed = |event: &Event| matches!(event, Event::ToolCompleted { call_id, .. } if question.starts_with(call_id.as_str()));
        run.until(closed).await;
    }
    let events = run.finish().await;
    let mut words = words(&events);
    assert_eq!(words[..4], ["started", "reasoning:hm", "open:c1", "open:c2"]);
    assert_eq!(words.drain(words.len() - 2..).collect::<Vec<_>>(), ["answer:2", "succeeded"]);
    let place = |word: &str| words.iter().position(|other| other == word).expect(word);
    for call in ["c1", "c2"] {
        assert!(place(&format!("open:{call}.q1")) < place(&format!("ok:{call}.q1")));
        assert!(place(&format!("ok:{call}.q1")) < place(&format!("ok:{call}")), "{words:?}");
    }
    assert_eq!(words.iter().filter(|word| *word == "progress:i ask.").count(), 2);
    assert_eq!(words.iter().filter(|word| *word == "progress:i asked.").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn run_5_a_question_whose_tool_has_ended_is_answered_before_the_run_completes() {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut run = ann.send("surveyor", "rude").await;
    run.until(|event| matches!(event, Event::ToolCompleted { call_id, .. } if call_id.as_str() == "c1"))
        .await;
    let events = answered(&ann, run).await;
    assert_eq!(completion(&events).final_response.as_deref(), Some("false"));
    assert!(words(&events).contains(&"ok:c1.q1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn run_11_questions_at_once_are_answered_in_any_order() {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut run = ann.send("surveyor", "at once").await;
    run.until(|event| matches!(event, Event::ToolExecuting(call) if call.call_id.as_str() == "c2")).await;
    for (call_id, result) in [("c2", CallResult::declined(None)), ("c1", ok())] {
        ann.user.answer(run.run_id, CallId::parse(call_id).unwrap(), result).await.unwrap();
    }
    let events = run.finish().await;
    let answer = completion(&events).final_response.as_deref();
    assert_eq!(answer, Some("[Given(true), Declined { reason: None }]"));
}

#[tokio::test(start_paused = true)]
async fn run_9_tools_that_ask_end_the_same_after_any_crash() {
    for text in ["in parallel", "at once"] {
        at_every_crash("surveyor", text, agents, |kept, events, uncrashed| {
            let (ended, expected) = (completion(events), completion(uncrashed));
            assert_eq!(ended.status, RunStatus::Succeeded, "after {kept} entries");
            assert_eq!(ended.final_response, expected.final_response, "after {kept} entries");
        })
        .await;
    }
}

/// Makes the recorded calls again, as the agent of a language model does, and answers with their rounds.
struct Continues;

#[async_trait]
impl Agent for Continues {
    fn name(&self) -> &str {
        "continues"
    }

    fn description(&self) -> &str {
        "Continues."
    }

    fn resumable(&self) -> bool {
        true
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        let recorded = run.recorded_calls();
        let mut run = run.think(ThoughtKind::Reasoning, "hm").await?;
        let add = tool("add", "Adds.", |_: Question, _| async { Ok::<_, ToolError>(1) });
        let mut rounds: Vec<Vec<RecordedCall>> = Vec::new();
        for call in recorded {
            match rounds.get_mut(call.round) {
                Some(round) => round.push(call),
                None => rounds.push(vec![call]),
            }
        }
        let mut results = Vec::new();
        for round in &rounds {
            let calls = round.iter().map(|recorded| (&add as &dyn Tool, recorded.call.parameters.clone()));
            let (next, more) = run.call_all(calls).await?;
            run = next;
            results.extend(more);
        }
        let results: Vec<_> = results.iter().map(|result| result.status).collect();
        let rounds: Vec<_> = rounds.iter().map(Vec::len).collect();
        let run = run.answer(format!("{rounds:?} {results:?}")).await?;
        Ok(run.complete().await?)
    }
}

/// Calls `add` in rounds of one, two and one call.
struct Rounds;

#[async_trait]
impl Agent for Rounds {
    fn name(&self) -> &str {
        "continues"
    }

    fn description(&self) -> &str {
        "Calls."
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        let add = tool("add", "Adds.", |_: Question, _| async { Ok::<_, ToolError>(1) });
        let mut run = run.think(ThoughtKind::Reasoning, "hm").await?;
        for round in ["1", "23", "4"] {
            let calls = round.chars().map(|question| (&add as &dyn Tool, json!({"question": question})));
            (run, _) = run.call_all(calls).await?;
        }
        let run = run.answer("done").await?;
        Ok(run.complete().await?)
    }
}

#[tokio::test(start_paused = true)]
async fn run_9_a_resumed_agent_learns_its_recorded_calls_by_round() {
    let first = AgentRegistry::new(Rounds, Executor::shared()).unwrap();
    let stage = Stage::with(first);
    let mut ann = stage.ann();
    ann.play("continues", "go").await;
    let log = ann.log().await;
    // The message, `started`, a thought, and then the calls.
    for (kept, answer) in [
        (3, "[] []"),
        (5, "[1] [Ok]"),
        (7, "[1, 2] [Ok, Unknown, Unknown]"),
        (9, "[1, 2] [Ok, Ok, Ok]"),
        (11, "[1, 2, 1] [Ok, Ok, Ok, Ok]"),
    ] {
        let agents = AgentRegistry::new(Continues, Executor::shared()).unwrap();
        let stage = Stage::after_crash(&log[..kept], agents).await;
        let ann = stage.ann();
        let events = ann.watch(log[0].run_id).await.finish().await;
        assert_eq!(completion(&events).final_response.as_deref(), Some(answer), "after {kept} entries");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_the_completed_runs_of_the_thread_that_fit() {
    let stage = Stage::with(agents());
    let (mut ann, mut ben) = (stage.ann(), stage.user("ben"));
    ben.play("surveyor", "history").await;
    for text in ["in parallel", "rude"] {
        let run = ann.send("surveyor", text).await;
        answered(&ann, run).await;
    }
    let events = ann.play("surveyor", "history").await;
    // Questions of tools are calls of their runs. 100 bytes have room for one run only: the latest.
    let rude = r#"("rude", 2, Some("true"))"#;
    assert_eq!(completion(&events).final_response, Some(format!("[{rude}]")));
    let events = ann.play("surveyor", "history").await;
    let history = format!(r#"("history", 0, Some({:?}))"#, format!("[{rude}]"));
    assert_eq!(completion(&events).final_response, Some(format!("[{rude}, {history}]")));
    let events = ben.play("surveyor", "history").await;
    assert_eq!(
        completion(&events).final_response.as_deref(),
        Some(r#"[("history", 0, Some("[]"))]"#),
        "ISO-1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_the_path_from_the_message_to_the_root_of_its_thread() {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let mut history = async |parent: Option<Offset>| {
        let run = ann.send_as("surveyor", "history", OnBusy::Enqueue, parent).await;
        let events = run.finish().await;
        let log = ann.log().await;
        let sent = log.iter().rev().find(|entry| matches!(entry.body, Body::UserMessage { .. })).unwrap();
        (sent.offset, completion(&events).final_response.clone().unwrap())
    };
    let (first, none) = history(None).await;
    let (_, after_first) = history(None).await;
    assert_eq!((none.as_str(), after_first.as_str()), ("[]", r#"[("history", 0, Some("[]"))]"#));
    let (branch, answer) = history(Some(first)).await;
    assert_eq!(answer, after_first, "the second message is on another branch");
    assert_eq!(history(Some(Offset::ZERO)).await.1, "[]", "a new root");
    let (_, answer) = history(Some(branch)).await;
    assert_eq!(
        answer.matches("history").count(),
        3,
        "two runs, of which the second tells of the first: {answer}"
    );
}

#[test]
fn a_call_is_recorded_with_its_result() {
    // The type is public, so that agents can construct it in tests.
    let call = Call {
        call_id: CallId::parse("c1").unwrap(),
        tool_name: ToolName::parse("add").unwrap(),
        parameters: Json::empty_object(),
        by: CallOwner::Agent,
    };
    let recorded = RecordedCall { call, result: Some(ok()), round: 0 };
    assert_eq!(recorded.result.unwrap().status, CallStatus::Ok);
}
