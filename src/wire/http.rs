//! Bodies and queries of the HTTP routes that are not frames.
//!
//! `POST /v1/messages` and `POST /v1/runs/{id}/calls/{call_id}` take the fields of their frames:
//! `client::SendMessage::decode`, `client::decode_answer`.

use bytes::{BufMut, BytesMut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::server::Gap;
use crate::kernel::{
    entry::RunStatus,
    ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
};

/// `POST /v1/tickets`; no body means no wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketRequest {
    /// How long the ticket is to live, in milliseconds; missing: 30000 (AUTH-2).
    #[schemars(range(min = 1, max = 300_000))]
    pub ttl_ms: Option<u64>,
}

/// 201 of `POST /v1/tickets`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketIssued {
    /// Opens one connection (AUTH-1).
    pub ticket: String,
    /// Unix milliseconds.
    pub expires_at: Timestamp,
    pub expires_in_ms: u64,
}

/// 202 of `POST /v1/messages`: the same promise as the frame `accepted` (DEL-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageAccepted {
    pub run_id: RunId,
    pub message_id: MessageId,
    /// The offset of the `user_message`.
    pub message_offset: Offset,
    /// The message was accepted before; the answer is the same (DEL-6).
    pub duplicate: bool,
}

/// Entries on one page unless the query says otherwise.
pub const PAGE_ENTRIES_DEFAULT: u32 = 100;
/// Entries on one page at most.
pub const PAGE_ENTRIES_MAX: u32 = 1000;
/// Threads on one page unless the query says otherwise.
pub const PAGE_THREADS_DEFAULT: u32 = 50;
/// Threads on one page at most.
pub const PAGE_THREADS_MAX: u32 = 200;

/// The query of `GET /v1/entries` and `GET /v1/threads/{id}/entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EntriesQuery {
    /// Entries after this offset.
    pub after: Offset,
    /// Entries on the page, 1 to 1000.
    #[schemars(range(min = 1, max = PAGE_ENTRIES_MAX))]
    pub limit: u32,
}

impl Default for EntriesQuery {
    fn default() -> Self {
        Self { after: Offset::ZERO, limit: PAGE_ENTRIES_DEFAULT }
    }
}

/// The query of `GET /v1/threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ThreadsQuery {
    /// Threads whose last entry lies before this offset; missing: from the latest on.
    pub before: Option<Offset>,
    /// Threads on the page, 1 to 200.
    #[schemars(range(min = 1, max = PAGE_THREADS_MAX))]
    pub limit: u32,
}

impl Default for ThreadsQuery {
    fn default() -> Self {
        Self { before: None, limit: PAGE_THREADS_DEFAULT }
    }
}

/// 200 of `GET /v1/entries` and `GET /v1/threads/{id}/entries`: what stands before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPage {
    pub epoch: Epoch,
    /// As asked.
    pub after: Offset,
    /// The offset of the user's last entry at this moment.
    pub head: Offset,
    /// What was asked for and is no longer kept (DEL-3).
    pub gap: Option<Gap>,
}

/// What stands behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPageEnd {
    /// The `after` of the next page, which may be empty; null: there is none yet.
    pub next_after: Option<Offset>,
}

impl EntriesPage {
    /// The body as it is sent, `entries` being encoded entries.
    pub fn encode<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a [u8]>,
        end: EntriesPageEnd,
        out: &mut BytesMut,
    ) {
        self.begin(out);
        for (i, entry) in entries.into_iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(entry);
        }
        end.end(out);
    }

    /// The body up to the first entry. Entries follow, with a comma between two, then [`EntriesPageEnd`].
    pub fn begin(&self, out: &mut BytesMut) {
        serde_json::to_writer((&mut *out).writer(), self).expect("a growing buffer takes every byte");
        out.truncate(out.len() - 1);
        out.put_slice(b",\"entries\":[");
    }
}

impl EntriesPageEnd {
    /// The rest of the body.
    pub fn end(&self, out: &mut BytesMut) {
        let rest = serde_json::to_vec(self).expect("a number or nothing is always JSON");
        out.put_slice(b"],");
        out.put_slice(&rest[1..]);
    }
}

/// 200 of `GET /v1/threads`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadsPage {
    /// The one with the latest entry first.
    pub threads: Vec<ThreadInfo>,
    /// The `before` of the next page; null: this is the last.
    pub next_before: Option<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ThreadInfo {
    pub thread_id: ThreadId,
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// Of the last entry, in Unix milliseconds.
    pub last_at: Timestamp,
    /// How many messages of the user.
    pub messages: u64,
}

/// 200 of `GET /v1/runs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub agent_name: AgentName,
    pub state: RunState,
    /// How it ended; null until `completed`.
    pub status: Option<RunStatus>,
    /// Of its `user_message`.
    pub accepted_offset: Offset,
    /// Of its `agent_started`; null while it waits.
    pub started_offset: Option<Offset>,
    /// Of its `agent_completed`; null until then.
    pub completed_offset: Option<Offset>,
    /// Unix milliseconds.
    pub accepted_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// In its thread's line (RUN-8).
    Waiting,
    Active,
    Completed,
}

/// 200 of `POST /v1/runs/{id}/cancel`: the end is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCancelled {
    pub run_id: RunId,
}

/// 200 of `POST /v1/runs/{id}/calls/{call_id}`: the `tool_completed` is in the log (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallCompleted {
    pub run_id: RunId,
    pub call_id: CallId,
}

/// 200 of `GET /v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentsList {
    pub agents: Vec<AgentInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AgentInfo {
    pub agent_name: AgentName,
    /// One sentence, to people.
    pub description: String,
    /// Takes the messages that name no agent.
    pub default: bool,
}

/// `POST /dev/login`; exists only under `quintet dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginRequest {
    pub user_id: UserId,
}

/// 200 of `POST /dev/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedIn {
    /// A JWT.
    pub token: String,
    pub user_id: UserId,
    /// Unix milliseconds.
    pub expires_at: Timestamp,
}
