//! The only writer of a user's log: decides commands, appends the result as one batch, and sends replies
//! afterwards.
//!
//! ```text
//!   requests (client) ─┐                          ┌▶ replies
//!   orders (agents)  ──┼▶ decide, evolve ▶ append ┼▶ tail ▶ cursors
//!   deadlines ─────────┘                          └▶ agents launched, stopped, answered
//! ```
//!
//! Guarantees: nothing becomes visible before it is durable (DEL-1, DEL-5). After an append of unknown outcome
//! the reply is `Unavailable`, and the log is read back before the next decision (DEL-7). All queues are
//! bounded, and a client never waits behind its own agents. Each batch first handles runs that have timed out
//! or lost their agent (RUN-6). A panic in a batch ends neither the hub nor its runs.

mod asks;
mod bounds;
mod resumes;
mod runs;

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

use self::resumes::Resumed;
use super::{
    asked::Asked,
    deadline::Deadlines,
    handle::{Request, User},
    limits::UserLimits,
    recovery::{self, Past},
    shared::Shared,
    sync::Ordering,
    tail::Tail,
    turn::{Decided, Promise, Turn},
};
use crate::{
    agent::host::{Order, RunSignal, Stopped},
    journal::{AppendError, Batch, JournalError, Log},
    kernel::{
        ids::{Offset, RunId, Timestamp, UserId},
        spending::Spending,
        user::{Command, Progress, UserState},
    },
    observer::{ObservedLog, UserObserver},
    runtime::clock,
};

/// The receivers of a hub that has not been started.
pub struct Seat {
    pub requests: mpsc::Receiver<Request>,
    pub gone: CancellationToken,
}

pub struct Hub {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    observer: Arc<dyn UserObserver>,
    tail: Arc<Tail>,
    user_id: UserId,
    requests: mpsc::Receiver<Request>,
    orders: mpsc::Receiver<Order>,
    abandoned: mpsc::Receiver<RunId>,
    to_orders: mpsc::Sender<Order>,
    to_abandoned: mpsc::Sender<RunId>,
    /// Cancelled when the last handle to this user's machines is dropped.
    gone: CancellationToken,
    /// The state of the log; `None` before it is loaded and after an append of unknown outcome.
    state: Option<UserState>,
    /// Started runs without an agent, each with its past: left by an earlier process, or while the journal was
    /// unavailable.
    orphans: BTreeMap<RunId, Past>,
    resumed: Resumed,
    /// The bytes of the user's day, as the log has them.
    spending: Spending,
    /// The runs that an agent of this process carries out.
    signals: BTreeMap<RunId, Arc<RunSignal>>,
    deadlines: Deadlines,
    asked: Asked,
    /// Commands of the hub itself, for deadlines and lost agents.
    own: VecDeque<Command>,
    /// A handle from one of the requests. Keeps the machines alive during a batch and while a run is open
    /// (ISO-5).
    lease: Option<User>,
    retry: Option<Retry>,
    /// Consecutive batches that panicked.
    falls: u32,
    tail_clears: Option<Instant>,
    last_at: Timestamp,
    /// This user's share of the process-wide count of executing runs.
    moving: usize,
    /// This user's share of the process-wide count of waiting messages.
    waiting: usize,
}

/// The next attempt to load the log after a failure of the journal.
struct Retry {
    at: Instant,
    wait: Duration,
}

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// The next input of a hub.
enum Input {
    Request(Request),
    Order(Order),
    Own(Command),
    /// No input: the batch handles timeouts, lost agents and trials.
    Look,
}

impl Hub {
    pub fn new(
        shared: Arc<Shared>,
        user_id: UserId,
        observed: ObservedLog,
        tail: Arc<Tail>,
        seat: Seat,
    ) -> Self {
        let ObservedLog { log, observer } = observed;
        let (to_orders, orders) = orders(&shared.limits);
        let (to_abandoned, abandoned) = abandoned(&shared.limits);
        let deadlines = Deadlines::new(shared.limits.deadlines);
        Self {
            shared,
            log,
            observer,
            tail,
            user_id,
            requests: seat.requests,
            orders,
            abandoned,
            to_orders,
            to_abandoned,
            gone: seat.gone,
            state: None,
            orphans: BTreeMap::new(),
            resumed: Resumed::default(),
            spending: Spending::default(),
            signals: BTreeMap::new(),
            deadlines,
            asked: Asked::default(),
            own: VecDeque::new(),
            lease: None,
            retry: None,
            falls: 0,
            tail_clears: None,
            last_at: Timestamp::default(),
            moving: 0,
            waiting: 0,
        }
    }

