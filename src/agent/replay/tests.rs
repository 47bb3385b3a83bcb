//! Tests with a generated agent, its log kept by the kernel's transition table, and crashes at every point.

use proptest::prelude::*;
use quintet_kernel::{
    entry::CallStatus,
    ids::{MessageId, Timestamp, ToolName},
    json::Json,
    run::{AnyRun, Closer, EarlyEnd, Ending, Run, Step},
};

use super::*;

/// A step of a deterministic agent.
#[derive(Clone, Debug, PartialEq)]
enum AgentAction {
    Think(ThoughtKind, String),
    /// Parallel tools, each named by a number; even ones are idempotent.
    Call(Vec<u8>),
    Ask,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Projection {
    texts: [String; 3],
    calls: BTreeMap<CallId, (Call, Option<CallResult>)>,
}

/// A run over several processes.
struct Life {
    run: AnyRun,
    log: Vec<Event>,
    /// The number of completed executions of each call's tool.
    effects: BTreeMap<CallId, u32>,
}

const AT: Timestamp = Timestamp(0);

fn idempotent(call: &Call) -> bool {
    call.tool_name.as_str().trim_start_matches('t').parse::<u8>().is_ok_and(|n| n % 2 == 0)
}

fn result_of(call: &Call) -> CallResult {
    CallResult::ok(Json::from(&serde_json::json!({"of": call.tool_name.as_str()})))
}

impl Life {
    fn new() -> Self {
        let (run, started) = Run::start(MessageId::parse("m").unwrap(), AT);
        Self { run: AnyRun::Started(run), log: vec![started], effects: BTreeMap::new() }
    }

    /// Returns the run after a crash that left `kept` events, resumed as `Command::Resume` does it.
    fn crashed(&self, kept: usize) -> Self {
        let mut life = Self::new();
        life.effects = self.effects.clone();
        for event in &self.log[1..kept] {
            life.run = life.run.clone().evolve(event, AT).unwrap();
            life.log.push(event.clone());
        }
        let past = projection(&life.log);
        for (call_id, (call, result)) in past.calls {
            if result.is_none() && call.by == CallOwner::Agent && !idempotent(&call) {
                let result = CallResult::cut_short(CallStatus::Unknown, "crash");
                life.take(Step::Close { call_id, result, closer: Closer::Service });
            }
        }
        life
    }

    fn take(&mut self, step: Step) {
        let (run, event) = self.run.clone().step(step, AT).expect("the replay takes legal steps only");
        self.run = run;
        self.log.push(event);
    }

    /// Executes the agent from start to end, with the events so far as its past.
    fn play(&mut self, actions: &[AgentAction]) {
        let (mut replay, mut texts) = resumed(&self.log);
        let mut calls = 0;
        let mut next = |tool: &str, by| {
            calls += 1;
            let call_id = CallId::parse(&format!("c{calls}")).unwrap();
            Call { call_id, tool_name: ToolName::parse(tool).unwrap(), parameters: Json::empty_object(), by }
        };
        for action in actions {
            match action {
                AgentAction::Think(kind, delta) => {
                    if let Some(thought) = texts.say(&mut replay, *kind, delta) {
                        self.take(Step::Think(thought));
                    }
                }
                AgentAction::Call(tools) => {
                    let wanted: Vec<_> =
                        tools.iter().map(|tool| next(&format!("t{tool}"), CallOwner::Agent)).collect();
                    let open: Vec<_> =
                        wanted.iter().filter_map(|call| self.open(&mut replay, call)).collect();
                    for call in open.into_iter().rev() {
                        *self.effects.entry(call.call_id.clone()).or_default() += 1;
                        let (call_id, result) = (call.call_id.clone(), result_of(&call));
                        self.take(Step::Close { call_id, result, closer: Closer::Agent });
                    }
                }
                AgentAction::Ask => {
                    if let Some(call) = self.open(&mut replay, &next("ask", CallOwner::Client)) {
                        let (call_id, result) = (call.call_id.clone(), result_of(&call));
                        self.take(Step::Close { call_id, result, closer: Closer::Client });
                    }
                }
            }
        }
        let remains = replay.finish();
        let withdrawn = remains.withdrawn.into_iter().map(|(kind, kept)| texts.anew(kind, kept, ""));
        withdrawn.for_each(|thought| self.take(Step::Think(thought)));
        for call_id in remains.given_up {
            self.take(Step::Close { call_id, result: gave_up(), closer: Closer::Agent });
        }
        for call_id in remains.awaited {
            let result = CallResult::ok(Json::null());
            self.take(Step::Close { call_id, result, closer: Closer::Client });
        }
        self.take(Step::Complete(Ending::Succeeded { usage: None }));
    }

