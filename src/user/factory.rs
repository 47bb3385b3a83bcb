//! Builds the machines of a user and is the only source of handles to them (ISO-4).

use std::{hash::RandomState, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    agents::{Owner, SharedAgents},
    cursor::Cursor,
    deadline::DeadlineLimits,
    hub::{Hub, HubLimits, Seat},
    order::{Answered, Ask, Request},
    recovery,
    registry::{Lease, Registry},
    room::Room,
    sync::{AtomicBool, AtomicUsize, Mutex, Ordering},
    tail::{Tail, TailLimits},
    trials::Trials,
    walk::{Walk, WalkLimit},
};
use crate::{
    journal::{Incarnation, Journal, JournalError, Lines, Log, ReadLimit, RunRecord, ThreadRecord},
    kernel::{
        connection::ResumeCursor,
        entry::CallResult,
        ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, UserId},
        limits::Limits,
        user::{OnBusy, PastCall, Receipt, Refusal},
    },
    runtime::{
        ids,
        saturation::{Saturation, Scope},
        tasks::Tasks,
    },
    witness::{UserWitness, Witness},
};

/// The limits of one user's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLimits {
    pub kernel: Limits,
    pub deadlines: DeadlineLimits,
    pub hub: HubLimits,
    pub tail: TailLimits,
}

impl UserLimits {
    pub const DEFAULT: UserLimits = UserLimits {
        kernel: Limits::DEFAULT,
        deadlines: DeadlineLimits::DEFAULT,
        hub: HubLimits::DEFAULT,
        tail: TailLimits::DEFAULT,
    };
}

/// Users whose runs are recovered concurrently, which bounds the memory of recovery.
const RECOVERIES_MAX: usize = 4;

/// Builds users' machines. There is one factory per process and journal; clones share it.
#[derive(Clone)]
pub struct Factory(Arc<Shared>);

/// The state that all users' machines share. Contains nothing of any user.
pub struct Shared {
    journal: Arc<dyn Journal>,
    registry: Registry<UserId, Machines>,
    tasks: Tasks,
    draining: AtomicBool,
    resting: AtomicBool,
    witness: Witness,
    /// The hash keys of [`Owner`]s.
    owners: RandomState,
    room: Mutex<Room>,
    /// The limits that refuse something (ISO-6).
    pub(super) saturation: Saturation,
    pub(super) agents: SharedAgents,
    pub(super) limits: UserLimits,
    pub(super) moving: Moving,
    /// The number of accepted messages of all users whose runs have not started.
    pub(super) waiting: AtomicUsize,
    pub(super) trials: Trials,
    /// The id of this process in resume records.
    pub(super) incarnation: Incarnation,
}

impl Shared {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn room(&self) -> Room {
        *self.room.lock()
    }

    pub(super) fn owner(&self, user_id: &UserId) -> Owner {
        Owner::of(&self.owners, user_id)
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }
}

/// The work in progress, over all users.
#[derive(Debug)]
pub struct Moving(watch::Sender<Motion>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Motion {
    /// Runs that are not waiting for their client.
    runs: usize,
    /// Hubs that are processing a batch, which may start runs once it is durable.
    turns: usize,
}

/// A guard that counts one batch of a hub, from before its first read to after its last effect.
pub(super) struct TurnCounted<'a>(&'a Moving);

impl Moving {
    /// Updates one user's share of the runs.
    pub(super) fn change(&self, from: usize, to: usize) {
        if from != to {
            self.0.send_modify(|motion| motion.runs = motion.runs + to - from);
        }
    }

    pub(super) fn turn(&self) -> TurnCounted<'_> {
        self.0.send_modify(|motion| motion.turns += 1);
        TurnCounted(self)
    }
}

impl Drop for TurnCounted<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|motion| motion.turns -= 1);
    }
}

/// One user's machines.
pub struct Machines {
    shared: Arc<Shared>,
    user_id: UserId,
    log: Arc<dyn Log>,
    witness: UserWitness,
    tail: Arc<Tail>,
    requests: mpsc::Sender<Request>,
    /// Taken by the first request, which starts the hub; a user who only reads needs none.
    seat: Mutex<Option<Seat>>,
    /// Held while a completed run is read back, which may take long, so that one reader per user does it.
    looks_back: tokio::sync::Mutex<()>,
    /// Stops the hub when the machines are dropped.
    _gone: DropGuard,
}

impl Machines {
    fn new(shared: Arc<Shared>, user_id: UserId) -> Self {
        let (log, witness) = shared.witness.log(&user_id, shared.journal.log(&user_id));
        let tail = Arc::new(Tail::new(shared.limits.tail));
        let (to_requests, requests) = mpsc::channel(shared.limits.hub.hub_requests_max);
        let gone = CancellationToken::new();
        let seat = Mutex::new(Some(Seat { requests, gone: gone.clone() }));
        let looks_back = tokio::sync::Mutex::default();
        Self {
            shared,
            user_id,
            log,
            witness,
            tail,
            requests: to_requests,
            seat,
            looks_back,
            _gone: gone.drop_guard(),
        }
    }

