//! The run machine: every legal word is accepted, every illegal one refused without a change (RUN-1 … RUN-5,
//! RUN-10, RUN-11), by both faces alike; `end` closes the open calls first (RUN-7).

use std::{collections::BTreeSet, fmt::Write};

use proptest::prelude::*;
use quintet_kernel::{
    entry::{CallOwner, CallStatus, Event, RunErrorCode, Thought},
    ids::Seq,
    run::{
        AfterClose, AnyRun, Breach, CallReopened, Closer, Completed, EarlyEnd, Ending, ExecutingTools, Run,
        Started, Step, Thinking,
    },
};

use crate::{
    make::{AT, answer, call, call_id, close, error, failed, message_id, run_id, succeed},
    oracle::{Letter, breaches},
};

/// Every step there is, over two call ids.
fn alphabet() -> Vec<Step> {
    let mut steps =
        vec![Step::Think(answer("x")), Step::Complete(succeed()), Step::Complete(Ending::Cut(failed()))];
    steps.push(Step::Merge { into: run_id(2) });
    for id in [1, 2] {
        steps.extend([CallOwner::Agent, CallOwner::Client].map(|by| Step::Open(call(id, by))));
        steps.extend([Closer::Agent, Closer::Client, Closer::Service].map(|closer| close(id, closer)));
    }
    steps
}

fn letter(step: &Step) -> Letter {
    match step {
        Step::Think(_) => Letter::Thinking,
        Step::Open(call) => Letter::Executing(call.call_id.clone()),
        Step::Close { call_id, .. } => Letter::Returned(call_id.clone()),
        Step::Complete(ending) => Letter::Completed { succeeded: matches!(ending, Ending::Succeeded { .. }) },
        Step::Merge { .. } => Letter::Completed { succeeded: false },
    }
}

/// Returns whether the contract allows `step` after the steps of `past`: the letters make a legal word, and a
/// call is closed by its executor or by the service (RUN-11).
fn is_legal(past: &[Step], step: &Step) -> bool {
    let mut word = vec![Letter::Started];
    word.extend(past.iter().chain([step]).map(letter));
    let owned = match step {
        Step::Close { call_id, closer, .. } => past.iter().all(|earlier| match (earlier, closer) {
            (Step::Open(call), Closer::Agent) => call.call_id != *call_id || call.by == CallOwner::Agent,
            (Step::Open(call), Closer::Client) => call.call_id != *call_id || call.by == CallOwner::Client,
            _ => true,
        }),
        // RUN-12: a run that is merged has made no step.
        Step::Merge { .. } => past.is_empty(),
        _ => true,
    };
    breaches(&word).is_empty() && owned
}

fn start() -> AnyRun {
    AnyRun::Started(Run::start(message_id(1), AT).0)
}

/// The typestate face, driven by hand: an arm for each method that exists, and nothing else.
enum Typed {
    Started(Run<Started>),
    Thinking(Run<Thinking>),
    ExecutingTools(Run<ExecutingTools>),
    Completed(Run<Completed>),
}

