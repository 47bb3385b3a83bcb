//! The parts of a trace that are small enough for the specifications, with small names.
//!
//! - `Run.tla` gets every run with a recorded beginning.
//! - `User.tla` gets every stretch of a thread from idle to idle. Threads of one user do not depend on one
//!   another but for `open_runs_max`, and an idle thread is like a new one but for the remembered messages:
//!   the wide pass checks both.
//!
//! In both, of consecutive thoughts two stay: a further thought changes only the seq. A call that ended in an
//! error counts as one that ended well: the specifications do not distinguish them. Parts larger than
//! [`ENTRIES_MAX`] and the like are left out, and counted.

use std::collections::HashMap;

use quintet::kernel::{
    entry::{CallOwner, CallStatus, RunErrorCode, RunStatus},
    ids::{CallId, RunId, ThreadId},
};
use quintet_monitor::record::{TracedEntry, What};

use super::{
    logs::{Logs, Piece},
    narrow::{Slice, Slices, sequence, set, without_limits},
};

/// Entries of one slice.
pub const ENTRIES_MAX: usize = 24;
/// Calls of one run, and messages of one thread.
pub const CALLS_MAX: usize = 3;
pub const MESSAGES_MAX: usize = 4;
/// Thoughts in a row that stay.
const THOUGHTS_MAX: usize = 2;

/// Every slice of every specification.
pub fn all(logs: &Logs) -> Vec<Slices> {
    let (mut runs, mut users) = (Slices::new("Run"), Slices::new("User"));
    let mut sorted: Vec<_> = logs.users().collect();
    sorted.sort_by_key(|(user, _)| user.as_str().to_owned());
    for (_, log) in sorted {
        for stretch in stretches(&log.pieces) {
            for run in stretch.runs() {
                runs.add(run_slice(&run));
            }
            users.add(stretch.slice());
        }
    }
    vec![runs, users]
}

/// A thread from idle to idle, or to the end of what is known.
#[derive(Clone, Debug, Default)]
struct Stretch {
    /// Entries that became durable together, each with its line.
    batches: Vec<(usize, Vec<TracedEntry>)>,
    open: Vec<RunId>,
}

/// The stretches of every thread of a log that begin where it was idle.
fn stretches(pieces: &[Piece]) -> Vec<Stretch> {
    let mut done = Vec::new();
    let mut threads: HashMap<ThreadId, Stretch> = HashMap::new();
    // Runs whose beginning is not there, and those that began while such a one held their thread.
    let mut strange: HashMap<RunId, ThreadId> = HashMap::new();
    for piece in pieces {
        match piece {
            Piece::Cut { open } => {
                done.extend(threads.drain().map(|(_, stretch)| stretch));
                strange = open.iter().cloned().collect();
            }
            Piece::Batch { line, entries } => {
                for entry in entries {
                    if strange.values().any(|thread| *thread == entry.thread) {
                        match entry.what {
                            What::UserMessage { .. } => drop(strange.insert(entry.run, entry.thread.clone())),
                            What::AgentCompleted { .. } => drop(strange.remove(&entry.run)),
                            _ => {}
                        }
                        continue;
                    }
                    let stretch = threads.entry(entry.thread.clone()).or_default();
                    stretch.take(*line, entry);
                    if stretch.open.is_empty() {
                        done.extend(threads.remove(&entry.thread));
                    }
                }
            }
        }
    }
    done.extend(threads.into_values());
    done.retain(Stretch::begins);
    done
}

impl Stretch {
    /// Whether its first message is recorded: after a gap in the records it may be missing.
    fn begins(&self) -> bool {
        let first = self.batches.first().and_then(|(_, entries)| entries.first());
        matches!(first.map(|entry| &entry.what), Some(What::UserMessage { .. }))
    }

    fn take(&mut self, line: usize, entry: &TracedEntry) {
        match &entry.what {
            What::UserMessage { .. } => self.open.push(entry.run),
            What::AgentCompleted { .. } => self.open.retain(|run| *run != entry.run),
            _ => {}
        }
        match self.batches.last_mut() {
            Some((last, entries)) if *last == line => entries.push(entry.clone()),
            _ => self.batches.push((line, vec![entry.clone()])),
        }
    }

    /// Each run's events, with their lines.
    fn runs(&self) -> Vec<Vec<(usize, TracedEntry)>> {
        let mut runs: Vec<(RunId, Vec<(usize, TracedEntry)>)> = Vec::new();
        for (line, entry) in
            self.batches.iter().flat_map(|(line, entries)| entries.iter().map(move |e| (*line, e)))
        {
            if matches!(entry.what, What::UserMessage { .. }) {
                continue;
            }
            match runs.iter_mut().find(|(run, _)| *run == entry.run) {
                Some((_, events)) => events.push((line, entry.clone())),
                None => runs.push((entry.run, vec![(line, entry.clone())])),
            }
        }
        runs.into_iter().map(|(_, events)| events).collect()
    }

