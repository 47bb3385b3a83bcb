//! Bodies and queries of the HTTP routes, except those that have the fields of a frame.
//!
//! `POST /v1/messages` and `POST /v1/runs/{id}/calls/{call_id}` are decoded by
//! `client::decode_message` and `client::decode_answer`.

use bytes::{BufMut, BytesMut};
use quintet_kernel::{
    connection::Gap,
    entry::RunStatus,
    ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The optional body of `POST /v1/tickets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketRequest {
    /// Lifetime of the ticket, in milliseconds; missing: 30000 (AUTH-2).
    #[schemars(range(min = 1, max = 300_000))]
    pub ttl_ms: Option<u64>,
}

/// The 201 response of `POST /v1/tickets`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketIssued {
    /// The ticket, which opens one connection (AUTH-1).
    pub ticket: String,
    /// The ticket's expiry, in Unix milliseconds.
    pub expires_at: Timestamp,
    /// The remaining lifetime of the ticket, in milliseconds.
    pub expires_in_ms: u64,
}

/// The 202 response of `POST /v1/messages`: the same guarantee as the frame `accepted` (DEL-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageAccepted {
    /// The run that answers the message.
    pub run_id: RunId,
    /// The id of the message, chosen by the client.
    pub message_id: MessageId,
    /// The offset of the `user_message`.
    pub message_offset: Offset,
    /// True if the message had been accepted before; the rest of the reply is the original one (DEL-6).
    pub duplicate: bool,
}

/// Default number of entries on one page.
pub const PAGE_ENTRIES_DEFAULT: u32 = 100;
/// Largest number of entries on one page.
pub const PAGE_ENTRIES_MAX: u32 = 1000;
/// The query of `GET /v1/entries` and `GET /v1/threads/{id}/entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EntriesQuery {
    /// Return entries after this offset; missing: from the oldest one. Excludes `before`.
    pub after: Option<Offset>,
    /// Return the last entries before this offset, in ascending order. Excludes `after`.
    pub before: Option<Offset>,
    /// Entries on the page, 1 to 1000.
    #[schemars(range(min = 1, max = PAGE_ENTRIES_MAX))]
    pub limit: u32,
}

impl Default for EntriesQuery {
    fn default() -> Self {
        Self { after: None, before: None, limit: PAGE_ENTRIES_DEFAULT }
    }
}

/// The 200 response of `GET /v1/entries` and `GET /v1/threads/{id}/entries`: the part before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPage {
    /// The journal's epoch.
    pub epoch: Epoch,
    /// The `after` of the query.
    pub after: Offset,
    /// The offset of the user's last entry at this moment.
    pub head: Offset,
    /// The requested entries that were trimmed (DEL-3).
    pub gap: Option<Gap>,
}

/// The part of the same response after the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPageEnd {
    /// The `after` of the next page, which may be empty; null if no further entry exists yet.
    pub next_after: Option<Offset>,
}

/// The 200 response to the same query with `before`: the part before the entries. The entries are in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPageBefore {
    /// The journal's epoch.
    pub epoch: Epoch,
    /// The `before` of the query.
    pub before: Offset,
    /// The offset of the user's last entry at this moment.
    pub head: Offset,
    /// The entries before this page that were trimmed (DEL-3). Present on the page that reaches them.
    pub gap: Option<Gap>,
}

/// The part of the same response after the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntriesPageBeforeEnd {
    /// The `before` of the next older page, which may be empty; null if no older entry is stored.
    pub next_before: Option<Offset>,
}

impl EntriesPageBefore {
    /// Writes the whole body; `entries` are encoded entries, in ascending order.
    pub fn encode<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a [u8]>,
        end: EntriesPageBeforeEnd,
        out: &mut BytesMut,
    ) {
        begin(self, out);
        for (i, entry) in entries.into_iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(entry);
        }
        finish(&end, out);
    }
}

/// Writes the fields of `page` and the start of its entries.
fn begin(page: &impl Serialize, out: &mut BytesMut) {
    serde_json::to_writer((&mut *out).writer(), page).expect("a growing buffer takes every byte");
    out.truncate(out.len() - 1);
    out.put_slice(b",\"entries\":[");
}