    /// Runs until the last handle is dropped.
    pub async fn run(mut self) {
        let shared = self.shared.clone();
        while let Some(input) = self.next().await {
            let _counted = shared.moving.turn();
            match AssertUnwindSafe(self.turn(input)).catch_unwind().await {
                Ok(()) => self.falls = 0,
                Err(_panic) => self.fall(),
            }
        }
    }

    /// Recovers after a panic in a batch, a defect of the service. No reply was sent, so the log is read back
    /// as after an append of unknown outcome (DEL-7).
    fn fall(&mut self) {
        metrics::counter!("quintet_hub_panics_total").increment(1);
        tracing::error!(user_id = %self.user_id, "a hub panicked: the log of its user is read back");
        self.tail.clear();
        self.lose(Vec::new());
        let wait = RETRY_FIRST.saturating_mul(1 << self.falls.min(16)).min(RETRY_LAST);
        self.retry = self.retry.take().map(|_| Retry { at: Instant::now() + wait, wait });
        self.falls = self.falls.saturating_add(1);
    }

    /// Waits for the next input; `None` when the machines are dropped.
    async fn next(&mut self) -> Option<Input> {
        if let Some(command) = self.own.pop_front() {
            return Some(Input::Own(command));
        }
        let retry_at = self.retry.as_ref().map(|retry| retry.at);
        let trial_ends = self.resumed.trial_ends();
        tokio::select! {
            biased;
            () = self.gone.cancelled() => None,
            Some(request) = self.requests.recv() => Some(Input::Request(request)),
            Some(run_id) = self.abandoned.recv() => {
                self.abandon(run_id);
                Some(Input::Look)
            }
            // The batch handles passed deadlines.
            () = at(self.deadlines.next()) => Some(Input::Look),
            () = at(trial_ends) => Some(Input::Look),
            Some(order) = self.orders.recv() => Some(Input::Order(order)),
            () = self.resumed.granted() => Some(Input::Look),
            () = at(retry_at) => Some(Input::Look),
            () = at(self.tail_clears) => {
                self.tail.clear();
                self.tail_clears = None;
                Some(Input::Look)
            }
        }
    }

    /// Returns the next queued input, alternating between clients and agents (ISO-6).
    fn next_waiting(&mut self, turn: &Turn) -> Option<Input> {
        if let Some(command) = self.own.pop_front() {
            return Some(Input::Own(command));
        }
        if turn.commands().is_multiple_of(2) {
            let request = self.requests.try_recv().ok().map(Input::Request);
            request.or_else(|| self.orders.try_recv().ok().map(Input::Order))
        } else {
            let order = self.orders.try_recv().ok().map(Input::Order);
            order.or_else(|| self.requests.try_recv().ok().map(Input::Request))
        }
    }

    /// Processes one batch: decides all queued inputs, appends the result, sends the replies.
    async fn turn(&mut self, input: Input) {
        if let Err(error) = self.know().await {
            tracing::error!(user_id = %self.user_id, %error, "the log of a user cannot be read");
            asks::withdraw(input, &error);
            return;
        }
        let Some(head) = self.state.as_ref().map(UserState::head) else { return };
        let mut turn = Turn::new(head);
        let at = self.now();
        for (run_id, past) in std::mem::take(&mut self.orphans) {
            self.resume_or_end(&mut turn, run_id, past, at);
        }
        self.hold_trials(&mut turn, at);
        self.look_after_runs();
        let mut next = Some(input);
        while let Some(input) = next {
            turn.count_command();
            self.handle(&mut turn, input, at).await;
            next = if self.has_room(&turn) { self.next_waiting(&turn) } else { None };
        }
        self.commit(turn.decided()).await;
        self.await_trial();
    }

    fn has_room(&self, turn: &Turn) -> bool {
        let limits = &self.shared.limits;
        // A message of this batch must still be among the recent ones, because the journal does not have it yet
        // (DEL-6).
        let commands_max = limits.hub.batch_commands_max.min(limits.kernel.recent_messages_max);
        self.state.is_some() && turn.bytes() < limits.hub.batch_bytes_max && turn.commands() < commands_max
    }

    /// Loads the state of the log unless it is known.
    async fn know(&mut self) -> Result<(), JournalError> {
        if self.state.is_some() {
            return Ok(());
        }
        match recovery::load(&*self.log, &self.user_id, &self.shared.limits.kernel).await {
            Ok(mut loaded) => {
                self.tail.raise(loaded.state.head());
                self.last_at = self.last_at.max(loaded.last_at);
                loaded.pasts.retain(|_, past| !past.events.is_empty());
                self.orphans = loaded.pasts;
                self.resumed = Resumed::of(loaded.resumes);
                self.spending = loaded.spending;
                self.asked = loaded.asked;
                self.deadlines.keep_open(&loaded.state);
                self.state = Some(loaded.state);
                self.retry = None;
                Ok(())
            }
            Err(error) => {
                self.retry_later();
                Err(error)
            }
        }
    }

