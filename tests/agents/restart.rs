//! A crash at every entry of a run's log: the run is resumed and ends as it would have, and no completed tool
//! acts twice (RUN-6, RUN-9, RUN-11).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use quintet::{
    agent::{
        Agent, AgentError, AgentRegistry, Completed, Executor, Run, Started, Task, Tool, ToolContext,
        ToolError, rehearsal::Rehearsal,
    },
    kernel::{
        entry::{Body, Call, CallOwner, CallResult, CallStatus, Event, RunEntry, RunStatus, ThoughtKind},
        ids::CallId,
        json::Json,
    },
    service::built_in,
};

use crate::stage::{Stage, Talk, Watch, ending, words};

/// The content of a run at its end, independent of crashes.
#[derive(Debug, Default, PartialEq)]
struct Projection {
    texts: BTreeMap<String, String>,
    calls: BTreeMap<CallId, (Call, Option<CallStatus>)>,
    status: Option<RunStatus>,
    final_response: Option<String>,
}

fn projection(events: &[Event]) -> Projection {
    let mut projection = Projection::default();
    for event in events {
        match event {
            Event::Started { .. } => {}
            Event::Thinking(thought) => {
                let text = projection.texts.entry(format!("{:?}", thought.kind)).or_default();
                if thought.reset {
                    text.clear();
                }
                text.push_str(&thought.delta);
            }
            Event::ToolExecuting(call) => {
                let again = projection.calls.insert(call.call_id.clone(), (call.clone(), None));
                assert!(again.is_none(), "RUN-4: {} was opened twice", call.call_id);
            }
            Event::ToolCompleted { call_id, result, .. } => {
                let closed = &mut projection.calls.get_mut(call_id).unwrap().1;
                assert_eq!(closed.replace(result.status), None, "RUN-4: {call_id} was closed twice");
            }
            Event::Completed(completion) => {
                projection.status = Some(completion.status);
                projection.final_response = completion.final_response.clone();
            }
        }
    }
    projection
}

/// Answers every question of the client as it comes, and reads to the end.
pub async fn answered(talk: &Talk, mut run: Watch) -> Vec<Event> {
    let mut answered = Vec::new();
    loop {
        let open = |events: &[Event]| -> Option<CallId> {
            let asked = events.iter().filter_map(|event| match event {
                Event::ToolExecuting(call) if call.by == CallOwner::Client => Some(call.call_id.clone()),
                _ => None,
            });
            let closed = |call_id: &CallId| {
                events.iter().any(
                    |event| matches!(event, Event::ToolCompleted { call_id: other, .. } if other == call_id),
                )
            };
            asked.into_iter().find(|call_id| !closed(call_id) && !answered.contains(call_id))
        };
        let known = answered.clone();
        let events = run
            .until(|event| match event {
                Event::Completed(_) => true,
                Event::ToolExecuting(call) => call.by == CallOwner::Client && !known.contains(&call.call_id),
                _ => false,
            })
            .await
            .to_vec();
        match open(&events) {
            Some(call_id) => {
                let result = CallResult::ok(Json::parse("true").unwrap());
                talk.user.answer(run.run_id, call_id.clone(), result).await.unwrap();
                answered.push(call_id);
            }
            None if matches!(events.last(), Some(Event::Completed(_))) => return events,
            // Asked and answered before the crash.
            None => {
                answered.extend(events.iter().filter_map(|event| match event {
                    Event::ToolExecuting(call) => Some(call.call_id.clone()),
                    _ => None,
                }));
            }
        }
    }
}

fn agents() -> AgentRegistry {
    built_in(Executor::shared()).with(Rehearsal).unwrap()
}

/// Crashes the run of a message after each of its entries, except the first, which is never alone in the log,
/// and the last; `check` compares.
pub async fn at_every_crash(
    agent: &str,
    text: &str,
    agents: impl Fn() -> AgentRegistry,
    check: impl Fn(usize, &[Event], &[Event]),
) {
    let stage = Stage::with(agents());
    let mut ann = stage.ann();
    let run = ann.send(agent, text).await;
    let uncrashed = answered(&ann, run).await;
    let log: Vec<RunEntry> = ann.log().await;
    for kept in 2..log.len() {
        let stage = Stage::after_crash(&log[..kept], agents()).await;
        let ann = stage.ann();
        let run = ann.watch(log[0].run_id).await;
        let events = answered(&ann, run).await;
        check(kept, &events, &uncrashed);
        let after = ann.log().await;
        assert_eq!(after[..kept], log[..kept], "durable entries are kept");
        let completions =
            after.iter().filter(|entry| matches!(entry.body, Body::Event { event: Event::Completed(_), .. }));
        assert_eq!(completions.count(), 1, "RUN-5, after {kept} entries");
    }
}

