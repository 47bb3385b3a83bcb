//! A byte program drives one of the kernel's machines, step by step, beside an oracle that shares no line
//! with it: legal steps succeed, illegal ones are refused without a change, and the fold of the decided
//! events equals the live state.

use quintet_kernel::{
    entry::{CallOwner, CallResult, CallStatus, Event, RunErrorCode},
    ids::Seq,
    json::Json,
    run::{AnyRun, Closer, EarlyEnd, Ending, Run, Step},
    user::{AgentStep, OnBusy, Resumes},
};

use super::{
    kernel::{
        account::{Account, Attempt},
        make::{AT, answer, call, call_id, close, error, failed, message_id, succeed},
        oracle::{self, Letter, LoggedRun, breaches},
    },
    kernel_steps_connection::connection,
    program::Program,
};

/// Steps of one program. Longer ones reach nothing new.
const STEPS_MAX: usize = 200;

pub fn run(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    match program.below(3) {
        0 => agent_run(&mut program),
        1 => user(&mut program),
        _ => connection(&mut program),
    }
}

fn cut(program: &mut Program<'_>) -> EarlyEnd {
    match program.below(4) {
        0 => failed(),
        1 => EarlyEnd::TimedOut(error(RunErrorCode::StepTimeout)),
        2 => EarlyEnd::Interrupted(error(RunErrorCode::NodeLost)),
        _ => EarlyEnd::Cancelled,
    }
}

fn by(program: &mut Program<'_>) -> CallOwner {
    if program.is_odd() { CallOwner::Client } else { CallOwner::Agent }
}

/// RUN-1 … RUN-5, RUN-7, RUN-10, RUN-11 on one run.
fn agent_run(program: &mut Program<'_>) {
    let (started, event) = Run::start(message_id(1), AT);
    let mut run = AnyRun::Started(started);
    let mut word = vec![Letter::of(&event)];
    let mut owners: Vec<(u8, CallOwner)> = Vec::new();
    while !program.is_over() && word.len() < STEPS_MAX {
        let id = |program: &mut Program<'_>| program.byte() % 4;
        let (step, letter, owned) = match program.below(6) {
            0 => (Step::Think(answer("x")), Letter::Thinking, true),
            1 | 2 => {
                let (id, by) = (id(program), by(program));
                (Step::Open(call(id, by)), Letter::Executing(call_id(id)), true)
            }
            3 => {
                let id = id(program);
                let closer = [Closer::Agent, Closer::Client, Closer::Service][program.below(3)];
                let owned = owners.iter().all(|(other, by)| {
                    *other != id
                        || match closer {
                            Closer::Agent => *by == CallOwner::Agent,
                            Closer::Client => *by == CallOwner::Client,
                            Closer::Service => true,
                        }
                });
                (close(id, closer), Letter::Returned(call_id(id)), owned)
            }
            4 => (Step::Complete(succeed()), Letter::Completed { succeeded: true }, true),
            _ => (Step::Complete(Ending::Cut(cut(program))), Letter::Completed { succeeded: false }, true),
        };
        let mut longer = word.clone();
        longer.push(letter.clone());
        let legal = breaches(&longer).is_empty() && owned;
        let decided = run.decide(step.clone(), AT);
        match run.clone().step(step.clone(), AT) {
            Ok((after, event)) => {
                assert!(legal, "accepted {step:?} after {word:?}");
                assert_eq!(decided.as_ref(), Ok(&event), "decide returns the event that step makes");
                assert_eq!(Letter::of(&event), letter);
                assert_eq!(run.clone().evolve(&event, AT).as_ref(), Ok(&after), "the fold is the live state");
                assert_eq!(after.seq(), Seq(longer.len() as u64), "RUN-2");
                if let Step::Open(call) = &step {
                    owners.push((call.call_id.as_str()[1..].parse().expect("a number"), call.by));
                }
                (run, word) = (after, longer);
            }
            Err(violation) => {
                assert!(!legal, "refused {step:?} after {word:?}: {violation}");
                assert_eq!(*violation.run, run, "RUN-10: a refused step changes nothing");
                assert!(decided.is_err());
            }
        }
        ends_well(&run, &word, cut(program));
    }
}

