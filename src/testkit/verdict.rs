//! Judges one user's whole log at the end, against the contract and against what was sent.
//!
//! Written from the contract alone, over JSON: runs are words (RUN-1 … RUN-5, RUN-7), threads take turns
//! (RUN-8), every accepted message has its one run and the run its one end (RUN-6, DEL-5, DEL-6), a call that
//! a crash left open is `unknown` and not made again (RUN-9), a question has an answer that was sent
//! (RUN-11), and a run that was not cut ends as its script requires.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    ledger::{Fate, Ledger},
    planned_message::Expect,
};

/// The faults that the service went through while the log was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CampaignFaults {
    /// It was killed: calls may be `unknown`.
    pub killed: bool,
    /// Its deadlines are short: a hanging run may time out before its cancel arrives.
    pub hasty: bool,
}

/// Counts of what a campaign has met, so that an empty one does not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub entries: usize,
    pub runs: usize,
    pub cancelled: usize,
    pub interrupted: usize,
    pub timed_out: usize,
    pub unknown_calls: usize,
    pub answered: usize,
    pub resets: usize,
    pub resent: usize,
    pub refused: usize,
}

/// One run, as its entries record it.
#[derive(Default)]
struct RunEntries<'a> {
    message: Option<&'a Value>,
    /// Position in the log, and the event.
    events: Vec<(usize, &'a Value)>,
}

impl<'a> RunEntries<'a> {
    fn last(&self) -> Option<&'a Value> {
        self.events.last().map(|(_, event)| *event)
    }

    fn status(&self) -> &'a str {
        self.last().and_then(|event| event["status"].as_str()).unwrap_or_default()
    }

    fn of_type(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> + '_ {
        self.events.iter().map(|(_, event)| *event).filter(move |event| event["type"] == kind)
    }
}

/// Judges everything that the book holds, and records what is wrong there.
pub fn judge(ledger: &Ledger, faults: CampaignFaults) -> Tally {
    let log: Vec<Value> = ledger.log.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let mut runs: BTreeMap<&str, RunEntries> = BTreeMap::new();
    let mut of_message: BTreeMap<&str, &str> = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        let offset = at + 1;
        if entry["offset"] != offset {
            ledger.found(format_args!("entry {offset} has the offset {}", entry["offset"]));
        }
        let run_id = entry["run_id"].as_str().unwrap_or_default();
        let told = runs.entry(run_id).or_default();
        if entry["type"] != "user_message" {
            told.events.push((at, entry));
            continue;
        }
        let message_id = entry["message_id"].as_str().unwrap_or_default();
        if of_message.insert(message_id, run_id).is_some() {
            ledger.found(format_args!("entry {offset}: {message_id} is accepted a second time (DEL-6)"));
        }
        if told.message.replace(entry).is_some() || !told.events.is_empty() {
            ledger.found(format_args!("entry {offset}: run {run_id} has begun before (RUN-6)"));
        }
    }
    if let Some(back) =
        log.windows(2).find(|pair| pair[1]["timestamp"].as_u64() < pair[0]["timestamp"].as_u64())
    {
        ledger.found(format_args!("time goes back: {} after {}", back[1], back[0]));
    }
    let mut tally = Tally { entries: log.len(), runs: runs.len(), ..Tally::default() };
    promises(ledger, &log, &of_message, &mut tally);
    turns(ledger, &log, &runs);
    for (run_id, told) in &runs {
        if let Err(why) = word(told) {
            ledger.found(format_args!("run {run_id}: {why}"));
        }
        tally.cancelled += usize::from(told.status() == "cancelled");
        tally.timed_out += usize::from(told.status() == "timed_out");
        tally.interrupted += usize::from(told.status() == "interrupted");
        tally.resets += told.of_type("agent_thinking").filter(|thought| thought["reset"] == true).count();
        let calls = told.of_type("tool_completed");
        tally.unknown_calls += calls.filter(|call| call["status"] == "unknown").count();
        if let Err(why) = course(ledger, run_id, told, faults, &mut tally) {
            let events: Vec<_> = told.events.iter().map(|(_, event)| event.to_string()).collect();
            ledger.found(format_args!("run {run_id}: {why}:\n{}", events.join("\n")));
        }
    }
    tally
}

/// Checks that accepted messages are in the log (DEL-5) and refused ones are not.
fn promises(ledger: &Ledger, log: &[Value], of_message: &BTreeMap<&str, &str>, tally: &mut Tally) {
    for (message_id, message) in &ledger.messages {
        tally.resent += message.sendings - 1;
        let there = of_message.get(message_id.as_str());
        match &message.fate {
            Fate::Accepted { run_id, offset } => {
                let entry = log.get(*offset as usize - 1);
                let kept = entry.is_some_and(|entry| {
                    entry["type"] == "user_message"
                        && entry["message_id"] == **message_id
                        && entry["run_id"] == **run_id
                        && entry["thread_id"] == *message.planned.thread_id
                        && entry["agent_name"] == message.planned.agent_name
                        && entry["text"] == *message.planned.text
                });
                if !kept {
                    ledger.found(format_args!(
                        "{message_id} was accepted at {offset}, but the entry is (DEL-5): {entry:?}"
                    ));
                }
            }
            Fate::Refused => {
                tally.refused += 1;
                // Of two sendings, one may be refused and the other, under way since before, accepted.
                if message.sendings == 1 && there.is_some() {
                    ledger.found(format_args!("{message_id} was refused and is in the log"));
                }
            }
            Fate::Unknown => ledger.found(format_args!("{message_id} has no answer")),
        }
    }
    for message_id in of_message.keys().filter(|id| !ledger.messages.contains_key(**id)) {
        ledger.found(format_args!("{message_id} was never sent"));
    }
}

