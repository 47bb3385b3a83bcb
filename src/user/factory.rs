//! Builds one user's machines and hands out the only handles to them (ISO-4).

use std::sync::Arc;

use super::{agents::SharedAgents, cursor::Cursor};
use crate::{
    journal::{Journal, JournalError, Lines, ReadLimit, RunRecord, ThreadRecord},
    kernel::{
        entry::CallResult,
        ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, UserId},
        limits::Limits,
        user::{OnBusy, Receipt, Refusal},
    },
};

/// Makes users' machines. One per process and journal.
#[derive(Clone)]
pub struct Factory {}

impl Factory {
    pub fn new(journal: Arc<dyn Journal>, agents: SharedAgents, limits: Limits) -> Self {
        let _ = (journal, agents, limits);
        todo!()
    }

    /// The machines of one user, made if there are none; they live at least as long as the handle (ISO-5).
    pub fn attach(&self, user_id: &UserId) -> User {
        let _ = user_id;
        todo!()
    }

    /// Takes up every run that an earlier process left open (RUN-6). Call once, before serving.
    pub async fn recover(&self) -> Result<(), JournalError> {
        todo!()
    }

    pub fn epoch(&self) -> Epoch {
        todo!()
    }

    /// From here on no message is accepted (`Unaccepted::Draining`); runs go on (CONN-6).
    pub fn drain(&self) {
        todo!()
    }

    /// Resolves when no run is open that could still move on its own.
    pub async fn idle(&self) {
        todo!()
    }

    /// How many users have machines right now (ISO-5).
    pub fn live_users(&self) -> usize {
        todo!()
    }
}

/// A lease on one user's machines. Everything it does concerns this user's log alone.
#[derive(Clone)]
pub struct User {}

/// A message as a client sends it, already well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub message_id: MessageId,
    pub thread_id: ThreadId,
    pub text: String,
    pub agent_name: Option<AgentName>,
    pub on_busy: OnBusy,
}

/// A message that is accepted (DEL-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub receipt: Receipt,
    pub duplicate: bool,
}

/// Why a request of the user was not carried out. Nothing has changed, unless `Unavailable` says
/// that it is not known (DEL-7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no agent is named {0}")]
    UnknownAgent(AgentName),
    #[error("the service is draining")]
    Draining,
    /// Too many commands of this user wait (`hub_commands_max`).
    #[error("too many commands are waiting")]
    Overloaded,
    /// The journal did not say that it is done; repeating the same request is safe.
    #[error("the journal is not available")]
    Unavailable,
}

impl User {
    pub fn user_id(&self) -> &UserId {
        todo!()
    }

    pub async fn send(&self, message: NewMessage) -> Result<Accepted, Unaccepted> {
        let _ = message;
        todo!()
    }

    pub async fn cancel(&self, run_id: RunId) -> Result<(), Unaccepted> {
        let _ = run_id;
        todo!()
    }

    /// Closes a call that waits for the client (RUN-11).
    pub async fn answer(&self, run_id: RunId, call_id: CallId, result: CallResult) -> Result<(), Unaccepted> {
        let _ = (run_id, call_id, result);
        todo!()
    }

    /// A cursor that stands after `after`; `after` may lie before the oldest entry kept or past the head.
    pub async fn cursor(&self, after: Offset) -> Result<Cursor, JournalError> {
        let _ = after;
        todo!()
    }

    pub async fn entries(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let _ = (after, limit);
        todo!()
    }

    pub async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        let _ = run_id;
        todo!()
    }

    pub async fn threads(&self, before: Option<Offset>, limit: usize) -> Result<Vec<ThreadRecord>, JournalError> {
        let _ = (before, limit);
        todo!()
    }

    /// Entries of one thread after `after`: each encoded, with its offset; `limit.entries_max` at most.
    pub async fn thread_entries(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: ReadLimit,
    ) -> Result<Vec<(Offset, bytes::Bytes)>, JournalError> {
        let _ = (thread_id, after, limit);
        todo!()
    }
}
