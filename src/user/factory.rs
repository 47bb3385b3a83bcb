//! Builds the machines of a user and is the only source of handles to them (ISO-4).

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    handle::{ClientCommand, Machines, RequestError, User},
    hub::{Hub, HubReceivers},
    limits::UserLimits,
    registry::Registry,
    room::Room,
    shared::Shared,
    sync::{Mutex, Ordering},
    tail::Tail,
};
use crate::{
    agent::host::SharedAgentLauncher,
    journal::{Journal, JournalError},
    kernel::ids::{Epoch, Incarnation, UserId},
    observer::{NoObserver, Observer},
    runtime::{saturation::Saturation, tasks::Tasks},
};

/// Users whose runs are recovered concurrently, which bounds the memory of recovery.
const RECOVERIES_MAX: usize = 4;

/// Builds users' machines. There is one factory per process and journal; clones share it.
#[derive(Clone)]
pub struct Factory(Arc<FactoryInner>);

struct FactoryInner {
    shared: Arc<Shared>,
    registry: Registry<UserId, Machines>,
    tasks: Tasks,
}

impl Factory {
    /// Creates a factory without an observer, with a [`Saturation`] of its own.
    pub fn new(journal: Arc<dyn Journal>, agents: SharedAgentLauncher, limits: UserLimits) -> Self {
        Self::observed(journal, agents, limits, Arc::new(NoObserver), Saturation::default())
    }

    /// Creates a factory whose users' machines `observer` observes, and whose limits report to `saturation`.
    pub fn observed(
        journal: Arc<dyn Journal>,
        agents: SharedAgentLauncher,
        limits: UserLimits,
        observer: Arc<dyn Observer>,
        saturation: Saturation,
    ) -> Self {
        let shared = Arc::new(Shared::new(journal, agents, limits, observer, saturation));
        Self(Arc::new(FactoryInner { shared, registry: Registry::new(), tasks: Tasks::default() }))
    }

    /// Returns a handle to the machines of a user, building them if necessary. They live at least as long as
    /// the handle (ISO-5).
    pub fn attach(&self, user_id: &UserId) -> User {
        User::lease(&self.0.registry, user_id, || self.build(user_id.clone()))
    }

    fn build(&self, user_id: UserId) -> Machines {
        let shared = self.0.shared.clone();
        let observed = shared.observer.user(&user_id, shared.journal.log(&user_id));
        let tail = Arc::new(Tail::new(shared.limits.tail));
        let (to_requests, requests) = mpsc::channel(shared.limits.hub.hub_requests_max);
        let gone = CancellationToken::new();
        let start = {
            let (tasks, receivers) = (self.0.tasks.clone(), HubReceivers { requests, gone: gone.clone() });
            let (shared, user_id) = (shared.clone(), user_id.clone());
            let (observed, tail) = (observed.clone(), tail.clone());
            move || drop(tasks.spawn(Hub::new(shared, user_id, observed, tail, receivers).run()))
        };
        Machines {
            shared,
            user_id,
            observed,
            tail,
            requests: to_requests,
            start: Mutex::new(Some(Box::new(start))),
            looks_back: tokio::sync::Mutex::default(),
            _gone: gone.drop_guard(),
        }
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
        let users = self.0.shared.journal.unfinished().await?;
        tracing::info!(users = users.len(), "resuming open runs");
        if !users.is_empty() {
            self.0.shared.agents.prepare().await;
        }
        let recoveries = stream::iter(users).map(|user_id| self.recover_user(user_id));
        let recovered = recoveries.buffer_unordered(RECOVERIES_MAX).try_collect().await;
        self.0.shared.trials.recovered();
        recovered
    }

    async fn recover_user(&self, user_id: UserId) -> Result<(), JournalError> {
        let user = self.attach(&user_id);
        match user.ask(|reply| ClientCommand::Recover { reply }).await {
            Ok(()) => Ok(()),
            Err(RequestError::Damaged) => {
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

    /// Returns the id of this process: the executor of its runs (RUN-13), also in resume records (RUN-6).
    pub fn incarnation(&self) -> Incarnation {
        self.0.shared.incarnation
    }

    /// Returns the epoch of the journal (DEL-3).
    pub fn epoch(&self) -> Epoch {
        self.0.shared.journal.epoch()
    }

    /// Returns the limits of each user's machines.
    pub fn limits(&self) -> &UserLimits {
        &self.0.shared.limits
    }

    /// Returns the observer of this process.
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.0.shared.observer
    }

    /// Sets how much room there is on the disk, for all users.
    pub fn set_room(&self, room: Room) {
        self.0.shared.set_room(room);
    }

    /// From here on no message is accepted (`RequestError::Draining`); runs go on (CONN-6).
    pub fn drain(&self) {
        self.0.shared.drain();
    }

    /// Refuses all further commands of clients, such as answers and cancels, so that no run starts a new step
    /// for them. Clients repeat them with the next process (CONN-6).
    pub fn quiesce(&self) {
        self.0.shared.quiesce();
    }

    /// Waits until all runs are quiesced and will stay so ([`Self::quiesce`]): the end of this process then cuts
    /// off no open call except those that wait for their client.
    pub async fn quiesced(&self) {
        self.idle().await;
        self.quiesce();
        // A batch that began before `quiesce` may have advanced a run; a later one does not.
        self.idle().await;
    }

    /// Stops what the agents keep running, such as servers of tools. To be called when all runs are quiesced: a call that
    /// is cut off by it closes as an error.
    pub async fn stop_agents(&self) {
        self.0.shared.agents.stop().await;
    }

    /// Waits until no open run can advance by itself and no pending decision can start one.
    pub async fn idle(&self) {
        self.0.shared.active_runs.idle().await;
    }

    /// Returns the number of executing runs, without those that wait for their client.
    pub fn active_runs(&self) -> usize {
        self.0.shared.active_runs.runs()
    }

    /// Returns the number of accepted messages of all users whose runs have not started.
    pub fn waiting_messages(&self) -> usize {
        self.0.shared.waiting.load(Ordering::Relaxed)
    }

    /// Returns the number of users with live machines (ISO-5).
    pub fn live_users(&self) -> usize {
        self.0.registry.len()
    }
}