    fn retry_later(&mut self) {
        // Without a handle no run is known to be open, and the next request loads the log anyway.
        self.retry = self.lease.is_some().then(|| {
            let wait = self.retry.as_ref().map_or(RETRY_FIRST, |retry| (retry.wait * 2).min(RETRY_LAST));
            Retry { at: Instant::now() + wait, wait }
        });
    }

    /// Appends the batch, then sends replies and carries out effects (DEL-1).
    async fn commit(&mut self, decided: Decided) {
        let Decided { entries, lines, effects, promises, resumes } = decided;
        let Some(head) = self.state.as_ref().map(UserState::head) else {
            self.observer.dropped(Offset(lines.first().0 - 1));
            self.lose(promises);
            return;
        };
        if entries.is_empty() && resumes.is_empty() {
            self.observer.unchanged(head);
        } else {
            let count = entries.len() as u64;
            let expected = Offset(lines.first().0 - 1);
            let begun = Instant::now();
            let spending = self.spending_with(lines.as_bytes().len(), self.last_at);
            let batch = Batch { expected, entries, lines: lines.clone(), resumes, spending };
            let appended = self.log.append(batch).await;
            metrics::histogram!("quintet_append_seconds").record(begun.elapsed().as_secs_f64());
            if let Err(error) = appended {
                match &error {
                    AppendError::Conflict { .. } => {
                        metrics::counter!("quintet_append_failures_total", "reason" => "conflict")
                            .increment(1);
                        tracing::warn!(user_id = %self.user_id, %error, "another writer appended first");
                    }
                    AppendError::Journal(_) => {
                        metrics::counter!("quintet_append_failures_total", "reason" => "journal")
                            .increment(1);
                        tracing::error!(user_id = %self.user_id, %error, "an append failed");
                    }
                }
                self.lose(promises);
                return;
            }
            if count > 0 {
                self.spending = spending;
                metrics::counter!("quintet_entries_appended_total").increment(count);
                metrics::counter!("quintet_batches_appended_total").increment(1);
                metrics::counter!("quintet_appended_bytes_total").increment(lines.as_bytes().len() as u64);
                self.tail.publish(lines);
                self.tail_clears =
                    Some(Instant::now() + Duration::from_millis(self.shared.limits.hub.tail_idle_ms_max));
            }
        }
        let mut unread = false;
        for effect in effects {
            if let Err(error) = self.carry_out(effect).await {
                tracing::error!(user_id = %self.user_id, %error, "a message cannot be read back");
                unread = true;
            }
        }
        promises.into_iter().for_each(Promise::keep);
        if unread {
            // An accepted run starts once the journal is back, and does not fail with it (RUN-6).
            self.lose(Vec::new());
        } else {
            self.settle();
        }
    }

    /// Discards the state after a batch of unknown outcome; the log has to be read back (DEL-7).
    fn lose(&mut self, promises: Vec<Promise>) {
        self.state = None;
        for signal in std::mem::take(&mut self.signals).into_values() {
            signal.stop(Stopped::Unavailable);
        }
        self.resumed = Resumed::default();
        self.deadlines.suspend();
        // Steps that these agents have queued must not reach their runs after the resume, so the channels are
        // replaced.
        (self.to_orders, self.orders) = orders(&self.shared.limits);
        (self.to_abandoned, self.abandoned) = abandoned(&self.shared.limits);
        self.own.clear();
        promises.into_iter().for_each(Promise::withdraw);
        self.count_moving();
        self.retry_later();
    }

    /// Keeps a handle exactly while a run is open (ISO-5), and updates the process-wide counts.
    fn settle(&mut self) {
        let open = self.state.as_ref().is_some_and(|state| !state.open_runs().is_empty());
        self.count_moving();
        if !open {
            self.lease = None;
        }
    }

    fn count_moving(&mut self) {
        let moving = self.signals.keys().filter(|run_id| !self.is_at_rest(**run_id)).count();
        self.shared.moving.change(self.moving, moving);
        self.moving = moving;
        let open = self.state.iter().flat_map(|state| state.open_runs().values());
        self.count_waiting(open.filter(|run| matches!(run.progress, Progress::Waiting)).count());
    }

    fn count_waiting(&mut self, waiting: usize) {
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

/// Creates the channel for the agents' steps.
fn orders(limits: &UserLimits) -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
    mpsc::channel(limits.hub.hub_orders_max)
}

/// Creates the channel for runs whose agents are gone, with room for twice the runs that may be open.
fn abandoned(limits: &UserLimits) -> (mpsc::Sender<RunId>, mpsc::Receiver<RunId>) {
    mpsc::channel(2 * limits.kernel.open_runs_max)
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.moving.change(self.moving, 0);
        self.count_waiting(0);
    }
}

/// Sleeps until `instant`, or for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
