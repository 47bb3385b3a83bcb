//! The handle to one user's machines: the requests of the user and their errors.
//!
//! Guarantee: every method concerns this user's log only (ISO-4).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use super::{
    recovery,
    registry::{Lease, Registry},
    shared::Shared,
    sync::Mutex,
    tail::Tail,
};
use crate::{
    journal::{
        ErasureRecord, Extent, JournalError, Lines, Log, ReadLimit, RunRecord, ThreadRecord, ThreadsQuery,
    },
    kernel::{
        connection::ResumeCursor,
        entry::CallResult,
        ids::{AgentName, CallId, Epoch, Offset, ReceiptId, RunId, ThreadId, Timestamp, ToolName, UserId},
        user::{EraseScope, Erasure, NewMessage, PastCall, Receipt, Refusal, ThreadUpdate},
    },
    observer::{ObservedLog, UserObserver},
    runtime::{ids, saturation::Scope},
};

/// A handle to one user's machines, which live at least as long as it. Clones are further handles.
#[derive(Clone)]
pub struct User(Lease<UserId, Machines>);

/// One user's machines.
pub(crate) struct Machines {
    pub(super) shared: Arc<Shared>,
    pub(super) user_id: UserId,
    pub(super) observed: ObservedLog,
    pub(super) tail: Arc<Tail>,
    pub(super) requests: mpsc::Sender<Request>,
    /// Starts the hub. Taken by the first request; a user who only reads needs no hub.
    pub(super) start: Mutex<Option<StartHub>>,
    /// Held while a completed run is read back, which may take long, so that one reader per user does it.
    pub(super) looks_back: tokio::sync::Mutex<()>,
    /// Stops the hub when the machines are dropped.
    pub(super) _gone: DropGuard,
}

/// Starts the hub of a user.
pub(crate) type StartHub = Box<dyn FnOnce() + Send>;

/// A request of the user, with a handle that keeps the hub alive until the reply (ISO-5).
pub(crate) struct Request {
    /// The content, with the sender of the reply.
    pub ask: ClientCommand,
    /// The handle, held until the reply is sent.
    pub lease: User,
}

/// The content of a request.
pub(crate) enum ClientCommand {
    /// Accept a message and start or queue its run (DEL-5, DEL-6).
    Send {
        /// The message.
        message: NewMessage,
        /// The id of the run, used if the message is new.
        run_id: RunId,
        /// The sender of the reply.
        reply: oneshot::Sender<Result<Acceptance, RequestError>>,
    },
    /// End a run early (RUN-7).
    Cancel {
        /// The run.
        run_id: RunId,
        /// The sender of the reply.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Complete a call that waits for the client (RUN-11).
    CompleteCall {
        /// The run.
        run_id: RunId,
        /// The call.
        call_id: CallId,
        /// The result that the client sent.
        result: CallResult,
        /// The journal's record of the call; `None` if it was not looked up.
        past: Option<PastCall>,
        /// The sender of the reply.
        reply: oneshot::Sender<Result<CallReply, RequestError>>,
    },
    /// Change the properties of a thread.
    UpdateThread {
        /// The thread.
        thread_id: ThreadId,
        /// The changes.
        update: ThreadUpdate,
        /// The sender of the reply.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Erase a thread or the whole log (DEL-8).
    Erase {
        /// The entries to erase.
        scope: EraseScope,
        /// The id of the record of the erasure.
        receipt: ReceiptId,
        /// The sender of the reply.
        reply: oneshot::Sender<Result<Erasure, RequestError>>,
    },
    /// List the calls that wait for the client (RUN-11).
    WaitingCalls {
        /// The sender of the reply.
        reply: oneshot::Sender<Result<Vec<WaitingCall>, RequestError>>,
    },
    /// Resume the runs that an earlier process left open (RUN-6).
    Recover {
        /// The sender of the reply.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
}

/// The outcome of a client's result for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallReply {
    /// The call is complete, and its entry durable.
    Done,
    /// The run is not open. The caller has to look the call up in the journal, which may take long, and ask
    /// again.
    NotOpen,
}

/// A call that waits for the client (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCall {
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The run that waits.
    pub run_id: RunId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// The call.
    pub call_id: CallId,
    /// The tool of the call.
    pub tool_name: ToolName,
    /// The offset of its `tool_executing`.
    pub opened: Offset,
    /// The time of its `tool_executing`.
    pub opened_at: Timestamp,
    /// The time at which the call times out; `None` if the run waits to be resumed.
    pub deadline: Option<Timestamp>,
}

/// The reply to an accepted message (DEL-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The run and the offset of the message.
    pub receipt: Receipt,
    /// True if an earlier request had sent the message (DEL-6).
    pub duplicate: bool,
}