    fn wake(&self) {
        let Some(seat) = self.seat.lock().take() else { return };
        let (log, witness) = (self.log.clone(), self.witness.clone());
        let hub = Hub::new(self.shared.clone(), self.user_id.clone(), log, witness, self.tail.clone(), seat);
        self.shared.tasks.spawn(hub.run());
    }
}

impl Factory {
    pub fn new(journal: Arc<dyn Journal>, agents: SharedAgents, limits: UserLimits) -> Self {
        Self::watched(journal, agents, limits, Witness::off(), Saturation::default())
    }

    /// Returns a factory whose users' logs `witness` observes, and whose limits report to `saturation`.
    pub fn watched(
        journal: Arc<dyn Journal>,
        agents: SharedAgents,
        limits: UserLimits,
        witness: Witness,
        saturation: Saturation,
    ) -> Self {
        Self(Arc::new(Shared {
            journal,
            registry: Registry::new(),
            tasks: Tasks::default(),
            draining: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            witness,
            room: Mutex::new(Room::default()),
            saturation,
            owners: RandomState::new(),
            agents,
            limits,
            moving: Moving(watch::channel(Motion::default()).0),
            waiting: AtomicUsize::new(0),
            trials: Trials::new(Duration::from_millis(limits.hub.resume_settle_timeout_ms)),
            incarnation: Incarnation(ids::fresh()),
        }))
    }

    /// Returns a handle to the machines of a user, building them if necessary. They live at least as long as
    /// the handle (ISO-5).
    pub fn attach(&self, user_id: &UserId) -> User {
        User(self.0.registry.lease(user_id, || Machines::new(self.0.clone(), user_id.clone())))
    }

    /// Resumes every run that an earlier process left open (RUN-6). To be called once, before serving.
    ///
    /// A user whose log is damaged is skipped; that user's runs are resumed once the log is repaired and a new
    /// process starts.
    ///
    /// # Errors
    ///
    /// Returns an error if the journal is unavailable.
    pub async fn recover(&self) -> Result<(), JournalError> {
        let users = self.0.journal.unfinished().await?;
        tracing::info!(users = users.len(), "resuming open runs");
        let recoveries = stream::iter(users).map(|user_id| self.recover_user(user_id));
        let recovered = recoveries.buffer_unordered(RECOVERIES_MAX).try_collect().await;
        self.0.trials.recovered();
        recovered
    }

    async fn recover_user(&self, user_id: UserId) -> Result<(), JournalError> {
        let user = self.attach(&user_id);
        match user.ask(|reply| Ask::Recover { reply }).await {
            Ok(()) => Ok(()),
            Err(Unaccepted::Damaged) => {
                metrics::counter!("quintet_damaged_users_total").increment(1);
                tracing::error!(
                    %user_id,
                    "the runs of a user are not resumed: the log is damaged; run `quintet audit`, or restore a backup"
                );
                Ok(())
            }
            Err(error) => Err(JournalError::Unavailable(format!("the runs of user {user_id}: {error}"))),
        }
    }

    /// Returns the id of this process in resume records (RUN-6).
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    pub fn epoch(&self) -> Epoch {
        self.0.journal.epoch()
    }

    pub fn limits(&self) -> &UserLimits {
        &self.0.limits
    }

    /// Returns the monitor of this process.
    pub fn witness(&self) -> &Witness {
        &self.0.witness
    }

    /// Sets how much room there is on the disk, for all users.
    pub fn set_room(&self, room: Room) {
        *self.0.room.lock() = room;
    }

    /// From here on no message is accepted (`Unaccepted::Draining`); runs go on (CONN-6).
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Refuses all further commands of clients, such as answers and cancels, so that no run starts a new step
    /// for them. Clients repeat them with the next process (CONN-6).
    pub fn rest(&self) {
        self.0.resting.store(true, Ordering::Release);
    }

    /// Waits until all runs are quiesced and will stay so ([`Self::rest`]): the end of this process then cuts
    /// off no open call except those that wait for their client.
    pub async fn comes_to_rest(&self) {
        self.idle().await;
        self.rest();
        // A batch that began before `rest` may have advanced a run; a later one does not.
        self.idle().await;
    }

    /// Waits until no open run can advance by itself and no pending decision can start one.
    pub async fn idle(&self) {
        let mut moving = self.0.moving.0.subscribe();
        // The sender lives as long as this factory, so the wait cannot fail.
        let _ = moving.wait_for(|motion| *motion == Motion::default()).await;
    }

    /// Returns the number of executing runs, without those that wait for their client.
    pub fn moving_runs(&self) -> usize {
        self.0.moving.0.borrow().runs
    }

    /// Returns the number of accepted messages of all users whose runs have not started.
    pub fn waiting_messages(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Returns the number of users with live machines (ISO-5).
    pub fn live_users(&self) -> usize {
        self.0.registry.len()
    }
}

/// A handle to one user's machines. All its methods concern this user's log only (ISO-4).
#[derive(Clone)]
pub struct User(Lease<UserId, Machines>);

/// A well-formed message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub message_id: MessageId,
    pub thread_id: ThreadId,
    pub text: String,
    pub agent_name: Option<AgentName>,
    pub on_busy: OnBusy,
}

