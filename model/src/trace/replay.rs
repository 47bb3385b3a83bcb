//! Recorded commands and entries as the kernel has them: texts are empty, time stands still, names are
//! the trace's own.

use quintet::kernel::{
    entry::{
        Body, Call, CallResult, CallStatus, Completion, Event, RunEntry, RunError, RunErrorCode, RunStatus,
        Thought, ThoughtKind,
    },
    ids::{MessageId, Offset, RunId, Seq, ThreadId, Timestamp},
    json::Json,
    limits::Limits,
    run::{EarlyEnd, Ending},
    user::{
        AgentStep, Command, EraseScope, Erasure, NewMessage, PastCall, Receipt, SendCommand,
        ThreadProperties, ThreadUpdate, UpdateThread,
    },
};
use quintet_monitor::record::{
    DecisionRecord, Early, PastCallRecord, ReplyRecord, TracedCommand, TracedEntry, TracedErasure,
    TracedLimits, What,
};

use crate::vocabulary::{agent, tool};

/// The only moment there is.
pub const AT: Timestamp = Timestamp(0);

/// The limits that the process ran with, those in bytes out of the way.
pub fn limits(traced: &TracedLimits) -> Limits {
    Limits {
        open_calls_max: traced.open_calls_max,
        run_calls_max: traced.run_calls_max,
        run_events_max: traced.run_events_max,
        open_runs_max: traced.open_runs_max,
        queued_messages_max: traced.queued_messages_max,
        recent_messages_max: traced.recent_messages_max,
        run_resumes_max: traced.run_resumes_max,
        run_resumes_total_max: traced.run_resumes_total_max,
        ..Limits::DEFAULT
    }
}

/// The limits under which the command is to be decided: the trace does not have the bytes that were
/// too many, so the limit in bytes that was reached is 0 here.
pub fn limits_for(decided: &DecisionRecord, limits: &Limits) -> Limits {
    let mut limits = *limits;
    let reached = match (&decided.answer, &decided.command) {
        (ReplyRecord::LimitReached(limit), _) => limit.as_str(),
        (ReplyRecord::TooLarge, TracedCommand::Send { .. }) => "text_bytes_max",
        (ReplyRecord::TooLarge, _) => "results_bytes_max",
        _ => return limits,
    };
    match reached {
        "text_bytes_max" => limits.text_bytes_max = 0,
        "delta_bytes_max" => limits.delta_bytes_max = 0,
        "answer_bytes_max" => limits.answer_bytes_max = 0,
        "parameters_bytes_max" => limits.parameters_bytes_max = 0,
        "results_bytes_max" => limits.results_bytes_max = 0,
        _ => {}
    }
    limits
}

/// The command in the form of the kernel. `known`: the trace's knowledge of a message, if the record does not
/// contain it.
pub fn command(decided: &DecisionRecord, known: Option<Receipt>) -> Command {
    // One byte, so that a limit of none is exceeded.
    let thought = |kind| Thought { kind, delta: "x".into(), reset: true };
    let step = |run: &RunId, step| Command::Step { run_id: *run, step };
    match &decided.command {
        TracedCommand::Send { run, thread, message, on_busy, earlier, differs } => {
            Command::Send(SendCommand {
                message: NewMessage {
                    message_id: message.clone(),
                    thread_id: thread.clone(),
                    text: "x".into(),
                    agent_name: None,
                    on_busy: *on_busy,
                    // The trace does not record the parent, only that it was not found.
                    parent: (decided.answer == ReplyRecord::NotFound).then_some(Offset(u64::MAX)),
                },
                agent_name: agent(),
                run_id: *run,
                earlier: earlier.map(|(run_id, offset)| Receipt { run_id, offset }).or(known),
                differs: *differs,
                older_parent: None,
            })
        }
        TracedCommand::Cancel { run, ended } => Command::Cancel { run_id: *run, ended: *ended },
        TracedCommand::Answer { run, call, status, past } => Command::Answer {
            run_id: *run,
            call_id: call.clone(),
            result: result(*status),
            past: match past {
                PastCallRecord::NotAsked => None,
                PastCallRecord::OfClient => Some(PastCall::OfClient),
                PastCallRecord::NotOfClient => Some(PastCall::NotOfClient),
            },
        },
        TracedCommand::Think { run } => {
            // Only a piece of the answer can make the answer too long.
            let is_answer = decided.answer == ReplyRecord::LimitReached("answer_bytes_max".into());
            let kind = if is_answer { ThoughtKind::Answer } else { ThoughtKind::Reasoning };
            step(run, AgentStep::Think(thought(kind)))
        }
        TracedCommand::Open { run, call, by } => {
            let parameters = Json::empty_object();
            let call = Call { call_id: call.clone(), tool_name: tool(), parameters, by: *by };
            step(run, AgentStep::Open(call))
        }
        TracedCommand::Close { run, call, status } => {
            step(run, AgentStep::Close { call_id: call.clone(), result: result(*status) })
        }
        TracedCommand::Succeed { run } => step(run, AgentStep::Complete(Ending::Succeeded { usage: None })),
        TracedCommand::Fail { run, how } => step(run, AgentStep::Complete(Ending::Cut(cut(*how)))),
        TracedCommand::TakeMessages { run } => Command::TakeMessages { run_id: *run },
        TracedCommand::Cut { run, how } => Command::Cut { run_id: *run, cut: cut(*how) },
        TracedCommand::CloseCall { run, call, status } => {
            Command::CloseCall { run_id: *run, call_id: call.clone(), status: *status }
        }
        TracedCommand::Resume { run, keep, resumes } => {
            Command::Resume { run_id: *run, keep: keep.clone(), resumes: *resumes }
        }
        TracedCommand::UpdateThread { thread, known } => Command::UpdateThread(UpdateThread {
            thread_id: thread.clone(),
            update: ThreadUpdate::default(),
            current: known.then(ThreadProperties::default),
        }),
        TracedCommand::Erase { thread, receipt } => {
            Command::Erase { scope: scope(thread.as_ref()), receipt: *receipt }
        }
        TracedCommand::Erased { receipt } => Command::Erased { receipt: *receipt },
    }
}

