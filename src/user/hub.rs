//! The one author of a user's log: decides what is asked, appends it as one batch, and only then
//! tells anyone.
//!
//! ```text
//!   requests (client) ─┐                          ┌▶ replies
//!   orders (agents)  ──┼▶ decide, evolve ▶ append ┼▶ tail ▶ cursors
//!   deadlines ─────────┘                          └▶ agents launched, stopped, answered
//! ```
//!
//! Guarantees: nothing is told before it is durable (DEL-1, DEL-5); an append whose outcome is not
//! known is answered `Unavailable`, and what is true is read back before anything else is decided
//! (DEL-7); what waits is bounded, and a client never waits behind its own agents; each turn first looks
//! after runs whose time is over or whose agent is gone, whatever else waits (RUN-6); and a turn that panics
//! ends neither the hub nor its runs.

mod asks;
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
    factory::{Shared, User, UserLimits},
    order::{Order, Request},
    port::Stopped,
    recovery::{self, Past},
    signal::RunSignal,
    sync::Ordering,
    tail::Tail,
    turn::{Decided, Promise, Turn},
};
use crate::{
    journal::{AppendError, Batch, JournalError, Log},
    kernel::{
        ids::{Offset, RunId, Timestamp, UserId},
        user::{Command, Progress, UserState},
    },
    runtime::clock,
    witness::{UserWitness, record::Outcome},
};

crate::limits! {
    /// Bounds of one hub.
    pub struct HubLimits {
        /// Requests of one user's clients that wait; one more is refused as overload.
        pub hub_requests_max: usize = 64, in 1..=100_000;
        /// Steps of one user's agents that wait; one more waits at its agent.
        pub hub_orders_max: usize = 256, in 1..=100_000;
        /// Encoded bytes after which a batch takes no further command.
        pub batch_bytes_max: usize = 512 * 1024, in 1_024..=67_108_864;
        /// Commands in one batch.
        pub batch_commands_max: usize = 512, in 1..=100_000;
        /// How long a log is quiet before its tail leaves memory.
        pub tail_idle_ms_max: u64 = 10_000, in 1..=86_400_000;
        /// Time from the start, once every other run is resumed, to the first trial of a suspected run: one
        /// that was resumed and had made no step when the process died (RUN-6).
        pub resume_settle_timeout_ms: u64 = 500, in 0..=3_600_000;
        /// Time that a suspected run is resumed on its own, if it makes no step. A process that dies later
        /// in the run does not count as the first of the `run_resumes_max`.
        pub resume_trial_timeout_ms: u64 = 10_000, in 1..=3_600_000;
    }
}

/// The receiving ends of a hub that nobody has needed yet.
pub struct Seat {
    pub requests: mpsc::Receiver<Request>,
    pub gone: CancellationToken,
}

pub struct Hub {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    witness: UserWitness,
    tail: Arc<Tail>,
    user_id: UserId,
    requests: mpsc::Receiver<Request>,
    orders: mpsc::Receiver<Order>,
    abandoned: mpsc::Receiver<RunId>,
    to_orders: mpsc::Sender<Order>,
    to_abandoned: mpsc::Sender<RunId>,
    /// Cancelled when the last lease on this user's machines is gone.
    gone: CancellationToken,
    /// What the log says; unknown at first, and after an append that may have failed.
    state: Option<UserState>,
    /// Runs that have begun and have no agent, each with its past: left by an earlier process, or by
    /// a journal that was not available for a while.
    orphans: BTreeMap<RunId, Past>,
    resumed: Resumed,
    /// The runs that an agent of this process carries out.
    signals: BTreeMap<RunId, Arc<RunSignal>>,
    deadlines: Deadlines,
    asked: Asked,
    /// Commands of the hub's own: deadlines, agents that are gone.
    own: VecDeque<Command>,
    /// Of one of the requests: keeps the machines during a turn, and while a run is open (ISO-5).
    lease: Option<User>,
    retry: Option<Retry>,
    /// Turns in a row that panicked.
    falls: u32,
    tail_clears: Option<Instant>,
    last_at: Timestamp,
    /// How many runs of this user the process-wide count holds.
    moving: usize,
    /// How many waiting messages of this user the process-wide count holds.
    waiting: usize,
}

/// When to look at the log again after the journal failed.
struct Retry {
    at: Instant,
    wait: Duration,
}

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// What a hub works on next.
enum Input {
    Request(Request),
    Order(Order),
    Own(Command),
    /// Nothing but what the turn itself finds to do.
    Look,
}