    /// The stretch as `User.tla` has it; none if it is too large for it.
    fn slice(&self) -> Option<Slice> {
        let mut small = Small::default();
        let every = self.batches.iter().flat_map(|(_, entries)| entries);
        small.name_calls(every);
        let (mut all, mut ends, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for (line, entries) in &self.batches {
            for entry in entries {
                let run = small.run(entry.run);
                if !small.keeps(run, entry) {
                    continue;
                }
                all.push(small.entry(run, entry)?);
            }
            if ends.last() != Some(&all.len()) && !all.is_empty() {
                ends.push(all.len());
                lines.push(*line);
            }
        }
        let calls = small.calls.values().copied().max().unwrap_or(0).max(1);
        if all.is_empty() || all.len() > ENTRIES_MAX || small.runs.len() > MESSAGES_MAX || calls > CALLS_MAX {
            return None;
        }
        let mut constants = without_limits(calls);
        constants.push(("Messages", format!("= {}", set(1..=small.runs.len()))));
        constants.push(("Threads", "= {1}".to_owned()));
        let values = [("All", sequence(all)), ("Ends", sequence(ends))];
        Some(Slice::new("User", &values, &constants, lines))
    }
}

/// One run as `Run.tla` has it.
fn run_slice(events: &[(usize, TracedEntry)]) -> Option<Slice> {
    let mut small = Small::default();
    small.name_calls(events.iter().map(|(_, entry)| entry));
    let (mut word, mut lines) = (Vec::new(), Vec::new());
    for (line, entry) in events {
        let run = small.run(entry.run);
        if small.keeps(run, entry) {
            let (kind, call, what) = small.letter(entry)?;
            // `Run.tla` has one way to close a call, and no reason of a failed run.
            let what = match (kind, what) {
                ("tool_completed", _) => "ok",
                (_, "violation" | "limit_reached" | "resume_limit") => "failed",
                (_, what) => what,
            };
            word.push(format!("[kind |-> \"{kind}\", call |-> {call}, what |-> \"{what}\"]"));
            lines.push(*line);
        }
    }
    let calls = small.calls.values().copied().max().unwrap_or(0).max(1);
    if word.len() > ENTRIES_MAX || calls > CALLS_MAX {
        return None;
    }
    // The word begins with its first event.
    lines.remove(0);
    let slice = Slice::new("Run", &[("All", sequence(word))], &without_limits(calls), lines);
    (!slice.lines.is_empty()).then_some(slice)
}

/// Small names for what a slice speaks of.
#[derive(Debug, Default)]
struct Small {
    /// Runs and their messages, in order of acceptance.
    runs: Vec<RunId>,
    calls: HashMap<(RunId, CallId), usize>,
    /// The number of kept events of each run, and of consecutive thoughts.
    seqs: HashMap<usize, (u64, usize)>,
}

impl Small {
    fn run(&mut self, run: RunId) -> usize {
        match self.runs.iter().position(|known| *known == run) {
            Some(at) => at + 1,
            None => {
                self.runs.push(run);
                self.runs.len()
            }
        }
    }

    /// Numbers the calls of each run in the order in which they close: those that close together close
    /// in the order of their names, and a trace does not have those.
    fn name_calls<'a>(&mut self, entries: impl Iterator<Item = &'a TracedEntry> + Clone) {
        let mut counts: HashMap<RunId, usize> = HashMap::new();
        let closed = entries.clone().filter_map(|entry| match &entry.what {
            What::ToolCompleted { call, .. } => Some((entry.run, call)),
            _ => None,
        });
        let opened = entries.filter_map(|entry| match &entry.what {
            What::ToolExecuting { call, .. } => Some((entry.run, call)),
            _ => None,
        });
        for (run, call) in closed.chain(opened) {
            self.calls.entry((run, call.clone())).or_insert_with(|| {
                let count = counts.entry(run).or_default();
                *count += 1;
                *count
            });
        }
    }

    /// Whether an entry stays.
    fn keeps(&mut self, run: usize, entry: &TracedEntry) -> bool {
        let (seq, thoughts) = self.seqs.entry(run).or_default();
        *thoughts = if entry.what == What::AgentThinking { *thoughts + 1 } else { 0 };
        if *thoughts > THOUGHTS_MAX {
            return false;
        }
        *seq += u64::from(!matches!(entry.what, What::UserMessage { .. }));
        true
    }