impl Typed {
    fn step(self, step: Step) -> Result<(Typed, Event), Typed> {
        match (self, step) {
            (Typed::Started(run), Step::Think(thought)) => {
                let (run, event) = run.think(thought);
                Ok((Typed::Thinking(run), event))
            }
            (Typed::Started(run), Step::Merge { into }) => {
                let (run, event) = run.merge(into, AT);
                Ok((Typed::Completed(run), event))
            }
            (Typed::Started(run), Step::Complete(Ending::Cut(cut))) => {
                let (run, event) = run.end(cut, AT);
                Ok((Typed::Completed(run), event))
            }
            (Typed::Thinking(run), Step::Think(thought)) => {
                let (run, event) = run.think(thought);
                Ok((Typed::Thinking(run), event))
            }
            (Typed::Thinking(run), Step::Open(call)) => match run.open(call, AT) {
                Ok((run, event)) => Ok((Typed::ExecutingTools(run), event)),
                Err(CallReopened(run)) => Err(Typed::Thinking(run)),
            },
            (Typed::Thinking(run), Step::Complete(ending)) => {
                let (run, event) = run.complete(ending, AT);
                Ok((Typed::Completed(run), event))
            }
            (Typed::ExecutingTools(run), Step::Think(thought)) => {
                let (run, event) = run.think(thought);
                Ok((Typed::ExecutingTools(run), event))
            }
            (Typed::ExecutingTools(run), Step::Open(call)) => match run.open(call, AT) {
                Ok((run, event)) => Ok((Typed::ExecutingTools(run), event)),
                Err(CallReopened(run)) => Err(Typed::ExecutingTools(run)),
            },
            (Typed::ExecutingTools(run), Step::Close { call_id, result, closer }) => {
                let by = run.open_calls().get(&call_id).map(|call| call.by);
                if matches!(
                    (closer, by),
                    (Closer::Agent, Some(CallOwner::Client)) | (Closer::Client, Some(CallOwner::Agent))
                ) {
                    return Err(Typed::ExecutingTools(run));
                }
                match run.close(call_id, result, AT) {
                    Ok((AfterClose::Thinking(run), event)) => Ok((Typed::Thinking(run), event)),
                    Ok((AfterClose::ExecutingTools(run), event)) => Ok((Typed::ExecutingTools(run), event)),
                    Err(run) => Err(Typed::ExecutingTools(run)),
                }
            }
            (run, _) => Err(run),
        }
    }

    fn stored(&self) -> AnyRun {
        match self {
            Typed::Started(run) => AnyRun::Started(run.clone()),
            Typed::Thinking(run) => AnyRun::Thinking(run.clone()),
            Typed::ExecutingTools(run) => AnyRun::ExecutingTools(run.clone()),
            Typed::Completed(run) => AnyRun::Completed(run.clone()),
        }
    }
}

/// Tries `step` on a run whose legal steps so far are `past`; returns whether it was legal.
fn try_step(run: &mut AnyRun, typed: &mut Typed, past: &[Step], step: &Step) -> bool {
    let before = run.clone();
    let face = std::mem::replace(typed, Typed::Started(Run::start(message_id(1), AT).0));
    let decided = before.decide(step.clone(), AT);
    match before.clone().step(step.clone(), AT) {
        Ok((after, event)) => {
            assert!(is_legal(past, step), "accepted {step:?} after {past:?}");
            assert_eq!(letter(step), Letter::of(&event));
            assert_eq!(after.seq(), Seq(past.len() as u64 + 2), "RUN-2");
            assert_eq!(decided.as_ref(), Ok(&event), "decide returns the event that step makes");
            assert_eq!(before.clone().evolve(&event, AT).as_ref(), Ok(&after), "evolve follows the event");
            let Ok((face, typed_event)) = face.step(step.clone()) else {
                panic!("typestate refuses {step:?}")
            };
            assert_eq!((face.stored(), typed_event), (after.clone(), event), "the two faces agree");
            (*run, *typed) = (after, face);
            true
        }
        Err(violation) => {
            assert!(!is_legal(past, step), "refused {step:?} after {past:?}: {violation}");
            assert_eq!(*violation.run, before, "RUN-10: refused and unchanged");
            assert_eq!(decided.map_err(|v| v.breach), Err(violation.breach));
            let Err(face) = face.step(step.clone()) else { panic!("typestate allows {step:?}") };
            assert_eq!(face.stored(), before);
            *typed = face;
            false
        }
    }
}

/// Walks every legal word of up to `depth` steps and tries every step after each; counts the words.
fn walk(run: &AnyRun, past: &mut Vec<Step>, depth: usize) -> usize {
    let mut words = 1;
    check_early_end(run, past);
    if depth == 0 {
        return words;
    }
    for step in alphabet() {
        let (mut next, mut typed) = (run.clone(), typed(run));
        if try_step(&mut next, &mut typed, past, &step) {
            past.push(step);
            words += walk(&next, past, depth - 1);
            past.pop();
        }
    }
    words
}