    /// Opens a call; returns `None` if the log has its result.
    fn open(&mut self, replay: &mut Replay, call: &Call) -> Option<Call> {
        match replay.open(call) {
            Opening::New { call_id, given_up } => {
                for call_id in given_up {
                    self.take(Step::Close { call_id, result: gave_up(), closer: Closer::Agent });
                }
                let call = Call { call_id, ..call.clone() };
                self.take(Step::Open(call.clone()));
                Some(call)
            }
            Opening::Open { call_id } => Some(Call { call_id, ..call.clone() }),
            Opening::Closed { .. } => None,
        }
    }
}

/// The recorded text of each kind, and the length of the part that was supplied to the replay.
struct Texts([(String, usize); 3]);

impl Texts {
    /// Emits a thought, supplying the recorded text one character at a time.
    fn say(&mut self, replay: &mut Replay, kind: ThoughtKind, delta: &str) -> Option<Thought> {
        while replay.lacks(kind, delta) {
            let (text, given) = &mut self.0[kind as usize];
            let next = text[*given..].chars().next().expect("no more is asked for than there is");
            *given += next.len_utf8();
            replay.more(kind, next.encode_utf8(&mut [0; 4]));
        }
        match replay.think(kind, delta) {
            ThoughtOutcome::Recorded => None,
            ThoughtOutcome::New(thought) => Some(thought),
            ThoughtOutcome::Rewritten { kind, kept, delta } => Some(self.anew(kind, kept, &delta)),
        }
    }