    /// Kind, call and what of an entry; none for what the slices' limits do not allow.
    fn letter(&self, entry: &TracedEntry) -> Option<(&'static str, usize, &'static str)> {
        let call = |call: &CallId| self.calls.get(&(entry.run, call.clone())).copied().unwrap_or(0);
        Some(match &entry.what {
            What::UserMessage { steers, .. } => ("user_message", 0, if *steers { "steers" } else { "" }),
            What::AgentStarted { .. } => ("agent_started", 0, ""),
            What::AgentThinking => ("agent_thinking", 0, ""),
            What::ToolExecuting { call: id, by } => {
                ("tool_executing", call(id), if *by == CallOwner::Agent { "agent" } else { "client" })
            }
            What::ToolCompleted { call: id, status } => {
                let status = match status {
                    CallStatus::Ok | CallStatus::Error | CallStatus::Declined => "ok",
                    CallStatus::TimedOut => "timed_out",
                    CallStatus::Cancelled => "cancelled",
                    CallStatus::Unknown => "unknown",
                };
                ("tool_completed", call(id), status)
            }
            What::AgentCompleted { status, code, into: _ } => {
                let what = match (status, code) {
                    (RunStatus::Failed, Some(RunErrorCode::LimitReached)) => return None,
                    (RunStatus::Failed, Some(RunErrorCode::Violation)) => "violation",
                    (RunStatus::Failed, _) => "failed",
                    (RunStatus::Succeeded, _) => "succeeded",
                    (RunStatus::Cancelled, _) => "cancelled",
                    (RunStatus::TimedOut, _) => "timed_out",
                    (RunStatus::Interrupted, _) => "interrupted",
                    (RunStatus::Merged, _) => "merged",
                };
                ("agent_completed", 0, what)
            }
        })
    }

    /// An entry as `Kernel.tla` writes it.
    fn entry(&self, run: usize, entry: &TracedEntry) -> Option<String> {
        let (kind, call, what) = self.letter(entry)?;
        let seq = if kind == "user_message" { 0 } else { self.seqs.get(&run).map_or(0, |(seq, _)| *seq) };
        let message = if matches!(kind, "user_message" | "agent_started") { run } else { 0 };
        let into = match &entry.what {
            What::AgentCompleted { into: Some(into), .. } => {
                self.runs.iter().position(|known| known == into).map_or(0, |at| at + 1)
            }
            _ => 0,
        };
        Some(format!(
            "[run |-> {run}, seq |-> {seq}, kind |-> \"{kind}\", thread |-> 1, message |-> {message}, call |-> {call}, what |-> \"{what}\", parent |-> 0, into |-> {into}]"
        ))
    }
}

#[cfg(test)]
mod tests {
    use quintet::kernel::ids::MessageId;
    use uuid::Uuid;

    use super::*;

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    fn thread(name: &str) -> ThreadId {
        ThreadId::parse(name).unwrap()
    }

    fn entry(number: u128, on: &str, what: What) -> TracedEntry {
        TracedEntry { run: run(number), thread: thread(on), seq: None, what, times: 1 }
    }

    fn message(number: u128, on: &str) -> TracedEntry {
        let message = MessageId::parse(&format!("m{number}")).unwrap();
        entry(number, on, What::UserMessage { message, steers: false })
    }

    fn completed(number: u128, on: &str) -> TracedEntry {
        entry(number, on, What::AgentCompleted { status: RunStatus::Cancelled, code: None, into: None })
    }

    fn batch(line: usize, entries: Vec<TracedEntry>) -> Piece {
        Piece::Batch { line, entries }
    }

    /// Which runs' messages the stretches begin with.
    fn begun(pieces: Vec<Piece>) -> Vec<RunId> {
        let stretches = stretches(&pieces);
        stretches.iter().map(|stretch| stretch.batches[0].1[0].run).collect()
    }

    #[test]
    fn a_thread_is_not_idle_while_a_run_is_open_that_began_before_the_cut() {
        let cut = || Piece::Cut { open: vec![(run(1), thread("a"))] };
        // Run 1 makes no step before the second cut: run 2 waited for it all the same.
        assert_eq!(begun(vec![cut(), batch(1, vec![message(2, "a"), message(3, "b")]), cut()]), [run(3)]);
        // Run 2 waits for run 1, and run 3 for run 2; run 4 finds the thread idle.
        let waiting = vec![
            cut(),
            batch(1, vec![message(2, "a")]),
            batch(2, vec![completed(1, "a"), message(3, "a")]),
            batch(3, vec![completed(2, "a"), completed(3, "a"), message(4, "a")]),
        ];
        assert_eq!(begun(waiting), [run(4)]);
    }
}
