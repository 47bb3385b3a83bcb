//! Builds one user's machines and hands out the only handles to them (ISO-4).

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
    sync::{AtomicBool, AtomicUsize, Mutex, Ordering},
    tail::{Tail, TailLimits},
    trials::Trials,
    walk::{Walk, WalkLimit},
};
use crate::{
    journal::{Incarnation, Journal, JournalError, Lines, Log, ReadLimit, RunRecord, ThreadRecord},
    kernel::{
        connection::Asked,
        entry::CallResult,
        ids::{AgentName, CallId, Epoch, MessageId, Offset, RunId, ThreadId, UserId},
        limits::Limits,
        user::{OnBusy, PastCall, Receipt, Refusal},
    },
    runtime::{ids, tasks::Tasks},
    witness::{UserWitness, Witness},
};

/// The bounds of one user's machines.
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

/// Users whose runs are taken up at the same time: each may hold what its open runs have said.
const RECOVERIES_MAX: usize = 4;

/// Makes users' machines. One per process and journal. Cloning shares it.
#[derive(Clone)]
pub struct Factory(Arc<Shared>);

/// What all users' machines share: nothing of any user.
pub struct Shared {
    journal: Arc<dyn Journal>,
    registry: Registry<UserId, Machines>,
    tasks: Tasks,
    draining: AtomicBool,
    resting: AtomicBool,
    witness: Witness,
    /// Keys of the owners that stand for users.
    owners: RandomState,
    pub(super) agents: SharedAgents,
    pub(super) limits: UserLimits,
    pub(super) moving: Moving,
    /// Messages of all users that are accepted and whose runs have not begun.
    pub(super) waiting: AtomicUsize,
    pub(super) trials: Trials,
    /// This process, as the records of resumes name it.
    pub(super) incarnation: Incarnation,
}

impl Shared {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn owner(&self, user_id: &UserId) -> Owner {
        Owner::of(&self.owners, user_id)
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }
}

/// What moves by itself, in all.
#[derive(Debug)]
pub struct Moving(watch::Sender<Motion>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Motion {
    /// Runs that do not wait for their client.
    runs: usize,
    /// Hubs at work: what they have decided may start runs once it is durable.
    turns: usize,
}

/// One turn of a hub, from before it looks at anything until all that it changed is counted.
pub(super) struct TurnCounted<'a>(&'a Moving);

