//! The only writer of a user's log: decides commands, appends the result as one batch, and sends replies
//! afterwards.
//!
//! ```text
//!   requests (client) ─┐                          ┌▶ replies
//!   orders (agents)  ──┼▶ decide, evolve ▶ append ┼▶ tail ▶ cursors
//!   deadlines ─────────┘                          └▶ agents launched, stopped, answered
//!
//!             know: the log is read
//!   Unknown ─────────────────────────▶ Known ──┐ a batch that is durable
//!      ▲                                 │ ▲───┘
//!      └─────────────────────────────────┘
//!        lose: an append failed or was refused, the state does not match the log, a panic
//! ```
//!
//! Guarantees: nothing becomes visible before it is durable (DEL-1, DEL-5). After an append of unknown outcome
//! the reply is `Unavailable`, and the log is read back before the next decision (DEL-7). All queues are
//! bounded, and a client never waits behind its own agents. Each batch first handles runs that have timed out
//! or lost their agent (RUN-6). A panic in a batch ends neither the hub nor its runs.
//!
//! The states are those of a node in `model/Fence.tla`. `batch` has the work of a hub that knows its log, with
//! `commands`, `threads`, `erasing`, `bounds`, `resumes` and `runs`.

mod batch;
mod bounds;
mod commands;
mod erasing;
mod resumes;
mod runs;
mod steer;
mod threads;
mod waiting;

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    batch::{Lost, Working},
    erasing::Erasing,
    resumes::ResumedRuns,
};
use super::{
    batch::PendingReply,
    client_calls::ClientCalls,
    deadline::Deadlines,
    handle::{Request, User},
    limits::UserLimits,
    recovery::{self, Past},
    shared::Shared,
    sync::Ordering,
    tail::Tail,
};
use crate::{
    agent::host::{AgentCommand, HubSenders, RunEnded, RunSignal},
    journal::{Fence, JournalError, Log},
    kernel::{
        ids::{RunId, Timestamp, UserId},
        spending::Spending,
        user::{Command, UserState},
    },
    observer::{ObservedLog, UserObserver},
    runtime::clock,
};

/// The receivers of a hub that has not been started.
pub(crate) struct HubReceivers {
    /// The requests of the user's clients; the queue holds `hub_requests_max`.
    pub requests: mpsc::Receiver<Request>,
    /// Cancelled when the last handle to the user's machines is dropped (ISO-5).
    pub gone: CancellationToken,
}

/// The hub of one user.
pub(crate) struct Hub {
    common: Common,
    state: State,
}

/// The parts of a hub that do not depend on its state.
struct Common {
    shared: Arc<Shared>,
    user_id: UserId,
    log: Arc<dyn Log>,
    observer: Arc<dyn UserObserver>,
    tail: Arc<Tail>,
    requests: mpsc::Receiver<Request>,
    /// Cancelled when the last handle to this user's machines is dropped.
    gone: CancellationToken,
    /// A handle from one of the requests. Keeps the machines alive during a batch and while a run is open
    /// (ISO-5).
    lease: Option<User>,
    /// Suspended while the log is not known; the times that have passed are kept.
    deadlines: Deadlines,
    /// Consecutive batches that panicked.
    consecutive_panics: u32,
    tail_clears: Option<Instant>,
    last_at: Timestamp,
    /// This user's share of the process-wide count of executing runs.
    active_runs: usize,
    /// This user's share of the process-wide count of waiting messages.
    waiting: usize,
}

/// The knowledge that a hub has of its log.
enum State {
    /// Before the log is read, and after anything that leaves its content in doubt. Nothing is decided, and no
    /// agent is at work.
    Unknown(Unknown),
    /// The state is that of the log, up to its head.
    Known(Box<Known>),
}

#[derive(Default)]
struct Unknown {
    retry: Option<LoadRetry>,
}

/// The next attempt to read the log after a failure of the journal.
struct LoadRetry {
    at: Instant,
    wait: Duration,
}

/// The state of a log and of the agents on its runs.
struct Known {
    /// The fold of the log's entries, up to its head.
    view: UserState,
    /// The fence of the log.
    fence: Fence,
    /// The bytes of the user's day, as the log has them.
    spending: Spending,
    client_calls: ClientCalls,
    /// Started runs without an agent, each with its past: left by an earlier process, or while the journal was
    /// unavailable.
    orphans: BTreeMap<RunId, Past>,
    resumed: ResumedRuns,
    erasing: Erasing,
    /// The runs that an agent of this process carries out.
    signals: BTreeMap<RunId, Arc<RunSignal>>,
    /// Commands of the hub itself, for deadlines and lost agents.
    own: VecDeque<Command>,
    agent_commands: mpsc::Receiver<AgentCommand>,
    abandoned: mpsc::Receiver<RunId>,
    to_agent_commands: mpsc::Sender<AgentCommand>,
    to_abandoned: mpsc::Sender<RunId>,
}

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// The next input of a hub.
enum HubInput {
    Request(Request),
    AgentCommand(AgentCommand),
    Own(Command),
    /// No input: the batch handles timeouts, lost agents and trials.
    Look,
}

