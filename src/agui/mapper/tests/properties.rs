//! Properties for any sequence of events.

use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use quintet_agent::{CallResult, Json, ThoughtKind};
use quintet_kernel::{
    entry::{Call, CallOwner, RunError, RunErrorCode, Thought},
    ids::{CallId, MessageId, Timestamp, ToolName},
    run::{AnyRun, Closer, EarlyEnd, Ending, Run, Step as RunStep},
};

use super::{
    super::*,
    oracle,
    words::{events, mapper},
};

/// Any event of a small alphabet, so that ids meet.
fn word() -> impl Strategy<Value = String> {
    let id = prop::sample::select(vec!["a", "b"]);
    let call = prop::sample::select(vec!["c", "d", "f"]);
    prop_oneof![
        4 => (prop::sample::select(vec!["T+", "T-"]), id.clone()).prop_map(|(sign, id)| format!("{sign}{id}")),
        4 => (id.clone(), "[xyz]{0,2}").prop_map(|(id, text)| format!("T.{id}={text}")),
        2 => (id.clone(), "[xyz]{0,2}").prop_map(|(id, text)| format!("Tc.{id}={text}")),
        1 => "[xyz]{0,2}".prop_map(|text| format!("Tc={text}")),
        4 => (prop::sample::select(vec!["C+", "C-", "C="]), call.clone()).prop_map(|(sign, id)| format!("{sign}{id}")),
        2 => (call.clone(), "[0-9]{0,2}").prop_map(|(id, text)| format!("C.{id}={text}")),
        1 => (call, "[0-9]{0,2}").prop_map(|(id, text)| format!("Cc.{id}={text}")),
        1 => "[0-9]{0,2}".prop_map(|text| format!("Cc={text}")),
        1 => (prop::sample::select(vec!["S+", "S-"]), id).prop_map(|(sign, id)| format!("{sign}{id}")),
        2 => prop::sample::select(vec!["raw", "new", "state", "custom"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["run", "end", "err"]).prop_map(str::to_owned),
    ]
}

/// Responses that are mostly legal and finish: words that the specification refuses are left out, but for one in 400.
fn response() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((word(), 0..400u16), 0..40).prop_map(|words| {
        let mut all = events("run");
        for (word, keep) in words.into_iter().filter(|(word, keep)| !ENDS.contains(&&**word) || *keep < 20) {
            let mut longer = all.clone();
            longer.extend(events(&word));
            if keep == 0 || oracle::read(&longer).legal == longer.len() {
                all = longer;
            }
        }
        for event in events("T-a T-b C-c C-d C-f S-a S-b end") {
            let mut longer = all.clone();
            longer.push(event);
            if oracle::read(&longer).legal == longer.len() {
                all = longer;
            }
        }
        all
    })
}

const ENDS: [&str; 3] = ["run", "end", "err"];

fn map(events: &[Event]) -> (Vec<Step>, usize) {
    let mut mapper = mapper();
    let (mut steps, mut legal) = (Vec::new(), 0);
    for event in events {
        let Ok(more) = mapper.apply(event.clone()) else { break };
        steps.extend(more);
        legal += 1;
    }
    (steps, legal)
}

