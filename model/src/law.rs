//! The contract's rules as predicates over a log, written from the contract: nothing here steps a machine.
//! [`crate::verdict`] adds the rules of single commands.

use quintet::kernel::{
    entry::{Body, CallOwner, Entry, Event, RunStatus},
    ids::{CallId, MessageId, Offset, RunId, Seq, ThreadId},
    user::{Receipt, RecentMessage},
};

/// One run in a log.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    pub run_id: RunId,
    pub thread_id: &'a ThreadId,
    pub message_id: &'a MessageId,
    pub accepted: Offset,
    pub parent: Offset,
    pub steers: bool,
    pub events: Vec<(Offset, Seq, &'a Event)>,
}

impl Told<'_> {
    pub fn begun(&self) -> bool {
        !self.events.is_empty()
    }

    /// The status of its end, if it has ended.
    pub fn ended(&self) -> Option<RunStatus> {
        self.events.iter().find_map(|(.., event)| match event {
            Event::Completed(completion) => Some(completion.status),
            _ => None,
        })
    }

    /// The run that took its message (RUN-12).
    pub fn merged_into(&self) -> Option<RunId> {
        self.events.iter().find_map(|(.., event)| match event {
            Event::Completed(completion) => completion.merged_into,
            _ => None,
        })
    }

    pub fn receipt(&self) -> Receipt {
        Receipt { run_id: self.run_id, offset: self.accepted }
    }

    pub fn recent(&self) -> RecentMessage {
        let (message_id, thread_id) = (self.message_id.clone(), self.thread_id.clone());
        RecentMessage { message_id, thread_id, receipt: self.receipt() }
    }

    /// The executor of a call that the run opened.
    pub fn opened(&self, call_id: &CallId) -> Option<CallOwner> {
        self.events.iter().find_map(|(.., event)| match event {
            Event::ToolExecuting(call) if call.call_id == *call_id => Some(call.by),
            _ => None,
        })
    }

    /// Calls that are open after the run's first `count` events.
    pub fn open_calls(&self, count: usize) -> Vec<(&CallId, CallOwner)> {
        let mut open = Vec::new();
        for (.., event) in &self.events[..count] {
            match event {
                Event::ToolExecuting(call) => open.push((&call.call_id, call.by)),
                Event::ToolCompleted { call_id, .. } => open.retain(|(open, _)| *open != call_id),
                _ => {}
            }
        }
        open
    }

    fn thought_before(&self, index: usize) -> bool {
        self.events[..index].iter().any(|(.., event)| matches!(event, Event::Thinking(_)))
    }

    /// It started and ended at adjacent offsets: one that waited, and was never active (RUN-8).
    fn passed(&self) -> bool {
        matches!(&self.events[..], [(started, ..), (ended, _, Event::Completed(_))] if *ended == started.next())
    }
}

/// The runs of a log, in order of acceptance. Events of a run that was never accepted make one of
/// their own, so that nothing in the log goes unjudged.
pub fn runs(log: &[Entry]) -> Vec<Told<'_>> {
    let mut runs: Vec<Told<'_>> = Vec::new();
    for entry in log.iter().filter_map(Entry::run) {
        match &entry.body {
            Body::UserMessage { message_id, parent, steers, .. } => runs.push(Told {
                run_id: entry.run_id,
                thread_id: &entry.thread_id,
                message_id,
                accepted: entry.offset,
                parent: parent.unwrap_or_default(),
                steers: *steers,
                events: vec![],
            }),
            Body::Event { seq, event } => {
                let told = (entry.offset, *seq, event);
                if let Some(run) = runs.iter_mut().find(|run| run.run_id == entry.run_id) {
                    run.events.push(told);
                }
            }
        }
    }
    runs
}

fn every_event(log: &[Entry], holds: impl Fn(&Told, usize, &Event) -> bool) -> bool {
    runs(log).iter().all(|run| run.events.iter().enumerate().all(|(i, (.., event))| holds(run, i, event)))
}

/// RUN-1: `agent_started` comes first and only there.
pub fn run_1(log: &[Entry]) -> bool {
    every_event(log, |_, i, event| (i == 0) == matches!(event, Event::Started { .. }))
}

/// RUN-2: `seq` counts.
pub fn run_2(log: &[Entry]) -> bool {
    runs(log).iter().all(|run| run.events.iter().zip(1..).all(|((_, seq, _), number)| seq.0 == number))
}

/// RUN-3: a thought before the first call, and before success.
pub fn run_3(log: &[Entry]) -> bool {
    every_event(log, |run, i, event| match event {
        Event::ToolExecuting(_) => run.thought_before(i),
        Event::Completed(completion) if completion.status == RunStatus::Succeeded => run.thought_before(i),
        _ => true,
    })
}