/// RUN-7: an early end closes the open calls first, and nothing follows.
fn ends_well(run: &AnyRun, word: &[Letter], cut: EarlyEnd) {
    let events = run.end(cut, "because", AT);
    let whole: Vec<Letter> = word.iter().cloned().chain(events.iter().map(Letter::of)).collect();
    assert!(breaches(&whole).is_empty(), "{whole:?}");
    assert!(matches!(whole.last(), Some(Letter::Completed { .. })), "RUN-6");
    let fold = events.iter().try_fold(run.clone(), |run, event: &Event| run.evolve(event, AT));
    assert!(matches!(fold, Ok(AnyRun::Completed(_))));
}

/// RUN-6, RUN-8, DEL-6 and recovery on one user's log.
fn user(program: &mut Program<'_>) {
    let mut account = Account::default();
    for _ in 0..STEPS_MAX / 2 {
        if program.is_over() {
            break;
        }
        match account.command(&attempt(program)) {
            Some(command) => {
                let _refused_or_done = account.take(command);
            }
            None => account.state = account.recovered(),
        }
        account.check();
    }
    account.wind_up();
    assert!(oracle::runs(&account.log).iter().all(LoggedRun::ended), "RUN-6: every accepted run ends");
}

fn attempt(program: &mut Program<'_>) -> Attempt {
    match program.below(16) {
        0..=4 => Attempt::Send {
            message: program.byte() % 8,
            thread: program.byte() % 3,
            on_busy: [OnBusy::Enqueue, OnBusy::Steer, OnBusy::Reject, OnBusy::Interrupt][program.below(4)],
            text: if program.byte() > 230 { "far too long" } else { "hi" },
            parent: if program.is_odd() { Some(program.byte()) } else { None },
        },
        5..=9 => Attempt::Step(program.byte(), agent_step(program)),
        10 if program.is_odd() => Attempt::Take(program.byte()),
        10 => Attempt::Cancel(program.byte()),
        11 => Attempt::Answer(program.byte(), 1 + program.byte() % 4),
        12 => Attempt::Cut(program.byte(), cut(program)),
        13 => Attempt::CloseCall(program.byte(), 1 + program.byte() % 4),
        14 => {
            let (run, count) = (program.byte(), program.below(3));
            let keep = (0..count).map(|_| 1 + program.byte() % 4).collect();
            let resumes = program.byte();
            let (without_step, total) = (u32::from(resumes % 4), u32::from(resumes / 4 % 5));
            Attempt::Resume(run, keep, Resumes { without_step, total })
        }
        15 if program.is_odd() => match program.below(4) {
            0 => {
                let title = [None, Some(None), Some(Some("a title"))][program.below(3)];
                Attempt::Update(program.byte() % 3, title, [None, Some(false), Some(true)][program.below(3)])
            }
            1 => Attempt::Erase(Some(program.byte() % 3)),
            2 => Attempt::Erase(None),
            _ => Attempt::Erased(program.byte()),
        },
        _ => Attempt::Crash,
    }
}

fn agent_step(program: &mut Program<'_>) -> AgentStep {
    let id = |program: &mut Program<'_>| 1 + program.byte() % 4;
    match program.below(8) {
        0 | 1 => AgentStep::Think(answer("x")),
        2 => AgentStep::Think(answer("far too long")),
        3 | 4 => {
            let (id, by) = (id(program), by(program));
            AgentStep::Open(call(id, by))
        }
        5 => {
            let result = CallResult { status: CallStatus::Ok, results: Json::null(), error: None };
            AgentStep::Close { call_id: call_id(id(program)), result }
        }
        6 => AgentStep::Complete(succeed()),
        _ => AgentStep::Complete(Ending::Cut(cut(program))),
    }
}
