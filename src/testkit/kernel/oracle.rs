//! The rules of the contract as predicates. Nothing here steps a machine or shares a line with the kernel:
//! each rule reads a whole word, or a whole log, and returns what breaks it.

use std::collections::{BTreeMap, BTreeSet};

use quintet_kernel::{
    entry::{Body, Entry, Event, RunEntry, RunStatus},
    ids::{CallId, MessageId, Offset, RunId, ThreadId},
    user::Receipt,
};

/// An event, reduced to what the rules of a word distinguish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    Started,
    Thinking,
    Executing(CallId),
    Returned(CallId),
    Completed { succeeded: bool },
}

impl Letter {
    pub fn of(event: &Event) -> Letter {
        match event {
            Event::Started { .. } => Letter::Started,
            Event::Thinking(_) => Letter::Thinking,
            Event::ToolExecuting(call) => Letter::Executing(call.call_id.clone()),
            Event::ToolCompleted { call_id, .. } => Letter::Returned(call_id.clone()),
            Event::Completed(completion) => {
                Letter::Completed { succeeded: completion.status == RunStatus::Succeeded }
            }
        }
    }
}

/// The rules that no continuation of this word can satisfy; empty if it is a prefix of a legal word.
pub fn breaches(word: &[Letter]) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    let thought_before = |i: usize| word[..i].contains(&Letter::Thinking);
    for (i, letter) in word.iter().enumerate() {
        if (i == 0) != (*letter == Letter::Started) {
            broken.insert("RUN-1");
        }
        match letter {
            Letter::Started | Letter::Thinking => {}
            Letter::Executing(call) => {
                if !thought_before(i) {
                    broken.insert("RUN-3");
                }
                if word[..i].contains(&Letter::Executing(call.clone())) {
                    broken.insert("RUN-4");
                }
            }
            Letter::Returned(call) => {
                let opened = word[..i].contains(&Letter::Executing(call.clone()));
                if !opened || word[..i].contains(&Letter::Returned(call.clone())) {
                    broken.insert("RUN-4");
                }
            }
            Letter::Completed { succeeded } => {
                if *succeeded && !thought_before(i) {
                    broken.insert("RUN-3");
                }
                if i + 1 != word.len() || open_calls(&word[..i]) > 0 {
                    broken.insert("RUN-5");
                }
            }
        }
    }
    broken
}

fn open_calls(word: &[Letter]) -> usize {
    let count = |f: fn(&Letter) -> bool| word.iter().filter(|l| f(l)).count();
    count(|l| matches!(l, Letter::Executing(_))) - count(|l| matches!(l, Letter::Returned(_)))
}

/// One run as the log records it.
#[derive(Clone, Debug)]
pub struct LoggedRun {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub receipt: Receipt,
    pub steers: bool,
    /// The run that took its message.
    pub merged_into: Option<RunId>,
    pub word: Vec<Letter>,
    /// The offsets of its events.
    pub at: Vec<u64>,
}

impl LoggedRun {
    pub fn begun(&self) -> bool {
        !self.word.is_empty()
    }

    pub fn ended(&self) -> bool {
        matches!(self.word.last(), Some(Letter::Completed { .. }))
    }
}

/// The runs of a log in order of acceptance.
pub fn runs(log: &[Entry]) -> Vec<LoggedRun> {
    let mut runs: Vec<LoggedRun> = Vec::new();
    for entry in log.iter().filter_map(Entry::run) {
        match &entry.body {
            Body::UserMessage { message_id, steers, .. } => runs.push(LoggedRun {
                run_id: entry.run_id,
                thread_id: entry.thread_id.clone(),
                message_id: message_id.clone(),
                receipt: Receipt { run_id: entry.run_id, offset: entry.offset },
                steers: *steers,
                merged_into: None,
                word: vec![],
                at: vec![],
            }),
            Body::Event { event, .. } => {
                let run =
                    runs.iter_mut().find(|r| r.run_id == entry.run_id).expect("a run is accepted first");
                if let Event::Completed(completion) = event {
                    run.merged_into = completion.merged_into;
                }
                run.word.push(Letter::of(event));
                run.at.push(entry.offset.0);
            }
        }
    }
    runs
}

/// The messages of a log: offset, thread and parent.
pub fn parents(log: &[Entry]) -> Vec<(Offset, ThreadId, Offset)> {
    let messages = log.iter().filter_map(Entry::run).filter_map(|entry| match &entry.body {
        Body::UserMessage { parent, .. } => {
            Some((entry.offset, entry.thread_id.clone(), parent.unwrap_or_default()))
        }
        Body::Event { .. } => None,
    });
    messages.collect()
}

