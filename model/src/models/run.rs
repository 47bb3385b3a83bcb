//! One run: every step, by every closer, offered in every state that `events_max` events reach.
//! Its specification is `Run.tla`.

use quintet::kernel::{
    entry::{CallOwner, Event, RunStatus},
    run::{AnyRun, Closer, EarlyEnd, Ending, PhaseName, Run, Step},
};
use stateright::{Model, Property};

use crate::{
    checks,
    checks::{Check, Checked},
    machine::Machine,
    vocabulary::{AT, a_call, call, call_number, failed, interrupted, message, ok, run, thought, timed_out},
};

#[derive(Clone, Debug)]
pub struct RunModel {
    pub machine: &'static dyn Machine,
    pub calls: u8,
    /// Steps are offered until the run has this many events; closing and completing always.
    pub events_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunState {
    pub run: AnyRun,
    pub word: Vec<Letter>,
    /// A rule that a single step broke.
    pub broken: Option<&'static str>,
}

/// An event, reduced to what the rules of a word distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Letter {
    Started,
    Thinking,
    Executing(u8, CallOwner),
    Returned(u8),
    Completed(RunStatus),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunAction {
    Think,
    Open(u8, CallOwner),
    Close(u8, Closer),
    Succeed,
    Fail,
    Cancel,
    TimeOut,
    Interrupt,
    Merge,
}

impl Letter {
    pub fn of(event: &Event) -> Letter {
        match event {
            Event::Started { .. } => Letter::Started,
            Event::Thinking(_) => Letter::Thinking,
            Event::ToolExecuting(call) => Letter::Executing(call_number(&call.call_id), call.by),
            Event::ToolCompleted { call_id, .. } => Letter::Returned(call_number(call_id)),
            Event::Completed(completion) => Letter::Completed(completion.status),
        }
    }
}

impl RunAction {
    fn step(self) -> Step {
        let cut = |cut: EarlyEnd| Step::Complete(Ending::Cut(cut));
        match self {
            RunAction::Think => Step::Think(thought()),
            RunAction::Open(id, by) => Step::Open(a_call(id, by)),
            RunAction::Close(id, closer) => Step::Close { call_id: call(id), result: ok(), closer },
            RunAction::Succeed => Step::Complete(Ending::Succeeded { usage: None }),
            RunAction::Fail => cut(failed()),
            RunAction::Cancel => cut(EarlyEnd::Cancelled),
            RunAction::TimeOut => cut(timed_out()),
            RunAction::Interrupt => cut(interrupted()),
            RunAction::Merge => Step::Merge { into: run(2) },
        }
    }
}

/// The calls that are open after a word.
fn open(word: &[Letter]) -> Vec<(u8, CallOwner)> {
    let mut open = Vec::new();
    for letter in word {
        match letter {
            Letter::Executing(id, by) => open.push((*id, *by)),
            Letter::Returned(id) => open.retain(|(open, _)| open != id),
            _ => {}
        }
    }
    open
}

fn before(word: &[Letter], find: impl Fn(&Letter) -> bool, needs: impl Fn(&Letter) -> bool) -> bool {
    (0..word.len()).all(|i| !find(&word[i]) || word[..i].iter().any(&needs))
}

pub fn run_1(word: &[Letter]) -> bool {
    word.iter().enumerate().all(|(i, letter)| (i == 0) == (*letter == Letter::Started))
}

pub fn run_3(word: &[Letter]) -> bool {
    let needs = |l: &Letter| matches!(l, Letter::Executing(..) | Letter::Completed(RunStatus::Succeeded));
    before(word, needs, |l| *l == Letter::Thinking)
}

pub fn run_4(word: &[Letter]) -> bool {
    (0..word.len()).all(|i| match word[i] {
        Letter::Executing(id, _) => {
            !word[..i].iter().any(|l| matches!(l, Letter::Executing(other, _) if *other == id))
        }
        Letter::Returned(id) => open(&word[..i]).iter().any(|(open, _)| *open == id),
        _ => true,
    })
}

pub fn run_5(word: &[Letter]) -> bool {
    (0..word.len()).all(|i| {
        !matches!(word[i], Letter::Completed(_)) || i + 1 == word.len() && open(&word[..i]).is_empty()
    })
}

/// RUN-12: a merged run has made no step.
pub fn run_12(word: &[Letter]) -> bool {
    (0..word.len()).all(|i| word[i] != Letter::Completed(RunStatus::Merged) || i == 1)
}

fn legal(word: &[Letter]) -> bool {
    run_1(word) && run_3(word) && run_4(word) && run_5(word) && run_12(word)
}

/// RUN-11: a call is closed by its executor, or by the service.
fn owned(word: &[Letter], action: RunAction) -> bool {
    let RunAction::Close(id, closer) = action else { return true };
    open(word).iter().all(|(open, by)| {
        *open != id
            || match closer {
                Closer::Agent => *by == CallOwner::Agent,
                Closer::Client => *by == CallOwner::Client,
                Closer::Service => true,
            }
    })
}

impl Model for RunModel {
    type State = RunState;
    type Action = RunAction;