impl Hub {
    /// Creates a hub that has not read its log. [`Hub::run`] runs it.
    pub(crate) fn new(
        shared: Arc<Shared>,
        user_id: UserId,
        observed: ObservedLog,
        tail: Arc<Tail>,
        receivers: HubReceivers,
    ) -> Self {
        let ObservedLog { log, observer } = observed;
        let deadlines = Deadlines::new(shared.limits.deadlines);
        let common = Common {
            shared,
            user_id,
            log,
            observer,
            tail,
            requests: receivers.requests,
            gone: receivers.gone,
            lease: None,
            deadlines,
            consecutive_panics: 0,
            tail_clears: None,
            last_at: Timestamp::default(),
            active_runs: 0,
            waiting: 0,
        };
        Self { common, state: State::Unknown(Unknown::default()) }
    }

    /// Runs until the last handle is dropped.
    pub(crate) async fn run(mut self) {
        let shared = self.common.shared.clone();
        while let Some(input) = self.next().await {
            let _counted = shared.active_runs.begin_batch();
            match AssertUnwindSafe(self.process(input)).catch_unwind().await {
                Ok(()) => self.common.consecutive_panics = 0,
                Err(_panic) => self.on_panic(),
            }
        }
    }

    /// Waits for the next input; `None` when the machines are dropped.
    async fn next(&mut self) -> Option<HubInput> {
        match &mut self.state {
            State::Unknown(unknown) => unknown.next(&mut self.common).await,
            State::Known(known) => known.next(&mut self.common).await,
        }
    }

    /// Processes one batch that begins with `input`.
    async fn process(&mut self, input: HubInput) {
        let mut working = match self.ensure_loaded().await {
            Ok(working) => working,
            Err(error) => {
                tracing::error!(user_id = %self.common.user_id, %error, "the log of a user cannot be read");
                commands::fail(input, &error);
                return;
            }
        };
        if let Err(Lost { replies }) = working.batch(input).await {
            self.invalidate(replies);
        }
    }

    /// Reads the log unless it is known.
    async fn ensure_loaded(&mut self) -> Result<Working<'_>, JournalError> {
        if let State::Unknown(unknown) = &mut self.state {
            let known = unknown.ensure_loaded(&mut self.common).await?;
            self.state = State::Known(Box::new(known));
        }
        match &mut self.state {
            State::Known(known) => Ok(Working { hub: &mut self.common, known }),
            State::Unknown(_) => unreachable!("the state was just read"),
        }
    }

    /// Discards the state after a batch of unknown outcome, with the replies that were not sent (DEL-7).
    fn invalidate(&mut self, replies: Vec<PendingReply>) {
        let lost = std::mem::replace(&mut self.state, State::Unknown(Unknown::default()));
        let retry = match lost {
            State::Unknown(unknown) => unknown.retry,
            // Steps that the agents have queued must not reach their runs after the resume: the channels are
            // dropped with the state.
            State::Known(known) => {
                for signal in known.signals.into_values() {
                    signal.stop(RunEnded::Unavailable);
                }
                None
            }
        };
        self.common.deadlines.suspend();
        replies.into_iter().for_each(PendingReply::fail);
        self.common.count(0, 0);
        self.state = State::Unknown(Unknown { retry: self.common.retry_after(retry) });
    }

    /// Recovers after a panic in a batch, a defect of the service. No reply was sent, so the log is read back
    /// as after an append of unknown outcome (DEL-7).
    fn on_panic(&mut self) {
        metrics::counter!("quintet_hub_panics_total").increment(1);
        tracing::error!(user_id = %self.common.user_id, "a hub panicked: the log of its user is read back");
        self.common.tail.clear();
        self.invalidate(Vec::new());
        let wait = RETRY_FIRST.saturating_mul(1 << self.common.consecutive_panics.min(16)).min(RETRY_LAST);
        if let State::Unknown(Unknown { retry: Some(retry) }) = &mut self.state {
            *retry = LoadRetry { at: Instant::now() + wait, wait };
        }
        self.common.consecutive_panics = self.common.consecutive_panics.saturating_add(1);
    }
}

impl Unknown {
    async fn next(&mut self, hub: &mut Common) -> Option<HubInput> {
        let retry_at = self.retry.as_ref().map(|retry| retry.at);
        tokio::select! {
            biased;
            () = hub.gone.cancelled() => None,
            Some(request) = hub.requests.recv() => Some(HubInput::Request(request)),
            () = at(retry_at) => Some(HubInput::Look),
            () = at(hub.tail_clears) => Some(hub.clear_tail()),
        }
    }

