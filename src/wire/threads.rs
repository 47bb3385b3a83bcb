//! Bodies and queries of the HTTP routes of conversations: threads, their folded runs, and the calls that wait for the
//! user.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use quintet_kernel::{
    entry::{CallOwner, CallStatus, RunError, RunStatus, Usage},
    fold::{FoldedCall, FoldedRun, Position},
    ids::{
        AgentName, CallId, Epoch, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, Title, ToolName,
    },
    json::Json,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::RunState;

/// Default number of threads on one page.
pub const PAGE_THREADS_DEFAULT: u32 = 50;
/// Largest number of threads on one page.
pub const PAGE_THREADS_MAX: u32 = 200;
/// Default number of folded runs on one page.
pub const PAGE_RUNS_DEFAULT: u32 = 50;
/// Largest number of folded runs on one page.
pub const PAGE_RUNS_MAX: u32 = 200;
/// Default number of waiting calls on one page.
pub const PAGE_CALLS_DEFAULT: u32 = 50;
/// Largest number of waiting calls on one page.
pub const PAGE_CALLS_MAX: u32 = 200;
/// Largest number of characters of [`ThreadInfo::first_text`].
pub const FIRST_TEXT_CHARS_MAX: usize = 200;

/// The query of `GET /v1/threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ThreadsQuery {
    /// Return threads whose last entry is before this offset; missing: start at the latest.
    pub before: Option<Offset>,
    /// Threads on the page, 1 to 200.
    #[schemars(range(min = 1, max = PAGE_THREADS_MAX))]
    pub limit: u32,
    /// Return only threads that are archived, or are not; missing: both.
    pub archived: Option<bool>,
}

impl Default for ThreadsQuery {
    fn default() -> Self {
        Self { before: None, limit: PAGE_THREADS_DEFAULT, archived: None }
    }
}

/// The query of `GET /v1/threads/{id}/runs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RunsQuery {
    /// Return runs whose message is before this offset; missing: start at the latest.
    pub before: Option<Offset>,
    /// Runs on the page, 1 to 200.
    #[schemars(range(min = 1, max = PAGE_RUNS_MAX))]
    pub limit: u32,
}

impl Default for RunsQuery {
    fn default() -> Self {
        Self { before: None, limit: PAGE_RUNS_DEFAULT }
    }
}

/// The query of `GET /v1/calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CallsQuery {
    /// True, for the calls that wait for an answer; no other calls can be listed.
    pub open: bool,
    /// Return calls whose `tool_executing` is after this offset.
    pub after: Offset,
    /// Calls on the page, 1 to 200.
    #[schemars(range(min = 1, max = PAGE_CALLS_MAX))]
    pub limit: u32,
}

impl Default for CallsQuery {
    fn default() -> Self {
        Self { open: false, after: Offset::ZERO, limit: PAGE_CALLS_DEFAULT }
    }
}

/// The 200 response of `GET /v1/threads`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadsPage {
    /// The offset of the user's last entry before the threads were read: a thread that this page lacks, because it moved
    /// up, has an entry after it.
    pub head: Offset,
    /// Threads, the one with the latest entry first.
    pub threads: Vec<ThreadInfo>,
    /// The `before` of the next page; null on the last page.
    pub next_before: Option<Offset>,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadInfo {
    /// The id of the thread.
    pub thread_id: ThreadId,
    /// The title; null if the user has given it none.
    pub title: Option<Title>,
    /// The first 200 characters of the first message that is stored; null if none is.
    pub first_text: Option<String>,
    /// True if the user has put the thread aside.
    pub archived: bool,
    /// The agent of the latest message; null if no message is known any more.
    pub agent_name: Option<AgentName>,
    /// Offset of the first entry.
    pub first_offset: Offset,
    /// Offset of the last entry of a run.
    pub last_offset: Offset,
    /// Timestamp of that entry, in Unix milliseconds.
    pub last_at: Timestamp,
    /// Number of the user's messages in the thread.
    pub messages: u64,
    /// The open run that was accepted first; null if no run is open.
    pub open_run: Option<RunId>,
    /// Number of open runs.
    pub open_runs: u64,
}