#[tokio::test(start_paused = true)]
async fn run_9_rehearsal_ends_the_same_after_any_crash() {
    let script = r#"{"steps":[
        {"think":"one","repeat":3,"interval_ms":10}, {"answer":"Hello, "}, {"wait_ms":1000},
        {"tool":{"call_id":"c1","tool_name":"x","takes_ms":5,"results":1}},
        {"ask":{"call_id":"q1","tool_name":"approve"}},
        {"tools":[{"call_id":"c2","tool_name":"y","takes_ms":9},{"call_id":"c3","tool_name":"z","takes_ms":3}]},
        {"answer":"world"}, {"think":"done","kind":"progress"}
    ]}"#;
    at_every_crash("rehearsal", script, agents, |kept, events, uncrashed| {
        let (mut found, mut expected) = (projection(events), projection(uncrashed));
        for (call_id, (_, status)) in &mut found.calls {
            // RUN-9: a call that a crash left open is never silently made again.
            let open = events[..kept - 1].iter().any(
                |e| matches!(e, Event::ToolExecuting(c) if c.call_id == *call_id && c.by == CallOwner::Agent),
            ) && !events[..kept - 1]
                .iter()
                .any(|e| matches!(e, Event::ToolCompleted { call_id: c, .. } if c == call_id));
            assert_eq!(*status == Some(CallStatus::Unknown), open, "{call_id} after {kept} entries");
            *status = None;
        }
        expected.calls.values_mut().for_each(|call| call.1 = None);
        assert_eq!(found, expected, "after {kept} entries: {:?}", words(events));
        assert!(!events.iter().any(|event| matches!(event, Event::Thinking(thought) if thought.reset)));
    })
    .await;
}