impl Moving {
    /// One user's share of the runs changes.
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
    /// Taken by the first request: a user who only listens needs no hub.
    seat: Mutex<Option<Seat>>,
    /// Held by the one who reads a run that is over, however long it was.
    looks_back: tokio::sync::Mutex<()>,
    /// Ends the hub when the machines go.
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
        Self::watched(journal, agents, limits, Witness::off())
    }

    /// A factory whose users' logs somebody watches.
    pub fn watched(
        journal: Arc<dyn Journal>,
        agents: SharedAgents,
        limits: UserLimits,
        witness: Witness,
    ) -> Self {
        Self(Arc::new(Shared {
            journal,
            registry: Registry::new(),
            tasks: Tasks::default(),
            draining: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            witness,
            owners: RandomState::new(),
            agents,
            limits,
            moving: Moving(watch::channel(Motion::default()).0),
            waiting: AtomicUsize::new(0),
            trials: Trials::new(Duration::from_millis(limits.hub.resume_settle_timeout_ms)),
            incarnation: Incarnation(ids::fresh()),
        }))
    }

    /// The machines of one user, made if there are none; they live at least as long as the handle (ISO-5).
    pub fn attach(&self, user_id: &UserId) -> User {
        User(self.0.registry.lease(user_id, || Machines::new(self.0.clone(), user_id.clone())))
    }

    /// Takes up every run that an earlier process left open (RUN-6). Call once, before serving.
    ///
    /// A user whose log is damaged is left as it is, and spares the others: its runs are taken up by the
    /// process that finds the log mended.
    pub async fn recover(&self) -> Result<(), JournalError> {
        let users = self.0.journal.unfinished().await?;
        tracing::info!(users = users.len(), "taking up what was left open");
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
                    "the runs of a user are not taken up: the log is damaged; run `quintet audit`, or restore a backup"
                );
                Ok(())
            }
            Err(error) => Err(JournalError::Unavailable(format!("the runs of user {user_id}: {error}"))),
        }
    }

    /// This process, as the records of resumes name it (RUN-6).
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    pub fn epoch(&self) -> Epoch {
        self.0.journal.epoch()
    }

    pub fn limits(&self) -> &UserLimits {
        &self.0.limits
    }

    /// Whoever watches this process.
    pub fn witness(&self) -> &Witness {
        &self.0.witness
    }

    /// From here on no message is accepted (`Unaccepted::Draining`); runs go on (CONN-6).
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// From here on clients move no run either: what they would answer or cancel is refused as a
    /// message is, and asked again of the next process (CONN-6).
    pub fn rest(&self) {
        self.0.resting.store(true, Ordering::Release);
    }

    /// Resolves when no run moves, and none will ([`Self::rest`]): no call is open that the end of this
    /// process would cut off, but those that wait for their client.
    pub async fn comes_to_rest(&self) {
        self.idle().await;
        self.rest();
        // A turn that began before may have moved a run; one that begins now knows.
        self.idle().await;
    }

    /// Resolves when no run is open that could still move on its own, and nothing is decided that
    /// could start one.
    pub async fn idle(&self) {
        let mut moving = self.0.moving.0.subscribe();
        // The sender lives as long as this factory.
        let _ = moving.wait_for(|motion| *motion == Motion::default()).await;
    }

    /// How many runs are carried out right now, those not counted that wait for their client.
    pub fn moving_runs(&self) -> usize {
        self.0.moving.0.borrow().runs
    }

    /// Returns the number of accepted messages of all users whose runs have not begun.
    pub fn waiting_messages(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// How many users have machines right now (ISO-5).
    pub fn live_users(&self) -> usize {
        self.0.registry.len()
    }
}

/// A lease on one user's machines. Everything it does concerns this user's log alone.
#[derive(Clone)]
pub struct User(Lease<UserId, Machines>);

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
    /// Too many commands of this user wait (`hub_requests_max`).
    #[error("too many commands are waiting")]
    Overloaded,
    /// The journal did not say that it is done; repeating the same request is safe.
    #[error("the journal is not available")]
    Unavailable,
    /// What the log holds cannot be read; only an operator can mend it.
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

    /// Closes a call that waits for the client (RUN-11).
    pub async fn answer(&self, run_id: RunId, call_id: CallId, result: CallResult) -> Result<(), Unaccepted> {
        match self.ask_answer(run_id, &call_id, &result, None).await? {
            Answered::Done => Ok(()),
            Answered::NotOpen => {
                // Of each user one at a time, and apart from the hub, whose runs go on meanwhile (ISO-6).
                let _one = self.0.looks_back.lock().await;
                let past = recovery::past_call(&**self.log(), self.user_id(), run_id, &call_id).await?;
                // A run that is not open is not opened again.
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

    /// A cursor that stands after `after`; `after` may lie before the oldest entry kept or past the head.
    pub async fn cursor(&self, after: Offset) -> Result<Cursor, JournalError> {
        Cursor::open(self.clone(), after).await
    }

    /// Returns the epoch that a cursor is compared with: its own where this log continues it, else the
    /// journal's, to which it does not belong (DEL-3).
    pub async fn epoch_for(&self, asked: Asked) -> Result<Epoch, JournalError> {
        let here = self.0.shared.journal.epoch();
        match asked.epoch {
            Some(epoch) if epoch != here && self.log().continues(epoch, asked.after).await? => Ok(epoch),
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

    /// A walk over the entries after `after`, of one thread or of all; `None` if the user has no such
    /// thread (ISO-3).
    pub async fn walk(
        &self,
        thread: Option<&ThreadId>,
        after: Offset,
        limit: WalkLimit,
    ) -> Result<Option<Walk>, JournalError> {
        Walk::open(self.clone(), thread, after, limit).await
    }

    /// Whoever watches this user's machines.
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
            mpsc::error::TrySendError::Full(_) => Unaccepted::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Unaccepted::Unavailable,
        })?;
        answer.await.unwrap_or(Err(Unaccepted::Unavailable))
    }
}