/// The 200 response of `GET /v1/threads/{id}/runs`: the part before the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunsPage {
    /// The journal's epoch.
    pub epoch: Epoch,
    /// The offset of the last entry that the runs reflect: the entries after it complete them.
    pub head: Offset,
}

/// The part of the same response after the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunsPageEnd {
    /// The `before` of the next page, which may be empty; null if there is no earlier run.
    pub next_before: Option<Offset>,
}

impl RunsPage {
    /// Writes the body up to the first run. The caller adds the runs, separated by commas, and then [`RunsPageEnd`].
    pub fn begin(&self, out: &mut BytesMut) {
        json(self, out);
        out.truncate(out.len() - 1);
        out.put_slice(b",\"runs\":[");
    }
}

impl RunsPageEnd {
    /// Writes the rest of the body.
    pub fn end(&self, out: &mut BytesMut) {
        out.put_slice(b"],");
        let at = out.len();
        json(self, out);
        // The object continues the one of the page.
        let rest = out.split_off(at);
        out.put_slice(&rest[1..]);
    }
}

/// Appends `value` as JSON.
fn json(value: &impl Serialize, out: &mut BytesMut) {
    serde_json::to_writer(out.writer(), value)
        .expect("a growing buffer takes every byte, and every key is a string");
}

/// A run of a conversation, folded from its entries, without the deltas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadRun {
    /// The id of the run.
    pub run_id: RunId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// Offset of the message that this one follows in its thread; 0 for none.
    pub parent: Offset,
    /// The text of the message.
    pub text: String,
    /// True if the message waits for the active run of its thread to take it, or was taken (RUN-12).
    pub steer: bool,
    /// The state of the run: queued, executing or ended.
    pub state: RunState,
    /// The outcome; null until `completed`.
    pub status: Option<RunStatus>,
    /// The calls, in the order in which they were opened.
    pub calls: Vec<ThreadRunCall>,
    /// The final response; of a run that has not succeeded, the answer as far as it was given; null if there is none.
    pub answer: Option<String>,
    /// The reason; null if the run is open, succeeded or was cancelled.
    pub error: Option<RunError>,
    /// Language model tokens; null if the agent has not counted them.
    pub usage: Option<Usage>,
    /// The run that took the message of this one, if the status is `merged` (RUN-12); else null.
    pub merged_into: Option<RunId>,
    /// Offset of its `user_message`.
    pub accepted_offset: Offset,
    /// Time at which the message was accepted, in Unix milliseconds.
    pub accepted_at: Timestamp,
    /// Offset of its `agent_started`; null while the run is queued.
    pub started_offset: Option<Offset>,
    /// Time of its `agent_started`; null while the run is queued.
    pub started_at: Option<Timestamp>,
    /// Offset of its `agent_completed`; null until then.
    pub completed_offset: Option<Offset>,
    /// Time of its `agent_completed`; null until then.
    pub completed_at: Option<Timestamp>,
    /// Milliseconds since the `agent_started`; null until `completed`.
    pub duration_ms: Option<u64>,
    /// True if later calls and parts of the answer were left out, because the run is too large for a page.
    pub truncated: bool,
}

/// A call of a [`ThreadRun`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ThreadRunCall {
    /// The id of the call, unique within the run.
    pub call_id: CallId,
    /// The tool of the call.
    pub tool_name: ToolName,
    /// The parameters: an object.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub parameters: Json,
    /// The party that executes the call and completes it.
    pub by: CallOwner,
    /// Offset of its `tool_executing`.
    pub opened_offset: Offset,
    /// Time of its `tool_executing`, in Unix milliseconds.
    pub opened_at: Timestamp,
    /// The status; null while the call is open.
    pub status: Option<CallStatus>,
    /// Any JSON value; null while the call is open.
    pub results: Json,
    /// The error message; null if the call is open or succeeded.
    pub error: Option<String>,
    /// Milliseconds since the `tool_executing`; null while the call is open.
    pub duration_ms: Option<u64>,
}