/// The reason for which a request failed. It had no effect, except that after `Unavailable` the outcome is
/// unknown (DEL-7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The state of the log does not permit the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The message names an agent that the service does not have.
    #[error("no agent is named {0}")]
    UnknownAgent(AgentName),
    /// The service is shutting down and accepts no new messages (CONN-6).
    #[error("the service is draining")]
    Draining,
    /// Too many commands of this user are waiting (`hub_requests_max`).
    #[error("too many commands are waiting")]
    Overloaded,
    /// The user has reached a limit that is free again in time.
    #[error("{limit} is reached; try again in {retry_after_ms} ms")]
    LimitReached {
        /// The name of the setting.
        limit: &'static str,
        /// Milliseconds after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// Nothing new is accepted below `disk_free_bytes_min`.
    #[error("the service has no room for new messages")]
    DiskNearlyFull {
        /// Milliseconds after which a retry may succeed.
        retry_after_ms: u64,
    },
    /// The journal did not confirm the operation. Repeating the same request is safe (DEL-6, DEL-7).
    #[error("the journal is not available")]
    Unavailable,
    /// The log cannot be read; the operator has to repair it.
    #[error("the log is damaged")]
    Damaged,
}

impl From<JournalError> for RequestError {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "a request could not be looked up");
        RequestError::Unavailable
    }
}

impl User {
    /// Takes a lease on the machines of a user, building them with `make` if there are none.
    pub(super) fn lease(
        registry: &Registry<UserId, Machines>,
        user_id: &UserId,
        make: impl FnOnce() -> Machines,
    ) -> Self {
        Self(registry.lease(user_id, make))
    }

    /// Returns the id of the user.
    pub fn user_id(&self) -> &UserId {
        &self.0.user_id
    }

    /// Sends a message, and returns once it is durable (DEL-5). Sending it again returns the same reply (DEL-6).
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if the message was refused, or if its outcome is unknown.
    pub async fn send(&self, message: NewMessage) -> Result<Acceptance, RequestError> {
        let run_id = RunId(ids::fresh());
        self.ask(|reply| ClientCommand::Send { message, run_id, reply }).await
    }

    /// Ends a run early (RUN-7), and returns once its end is durable.
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if the run is not open, or if the outcome is unknown.
    pub async fn cancel(&self, run_id: RunId) -> Result<(), RequestError> {
        self.ask(|reply| ClientCommand::Cancel { run_id, reply }).await
    }

    /// Completes a call that waits for the client (RUN-11).
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if the call is unknown, closed or not one of the client, or if the outcome
    /// is unknown.
    pub async fn answer(
        &self,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
    ) -> Result<(), RequestError> {
        match self.ask_answer(run_id, &call_id, &result, None).await? {
            CallReply::Done => Ok(()),
            CallReply::NotOpen => {
                // One look-up per user at a time, outside the hub, which is not blocked by it (ISO-6).
                let _one = self.0.looks_back.lock().await;
                let past = recovery::past_call(&**self.log(), self.user_id(), run_id, &call_id).await?;
                // A completed run stays completed, so the record is still valid.
                self.ask_answer(run_id, &call_id, &result, Some(past)).await.map(|_| ())
            }
        }
    }