/// Writes the end of the entries and the fields of `end`.
fn finish(end: &impl Serialize, out: &mut BytesMut) {
    let rest = serde_json::to_vec(end).expect("a number or nothing is always JSON");
    out.put_slice(b"],");
    out.put_slice(&rest[1..]);
}

impl EntriesPage {
    /// Writes the whole body; `entries` are encoded entries.
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

    /// Writes the body up to the first entry. The caller adds the entries, separated by commas, and then
    /// [`EntriesPageEnd`].
    pub fn begin(&self, out: &mut BytesMut) {
        begin(self, out);
    }
}

impl EntriesPageEnd {
    /// Writes the rest of the body.
    pub fn end(&self, out: &mut BytesMut) {
        finish(self, out);
    }
}

/// The first line of `GET /v1/export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "export")]
pub struct ExportHeader {
    /// The journal's epoch.
    pub epoch: Epoch,
    /// The user whose log this is (ISO-1).
    pub user_id: UserId,
    /// The last trimmed offset; 0 if nothing was trimmed. The entries begin after it.
    pub trimmed: Offset,
    /// The offset of the last exported entry; 0 if there is none.
    pub head: Offset,
    /// The time of the export, in Unix milliseconds.
    pub exported_at: Timestamp,
}

/// The last line of `GET /v1/export`. An export without it was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "export_end")]
pub struct ExportEnd {
    /// Number of exported entries.
    pub entries: u64,
}

/// A line of `GET /v1/export` in the place of entries that were trimmed while the export ran (DEL-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename = "gap")]
pub struct ExportGap {
    /// The first missing offset.
    pub from: Offset,
    /// The last missing offset.
    pub to: Offset,
}

/// The 200 response of `GET /v1/runs/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// The id of the run.
    pub run_id: RunId,
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// Offset of the message that this one follows in its thread; 0 for none.
    pub parent: Offset,
    /// The state of the run: queued, executing or ended.
    pub state: RunState,
    /// The outcome; null until `completed`.
    pub status: Option<RunStatus>,
    /// Offset of its `user_message`.
    pub accepted_offset: Offset,
    /// Offset of its `agent_started`; null while the run is queued.
    pub started_offset: Option<Offset>,
    /// Offset of its `agent_completed`; null until then.
    pub completed_offset: Option<Offset>,
    /// Time at which the message was accepted, in Unix milliseconds.
    pub accepted_at: Timestamp,
    /// The run that took the message of this one, if the status is `merged` (RUN-12); else null.
    pub merged_into: Option<RunId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
/// The state of a run.
pub enum RunState {
    /// Queued behind the active run of its thread (RUN-8).
    Waiting,
    /// Executing.
    Active,
    /// Ended (RUN-5).
    Completed,
}

/// The 200 response of `POST /v1/runs/{id}/cancel`, sent once the end of the run is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCancelled {
    /// The run that ended.
    pub run_id: RunId,
}

/// The 200 response of `POST /v1/runs/{id}/calls/{call_id}`, sent once the `tool_completed` is durable
/// (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallCompleted {
    /// The run of the call.
    pub run_id: RunId,
    /// The call that closed.
    pub call_id: CallId,
}

/// The 200 response of `GET /v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentsList {
    /// The registered agents.
    pub agents: Vec<AgentInfo>,
}

/// An agent in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AgentInfo {
    /// The name of the agent.
    pub agent_name: AgentName,
    /// One sentence for people.
    pub description: String,
    /// True for the agent that receives messages without an `agent_name`.
    pub default: bool,
}

/// The body of `POST /dev/login`, which exists only under `quintet dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginRequest {
    /// The user to log in as.
    pub user_id: UserId,
}

/// The 200 response of `POST /dev/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedIn {
    /// A JWT.
    pub token: String,
    /// The user that the token authenticates.
    pub user_id: UserId,
    /// The token's expiry, in Unix milliseconds.
    pub expires_at: Timestamp,
}