/// Takes the steps in a run of the kernel, which refuses illegal ones.
fn run(steps: &[Step]) -> AnyRun {
    let at = Timestamp(0);
    let mut run = AnyRun::Started(Run::start(MessageId::parse("m").unwrap(), at).0);
    let first = Thought { kind: ThoughtKind::Progress, delta: "…".into(), reset: false };
    let mut take = |step| run = run.clone().step(step, at).expect("the mapper's steps are legal").0;
    take(RunStep::Think(first));
    for step in steps {
        let call_id = |id: &str| CallId::parse(id).unwrap();
        match step {
            Step::Text(text) => take(RunStep::Think(Thought {
                kind: text.kind,
                delta: format!("{}{}", text.separator, text.delta),
                reset: false,
            })),
            // A call of the client is opened after the response.
            Step::Call(call) if call.by_client => {}
            Step::Call(call) => take(RunStep::Open(Call {
                call_id: call_id(&call.id),
                tool_name: ToolName::parse(&call.name).unwrap(),
                parameters: Json::null(),
                by: CallOwner::Agent,
            })),
            Step::Result { call_id: id, .. } => take(RunStep::Close {
                call_id: call_id(id),
                result: CallResult::ok(Json::null()),
                closer: Closer::Agent,
            }),
            Step::Finish(finish) => {
                for id in finish.waiting.iter().filter(|id| *id != "f") {
                    take(RunStep::Close {
                        call_id: call_id(id),
                        result: CallResult::ok(Json::null()),
                        closer: Closer::Agent,
                    });
                }
                take(RunStep::Complete(Ending::Succeeded { usage: None }));
            }
            Step::Fail { .. } => {
                let error = RunError { code: RunErrorCode::AgentError, message: String::new() };
                let why = EarlyEnd::Failed(error);
                run = run
                    .end(why, "", at)
                    .iter()
                    .fold(run.clone(), |run, event| run.evolve(event, at).unwrap());
                return run;
            }
        }
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// RUN-10: the mapper accepts what the specification does, and refuses the rest.
    #[test]
    fn run_10_any_sequence_is_legal_or_a_violation(words in prop::collection::vec(word(), 0..40), begin: bool) {
        let mut all = if begin { events("run") } else { Vec::new() };
        words.iter().for_each(|word| all.extend(events(word)));
        let (steps, legal) = map(&all);
        prop_assert_eq!(legal, oracle::read(&all).legal, "{:?}", words);
        let ends = steps.iter().filter(|step| matches!(step, Step::Finish(_) | Step::Fail { .. })).count();
        prop_assert!(ends <= 1);
        run(&steps);
    }

    /// Nothing is lost and nothing is doubled in a response that finishes.
    #[test]
    fn a_finished_response_has_all_its_text_and_calls_once(all in response()) {
        let reading = oracle::read(&all);
        let (steps, legal) = map(&all);
        prop_assert_eq!(legal, reading.legal);
        prop_assert_eq!(matches!(steps.last(), Some(Step::Finish(_))), reading.finished);
        if reading.finished {
            let mut answer = String::new();
            let mut last: Option<&str> = None;
            for (id, text) in reading.messages.iter().filter(|(_, text)| !text.is_empty()) {
                answer += if last.is_some_and(|last| last != id) { "\n\n" } else { "" };
                answer += text;
                last = Some(id);
            }
            let mapped = run(&steps);
            prop_assert_eq!(mapped.answer(), answer);
            let calls = steps.iter().filter_map(|step| match step {
                Step::Call(call) => Some((call.id.clone(), call.arguments.clone())),
                _ => None,
            });
            let calls: Vec<_> = calls.collect();
            prop_assert_eq!(calls.len(), reading.calls.len());
            prop_assert!(calls.iter().all(|(id, arguments)| reading.calls.get(id) == Some(arguments)));
            let results: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Result { .. })).collect();
            prop_assert_eq!(results.len(), reading.results.len());
            let Some(Step::Finish(finish)) = steps.last() else { unreachable!() };
            let waiting: BTreeSet<_> = finish.waiting.iter().collect();
            prop_assert!(reading.calls.keys().filter(|id| !reading.results.contains(*id)).eq(waiting));
        }
    }
}

/// The property above is about responses that finish, so most of the generated ones do.
#[test]
fn most_generated_responses_finish() {
    let mut runner = TestRunner::deterministic();
    let finished = (0..200).filter(|_| {
        let all = response().new_tree(&mut runner).unwrap().current();
        oracle::read(&all).finished && all.len() > 5
    });
    assert!(finished.count() > 100);
}