/// RUN-4: each call is opened once, and closed once, after that.
pub fn run_4(log: &[Entry]) -> bool {
    every_event(log, |run, i, event| {
        let is_open = |id: &CallId| run.open_calls(i).iter().any(|(open, _)| *open == id);
        match event {
            Event::ToolExecuting(call) => !run.events[..i]
                .iter()
                .any(|(.., e)| matches!(e, Event::ToolExecuting(other) if other.call_id == call.call_id)),
            Event::ToolCompleted { call_id, .. } => is_open(call_id),
            _ => true,
        }
    })
}

/// RUN-5: nothing follows `agent_completed`, and no call is open when it comes.
pub fn run_5(log: &[Entry]) -> bool {
    every_event(log, |run, i, event| {
        !matches!(event, Event::Completed(_)) || i + 1 == run.events.len() && run.open_calls(i).is_empty()
    })
}

/// RUN-6, as far as a quiescent log can show it: the first run of each queue has begun.
pub fn run_6(log: &[Entry]) -> bool {
    lines(&runs(log))
        .iter()
        .all(|line| line.iter().find(|run| run.ended().is_none()).is_none_or(|run| run.begun()))
}

/// RUN-8: one active run a thread, in order of acceptance; at every offset.
pub fn run_8(log: &[Entry]) -> bool {
    lines(&runs(log)).iter().all(|line| {
        let ran: Vec<&&Told> = line.iter().filter(|run| run.begun() && !run.passed()).collect();
        ran.windows(2).all(|pair| {
            let ended = pair[0].events.last().filter(|(.., event)| matches!(event, Event::Completed(_)));
            ended.is_some_and(|(at, ..)| *at < pair[1].events[0].0)
        })
    })
}

fn lines<'a, 'b>(runs: &'b [Told<'a>]) -> Vec<Vec<&'b Told<'a>>> {
    let mut lines: Vec<Vec<&Told>> = Vec::new();
    for run in runs {
        match lines.iter_mut().find(|line| line[0].thread_id == run.thread_id) {
            Some(line) => line.push(run),
            None => lines.push(vec![run]),
        }
    }
    lines
}

/// DEL-2, as far as the log goes: offsets count, and every event belongs to a run that was accepted.
pub fn del_2(log: &[Entry]) -> bool {
    let owned = |entry: &Entry| {
        let Some(run_id) = entry.run_id() else { return true };
        let of_run = log.iter().filter(|earlier| earlier.run_id() == Some(run_id));
        of_run.filter_map(Entry::body).any(|body| matches!(body, Body::UserMessage { .. }))
    };
    log.iter().zip(1..).all(|(entry, number)| entry.offset().0 == number && owned(entry))
}

/// DEL-6: a message is in the log once, and its run with it.
pub fn del_6(log: &[Entry]) -> bool {
    let runs = runs(log);
    runs.iter().enumerate().all(|(i, run)| {
        runs[..i].iter().all(|other| other.message_id != run.message_id && other.run_id != run.run_id)
    })
}

/// RUN-12: a merged run has made no step, its message steers, and the run that took it was the active one of the thread.
pub fn run_12(log: &[Entry]) -> bool {
    let runs = runs(log);
    runs.iter().all(|run| {
        let merged = run.ended() == Some(RunStatus::Merged);
        let Some(into) = run.merged_into() else { return !merged };
        let (Some((at, ..)), Some(taker)) =
            (run.events.first(), runs.iter().find(|other| other.run_id == into))
        else {
            return false;
        };
        let begun = taker.events.first().is_some_and(|(begun, ..)| begun < at);
        let over =
            taker.events.iter().any(|(ended, _, event)| matches!(event, Event::Completed(_)) && ended < at);
        merged && run.steers && run.passed() && taker.thread_id == run.thread_id && begun && !over
    })
}

/// TREE: a message follows an earlier message of its thread, or none.
pub fn tree(log: &[Entry]) -> bool {
    let runs = runs(log);
    runs.iter().all(|run| {
        let is_parent = |other: &Told| {
            other.accepted == run.parent && other.thread_id == run.thread_id && other.accepted < run.accepted
        };
        run.parent == Offset::ZERO || runs.iter().any(is_parent)
    })
}

/// A predicate that returns whether a log keeps one rule.
pub type Law = fn(&[Entry]) -> bool;

/// All of the above, for a model that looks at the log as a whole.
pub const RULES: [(&str, Law); 11] = [
    ("RUN-1", run_1),
    ("RUN-2", run_2),
    ("RUN-3", run_3),
    ("RUN-4", run_4),
    ("RUN-5", run_5),
    ("RUN-6", run_6),
    ("RUN-8", run_8),
    ("RUN-12", run_12),
    ("DEL-2", del_2),
    ("DEL-6", del_6),
    ("TREE", tree),
];

/// The first rule that a log breaks.
pub fn broken(log: &[Entry]) -> Option<&'static str> {
    RULES.iter().find(|(_, holds)| !holds(log)).map(|(rule, _)| *rule)
}