fn scope(thread: Option<&ThreadId>) -> EraseScope {
    thread.map_or(EraseScope::Log, |thread| EraseScope::Thread(thread.clone()))
}

/// A recorded erasure as the kernel has it.
pub fn erasure(traced: &TracedErasure) -> Erasure {
    let TracedErasure { thread, through, receipt } = traced;
    let scope = scope(thread.as_ref());
    Erasure { scope, through: *through, receipt: *receipt, requested_at: AT }
}

fn result(status: CallStatus) -> CallResult {
    CallResult { status, results: Json::null(), error: None }
}

fn cut(how: Early) -> EarlyEnd {
    let error = || RunError { code: how.code.unwrap_or(RunErrorCode::AgentError), message: String::new() };
    match how.status {
        RunStatus::Failed | RunStatus::Succeeded => EarlyEnd::Failed(error()),
        // An agent does not end its run as merged.
        RunStatus::Cancelled | RunStatus::Merged => EarlyEnd::Cancelled,
        RunStatus::TimedOut => EarlyEnd::TimedOut(error()),
        RunStatus::Interrupted => EarlyEnd::Interrupted(error()),
    }
}

/// An entry of the kernel in the words of a trace.
pub fn traced(entry: &RunEntry) -> TracedEntry {
    let (seq, what) = match &entry.body {
        Body::UserMessage { message_id, steers, .. } => {
            (None, What::UserMessage { message: message_id.clone(), steers: *steers })
        }
        Body::Event { seq, event } => (
            Some(seq.0),
            match event {
                Event::Started { message_id } => What::AgentStarted { message: message_id.clone() },
                Event::Thinking(_) => What::AgentThinking,
                Event::ToolExecuting(call) => What::ToolExecuting { call: call.call_id.clone(), by: call.by },
                Event::ToolCompleted { call_id, result, .. } => {
                    What::ToolCompleted { call: call_id.clone(), status: result.status }
                }
                Event::Completed(completion) => What::AgentCompleted {
                    status: completion.status,
                    code: completion.error.as_ref().map(|error| error.code),
                    into: completion.merged_into,
                },
            },
        ),
    };
    TracedEntry { run: entry.run_id, thread: entry.thread_id.clone(), seq, what, times: 1 }
}

/// A recorded entry, which stands at `offset`, as the kernel has it.
pub fn entry(traced: &TracedEntry, offset: Offset) -> RunEntry {
    let message = |message_id: &MessageId| message_id.clone();
    let event = |event| Body::Event { seq: Seq(traced.seq.unwrap_or(0)), event };
    let body = match &traced.what {
        What::UserMessage { message: id, steers } => {
            let (message_id, text) = (message(id), "x".into());
            Body::UserMessage { message_id, text, parent: None, steers: *steers }
        }
        What::AgentStarted { message: id } => event(Event::Started { message_id: message(id) }),
        What::AgentThinking => {
            event(Event::Thinking(Thought { kind: ThoughtKind::Reasoning, delta: "x".into(), reset: true }))
        }
        What::ToolExecuting { call, by } => event(Event::ToolExecuting(Call {
            call_id: call.clone(),
            tool_name: tool(),
            parameters: Json::empty_object(),
            by: *by,
        })),
        What::ToolCompleted { call, status } => event(Event::ToolCompleted {
            call_id: call.clone(),
            tool_name: tool(),
            result: result(*status),
            duration_ms: 0,
        }),
        What::AgentCompleted { status, code, into } => event(Event::Completed(Completion {
            status: *status,
            final_response: (*status == RunStatus::Succeeded).then(String::new),
            error: code.map(|code| RunError { code, message: String::new() }),
            duration_ms: 0,
            usage: None,
            merged_into: *into,
        })),
    };
    let (run_id, thread_id) = (traced.run, traced.thread.clone());
    RunEntry { offset, thread_id, run_id, timestamp: AT, agent_name: agent(), body }
}

/// Entries that were counted, one by one.
pub fn spread(entries: &[TracedEntry]) -> Vec<TracedEntry> {
    let mut spread = Vec::new();
    for entry in entries {
        for i in 0..entry.times {
            spread.push(TracedEntry { seq: entry.seq.map(|seq| seq + i), times: 1, ..entry.clone() });
        }
    }
    spread
}

/// Calls that one decision closes together stand in the order of their names, and a trace has changed
/// the names: here in the order that those have, with the seqs that belong to the places.
pub fn in_order(entries: &mut [TracedEntry]) {
    let closes_with = |a: &TracedEntry, b: &TracedEntry| {
        a.run == b.run
            && matches!((&a.what, &b.what),
                (What::ToolCompleted { status: a, .. }, What::ToolCompleted { status: b, .. }) if a == b)
    };
    for group in entries.chunk_by_mut(closes_with) {
        let seqs: Vec<_> = group.iter().map(|entry| entry.seq).collect();
        group.sort_by(|a, b| call_of(a).cmp(&call_of(b)));
        group.iter_mut().zip(seqs).for_each(|(entry, seq)| entry.seq = seq);
    }
}

fn call_of(entry: &TracedEntry) -> Option<&str> {
    match &entry.what {
        What::ToolCompleted { call, .. } => Some(call.as_str()),
        _ => None,
    }
}