fn typed(run: &AnyRun) -> Typed {
    match run.clone() {
        AnyRun::Started(run) => Typed::Started(run),
        AnyRun::Thinking(run) => Typed::Thinking(run),
        AnyRun::ExecutingTools(run) => Typed::ExecutingTools(run),
        AnyRun::Completed(run) => Typed::Completed(run),
    }
}

/// RUN-7: the early end of a run in any state is a legal rest of the word, and closes the open calls.
fn check_early_end(run: &AnyRun, past: &[Step]) {
    let mut word: Vec<Letter> = std::iter::once(Letter::Started).chain(past.iter().map(letter)).collect();
    let ended = matches!(run, AnyRun::Completed(_));
    let cuts = [
        (failed(), CallStatus::Cancelled),
        (EarlyEnd::Cancelled, CallStatus::Cancelled),
        (EarlyEnd::TimedOut(error(RunErrorCode::StepTimeout)), CallStatus::TimedOut),
        (EarlyEnd::Interrupted(error(RunErrorCode::NodeLost)), CallStatus::Unknown),
    ];
    for (cut, status) in cuts {
        let rest = run.end(cut, "why", AT);
        assert_eq!(
            rest.is_empty(),
            ended,
            "RUN-5: nothing follows the end, and a run that has not ended gets one"
        );
        let length = word.len();
        word.extend(rest.iter().map(Letter::of));
        assert_eq!(breaches(&word), BTreeSet::new(), "{word:?}");
        assert!(
            matches!(word.last(), Some(Letter::Completed { .. })),
            "RUN-6: an early end completes the run"
        );
        for event in &rest {
            if let Event::ToolCompleted { result, .. } = event {
                assert_eq!(result.status, status, "RUN-7");
            }
        }
        word.truncate(length);
    }
}

/// RUN-1, RUN-2, RUN-3, RUN-4, RUN-5, RUN-7, RUN-10, RUN-11 over every word of up to six steps.
#[test]
fn exactly_the_legal_words_are_accepted() {
    assert_eq!(walk(&start(), &mut vec![], 6), WORDS_OF_SIX);
}

/// RUN-1: no second start, in any state of the run.
#[test]
fn run_1_run_starts_once() {
    let (mut run, mut tried) = (start(), 0);
    let started = Event::Started { message_id: message_id(1) };
    for step in [Step::Think(answer("x")), Step::Open(call(1, CallOwner::Agent)), close(1, Closer::Agent)] {
        let violation = run.clone().evolve(&started, AT).unwrap_err();
        assert_eq!((violation.breach, *violation.run), (Breach::AlreadyStarted, run.clone()));
        run = run.step(step, AT).unwrap().0;
        tried += 1;
    }
    assert_eq!(tried, 3);
}

/// The final response is the text answered since the last reset.
#[test]
fn reset_withdraws_the_answer_so_far() {
    let mut run = start();
    for (delta, reset) in [("a", false), ("b", false), ("c", true), ("d", false)] {
        let thought = quintet_kernel::entry::Thought { reset, ..answer(delta) };
        run = run.step(Step::Think(thought), AT).unwrap().0;
    }
    let Event::Completed(completion) = run.decide(Step::Complete(succeed()), AT).unwrap() else { panic!() };
    assert_eq!(completion.final_response.as_deref(), Some("cd"));
}