/// The reply to an accepted message (DEL-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub receipt: Receipt,
    pub duplicate: bool,
}

/// The reason for which a request failed. It had no effect, except that after `Unavailable` the outcome is
/// unknown (DEL-7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no agent is named {0}")]
    UnknownAgent(AgentName),
    #[error("the service is draining")]
    Draining,
    /// Too many commands of this user are waiting (`hub_requests_max`).
    #[error("too many commands are waiting")]
    Overloaded,
    /// The user has reached a limit that is free again in time.
    #[error("{limit} is reached; try again in {retry_after_ms} ms")]
    LimitReached { limit: &'static str, retry_after_ms: u64 },
    /// Nothing new is accepted below `disk_free_bytes_min`.
    #[error("the service has no room for new messages")]
    DiskNearlyFull { retry_after_ms: u64 },
    /// The journal did not confirm the operation. Repeating the same request is safe (DEL-6, DEL-7).
    #[error("the journal is not available")]
    Unavailable,
    /// The log cannot be read; the operator has to repair it.
    #[error("the log is damaged")]
    Damaged,
}

impl From<JournalError> for Unaccepted {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "a request could not be looked up");
        Unaccepted::Unavailable
    }
}

impl User {
    pub fn user_id(&self) -> &UserId {
        &self.0.user_id
    }

    pub async fn send(&self, message: NewMessage) -> Result<Accepted, Unaccepted> {
        let run_id = RunId(ids::fresh());
        self.ask(|reply| Ask::Send { message, run_id, reply }).await
    }

    pub async fn cancel(&self, run_id: RunId) -> Result<(), Unaccepted> {
        self.ask(|reply| Ask::Cancel { run_id, reply }).await
    }

    /// Completes a call that waits for the client (RUN-11).
    pub async fn answer(&self, run_id: RunId, call_id: CallId, result: CallResult) -> Result<(), Unaccepted> {
        match self.ask_answer(run_id, &call_id, &result, None).await? {
            Answered::Done => Ok(()),
            Answered::NotOpen => {
                // One look-up per user at a time, outside the hub, which is not blocked by it (ISO-6).
                let _one = self.0.looks_back.lock().await;
                let past = recovery::past_call(&**self.log(), self.user_id(), run_id, &call_id).await?;
                // A completed run stays completed, so the record is still valid.
                self.ask_answer(run_id, &call_id, &result, Some(past)).await.map(|_| ())
            }
        }
    }

    async fn ask_answer(
        &self,
        run_id: RunId,
        call_id: &CallId,
        result: &CallResult,
        past: Option<PastCall>,
    ) -> Result<Answered, Unaccepted> {
        let (call_id, result) = (call_id.clone(), result.clone());
        self.ask(|reply| Ask::Answer { run_id, call_id, result, past, reply }).await
    }

    /// Opens a cursor at `after`, which may be before the oldest stored entry or past the head.
    pub async fn cursor(&self, after: Offset) -> Result<Cursor, JournalError> {
        Cursor::open(self.clone(), after).await
    }

    /// Returns the epoch for the comparison of a cursor: its own if this log continues it, else the journal's,
    /// to which the cursor does not belong (DEL-3).
    pub async fn epoch_for(&self, cursor: ResumeCursor) -> Result<Epoch, JournalError> {
        let here = self.0.shared.journal.epoch();
        match cursor.epoch {
            Some(epoch) if epoch != here && self.log().continues(epoch, cursor.after).await? => Ok(epoch),
            _ => Ok(here),
        }
    }

    pub async fn extent(&self) -> Result<crate::journal::Extent, JournalError> {
        self.log().extent().await
    }

    pub async fn entries(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.log().read(after, limit).await
    }

    pub async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.log().run(run_id).await
    }

    pub async fn threads(
        &self,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<ThreadRecord>, JournalError> {
        self.log().threads(before, limit).await
    }

    /// Starts a walk over the entries after `after`, of one thread or of all. Returns `None` if the user has no
    /// such thread (ISO-3).
    pub async fn walk(
        &self,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: WalkLimit,
    ) -> Result<Option<Walk>, JournalError> {
        Walk::open(self.clone(), thread, after, limit).await
    }

    /// Returns the monitor of this user's machines.
    pub fn witness(&self) -> &UserWitness {
        &self.0.witness
    }

    pub(super) fn log(&self) -> &Arc<dyn Log> {
        &self.0.log
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.0.tail
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, Unaccepted>>) -> Ask,
    ) -> Result<T, Unaccepted> {
        self.0.wake();
        let (reply, answer) = oneshot::channel();
        let request = Request { ask: ask(reply), lease: self.clone() };
        self.0.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.0.shared.saturation.reached("hub_requests_max", Scope::User);
                Unaccepted::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => Unaccepted::Unavailable,
        })?;
        answer.await.unwrap_or(Err(Unaccepted::Unavailable))
    }
}