#[tokio::test]
async fn run_9_assistant_ends_the_same_after_any_crash() {
    let text = "What is 2^10, and what did I say about cats?";
    at_every_crash("assistant", text, agents, |kept, events, uncrashed| {
        assert_eq!(projection(events), projection(uncrashed), "after {kept} entries: {:?}", words(events));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn run_10_illegal_step_is_refused_after_a_crash_too() {
    for illegal in
        ["complete_unopened_call", "complete_with_open_call", "reopen_call", "tool_before_thinking"]
    {
        let script = format!(r#"{{"steps":[{{"illegal":"{illegal}"}}]}}"#);
        at_every_crash("rehearsal", &script, agents, |kept, events, _| {
            let (status, code, _) = ending(events);
            assert_eq!(
                (status, code.as_str()),
                (RunStatus::Failed, "violation"),
                "{illegal} after {kept} entries"
            );
        })
        .await;
    }
}

/// Counts of effects of tools, outside of any journal.
type Ledger = Arc<Mutex<BTreeMap<String, u32>>>;

struct Effect {
    name: &'static str,
    idempotent: bool,
    ledger: Ledger,
}

#[async_trait]
impl Tool for Effect {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        "Has an effect."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        serde_json::json!({"type": "object"})
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    async fn invoke(&self, _: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        *self.ledger.lock().unwrap().entry(context.call_id.to_string()).or_default() += 1;
        Ok(Json::from(&serde_json::json!({"done": context.call_id})))
    }
}

/// Calls tools alone and in parallel. If `turns` is set, it takes a different course in each process.
struct Worker {
    resumable: bool,
    turns: Option<Arc<Mutex<u32>>>,
    tools: [Arc<dyn Tool>; 2],
}

#[async_trait]
impl Agent for Worker {
    fn name(&self) -> &str {
        "worker"
    }

    fn description(&self) -> &str {
        "Works."
    }

    fn resumable(&self) -> bool {
        self.resumable
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        let [once, again] = &self.tools;
        let life = self.turns.as_ref().map(|turns| {
            let mut turns = turns.lock().unwrap();
            *turns += 1;
            *turns
        });
        let course = life.map_or("the".to_owned(), |life| format!("life {life}:"));
        let parameters = Json::from(&serde_json::json!({"course": course}));
        let run = run.think(ThoughtKind::Reasoning, format!("{course} plan")).await?;
        let run = run.answer("First. ").await?;
        let (run, first) = run.call(&**once, parameters.clone()).await?;
        let run = run.answer(format!("{:?}. ", first.status)).await?;
        let calls = [(&**once, parameters.clone()), (&**again, parameters)];
        let (run, _) = run.call_all(calls).await?;
        Ok(run.answer(format!("{course} end.")).await?.complete().await?)
    }
}

fn worker(resumable: bool, turns: Option<Arc<Mutex<u32>>>, ledger: &Ledger) -> AgentRegistry {
    let once: Arc<dyn Tool> = Arc::new(Effect { name: "once", idempotent: false, ledger: ledger.clone() });
    let again: Arc<dyn Tool> = Arc::new(Effect { name: "again", idempotent: true, ledger: ledger.clone() });
    AgentRegistry::new(Worker { resumable, turns, tools: [once, again] }, Executor::shared()).unwrap()
}

#[tokio::test]
async fn run_9_tool_that_completed_or_may_have_acted_does_not_act_again() {
    let ledger = Ledger::default();
    let counted = ledger.clone();
    at_every_crash(
        "worker",
        "go",
        || worker(true, None, &ledger),
        |kept, events, uncrashed| {
            let effects = std::mem::take(&mut *counted.lock().unwrap());
            if kept == 2 {
                // The first check includes the effects of the run without a crash.
                return;
            }
            let before = projection(&uncrashed[..kept - 1]);
            for (call_id, (call, status)) in &before.calls {
                let again = effects.get(call_id.as_str()).copied().unwrap_or(0);
                let allowed = u32::from(status.is_none() && call.tool_name.as_str() == "again");
                assert_eq!(again, allowed, "{call_id} after {kept} entries: {:?}", words(events));
            }
            assert_eq!(ending(events).0, RunStatus::Succeeded);
        },
    )
    .await;
}

#[tokio::test]
async fn agent_on_another_course_continues_its_run_without_mixed_entries() {
    let (ledger, turns) = (Ledger::default(), Arc::new(Mutex::new(0)));
    at_every_crash(
        "worker",
        "go",
        || worker(true, Some(turns.clone()), &ledger),
        |kept, events, _| {
            let found = projection(events);
            let life = *turns.lock().unwrap();
            assert_eq!(found.status, Some(RunStatus::Succeeded), "after {kept} entries: {:?}", words(events));
            assert_eq!(found.texts["Reasoning"], format!("life {life}: plan"));
            assert_eq!(found.final_response, Some(format!("First. Ok. life {life}: end.")));
            assert!(found.calls.values().all(|(_, status)| status.is_some()), "RUN-5");
        },
    )
    .await;
}

/// Calls the idempotent tool in its first process only; later it takes a course without any call.
struct Fickle {
    lives: Arc<Mutex<u32>>,
    tools: [Arc<dyn Tool>; 1],
}

#[async_trait]
impl Agent for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }

    fn description(&self) -> &str {
        "Calls a tool in its first process."
    }

    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        let life = {
            let mut lives = self.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        let run = run.think(ThoughtKind::Reasoning, "plan").await?;
        if life > 1 {
            return Ok(run.complete().await?);
        }
        let calls = [(&*self.tools[0], Json::empty_object()), (&*self.tools[0], Json::empty_object())];
        let (run, _) = run.call_all(calls).await?;
        Ok(run.complete().await?)
    }
}

/// RUN-5, RUN-7: calls that an earlier process left open, and that the agent does not make again, are closed
/// before the completion; the run did not break a rule.
#[tokio::test]
async fn run_7_open_calls_that_a_resumed_agent_does_not_repeat_are_closed_at_its_end() {
    let (ledger, lives) = (Ledger::default(), Arc::new(Mutex::new(0)));
    let fickle = || {
        let again: Arc<dyn Tool> =
            Arc::new(Effect { name: "again", idempotent: true, ledger: ledger.clone() });
        AgentRegistry::new(Fickle { lives: lives.clone(), tools: [again] }, Executor::shared()).unwrap()
    };
    let left_open = Mutex::new(Vec::new());
    at_every_crash("fickle", "go", fickle, |kept, events, uncrashed| {
        assert_eq!(ending(events).0, RunStatus::Succeeded, "after {kept} entries: {:?}", words(events));
        let before = projection(&uncrashed[..kept - 1]);
        let after = projection(events);
        assert_eq!(after.calls.len(), before.calls.len(), "no further call");
        let open = before.calls.iter().filter(|(_, (_, status))| status.is_none());
        let open: Vec<_> = open.map(|(call_id, _)| after.calls[call_id].1).collect();
        // The outcome of the tool is unknown.
        assert!(open.iter().all(|status| *status == Some(CallStatus::Unknown)), "{open:?}");
        left_open.lock().unwrap().push(open.len());
    })
    .await;
    assert!(left_open.lock().unwrap().contains(&2), "both were open at one of the crashes");
}

#[tokio::test]
async fn run_6_run_of_an_agent_without_resume_ends_interrupted() {
    let ledger = Ledger::default();
    at_every_crash(
        "worker",
        "go",
        || worker(false, None, &ledger),
        |kept, events, _| {
            assert_eq!(ending(events).0, RunStatus::Interrupted, "after {kept} entries");
            assert!(projection(events).calls.values().all(|(_, status)| status.is_some()), "RUN-7");
        },
    )
    .await;
}