    fn anew(&self, kind: ThoughtKind, kept: u64, delta: &str) -> Thought {
        let kept = &self.0[kind as usize].0[..usize::try_from(kept).unwrap()];
        Thought { kind, delta: format!("{kept}{delta}"), reset: true }
    }
}

/// Creates the replay of a log, with its recorded texts.
fn resumed(log: &[Event]) -> (Replay, Texts) {
    let texts = projection(log).texts;
    let replay = Replay::of(|kind| texts[kind as usize].len() as u64, log);
    (replay, Texts(texts.map(|text| (text, 0))))
}

fn projection(log: &[Event]) -> Projection {
    let mut projection = Projection::default();
    for event in log {
        match event {
            Event::Thinking(thought) => {
                let text = &mut projection.texts[thought.kind as usize];
                if thought.reset {
                    text.clear();
                }
                text.push_str(&thought.delta);
            }
            Event::ToolExecuting(call) => {
                projection.calls.insert(call.call_id.clone(), (call.clone(), None));
            }
            Event::ToolCompleted { call_id, result, .. } => {
                projection.calls.get_mut(call_id).unwrap().1 = Some(result.clone());
            }
            Event::Started { .. } | Event::Completed(_) => {}
        }
    }
    projection
}

/// Asserts that a run equals the one without crashes, except for calls whose outcome a crash made unknown.
fn assert_as_uncrashed(life: &Life, uncrashed: &Life) {
    let (found, expected) = (projection(&life.log), projection(&uncrashed.log));
    assert_eq!(found.texts, expected.texts);
    assert_eq!(found.calls.keys().collect::<Vec<_>>(), expected.calls.keys().collect::<Vec<_>>());
    for (call_id, (call, result)) in &found.calls {
        let unknown = result.as_ref().is_some_and(|result| result.status == CallStatus::Unknown);
        assert_eq!(*call, expected.calls[call_id].0);
        if !unknown || idempotent(call) {
            assert_eq!(*result, expected.calls[call_id].1, "{call_id}");
        }
    }
    assert_eq!(life.run.answer(), uncrashed.run.answer());
}

fn kind() -> impl Strategy<Value = ThoughtKind> {
    prop_oneof![Just(ThoughtKind::Reasoning), Just(ThoughtKind::Answer), Just(ThoughtKind::Progress)]
}

fn action() -> impl Strategy<Value = AgentAction> {
    prop_oneof![
        4 => (kind(), "[abé]{0,3}").prop_map(|(kind, delta)| AgentAction::Think(kind, delta)),
        2 => prop::collection::vec(0u8..6, 1..4).prop_map(AgentAction::Call),
        1 => Just(AgentAction::Ask),
    ]
}

fn actions() -> impl Strategy<Value = Vec<AgentAction>> {
    (kind(), "[abé]{0,3}", prop::collection::vec(action(), 0..8)).prop_map(|(kind, delta, mut actions)| {
        actions.insert(0, AgentAction::Think(kind, delta));
        actions
    })
}

proptest! {
    /// RUN-9: for any crash points, the final log equals that of a run without crashes, and each completed tool
    /// call has run once.
    #[test]
    fn run_9_resumed_run_ends_the_same_as_without_a_crash(
        actions in actions(),
        crashes in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut uncrashed = Life::new();
        uncrashed.play(&actions);
        let mut life = Life::new();
        life.play(&actions);
        for crash in crashes {
            // A point after agent_started and before agent_completed.
            let kept = 1 + crash.index(life.log.len() - 1);
            let completed: Vec<_> = projection(&life.log[..kept]).calls.into_iter()
                .filter(|(_, (_, result))| result.is_some()).map(|(call_id, _)| call_id).collect();
            let mut next = life.crashed(kept);
            let effects = next.effects.clone();
            next.play(&actions);
            for call_id in completed {
                prop_assert_eq!(next.effects.get(&call_id), effects.get(&call_id), "{} ran again", call_id);
            }
            assert_as_uncrashed(&next, &uncrashed);
            life = next;
        }
    }

    /// An agent that takes another course after the crash: the log is legal and has the agent's last steps.
    #[test]
    fn run_on_another_course_is_corrected(
        first in actions(),
        second in actions(),
        crash in any::<prop::sample::Index>(),
    ) {
        let mut life = Life::new();
        life.play(&first);
        let mut next = life.crashed(1 + crash.index(life.log.len() - 1));
        next.play(&second);
        let mut alone = Life::new();
        alone.play(&second);
        prop_assert_eq!(projection(&next.log).texts, projection(&alone.log).texts);
        prop_assert_eq!(next.run.answer(), alone.run.answer());
    }
}

fn said(kind: ThoughtKind, delta: &str) -> Event {
    Event::Thinking(Thought { kind, delta: delta.into(), reset: false })
}

fn call(id: &str, tool: &str) -> Call {
    Call {
        call_id: CallId::parse(id).unwrap(),
        tool_name: ToolName::parse(tool).unwrap(),
        parameters: Json::parse(r#"{"a": 1, "b": 2}"#).unwrap(),
        by: CallOwner::Agent,
    }
}

fn closed(id: &str, result: CallResult) -> Event {
    let (call_id, tool_name) = (CallId::parse(id).unwrap(), ToolName::parse("t").unwrap());
    Event::ToolCompleted { call_id, tool_name, result, duration_ms: 0 }
}

#[test]
fn emitted_text_is_not_emitted_again_for_any_split() {
    let (mut replay, mut texts) =
        resumed(&[said(ThoughtKind::Answer, "Hello, "), said(ThoughtKind::Answer, "world")]);
    assert_eq!(texts.say(&mut replay, ThoughtKind::Answer, "Hello"), None);
    assert!(!replay.is_over());
    let rest = texts.say(&mut replay, ThoughtKind::Answer, ", world!").unwrap();
    assert_eq!((rest.delta.as_str(), rest.reset), ("!", false));
    assert!(replay.is_over());
}

#[test]
fn different_text_withdraws_the_emitted_text() {
    let (mut replay, mut texts) = resumed(&[said(ThoughtKind::Answer, "Hello, world")]);
    assert_eq!(texts.say(&mut replay, ThoughtKind::Answer, "Hello, "), None);
    let corrected = texts.say(&mut replay, ThoughtKind::Answer, "moon").unwrap();
    assert_eq!((corrected.delta.as_str(), corrected.reset), ("Hello, moon", true));
    let next = texts.say(&mut replay, ThoughtKind::Answer, "!").unwrap();
    assert_eq!((next.delta.as_str(), next.reset), ("!", false));
}

#[test]
fn end_withdraws_text_that_was_not_repeated() {
    let (mut replay, mut texts) =
        resumed(&[said(ThoughtKind::Answer, "Hello, world"), said(ThoughtKind::Reasoning, "hm")]);
    texts.say(&mut replay, ThoughtKind::Answer, "Hello");
    let remains = replay.finish();
    assert_eq!(remains.withdrawn, [(ThoughtKind::Reasoning, 0), (ThoughtKind::Answer, 5)]);
}

#[test]
fn memory_for_emitted_text_is_bounded_by_one_thought() {
    let long = "x".repeat(100_000);
    let (mut replay, mut texts) = resumed(&[said(ThoughtKind::Reasoning, &long)]);
    for _ in 0..100_000 / 100 {
        assert_eq!(texts.say(&mut replay, ThoughtKind::Reasoning, &long[..100]), None);
        assert!(replay.reasoning.ahead.len() <= 200, "{} bytes", replay.reasoning.ahead.len());
    }
    assert!(replay.is_over());
}

#[test]
fn a_call_is_the_same_if_its_parameters_mean_the_same() {
    let open = Event::ToolExecuting(call("c1", "t"));
    let result = CallResult::cut_short(CallStatus::Unknown, "crash");
    let mut replay = resumed(&[open, closed("c1", result.clone())]).0;
    let again = Call { parameters: Json::parse(r#"{"b":2,"a":1}"#).unwrap(), ..call("c1", "t") };
    assert_eq!(replay.open(&again), Opening::Closed { call_id: again.call_id.clone(), result });
    // A second use of an id by the agent itself is for the run to refuse (RUN-4).
    let refused = Opening::New { call_id: again.call_id.clone(), given_up: vec![] };
    assert_eq!(replay.open(&again), refused);
}

#[test]
fn another_call_under_a_used_id_gets_a_fresh_id_after_each_restart() {
    let mut log = vec![Event::ToolExecuting(call("c1", "t"))];
    let other = call("c1", "other");
    let fresh = CallId::parse("c1-2").unwrap();
    let mut replay = resumed(&log).0;
    let given_up = vec![CallId::parse("c1").unwrap()];
    assert_eq!(replay.open(&other), Opening::New { call_id: fresh.clone(), given_up });
    assert!(replay.is_over());

    log.push(closed("c1", gave_up()));
    log.push(Event::ToolExecuting(Call { call_id: fresh.clone(), ..other.clone() }));
    let mut replay = resumed(&log).0;
    assert_eq!(replay.open(&other), Opening::Open { call_id: fresh });
}

#[test]
fn fresh_ids_stay_within_the_length_of_an_id() {
    let long = CallId::parse(&"x".repeat(128)).unwrap();
    let log = [Event::ToolExecuting(Call { call_id: long.clone(), ..call("c1", "t") })];
    let unused = resumed(&log).0.unused(&long);
    assert_eq!((unused.as_str().len(), unused.as_str().ends_with("x-2")), (128, true));
}

#[test]
fn run_11_question_that_is_not_repeated_stays_open_for_the_client() {
    let question = Call { by: CallOwner::Client, ..call("c1", "ask") };
    let replay = resumed(&[Event::ToolExecuting(question)]).0;
    assert_eq!(replay.finish().awaited, [CallId::parse("c1").unwrap()]);
}

#[test]
fn a_log_without_steps_is_over_at_once() {
    let (_, started) = Run::start(MessageId::parse("m").unwrap(), AT);
    assert!(resumed(&[started]).0.is_over());
    let cut =
        AnyRun::Started(Run::start(MessageId::parse("m").unwrap(), AT).0).end(EarlyEnd::Cancelled, "", AT);
    assert!(resumed(&cut).0.is_over());
}
