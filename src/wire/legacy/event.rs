//! Entries in the predecessor's shapes: flat, and the same fields once more in `data`, since its clients read either.

use quintet_kernel::{
    entry::{
        Body, CallOwner, CallResult, CallStatus, Entry, Event, LogErased, RunEntry, RunError, RunStatus,
        ThoughtKind, ThreadChange, ThreadEntry, Usage,
    },
    ids::{CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName, UserId},
    json::Json,
};
use serde::Serialize;
use serde_json::json;

use super::envelope::{seconds, system_message};
use crate::entry::{DecodeError, decode};

/// Translates one line of the log. An erasure becomes a `system_message`, since the ends of runs may be among what it
/// erased (RUN-6). Returns `None` for the entries that the predecessor's protocol has no shape for: changes of threads, and
/// what stands in the place of erased entries.
///
/// # Errors
///
/// Returns a [`DecodeError`] if `line` is not an entry: skipping it could hide an event (DEL-2).
pub fn entry(line: &[u8]) -> Result<Option<String>, DecodeError> {
    match decode(line)? {
        (Some(user_id), Entry::Run(entry)) => Ok(Some(encode(&user_id, &entry))),
        // Each entry of a run has a user.
        (None, Entry::Run(_)) => Err(DecodeError::UnknownType),
        (_, Entry::Thread(ThreadEntry { timestamp, thread_id, change, .. })) => Ok(match change {
            ThreadChange::Erased { through, .. } => Some(erasure(Some(&thread_id), through, timestamp)),
            ThreadChange::Updated { .. } => None,
        }),
        (_, Entry::LogErased(LogErased { timestamp, through, .. })) => {
            Ok(Some(erasure(None, through, timestamp)))
        }
        (_, Entry::Erased(_)) => Ok(None),
    }
}

/// Encodes the notice that a thread, or the whole log, is erased: no further event of its runs up to `through` follows.
fn erasure(thread_id: Option<&ThreadId>, through: Offset, at: Timestamp) -> String {
    let event = if thread_id.is_some() { "thread_erased" } else { "log_erased" };
    let data =
        json!({"event": event, "thread_id": thread_id.map(ThreadId::as_str), "erased_through": through});
    system_message(data, at).to_string()
}

/// An entry with the common fields, its own, and a copy of its own.
#[derive(Serialize)]
struct Framed<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    offset: Offset,
    user_id: &'a UserId,
    thread_id: &'a str,
    run_id: RunId,
    agent_name: &'a str,
    /// Unix seconds.
    timestamp: f64,
    #[serde(flatten)]
    own: &'a T,
    data: &'a T,
}

/// A message of the user, from any of the user's connections.
#[derive(Serialize)]
struct ThreadMessage<'a> {
    role: &'static str,
    content: &'a str,
    message_id: &'a MessageId,
}

#[derive(Serialize)]
struct AgentStarted<'a> {
    sequence: Seq,
    status: &'static str,
    message_id: &'a MessageId,
}

#[derive(Serialize)]
struct AgentThinking<'a> {
    sequence: Seq,
    reasoning: &'a str,
    content: &'a str,
    kind: ThoughtKind,
    reset: bool,
}

#[derive(Serialize)]
struct ToolExecuting<'a> {
    sequence: Seq,
    tool_name: &'a ToolName,
    parameters: &'a Json,
    execution_id: &'a CallId,
    status: &'static str,
    by: CallOwner,
}

#[derive(Serialize)]
struct ToolCompleted<'a> {
    sequence: Seq,
    tool_name: &'a ToolName,
    results: &'a Json,
    /// Seconds.
    duration: f64,
    success: bool,
    status: &'static str,
    error: Option<&'a str>,
    execution_id: &'a CallId,
}

#[derive(Serialize)]
struct AgentCompleted<'a> {
    sequence: Seq,
    status: &'static str,
    /// Empty unless the run succeeded: the predecessor's clients take its length.
    final_response: &'a str,
    error: Option<&'a RunError>,
    /// Seconds.
    duration: f64,
    usage: Option<Usage>,
    merged_into: Option<RunId>,
}

fn encode(user_id: &UserId, entry: &RunEntry) -> String {
    match &entry.body {
        Body::UserMessage { message_id, text, .. } => framed(
            "thread_message",
            user_id,
            entry,
            &ThreadMessage { role: "user", content: text, message_id },
        ),
        Body::Event { seq, event } => encode_event(user_id, entry, *seq, event),
    }
}

fn encode_event(user_id: &UserId, entry: &RunEntry, sequence: Seq, event: &Event) -> String {
    match event {
        Event::Started { message_id } => {
            let own = AgentStarted { sequence, status: "started", message_id };
            framed("agent_started", user_id, entry, &own)
        }
        Event::Thinking(thought) => {
            let (reasoning, content) = (&*thought.delta, &*thought.delta);
            let own =
                AgentThinking { sequence, reasoning, content, kind: thought.kind, reset: thought.reset };
            framed("agent_thinking", user_id, entry, &own)
        }
        Event::ToolExecuting(call) => {
            let own = ToolExecuting {
                sequence,
                tool_name: &call.tool_name,
                parameters: &call.parameters,
                execution_id: &call.call_id,
                status: "executing",
                by: call.by,
            };
            framed("tool_executing", user_id, entry, &own)
        }
        Event::ToolCompleted { call_id, tool_name, result, duration_ms } => {
            let CallResult { status, results, error } = result;
            let own = ToolCompleted {
                sequence,
                tool_name,
                results,
                duration: seconds(*duration_ms),
                // DEL-7: only what is known to have succeeded is a success.
                success: *status == CallStatus::Ok,
                status: call_status(*status),
                error: error.as_deref(),
                execution_id: call_id,
            };
            framed("tool_completed", user_id, entry, &own)
        }
        Event::Completed(completion) => {
            let own = AgentCompleted {
                sequence,
                status: run_status(completion.status),
                final_response: completion.final_response.as_deref().unwrap_or_default(),
                error: completion.error.as_ref(),
                duration: seconds(completion.duration_ms),
                usage: completion.usage,
                merged_into: completion.merged_into,
            };
            framed("agent_completed", user_id, entry, &own)
        }
    }
}

fn framed<T: Serialize>(kind: &'static str, user_id: &UserId, entry: &RunEntry, own: &T) -> String {
    let framed = Framed {
        kind,
        offset: entry.offset,
        user_id,
        thread_id: entry.thread_id.as_str(),
        run_id: entry.run_id,
        agent_name: entry.agent_name.as_str(),
        timestamp: seconds(entry.timestamp.0),
        own,
        data: own,
    };
    serde_json::to_string(&framed).expect("every key of a frame is a string")
}

fn call_status(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok => "success",
        CallStatus::Error => "error",
        CallStatus::Declined => "declined",
        CallStatus::TimedOut => "timeout",
        CallStatus::Cancelled => "cancelled",
        CallStatus::Unknown => "unknown",
    }
}

fn run_status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded => "success",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::TimedOut => "timeout",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Merged => "merged",
    }
}