/// Panics, naming the rule, if the log is not one that the contract allows.
pub fn check(log: &[Entry]) {
    let mut seq: BTreeMap<RunId, u64> = BTreeMap::new();
    let (mut run_ids, mut message_ids) = (BTreeSet::new(), BTreeSet::new());
    for (entry, offset) in log.iter().zip(1..) {
        assert_eq!(entry.offset().0, offset, "DEL-2: offsets count");
        let Some(entry) = entry.run() else { continue };
        match &entry.body {
            Body::UserMessage { message_id, parent, .. } => {
                assert!(run_ids.insert(entry.run_id), "a run id is used once");
                assert!(message_ids.insert(message_id.clone()), "DEL-6: a message is in the log once");
                let parent = parent.expect("a new message has a parent, or none");
                let is_message = |earlier: &&RunEntry| {
                    earlier.offset == parent && matches!(earlier.body, Body::UserMessage { .. })
                };
                let follows = log
                    .iter()
                    .filter_map(Entry::run)
                    .find(is_message)
                    .map(|earlier| (&earlier.thread_id, earlier.offset));
                assert!(
                    parent == Offset::ZERO
                        || follows
                            .is_some_and(|(thread, at)| *thread == entry.thread_id && at < entry.offset),
                    "the parent is an earlier message of the thread"
                );
            }
            Body::Event { seq: found, event } => {
                let seq = seq.entry(entry.run_id).or_default();
                *seq += 1;
                assert_eq!(found.0, *seq, "RUN-2: seq counts");
                if let Event::Started { message_id } = event {
                    let accepted = runs(log).into_iter().find(|r| r.run_id == entry.run_id).unwrap();
                    assert_eq!((&accepted.message_id, &accepted.thread_id), (message_id, &entry.thread_id));
                }
            }
        }
    }
    let runs = runs(log);
    for run in &runs {
        assert_eq!(breaches(&run.word), BTreeSet::new(), "{run:?}");
    }
    check_lines(log.len() as u64, &runs);
    check_merges(&runs);
}

/// RUN-12: a merged run has no step, its message steers, and the run that took it was the active one.
fn check_merges(runs: &[LoggedRun]) {
    for run in runs.iter().filter(|run| run.merged_into.is_some()) {
        let taker = runs.iter().find(|other| Some(other.run_id) == run.merged_into).expect("RUN-12: a run");
        assert!(run.steers && run.word.len() == 2, "RUN-12: {run:?} is merged");
        assert_eq!(taker.thread_id, run.thread_id, "RUN-12: {run:?} is merged into {taker:?}");
        let (begun, ended) = (taker.at.first(), taker.at.last().filter(|_| taker.ended()));
        let active = begun.is_some_and(|at| *at < run.at[0]) && ended.is_none_or(|at| *at > run.at[1]);
        assert!(active, "RUN-12: {run:?} is merged into {taker:?}");
    }
}

/// RUN-8 at every offset: in each thread the first run that has not ended is the only one under way.
/// A run that starts and ends at adjacent offsets while another is under way was never active.
fn check_lines(head: u64, runs: &[LoggedRun]) {
    let threads: BTreeSet<&ThreadId> = runs.iter().map(|run| &run.thread_id).collect();
    for thread in threads {
        let line: Vec<&LoggedRun> = runs.iter().filter(|run| run.thread_id == *thread).collect();
        for offset in 1..=head {
            let active = |run: &&&LoggedRun| {
                let passing = run.word.len() == 2 && run.ended() && run.at[1] == run.at[0] + 1;
                let started = run.at.first().is_some_and(|at| *at <= offset);
                let ended = run.ended() && run.at.last().is_some_and(|at| *at <= offset);
                started && !ended && !passing
            };
            assert!(line.iter().filter(active).count() <= 1, "RUN-8: two active at {offset}: {line:?}");
        }
        let mut open = line.iter().filter(|run| !run.ended());
        if let Some(first) = open.next() {
            assert!(first.begun(), "RUN-6: the first in line of {thread} has not started");
        }
        assert!(open.all(|run| !run.begun()), "RUN-8: one of {thread} has overtaken");
        let started: Vec<u64> = line.iter().filter_map(|run| run.at.first().copied()).collect();
        let ran = |run: &&&LoggedRun| !(run.word.len() == 2 && run.ended());
        let in_order: Vec<u64> = line.iter().filter(ran).filter_map(|run| run.at.first().copied()).collect();
        assert!(in_order.is_sorted(), "RUN-8: order of acceptance in {thread}: {started:?}");
    }
}