/// A thread has one active run at a time, and its messages run in the order of their acceptance (RUN-8).
fn turns(ledger: &Ledger, log: &[Value], runs: &BTreeMap<&str, RunEntries>) {
    let mut active: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let mut accepted: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        let (Some(thread_id), Some(run_id)) = (entry["thread_id"].as_str(), entry["run_id"].as_str()) else {
            return ledger.found(format_args!("an entry without thread or run: {entry}"));
        };
        match entry["type"].as_str() {
            Some("user_message") => {
                waiting.entry(thread_id).or_default().insert(at);
                accepted.insert(run_id, at);
            }
            Some("agent_started") => {
                let queue = waiting.entry(thread_id).or_default();
                let first = queue.first().copied();
                let own = accepted.get(run_id).copied();
                own.map(|own| queue.remove(&own));
                // A run that is cancelled while it waits, or merged, starts and ends in one append, and never acts.
                let passes = log.get(at + 1).is_some_and(|next| {
                    next["run_id"] == run_id
                        && next["type"] == "agent_completed"
                        && (next["status"] == "cancelled" || next["status"] == "merged")
                });
                if passes {
                    continue;
                }
                if let Some(other) = active.insert(thread_id, run_id) {
                    ledger.found(format_args!("entry {}: {other} still runs in {thread_id} (RUN-8)", at + 1));
                }
                if own != first {
                    ledger.found(format_args!("entry {}: {run_id} jumped the queue (RUN-8)", at + 1));
                }
            }
            // A run that never acted has nothing to end.
            Some("agent_completed") if active.get(thread_id) != Some(&run_id) => {}
            Some("agent_completed") => {
                active.remove(thread_id);
            }
            _ if active.get(thread_id) != Some(&run_id) && runs.contains_key(run_id) => {
                ledger.found(format_args!("entry {}: {run_id} acts out of turn (RUN-8)", at + 1));
            }
            _ => {}
        }
    }
}

/// Checks that the events of a run are a legal word.
fn word(told: &RunEntries) -> Result<(), String> {
    let message = told.message.ok_or("it has no message (RUN-6)")?;
    let (mut opened, mut open) = (BTreeMap::new(), BTreeSet::new());
    let mut thought = false;
    for (seq, (at, event)) in (1u64..).zip(&told.events) {
        let kind = event["type"].as_str().unwrap_or_default();
        let because = |rule: &str| Err(format!("entry {}: {rule}: {event}", at + 1));
        if event["seq"] != seq {
            return because("its seq is wrong (RUN-2)");
        }
        if event["thread_id"] != message["thread_id"] || event["agent_name"] != message["agent_name"] {
            return because("it is of another thread or agent");
        }
        if (kind == "agent_started") != (seq == 1) {
            return because("a run starts once, and first (RUN-1)");
        }
        let call_id = event["call_id"].as_str().unwrap_or_default();
        match kind {
            "agent_started" if event["message_id"] != message["message_id"] => {
                return because("it is of another message");
            }
            "agent_started" => {}
            "agent_thinking" => thought = true,
            "tool_executing" if !thought => return because("a tool before a thought (RUN-3)"),
            "tool_executing" => {
                if opened.insert(call_id, &event["tool_name"]).is_some() {
                    return because("a call is opened twice (RUN-4)");
                }
                open.insert(call_id);
            }
            "tool_completed" => {
                if !open.remove(call_id) || opened[call_id] != &event["tool_name"] {
                    return because("no such call is open (RUN-4)");
                }
            }
            "agent_completed" => {
                if !open.is_empty() {
                    return because("calls are open at the end (RUN-5, RUN-7)");
                }
                if event["status"] == "succeeded" && !thought {
                    return because("success without a thought (RUN-3)");
                }
                if at != &told.events.last().map_or(0, |(last, _)| *last) {
                    return because("a run ends last (RUN-5)");
                }
            }
            _ => return because("no event of the contract"),
        }
    }
    match told.last() {
        Some(last) if last["type"] == "agent_completed" => Ok(()),
        _ => Err("it never ended (RUN-6)".to_owned()),
    }
}