    fn init_states(&self) -> Vec<RunState> {
        let (run, event) = Run::start(message(1), AT);
        vec![RunState { run: AnyRun::Started(run), word: vec![Letter::of(&event)], broken: None }]
    }

    fn actions(&self, state: &RunState, actions: &mut Vec<RunAction>) {
        use RunAction as A;
        if state.word.len() < self.events_max {
            actions.push(A::Think);
            for id in 1..=self.calls {
                actions.extend([CallOwner::Agent, CallOwner::Client].map(|by| A::Open(id, by)));
            }
        }
        for id in 1..=self.calls {
            actions
                .extend([Closer::Agent, Closer::Client, Closer::Service].map(|closer| A::Close(id, closer)));
        }
        actions.extend([A::Succeed, A::Fail, A::Cancel, A::TimeOut, A::Interrupt, A::Merge]);
    }

    fn next_state(&self, state: &RunState, action: RunAction) -> Option<RunState> {
        let mut word = state.word.clone();
        let (run, broken) = match self.machine.step(state.run.clone(), action.step()) {
            Ok((run, event)) => {
                word.push(Letter::of(&event));
                (run, if owned(&state.word, action) { None } else { Some("RUN-11") })
            }
            Err(violation) => {
                let mut wanted = state.word.clone();
                wanted.push(match action {
                    RunAction::Think => Letter::Thinking,
                    RunAction::Open(id, by) => Letter::Executing(id, by),
                    RunAction::Close(id, _) => Letter::Returned(id),
                    RunAction::Succeed => Letter::Completed(RunStatus::Succeeded),
                    RunAction::Fail => Letter::Completed(RunStatus::Failed),
                    RunAction::Cancel => Letter::Completed(RunStatus::Cancelled),
                    RunAction::TimeOut => Letter::Completed(RunStatus::TimedOut),
                    RunAction::Interrupt => Letter::Completed(RunStatus::Interrupted),
                    RunAction::Merge => Letter::Completed(RunStatus::Merged),
                });
                let unjust = legal(&wanted) && owned(&state.word, action);
                let broken = if unjust {
                    Some("RUN-10")
                } else {
                    (*violation.run != state.run).then_some("UNCHANGED")
                };
                (*violation.run, broken)
            }
        };
        let next = RunState { run, word, broken: state.broken.or(broken) };
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

impl Checked for RunModel {
    const NAME: &str = "run";

    fn checks() -> Vec<Check<Self>> {
        checks![RunModel;
            always ["RUN-1"] "agent_started comes first and once"
                case "it succeeds after a call" => |_, s| run_1(&s.word);
            always ["RUN-2"] "seq counts"
                case "it succeeds after a call" => |_, s| s.run.seq().0 == s.word.len() as u64;
            always ["RUN-3"] "a thought before the first call and before success"
                case "it succeeds after a call" => |_, s| run_3(&s.word);
            always ["RUN-4"] "each call opened once, closed once"
                case "the call opened last closes first" => |_, s| run_4(&s.word);
            always ["RUN-5"] "agent_completed last, no call open"
                case "a step is refused while a call is open" => |_, s| run_5(&s.word);
            always ["RUN-7"] "an early end closes what is open, then ends"
                case "two calls are open" => |m, s| m.ends_well(s);
            always ["RUN-10"] "refused exactly if illegal"
                case "a step is refused while a call is open" => |_, s| s.broken != Some("RUN-10");
            always ["RUN-11"] "closed by whom it belongs to"
                case "the agent may not close the client's call" => |_, s| s.broken != Some("RUN-11");
            always ["RUN-12"] "merged before any step"
                case "it is merged" => |_, s| run_12(&s.word);
            always ["UNCHANGED"] "a refused step leaves the run as it was"
                case "a step is refused while a call is open" => |_, s| s.broken != Some("UNCHANGED");
            sometimes ["RUN-4", "RUN-7"] "two calls are open" => |_, s| s.run.open_calls().len() == 2;
            sometimes ["RUN-4"] "the call opened first closes first" => |_, s| {
                matches!(
                    &s.word[..],
                    [.., Letter::Executing(1, _), Letter::Executing(2, _), Letter::Returned(1)]
                )
            };
            sometimes ["RUN-4"] "the call opened last closes first" => |_, s| {
                matches!(
                    &s.word[..],
                    [.., Letter::Executing(1, _), Letter::Executing(2, _), Letter::Returned(2)]
                )
            };
            sometimes ["RUN-1", "RUN-2", "RUN-3", "RUN-5"] "it succeeds after a call" => |_, s| {
                matches!(&s.word[..], [.., Letter::Returned(_), Letter::Completed(RunStatus::Succeeded)])
            };
            sometimes ["RUN-3"] "it fails before it thinks" => |_, s| {
                matches!(&s.word[..], [Letter::Started, Letter::Completed(RunStatus::Failed)])
            };
            sometimes ["RUN-7"] "it is cancelled" => |_, s| {
                s.word.ends_with(&[Letter::Completed(RunStatus::Cancelled)])
            };
            sometimes ["RUN-7"] "it times out" => |_, s| {
                s.word.ends_with(&[Letter::Completed(RunStatus::TimedOut)])
            };
            sometimes ["RUN-7"] "it is interrupted" => |_, s| {
                s.word.ends_with(&[Letter::Completed(RunStatus::Interrupted)])
            };
            sometimes ["RUN-12"] "it is merged" => |_, s| {
                s.word.ends_with(&[Letter::Completed(RunStatus::Merged)])
            };
            sometimes ["RUN-10", "UNCHANGED"] "a step is refused while a call is open" => |m, s| {
                !s.run.open_calls().is_empty()
                    && m.machine.step(s.run.clone(), RunAction::Succeed.step()).is_err()
            };
            sometimes ["RUN-11"] "the agent may not close the client's call" => |m, s| {
                s.run.open_calls().values().any(|open| open.by == CallOwner::Client)
                    && m.machine.step(s.run.clone(), RunAction::Close(1, Closer::Agent).step()).is_err()
            };
        ]
    }
}

impl RunModel {
    /// RUN-7: from here, the service's ending makes the word a complete one.
    fn ends_well(&self, state: &RunState) -> bool {
        [failed(), EarlyEnd::Cancelled, timed_out(), interrupted()].into_iter().all(|cut| {
            let closing = cut.closes_calls_as();
            let rest = self.machine.end(&state.run, cut);
            let closes =
                |e: &Event| !matches!(e, Event::ToolCompleted { result, .. } if result.status != closing);
            let word: Vec<Letter> = state.word.iter().copied().chain(rest.iter().map(Letter::of)).collect();
            let done = matches!(word.last(), Some(Letter::Completed(_)));
            (state.run.phase() == PhaseName::Completed || !rest.is_empty())
                && rest.iter().all(closes)
                && done
                && legal(&word)
        })
    }
}
