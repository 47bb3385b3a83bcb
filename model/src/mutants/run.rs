//! Defects of the run machine.

use quintet::kernel::{
    entry::{Completion, Event, RunStatus},
    run::{AnyRun, Breach, Closer, EarlyEnd, Ending, Run, Step, Violation},
};

use super::{Hunted, suites};
use crate::{
    machine::Machine,
    mutants,
    vocabulary::{AT, message, thought, tool},
};

/// A machine with one defect; everything else is as shipped.
macro_rules! defect {
    ($name:ident { $($body:tt)* }) => {
        #[derive(Debug)]
        struct $name;
        impl Machine for $name { $($body)* }
    };
}

pub(super) fn succeeded() -> Event {
    Event::Completed(Completion {
        status: RunStatus::Succeeded,
        final_response: None,
        error: None,
        duration_ms: 0,
        usage: None,
        merged_into: None,
    })
}

/// Lets through what the shipped machine refuses for this reason; the run counts it as a thought, if it
/// still thinks.
fn let_through(run: AnyRun, step: Step, breach: Breach) -> Result<(AnyRun, Event), Violation> {
    let before = run.clone();
    match run.step(step.clone(), AT) {
        Err(violation) if violation.breach == breach => {
            let event = match step {
                Step::Think(thought) => Event::Thinking(thought),
                Step::Open(call) => Event::ToolExecuting(call),
                Step::Close { call_id, result, .. } => {
                    Event::ToolCompleted { call_id, tool_name: tool(), result, duration_ms: 0 }
                }
                Step::Complete(_) | Step::Merge { .. } => succeeded(),
            };
            let counted = before.clone().step(Step::Think(thought()), AT).map(|(run, _)| run);
            Ok((counted.unwrap_or(before), event))
        }
        other => other,
    }
}

defect!(CallsFirst {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        match (&run, &step) {
            (AnyRun::Started(_), Step::Open(_)) => let_through(run, step, Breach::NothingThought),
            _ => run.step(step, AT),
        }
    }
});

defect!(MergesLate {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        match (&run, &step) {
            (AnyRun::Thinking(_), Step::Merge { into }) => {
                let (_, merged) = Run::start(message(1), AT).0.merge(*into, AT);
                let (run, _) = run.step(Step::Complete(Ending::Cut(EarlyEnd::Cancelled)), AT)?;
                Ok((run, merged))
            }
            _ => run.step(step, AT),
        }
    }
});

defect!(SucceedsFirst {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        match (&run, &step) {
            (AnyRun::Started(_), Step::Complete(Ending::Succeeded { .. })) => {
                let (run, _) = run.step(Step::Complete(Ending::Cut(EarlyEnd::Cancelled)), AT)?;
                Ok((run, succeeded()))
            }
            _ => run.step(step, AT),
        }
    }
});

defect!(ReopensCalls {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let_through(run, step, Breach::CallReopened)
    }
});

defect!(ClosesWhatIsNotOpen {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let_through(run, step, Breach::CallNotOpen)
    }
});

defect!(LeavesCallsOpen {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let_through(run, step, Breach::CallOpen)
    }
});

defect!(SpeaksAfterTheEnd {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let_through(run, step, Breach::AfterCompletion)
    }
});

defect!(SaysThatItStarted {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let starts = matches!((&run, &step), (AnyRun::Started(_), Step::Think(_)));
        let (run, event) = run.step(step, AT)?;
        Ok((run, if starts { Event::Started { message_id: message(1) } } else { event }))
    }
});

defect!(CountsTwice {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        let opens = matches!(step, Step::Open(_));
        let (run, event) = run.step(step, AT)?;
        match opens {
            true => Ok((run.step(Step::Think(thought()), AT)?.0, event)),
            false => Ok((run, event)),
        }
    }
});

defect!(AnybodyCloses {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        match step {
            Step::Close { call_id, result, .. } => {
                run.step(Step::Close { call_id, result, closer: Closer::Service }, AT)
            }
            step => run.step(step, AT),
        }
    }
});

defect!(RefusesButMoves {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        run.step(step, AT).map_err(|mut violation| {
            if let AnyRun::Started(run) = &*violation.run {
                *violation.run = AnyRun::Thinking(run.clone().think(thought()).0);
            }
            violation
        })
    }
});

defect!(RefusesParallelCalls {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        if matches!((&run, &step), (AnyRun::ExecutingTools(_), Step::Open(_))) {
            let refused = run.clone().step(Step::Complete(Ending::Cut(EarlyEnd::Cancelled)), AT);
            return refused.map(|(_, event)| (run, event));
        }
        run.step(step, AT)
    }
});

defect!(EndsWithoutClosing {
    fn end(&self, run: &AnyRun, cut: EarlyEnd) -> Vec<Event> {
        let mut events = run.end(cut, "", AT);
        events.retain(|event| !matches!(event, Event::ToolCompleted { .. }));
        events
    }
});

defect!(CutSaysNothing {
    fn end(&self, run: &AnyRun, cut: EarlyEnd) -> Vec<Event> {
        let mut events = run.end(cut, "", AT);
        events.pop();
        events
    }
});

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "tool-before-thought" ["RUN-3"] None, "a run may call a tool before it has thought",
            "run: RUN-3" => suites::run(&CallsFirst);
        "success-before-thought" ["RUN-3"] None, "a run may succeed before it has thought",
            "run: RUN-3" => suites::run(&SucceedsFirst);
        "starts-again" ["RUN-1"] Some("duplicate lifecycle events"), "a run says with its first thought that it has started",
            "run: RUN-1" => suites::run(&SaysThatItStarted);
        "seq-counts-twice" ["RUN-2"] None, "a number is left out behind each call",
            "run: RUN-2" => suites::run(&CountsTwice);
        "call-id-used-again" ["RUN-4"] None, "a call id may be opened again",
            "run: RUN-4" => suites::run(&ReopensCalls);
        "closes-what-is-not-open" ["RUN-4"] None, "a tool completes that never executed: calls are counted, not named",
            "run: RUN-4" => suites::run(&ClosesWhatIsNotOpen);
        "completes-with-a-call-open" ["RUN-5"] None, "a run may complete with a call open",
            "run: RUN-5" => suites::run(&LeavesCallsOpen);
        "speaks-after-the-end" ["RUN-5"] Some("duplicate lifecycle events"), "events still come after the end",
            "run: RUN-5" => suites::run(&SpeaksAfterTheEnd);
        "early-end-leaves-calls-open" ["RUN-7"] None, "an early end leaves open calls open",
            "run: RUN-7" => suites::run(&EndsWithoutClosing);
        "cut-says-nothing" ["RUN-7"] Some("missing terminal event"),
            "the path of errors fails itself: a run that is cut never says that it is over",
            "run: RUN-7" => suites::run(&CutSaysNothing);
        "refuses-parallel-calls" ["RUN-10"] None, "a legal step is refused: one call at a time",
            "run: RUN-10" => suites::run(&RefusesParallelCalls);
        "refusal-moves-the-run" ["UNCHANGED"] None, "a refused step is half done: the run has moved on without an event",
            "run: UNCHANGED" => suites::run(&RefusesButMoves);
        "merges-at-any-step" ["RUN-12"] None, "the message of a run that has thought is taken by another one",
            "run: RUN-12" => suites::run(&MergesLate);
        "anybody-closes" ["RUN-11"] None, "whoever knows a call id may close the call",
            "run: RUN-11" => suites::run(&AnybodyCloses);
    ]
}