/// Joins the deltas of one kind after the last one that withdraws the earlier ones.
fn said(told: &RunEntries, kind: &str) -> String {
    let mut said = String::new();
    for thought in told.of_type("agent_thinking").filter(|thought| thought["kind"] == kind) {
        if thought["reset"] == true {
            said.clear();
        }
        said.push_str(thought["delta"].as_str().unwrap_or_default());
    }
    said
}

/// Checks that a run took the course that its message asked for, as far as it was not cut.
fn course(
    ledger: &Ledger,
    run_id: &str,
    told: &RunEntries,
    faults: CampaignFaults,
    tally: &mut Tally,
) -> Result<(), String> {
    let Some(last) = told.last() else { return Ok(()) };
    let message_id = told.message.and_then(|message| message["message_id"].as_str()).unwrap_or_default();
    let Some(message) = ledger.messages.get(message_id) else { return Ok(()) };
    let expect = &message.planned.expect;
    let status = told.status();
    if status == "succeeded" && last["final_response"] != *said(told, "answer") {
        return Err("its final response is not what it answered".to_owned());
    }
    calls(ledger, run_id, told, expect, faults, tally)?;

    let was_cancelled = ledger.runs.get(run_id).is_some_and(|run| run.cancelled_by_us)
        || message.planned.thread_id == "t-interrupt";
    match status {
        "cancelled" if was_cancelled => return Ok(()),
        "timed_out" if faults.hasty && message.planned.hangs() => return Ok(()),
        "interrupted" if expect.breaks && faults.killed && last["error"]["code"] == "node_lost" => {
            return Ok(());
        }
        _ if status == expect.status => {}
        _ => return Err(format!("it ended as {status}, not as {}", expect.status)),
    }
    if expect.code.is_some_and(|code| last["error"]["code"] != code) {
        return Err(format!("its error is not {:?}", expect.code));
    }
    for (kind, expected) in [("reasoning", &expect.reasoning), ("answer", &expect.answer)] {
        if let Some(expected) = expected
            && *expected != said(told, kind)
        {
            return Err(format!("its {kind} is not {expected:?}"));
        }
    }
    if let Some(says) = expect.says
        && !last["final_response"].as_str().is_some_and(|response| response.contains(says))
    {
        return Err(format!("its response does not contain {says:?}"));
    }
    if let Some(expected) = &expect.calls {
        let made: BTreeSet<&str> =
            told.of_type("tool_executing").filter_map(|call| call["call_id"].as_str()).collect();
        let expected: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
        if made != expected {
            return Err(format!("its calls are not {expected:?}"));
        }
    }
    Ok(())
}

/// Checks that each call was expected, and closed as required (RUN-7, RUN-9, RUN-11).
fn calls(
    ledger: &Ledger,
    run_id: &str,
    told: &RunEntries,
    expect: &Expect,
    faults: CampaignFaults,
    tally: &mut Tally,
) -> Result<(), String> {
    for close in told.of_type("tool_completed") {
        let call_id = close["call_id"].as_str().unwrap_or_default();
        let status = close["status"].as_str().unwrap_or_default();
        let expected = match &expect.calls {
            // A call made again under another name is unexpected.
            Some(calls) => Some(calls.get(call_id).ok_or(format!("call {call_id} was not expected"))?),
            None => None,
        };
        let asked = ledger.asks.get(&(run_id.to_owned(), call_id.to_owned()));
        match status {
            "unknown" if expect.knows_its_calls => {
                return Err(format!("call {call_id} is unknown, and its tool idempotent (RUN-9)"));
            }
            "unknown" if asked.is_some() && !expect.breaks => {
                return Err(format!("call {call_id} did not survive the crash (RUN-11)"));
            }
            "unknown" if faults.killed => {}
            "cancelled" if told.status() == "cancelled" || told.status() == "failed" => {}
            "ok" | "error" => match (asked, expected) {
                (Some(answers), _) => {
                    tally.answered += 1;
                    let given = answers.iter().any(|answer| {
                        answer["status"] == close["status"]
                            && answer["results"] == close["results"]
                            && answer["error"] == close["error"]
                    });
                    if !given {
                        return Err(format!("no client answered call {call_id} so: {close}"));
                    }
                }
                (None, Some(expected)) => {
                    let same = close["tool_name"] == *expected.tool_name
                        && status == expected.status
                        && expected.results.as_ref().is_none_or(|results| close["results"] == *results);
                    if !same {
                        return Err(format!("call {call_id} closed otherwise than {expected:?}"));
                    }
                }
                (None, None) => {}
            },
            _ => return Err(format!("call {call_id} closed as {status} (RUN-7)")),
        }
    }
    Ok(())
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        let Tally {
            entries,
            runs,
            cancelled,
            interrupted,
            timed_out,
            unknown_calls,
            answered,
            resets,
            resent,
            refused,
        } = other;
        self.entries += entries;
        self.runs += runs;
        self.cancelled += cancelled;
        self.interrupted += interrupted;
        self.timed_out += timed_out;
        self.unknown_calls += unknown_calls;
        self.answered += answered;
        self.resets += resets;
        self.resent += resent;
        self.refused += refused;
    }
}