impl Hub {
    pub fn new(
        shared: Arc<Shared>,
        user_id: UserId,
        log: Arc<dyn Log>,
        witness: UserWitness,
        tail: Arc<Tail>,
        seat: Seat,
    ) -> Self {
        let (to_orders, orders) = orders(&shared.limits);
        let (to_abandoned, abandoned) = abandoned(&shared.limits);
        let deadlines = Deadlines::new(shared.limits.deadlines);
        Self {
            shared,
            log,
            witness,
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

    /// Works until the last lease is gone.
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

    /// After a turn that panicked, which is a fault of ours: it has told nobody anything, so what is true
    /// is read back, as after an append of unknown outcome (DEL-7).
    fn fall(&mut self) {
        metrics::counter!("quintet_hub_panics_total").increment(1);
        tracing::error!(user_id = %self.user_id, "a hub panicked: the log of its user is read back");
        self.tail.clear();
        self.lose(Vec::new());
        let wait = RETRY_FIRST.saturating_mul(1 << self.falls.min(16)).min(RETRY_LAST);
        self.retry = self.retry.take().map(|_| Retry { at: Instant::now() + wait, wait });
        self.falls = self.falls.saturating_add(1);
    }

    /// Waits for work; `None` when the machines are gone.
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
            // The turn looks at them.
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

    /// What waits right now, clients and agents in turns (ISO-6).
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

    /// One batch: everything that waits is decided, made durable, then told.
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
        // Within one batch a message must still be among the recent ones (DEL-6): the journal does
        // not know it yet.
        let commands_max = limits.hub.batch_commands_max.min(limits.kernel.recent_messages_max);
        self.state.is_some() && turn.bytes() < limits.hub.batch_bytes_max && turn.commands() < commands_max
    }

    /// Reads back what the log says, if that is not known.
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
        // Without a lease no run is known to be open, and the next request looks again by itself.
        self.retry = self.lease.is_some().then(|| {
            let wait = self.retry.as_ref().map_or(RETRY_FIRST, |retry| (retry.wait * 2).min(RETRY_LAST));
            Retry { at: Instant::now() + wait, wait }
        });
    }

    /// Makes the batch durable, then tells everyone whom it concerns (DEL-1).
    async fn commit(&mut self, decided: Decided) {
        let Decided { entries, lines, effects, promises, resumes } = decided;
        let Some(head) = self.state.as_ref().map(UserState::head) else {
            self.witness.settled(Offset(lines.first().0 - 1), Outcome::Forgotten);
            self.lose(promises);
            return;
        };
        if entries.is_empty() && resumes.is_empty() {
            self.witness.settled(head, Outcome::Nothing);
        } else {
            let count = entries.len() as u64;
            let expected = Offset(lines.first().0 - 1);
            let begun = Instant::now();
            let appended = self.log.append(Batch { expected, entries, lines: lines.clone(), resumes }).await;
            metrics::histogram!("quintet_append_seconds").record(begun.elapsed().as_secs_f64());
            if let Err(error) = appended {
                match &error {
                    AppendError::Conflict { .. } => {
                        metrics::counter!("quintet_append_failures_total", "reason" => "conflict")
                            .increment(1);
                        tracing::warn!(user_id = %self.user_id, %error, "another author appended first");
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
            // What is accepted runs when the journal is back, and does not fail with it (RUN-6).
            self.lose(Vec::new());
        } else {
            self.settle();
        }
    }

    /// After a batch that may or may not be in the log: nothing is known until it is read back (DEL-7).
    fn lose(&mut self, promises: Vec<Promise>) {
        self.state = None;
        for signal in std::mem::take(&mut self.signals).into_values() {
            signal.stop(Stopped::Unavailable);
        }
        self.resumed = Resumed::default();
        self.deadlines.suspend();
        // What these agents have sent and nobody has taken must not reach the runs when they are taken
        // up again: they get new ways in.
        (self.to_orders, self.orders) = orders(&self.shared.limits);
        (self.to_abandoned, self.abandoned) = abandoned(&self.shared.limits);
        self.own.clear();
        promises.into_iter().for_each(Promise::withdraw);
        self.count_moving();
        self.retry_later();
    }

    /// Holds a lease exactly while a run is open (ISO-5), and says how many of them move by themselves.
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
        // Wraps around where the difference is negative, and back when it is added.
        self.shared.waiting.fetch_add(waiting.wrapping_sub(self.waiting), Ordering::Relaxed);
        self.waiting = waiting;
    }

    /// The time now, never before an earlier answer: a log's timestamps do not go back.
    fn now(&mut self) -> Timestamp {
        self.last_at = self.last_at.max(clock::now());
        self.last_at
    }
}

/// The way of the agents' steps.
fn orders(limits: &UserLimits) -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
    mpsc::channel(limits.hub.hub_orders_max)
}

/// The way of the runs whose agents are gone: room for every run that may be open, twice.
fn abandoned(limits: &UserLimits) -> (mpsc::Sender<RunId>, mpsc::Receiver<RunId>) {
    mpsc::channel(2 * limits.kernel.open_runs_max)
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.moving.change(self.moving, 0);
        self.count_waiting(0);
    }
}

/// Sleeps until `instant`; for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