/// The full table: what each step does in each phase.
#[test]
fn phase_by_step() {
    let thinking = start().step(Step::Think(answer("x")), AT).unwrap().0;
    let open = |run: AnyRun, id, by| run.step(Step::Open(call(id, by)), AT).unwrap().0;
    let used = open(thinking, 3, CallOwner::Agent).step(close(3, Closer::Agent), AT).unwrap().0;
    let one = open(used.clone(), 1, CallOwner::Agent);
    let two = open(one.clone(), 2, CallOwner::Client);
    let done = used.clone().step(Step::Complete(succeed()), AT).unwrap().0;
    let phases = [
        ("Started", start()),
        ("Thinking (c3 closed)", used),
        ("ExecutingTools (c1 agent)", one),
        ("ExecutingTools (c1 agent, c2 client)", two),
        ("Completed", done),
    ];
    let mut steps: Vec<(String, Step)> = vec![("think".into(), Step::Think(answer("x")))];
    steps.push(("open c3 again".into(), Step::Open(call(3, CallOwner::Agent))));
    steps.push(("open c4".into(), Step::Open(call(4, CallOwner::Agent))));
    for id in [1, 2, 3] {
        for closer in [Closer::Agent, Closer::Client, Closer::Service] {
            steps.push((format!("close c{id} ({closer:?})"), close(id, closer)));
        }
    }
    steps.push(("complete: succeeded".into(), Step::Complete(succeed())));
    steps.push(("complete: cut".into(), Step::Complete(Ending::Cut(failed()))));
    steps.push(("merge".into(), Step::Merge { into: run_id(2) }));
    let mut table = String::new();
    for (phase, run) in phases {
        writeln!(table, "{phase}").unwrap();
        for (name, step) in &steps {
            let effect = match run.clone().step(step.clone(), AT) {
                Ok((after, event)) => {
                    format!(
                        "{:?}, {} open; {:?}",
                        after.phase(),
                        after.open_calls().len(),
                        Letter::of(&event)
                    )
                }
                Err(violation) => format!("refused: {}", violation.breach),
            };
            writeln!(table, "  {name:<22} → {effect}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = 1..=4u8;
    prop_oneof![
        3 => any::<bool>().prop_map(|reset| Step::Think(quintet_kernel::entry::Thought { reset, ..answer("x") })),
        4 => (id.clone(), prop_oneof![Just(CallOwner::Agent), Just(CallOwner::Client)]).prop_map(|(id, by)| Step::Open(call(id, by))),
        5 => (id, prop_oneof![Just(Closer::Agent), Just(Closer::Client), Just(Closer::Service)])
            .prop_map(|(id, closer)| close(id, closer)),
        1 => Just(Step::Complete(succeed())),
        1 => Just(Step::Complete(Ending::Cut(EarlyEnd::Cancelled))),
    ]
}

proptest! {
    /// RUN-1 … RUN-5, RUN-10, RUN-11 over long words: attempts of any kind, the legal ones taken.
    #[test]
    fn long_words_are_accepted_exactly_as_the_contract_allows(attempts in prop::collection::vec(any_step(), 1..60)) {
        let (mut run, mut past) = (start(), vec![]);
        let mut face = typed(&run);
        for step in attempts {
            if try_step(&mut run, &mut face, &past, &step) {
                past.push(step);
            }
            check_early_end(&run, &past);
        }
        prop_assert_eq!(run.calls_opened(), past.iter().filter(|s| matches!(s, Step::Open(_))).count());
        prop_assert!(run.has_opened(&call_id(1)) == past.contains(&Step::Open(call(1, CallOwner::Agent)))
            || past.contains(&Step::Open(call(1, CallOwner::Client))));
    }
}

/// Legal words of up to six steps: a walk that is cut short shows.
const WORDS_OF_SIX: usize = 2047;

#[test]
fn answer_of_a_run_is_its_deltas_since_the_last_reset() {
    let (run, _) = Run::start(message_id(1), AT);
    assert_eq!(run.answer(), "");
    let (run, _) = run.think(answer("ab"));
    let (run, _) = run.think(answer("c"));
    assert_eq!(run.answer(), "abc");
    assert_eq!(AnyRun::Thinking(run.clone()).answer(), "abc");
    let (run, _) = run.think(Thought { reset: true, ..answer("d") });
    assert_eq!(run.answer(), "d");
    assert_eq!(AnyRun::Thinking(run).started_at(), AT);
}