    /// Returns the calls that wait for the client, over all threads, in the order in which they were opened (RUN-11).
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if the log cannot be read.
    pub async fn waiting_calls(&self) -> Result<Vec<WaitingCall>, RequestError> {
        self.ask(|reply| ClientCommand::WaitingCalls { reply }).await
    }

    async fn ask_answer(
        &self,
        run_id: RunId,
        call_id: &CallId,
        result: &CallResult,
        past: Option<PastCall>,
    ) -> Result<CallReply, RequestError> {
        let (call_id, result) = (call_id.clone(), result.clone());
        self.ask(|reply| ClientCommand::CompleteCall { run_id, call_id, result, past, reply }).await
    }

    /// Changes the properties of a thread, and returns once its `thread_updated` is durable.
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if the user has no such thread, or if the outcome is unknown.
    pub async fn update_thread(&self, thread_id: ThreadId, update: ThreadUpdate) -> Result<(), RequestError> {
        self.ask(|reply| ClientCommand::UpdateThread { thread_id, update, reply }).await
    }

    /// Ends the open runs of a thread or of the whole log, and begins to erase it. Returns once the intent is durable:
    /// the erasure then completes, also after a restart, and `thread_erased` or `log_erased` follows (DEL-8).
    ///
    /// # Errors
    ///
    /// Returns a [`RequestError`] if too many erasures are under way, or if the outcome is unknown.
    pub async fn erase(&self, scope: EraseScope) -> Result<Erasure, RequestError> {
        let receipt = ReceiptId(ids::fresh());
        self.ask(|reply| ClientCommand::Erase { scope, receipt, reply }).await
    }

    /// Returns the record of an erasure; `None` if this user has none of this id (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        self.log().erasure(receipt).await
    }

    /// Returns the epoch for the comparison of a cursor: its own if this log continues it, else the journal's,
    /// to which the cursor does not belong (DEL-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn epoch_for(&self, asked: ResumeCursor) -> Result<Epoch, JournalError> {
        let here = self.0.shared.journal.epoch();
        match asked {
            ResumeCursor::After { epoch: Some(epoch), after }
                if epoch != here && self.log().continues(epoch, after).await? =>
            {
                Ok(epoch)
            }
            ResumeCursor::After { .. } | ResumeCursor::Head => Ok(here),
        }
    }

    /// Returns the range of stored entries.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn extent(&self) -> Result<Extent, JournalError> {
        self.log().extent().await
    }

    /// Returns stored entries after `after`, in order.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn entries(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.log().read(after, limit).await
    }

    /// Returns the index record of a run; `None` if this user has no such run (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.log().run(run_id).await
    }

    /// Returns the index record of a thread; `None` if this user has no such thread (ISO-3).
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        self.log().thread(thread_id).await
    }

    /// Returns the threads that match a query, the one with the latest entry first.
    ///
    /// # Errors
    ///
    /// Returns an error of the journal.
    pub async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        self.log().threads(query).await
    }

    /// Returns the observer of this user's machines.
    pub fn observer(&self) -> &Arc<dyn UserObserver> {
        &self.0.observed.observer
    }

    pub(super) fn log(&self) -> &Arc<dyn Log> {
        &self.0.observed.log
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.0.tail
    }

    /// Sends a request to the hub, starting it if necessary, and waits for the reply.
    pub(super) async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, RequestError>>) -> ClientCommand,
    ) -> Result<T, RequestError> {
        if let Some(start) = self.0.start.lock().take() {
            start();
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { ask: ask(reply), lease: self.clone() };
        self.0.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.0.shared.saturation.reached("hub_requests_max", Scope::User);
                RequestError::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => RequestError::Unavailable,
        })?;
        answer.await.unwrap_or(Err(RequestError::Unavailable))
    }
}
