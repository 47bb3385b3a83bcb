//! The records of the index: runs and threads.

use quintet_kernel::{
    entry::RunStatus,
    ids::{AgentName, Incarnation, MessageId, Offset, RunId, ThreadId, Timestamp, Title},
    user::{Receipt, RecentMessage},
};

/// The index record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The id of the run.
    pub run_id: RunId,
    /// The conversation of the run.
    pub thread_id: ThreadId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// Offset of its `user_message`.
    pub accepted: Offset,
    /// The time of its `user_message`.
    pub accepted_at: Timestamp,
    /// Offset of the message that this one follows in its thread; 0 if there is none.
    pub parent: Offset,
    /// Offset of its `agent_started`.
    pub started: Option<Offset>,
    /// Offset of its `agent_completed`, and its status.
    pub completed: Option<(Offset, RunStatus)>,
    /// The node that started or resumed it last (RUN-13); `None` if it has not started, or was written without one.
    pub executor: Option<Incarnation>,
}

impl RunRecord {
    /// Returns the message of the run, as the state of the log remembers it.
    pub fn recent(&self) -> RecentMessage {
        RecentMessage {
            message_id: self.message_id.clone(),
            thread_id: self.thread_id.clone(),
            receipt: Receipt { run_id: self.run_id, offset: self.accepted },
        }
    }
}

/// The index record of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRecord {
    /// The id of the thread.
    pub thread_id: ThreadId,
    /// Offset of the first entry of its runs, which may be trimmed.
    pub first: Offset,
    /// Offset of the last entry of its runs. A change of the title, or of `archived`, does not move it.
    pub last: Offset,
    /// The time of the entry at `last`.
    pub last_at: Timestamp,
    /// Number of the user's messages in the thread.
    pub messages: u64,
    /// The title that the user has given it.
    pub title: Option<Title>,
    /// True if the user has put it aside.
    pub archived: bool,
    /// Offset of its latest `thread_updated`; 0 if there is none.
    pub updated: Offset,
    /// Offset of the first of its messages that is still stored; 0 if none is.
    pub first_message: Offset,
    /// The agent of its latest message; `None` if the index no longer has a message of it.
    pub agent_name: Option<AgentName>,
    /// Number of its open runs.
    pub open_runs: u64,
    /// The open run that was accepted first.
    pub open_run: Option<RunId>,
}

/// A query for threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadsQuery {
    /// Only threads whose [`ThreadRecord::last`] is before this offset; `None` for all.
    pub before: Option<Offset>,
    /// Only threads that are archived, or are not; `None` for both.
    pub archived: Option<bool>,
    /// Most threads that are returned.
    pub limit: usize,
}

/// The entries on one side of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those after the offset.
    After(Offset),
    /// Those before the offset.
    Before(Offset),
}