impl ThreadRun {
    /// Appends the run as JSON.
    pub fn encode(&self, out: &mut BytesMut) {
        json(self, out);
    }
}

impl From<FoldedRun> for ThreadRun {
    fn from(run: FoldedRun) -> Self {
        let answer = run.answer().map(str::to_owned);
        let state = match (&run.started, &run.completed) {
            (_, Some(_)) => RunState::Completed,
            (Some(_), None) => RunState::Active,
            (None, None) => RunState::Waiting,
        };
        let (completed, completion) = run.completed.unzip();
        Self {
            run_id: run.run_id,
            message_id: run.message_id,
            agent_name: run.agent_name,
            parent: run.parent,
            text: run.text,
            steer: run.steers,
            state,
            status: completion.as_ref().map(|end| end.status),
            calls: run.calls.into_iter().map(ThreadRunCall::from).collect(),
            answer,
            error: completion.as_ref().and_then(|end| end.error.clone()),
            usage: completion.as_ref().and_then(|end| end.usage),
            merged_into: completion.as_ref().and_then(|end| end.merged_into),
            accepted_offset: run.accepted.offset,
            accepted_at: run.accepted.at,
            started_offset: run.started.map(|started| started.offset),
            started_at: run.started.map(|started| started.at),
            completed_offset: completed.map(|completed: Position| completed.offset),
            completed_at: completed.map(|completed| completed.at),
            duration_ms: completion.map(|end| end.duration_ms),
            truncated: !run.whole,
        }
    }
}

impl From<FoldedCall> for ThreadRunCall {
    fn from(FoldedCall { call, opened, closed }: FoldedCall) -> Self {
        let (result, duration_ms) = closed.unzip();
        let status = result.as_ref().map(|result| result.status);
        let (results, error) = result.map_or((Json::null(), None), |result| (result.results, result.error));
        Self {
            call_id: call.call_id,
            tool_name: call.tool_name,
            parameters: call.parameters,
            by: call.by,
            opened_offset: opened.offset,
            opened_at: opened.at,
            status,
            results,
            error,
            duration_ms,
        }
    }
}

/// The 200 response of `GET /v1/calls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallsPage {
    /// The calls of the client that wait for an answer (RUN-11), over all threads, the oldest first.
    pub calls: Vec<WaitingCallInfo>,
    /// The `after` of the next page; null on the last page.
    pub next_after: Option<Offset>,
}

/// A call that waits for the client's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct WaitingCallInfo {
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The run that waits.
    pub run_id: RunId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// The id of the call, unique within the run.
    pub call_id: CallId,
    /// The tool of the call.
    pub tool_name: ToolName,
    /// The parameters: an object.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub parameters: Json,
    /// Offset of its `tool_executing`.
    pub opened_offset: Offset,
    /// Time of its `tool_executing`, in Unix milliseconds.
    pub opened_at: Timestamp,
    /// Time at which the call is closed as `timed_out` unless it is answered, in Unix milliseconds. Null if the run
    /// waits to be resumed.
    pub deadline: Option<Timestamp>,
}

/// The 202 response of `DELETE /v1/threads/{id}` and `DELETE /v1/log`, sent once the erasure is certain to take place
/// (DEL-8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureInfo {
    /// The id of this record, as in the entry `thread_erased` or `log_erased` that ends the erasure.
    pub receipt: ReceiptId,
    /// The thread that is erased; null: the whole log.
    pub thread_id: Option<ThreadId>,
    /// The last offset that is erased.
    pub erased_through: Offset,
    /// The hash of the log's chain at that offset, before the erasure: 64 hexadecimal digits.
    pub chain_head: String,
    /// Time of the request, in Unix milliseconds.
    pub requested_at: Timestamp,
    /// Time at which nothing was left to erase; null while the erasure is under way.
    pub completed_at: Option<Timestamp>,
    /// Number of entries that were erased so far.
    pub entries: u64,
}