    /// Reads the log. After an error the hub tries again later.
    async fn ensure_loaded(&mut self, hub: &mut Common) -> Result<Known, JournalError> {
        let limits = &hub.shared.limits;
        let mut loaded = match recovery::load(&*hub.log, &hub.user_id, &limits.kernel).await {
            Ok(loaded) => loaded,
            Err(error) => {
                self.retry = hub.retry_after(self.retry.take());
                return Err(error);
            }
        };
        let (to_agent_commands, agent_commands) = agent_commands(limits);
        let (to_abandoned, abandoned) = abandoned(limits);
        hub.tail.raise(loaded.state.head());
        hub.last_at = hub.last_at.max(loaded.last_at);
        hub.deadlines.keep_open(&loaded.state);
        loaded.pasts.retain(|_, past| !past.events.is_empty());
        // DEL-8: the tail may have entries of an erasure whose intent was stored by an append of unknown outcome.
        if !loaded.state.erasures().is_empty() {
            hub.tail.clear();
        }
        Ok(Known {
            view: loaded.state,
            fence: loaded.fence,
            spending: loaded.spending,
            client_calls: loaded.client_calls,
            orphans: loaded.pasts,
            resumed: ResumedRuns::of(loaded.resumes),
            erasing: Erasing::default(),
            signals: BTreeMap::new(),
            own: VecDeque::new(),
            agent_commands,
            abandoned,
            to_agent_commands,
            to_abandoned,
        })
    }
}

impl Known {
    async fn next(&mut self, hub: &mut Common) -> Option<HubInput> {
        if let Some(command) = self.own.pop_front() {
            return Some(HubInput::Own(command));
        }
        let trial_ends = self.resumed.trial_ends();
        tokio::select! {
            biased;
            () = hub.gone.cancelled() => None,
            Some(request) = hub.requests.recv() => Some(HubInput::Request(request)),
            Some(run_id) = self.abandoned.recv() => {
                self.abandon(run_id);
                Some(HubInput::Look)
            }
            // The batch handles passed deadlines.
            () = at(hub.deadlines.next()) => Some(HubInput::Look),
            () = at(trial_ends) => Some(HubInput::Look),
            receipt = self.erasing.completed() => Some(HubInput::Own(Command::Erased { receipt })),
            Some(command) = self.agent_commands.recv() => Some(HubInput::AgentCommand(command)),
            () = self.resumed.granted() => Some(HubInput::Look),
            () = at(hub.tail_clears) => Some(hub.clear_tail()),
        }
    }

    /// Returns the channels for the agent of a run.
    fn senders(&self) -> HubSenders {
        HubSenders { agent_commands: self.to_agent_commands.clone(), abandoned: self.to_abandoned.clone() }
    }
}

impl Common {
    fn clear_tail(&mut self) -> HubInput {
        self.tail.clear();
        self.tail_clears = None;
        HubInput::Look
    }

    /// Returns the next attempt to read the log, after the attempt `last`, if any.
    fn retry_after(&self, last: Option<LoadRetry>) -> Option<LoadRetry> {
        // Without a handle no run is known to be open, and the next request reads the log anyway.
        self.lease.is_some().then(|| {
            let wait = last.map_or(RETRY_FIRST, |retry| (retry.wait * 2).min(RETRY_LAST));
            LoadRetry { at: Instant::now() + wait, wait }
        })
    }

    /// Updates this user's share of the process-wide counts.
    fn count(&mut self, active_runs: usize, waiting: usize) {
        self.shared.active_runs.change(self.active_runs, active_runs);
        self.active_runs = active_runs;
        // A negative difference wraps around, and the addition wraps back.
        self.shared.waiting.fetch_add(waiting.wrapping_sub(self.waiting), Ordering::Relaxed);
        self.waiting = waiting;
    }

    /// Returns the current time, but never one before an earlier result: timestamps of a log do not decrease.
    fn now(&mut self) -> Timestamp {
        self.last_at = self.last_at.max(clock::now());
        self.last_at
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.common.count(0, 0);
    }
}

/// Creates the channel for the agents' steps.
fn agent_commands(limits: &UserLimits) -> (mpsc::Sender<AgentCommand>, mpsc::Receiver<AgentCommand>) {
    mpsc::channel(limits.hub.hub_steps_max)
}

/// Creates the channel for runs whose agents are gone, with room for twice the runs that may be open.
fn abandoned(limits: &UserLimits) -> (mpsc::Sender<RunId>, mpsc::Receiver<RunId>) {
    mpsc::channel(2 * limits.kernel.open_runs_max)
}

/// Sleeps until `instant`, or for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
