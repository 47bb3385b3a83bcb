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
//! (DEL-7); what waits is bounded, and a client never waits behind its own agents.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    agents::Assignment,
    deadline::Deadlines,
    factory::{Accepted, NewMessage, Shared, Unaccepted, User},
    order::{Ask, Order, Request},
    port::{RunPort, Stopped},
    recovery::{self, Past},
    signal::RunSignal,
    tail::Tail,
    turn::{Decided, Effect, Promise, Turn},
};
use crate::{
    journal::{AppendError, Batch, JournalError, Log},
    kernel::{
        entry::{By, CallResult, Entry, RunError, RunErrorCode},
        ids::{CallId, RunId, Timestamp, UserId},
        run::Cut,
        user::{Command, Progress, Refusal, Reply, Send, UserState},
    },
    runtime::clock,
};

/// Bounds of one hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Requests of clients that wait; one more is refused as overload.
    pub hub_requests_max: usize,
    /// Steps of agents that wait; one more waits at its agent.
    pub hub_orders_max: usize,
    /// Encoded bytes after which a batch takes no further command.
    pub batch_bytes_max: usize,
    /// Commands in one batch.
    pub batch_commands_max: usize,
    /// How long a log is quiet before its tail leaves memory.
    pub tail_idle_ms_max: u64,
}

impl HubLimits {
    pub const DEFAULT: HubLimits = HubLimits {
        hub_requests_max: 64,
        hub_orders_max: 256,
        batch_bytes_max: 512 * 1024,
        batch_commands_max: 512,
        tail_idle_ms_max: 10_000,
    };
}

/// The receiving ends of a hub that nobody has needed yet.
pub struct Seat {
    pub requests: mpsc::Receiver<Request>,
    pub gone: CancellationToken,
}

pub struct Hub {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
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
    /// The runs that an agent of this process carries out.
    signals: BTreeMap<RunId, Arc<RunSignal>>,
    deadlines: Deadlines,
    /// Commands of the hub's own: deadlines, agents that are gone.
    own: VecDeque<Command>,
    /// Keeps the machines while a run is open (ISO-5).
    lease: Option<User>,
    retry: Option<Retry>,
    tail_clears: Option<Instant>,
    last_at: Timestamp,
    /// How many runs of this user the process-wide count holds.
    moving: usize,
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
    pub fn new(shared: Arc<Shared>, user_id: UserId, log: Arc<dyn Log>, tail: Arc<Tail>, seat: Seat) -> Self {
        let (to_orders, orders) = mpsc::channel(shared.limits.hub.hub_orders_max);
        let (to_abandoned, abandoned) = mpsc::channel(2 * shared.limits.kernel.open_runs_max);
        let deadlines = Deadlines::new(shared.limits.deadlines);
        Self {
            shared,
            log,
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
            signals: BTreeMap::new(),
            deadlines,
            own: VecDeque::new(),
            lease: None,
            retry: None,
            tail_clears: None,
            last_at: Timestamp::default(),
            moving: 0,
        }
    }

    /// Works until the last lease is gone.
    pub async fn run(mut self) {
        while let Some(input) = self.next().await {
            self.turn(input).await;
        }
        self.shared.moving.change(self.moving, 0);
    }

    /// Waits for work; `None` when the machines are gone.
    async fn next(&mut self) -> Option<Input> {
        if let Some(command) = self.own.pop_front() {
            return Some(Input::Own(command));
        }
        let retry_at = self.retry.as_ref().map(|retry| retry.at);
        tokio::select! {
            biased;
            () = self.gone.cancelled() => None,
            Some(request) = self.requests.recv() => Some(Input::Request(request)),
            Some(run_id) = self.abandoned.recv() => {
                self.abandon(run_id);
                Some(Input::Look)
            }
            () = at(self.deadlines.next()) => {
                self.check_deadlines();
                Some(Input::Look)
            }
            Some(order) = self.orders.recv() => Some(Input::Order(order)),
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
            withdraw(input);
            return;
        }
        let Some(head) = self.state.as_ref().map(UserState::head) else { return };
        let mut turn = Turn::new(head);
        let at = self.now();
        for (run_id, past) in std::mem::take(&mut self.orphans) {
            self.take_up(&mut turn, run_id, past, at);
        }
        let mut next = Some(input);
        while let Some(input) = next {
            turn.count_command();
            self.handle(&mut turn, input, at).await;
            next = if self.has_room(&turn) { self.next_waiting(&turn) } else { None };
        }
        self.commit(turn.decided()).await;
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
                loaded.pasts.retain(|_, past| !past.events.is_empty());
                self.orphans = loaded.pasts;
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

    /// Gives a run that lost its agent a new one, or ends it as `interrupted` (RUN-6, RUN-9).
    fn take_up(&mut self, turn: &mut Turn, run_id: RunId, past: Past, at: Timestamp) {
        let Some(open) = self.state.as_ref().and_then(|state| state.open_runs().get(&run_id)) else { return };
        let Progress::Begun(run) = &open.progress else { return };
        let agents = &self.shared.agents;
        if agents.find(&open.agent_name).is_some_and(|treatment| treatment.resumable) {
            let again =
                |call: &&CallId| agents.is_idempotent(&open.agent_name, &run.open_calls()[*call].tool_name);
            let keep = run.open_calls().keys().filter(again).cloned().collect();
            let Past { text, mut events } = past;
            if let Some(Ok((_, entries))) = self.decide(turn, Command::Resume { run_id, keep }, at) {
                events.extend(entries);
                turn.effect(Effect::Resumed { run_id, text, past: events });
            }
        } else {
            let error = RunError {
                code: RunErrorCode::NodeLost,
                message: "the service stopped while the run was open, and its agent cannot take it up again"
                    .to_owned(),
            };
            self.decide(turn, Command::Cut { run_id, cut: Cut::Interrupted(error) }, at);
        }
    }

    async fn handle(&mut self, turn: &mut Turn, input: Input, at: Timestamp) {
        match input {
            Input::Look => {}
            Input::Own(command) => {
                // A refusal here means that what it was about has come about by itself.
                let _ = self.decide(turn, command, at);
            }
            Input::Request(Request { ask, lease }) => {
                turn.lend(lease);
                self.ask(turn, ask, at).await;
            }
            Input::Order(Order::Step { run_id, step, reply }) => {
                let answer = match self.decide(turn, Command::Step { run_id, step }, at) {
                    Some(Ok((Reply::Violated(breach), _))) => {
                        tracing::warn!(%run_id, %breach, "an agent attempted an illegal step");
                        metrics::counter!("quintet_violations_total").increment(1);
                        Err(Stopped::Violated(breach))
                    }
                    Some(Ok((Reply::LimitReached(limit), _))) => Err(Stopped::LimitReached(limit)),
                    Some(Ok(_)) => Ok(()),
                    Some(Err(_)) => Err(Stopped::Ended),
                    None => Err(Stopped::Unavailable),
                };
                if let Some(reply) = reply {
                    turn.promise(Promise::Stepped(reply, answer));
                }
            }
            Input::Order(Order::Cut { run_id, cut, reply }) => {
                // Refused if the run has ended, which is what was asked for.
                let _ = self.decide(turn, Command::Cut { run_id, cut }, at);
                turn.promise(Promise::Cut(reply));
            }
        }
    }

    async fn ask(&mut self, turn: &mut Turn, ask: Ask, at: Timestamp) {
        match ask {
            Ask::Send { message, run_id, reply } => {
                let answer = self.send(turn, message, run_id, at).await;
                turn.promise(Promise::Accepted(reply, answer));
            }
            Ask::Cancel { run_id, reply } => {
                let answer = self.cancel(turn, run_id, at).await;
                turn.promise(Promise::Done(reply, answer));
            }
            Ask::Answer { run_id, call_id, result, reply } => {
                let answer = self.answer(turn, run_id, call_id, result, at).await;
                turn.promise(Promise::Done(reply, answer));
            }
            // Whatever was open has been taken up at the start of the turn.
            Ask::Recover { reply } => turn.promise(Promise::Done(reply, Ok(()))),
        }
    }

    async fn send(
        &mut self,
        turn: &mut Turn,
        message: NewMessage,
        run_id: RunId,
        at: Timestamp,
    ) -> Result<Accepted, Unaccepted> {
        let state = self.state.as_ref().ok_or(Unaccepted::Unavailable)?;
        let earlier = match state.recent(&message.message_id) {
            Some(receipt) => Some(receipt),
            None => self.log.message(&message.message_id).await?,
        };
        let agent_name = message.agent_name.unwrap_or_else(|| self.shared.agents.default_agent());
        if earlier.is_none() {
            if self.shared.is_draining() {
                return Err(Unaccepted::Draining);
            }
            if self.shared.agents.find(&agent_name).is_none() {
                return Err(Unaccepted::UnknownAgent(agent_name));
            }
        }
        let send = Send {
            message_id: message.message_id,
            thread_id: message.thread_id,
            text: message.text,
            agent_name,
            on_busy: message.on_busy,
            run_id,
            earlier,
        };
        match self.decide(turn, Command::Send(send), at) {
            Some(Ok((Reply::Accepted { receipt, duplicate }, _))) => Ok(Accepted { receipt, duplicate }),
            Some(Err(refusal)) => Err(refusal.into()),
            Some(Ok(_)) | None => Err(Unaccepted::Unavailable),
        }
    }

    async fn cancel(&mut self, turn: &mut Turn, run_id: RunId, at: Timestamp) -> Result<(), Unaccepted> {
        let open = self.state.as_ref().is_some_and(|state| state.open_runs().contains_key(&run_id));
        let ended = !open && self.log.run(run_id).await?.is_some();
        self.done(turn, Command::Cancel { run_id, ended }, at)
    }

    async fn answer(
        &mut self,
        turn: &mut Turn,
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        at: Timestamp,
    ) -> Result<(), Unaccepted> {
        let open = match self
            .state
            .as_ref()
            .and_then(|state| state.open_runs().get(&run_id))
            .map(|open| &open.progress)
        {
            Some(Progress::Begun(run)) => run.open_calls().contains_key(&call_id),
            Some(Progress::Waiting) | None => false,
        };
        let past = match (open, self.log.run(run_id).await?) {
            (false, Some(run)) => Some(recovery::past_call(&*self.log, &self.user_id, &run, &call_id).await?),
            _ => None,
        };
        self.done(turn, Command::Answer { run_id, call_id, result, past }, at)
    }

    fn done(&mut self, turn: &mut Turn, command: Command, at: Timestamp) -> Result<(), Unaccepted> {
        match self.decide(turn, command, at) {
            Some(answer) => Ok(answer.map(|_| ())?),
            None => Err(Unaccepted::Unavailable),
        }
    }

    /// Decides a command on top of what this turn has decided. `None` if the log does not fit what
    /// the kernel decided, which is a fault of ours: the state is read back before anything else.
    fn decide(
        &mut self,
        turn: &mut Turn,
        command: Command,
        at: Timestamp,
    ) -> Option<Result<(Reply, Vec<Entry>), Refusal>> {
        let state = self.state.as_mut()?;
        let limits = &self.shared.limits.kernel;
        let resumes = matches!(command, Command::Resume { .. });
        let decision = match state.decide(command, limits, at) {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(refusal)),
        };
        for entry in &decision.entries {
            if let Err(misfit) = state.evolve(entry, limits) {
                tracing::error!(user_id = %self.user_id, %misfit, "the kernel decided what it does not accept");
                self.state = None;
                return None;
            }
        }
        let past = if resumes { decision.entries.clone() } else { Vec::new() };
        for entry in decision.entries {
            turn.push(&self.user_id, entry, &decision.reply);
        }
        Some(Ok((decision.reply, past)))
    }

    /// Makes the batch durable, then tells everyone whom it concerns (DEL-1).
    async fn commit(&mut self, decided: Decided) {
        let Decided { entries, lines, effects, promises, lease } = decided;
        if self.state.is_none() {
            self.lose(promises, lease);
            return;
        }
        if !entries.is_empty() {
            let count = entries.len() as u64;
            let expected = crate::kernel::ids::Offset(lines.first().0 - 1);
            let appended = self.log.append(Batch { expected, entries, lines: lines.clone() }).await;
            if let Err(error) = appended {
                match &error {
                    AppendError::Conflict { .. } => {
                        tracing::warn!(user_id = %self.user_id, %error, "another author appended first");
                    }
                    AppendError::Journal(_) => {
                        tracing::error!(user_id = %self.user_id, %error, "an append failed");
                    }
                }
                self.lose(promises, lease);
                return;
            }
            metrics::counter!("quintet_entries_appended_total").increment(count);
            metrics::counter!("quintet_batches_appended_total").increment(1);
            self.tail.publish(lines);
            self.tail_clears =
                Some(Instant::now() + Duration::from_millis(self.shared.limits.hub.tail_idle_ms_max));
        }
        for effect in effects {
            self.carry_out(effect).await;
        }
        promises.into_iter().for_each(Promise::keep);
        self.settle(lease);
    }

    /// After a batch that may or may not be in the log: nothing is known until it is read back (DEL-7).
    fn lose(&mut self, promises: Vec<Promise>, lease: Option<User>) {
        self.state = None;
        for (run_id, signal) in std::mem::take(&mut self.signals) {
            signal.stop(Stopped::Unavailable);
            self.deadlines.forget(run_id);
        }
        // What these agents have sent and nobody has taken must not reach the runs when they are taken
        // up again: they get new ways in.
        (self.to_orders, self.orders) = mpsc::channel(self.shared.limits.hub.hub_orders_max);
        self.own.clear();
        self.lease = self.lease.take().or(lease);
        promises.into_iter().for_each(Promise::withdraw);
        self.count_moving();
        self.retry_later();
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Started { run_id, text } => self.start(run_id, text).await,
            Effect::Resumed { run_id, text, past } => {
                tracing::info!(%run_id, events = past.len(), "a run is taken up again");
                self.launch(run_id, text, past);
            }
            Effect::Asked { run_id, call_id } => {
                if let Some(signal) = self.signals.get(&run_id) {
                    signal.opened(call_id);
                }
            }
            Effect::Closed { run_id, call_id, result } => {
                if let Some(signal) = self.signals.get(&run_id) {
                    signal.note_close(&call_id, &result);
                }
            }
            Effect::Moved { run_id } => self.heard(run_id),
            Effect::Completed { run_id, why } => {
                tracing::info!(%run_id, "run completed");
                self.deadlines.forget(run_id);
                if let Some(signal) = self.signals.remove(&run_id) {
                    signal.stop(why);
                }
            }
        }
    }

    /// Sets an agent to work on a run that has just begun, unless the same batch ended it.
    async fn start(&mut self, run_id: RunId, text: Option<String>) {
        let Some(open) = self.state.as_ref().and_then(|state| state.open_runs().get(&run_id)) else { return };
        let accepted = open.accepted;
        let text = match text {
            Some(text) => Ok(text),
            None => recovery::text(&*self.log, &self.user_id, accepted).await,
        };
        match text {
            Ok(text) => {
                tracing::info!(%run_id, "run started");
                self.launch(run_id, text, Vec::new());
            }
            Err(error) => {
                let message = format!("the message could not be read back: {error}");
                let error = RunError { code: RunErrorCode::AgentError, message };
                self.own.push_back(Command::Cut { run_id, cut: Cut::Failed(error) });
            }
        }
    }

    fn launch(&mut self, run_id: RunId, text: String, past: Vec<Entry>) {
        let Some(open) = self.state.as_ref().and_then(|state| state.open_runs().get(&run_id)) else { return };
        let Progress::Begun(run) = &open.progress else { return };
        if self.shared.agents.find(&open.agent_name).is_none() {
            let message = format!("no agent is named {} any more", open.agent_name);
            let error = RunError { code: RunErrorCode::AgentError, message };
            self.own.push_back(Command::Cut { run_id, cut: Cut::Failed(error) });
            return;
        }
        let signal = Arc::new(RunSignal::default());
        for (call_id, call) in run.open_calls() {
            if call.by == By::Client {
                signal.opened(call_id.clone());
            }
        }
        self.signals.insert(run_id, signal.clone());
        let port =
            RunPort::new(run_id, self.to_orders.clone(), self.to_abandoned.clone(), signal, self.log.clone());
        let assignment = Assignment {
            run_id,
            thread_id: open.thread_id.clone(),
            message_id: open.message_id.clone(),
            agent_name: open.agent_name.clone(),
            text,
            past,
            port,
        };
        self.heard(run_id);
        self.shared.agents.launch(assignment);
    }

    fn heard(&mut self, run_id: RunId) {
        if self.signals.contains_key(&run_id) {
            let waits = self.waits_for_client(run_id);
            self.deadlines.heard(run_id, waits, Instant::now());
        }
    }

    fn waits_for_client(&self, run_id: RunId) -> bool {
        let open = self.state.as_ref().and_then(|state| state.open_runs().get(&run_id));
        match open.map(|open| &open.progress) {
            Some(Progress::Begun(run)) => run.open_calls().values().any(|call| call.by == By::Client),
            Some(Progress::Waiting) | None => false,
        }
    }

    /// Holds a lease exactly while a run is open (ISO-5), and says how many of them move by themselves.
    fn settle(&mut self, lease: Option<User>) {
        let open = self.state.as_ref().is_some_and(|state| !state.open_runs().is_empty());
        self.count_moving();
        self.lease = if open { self.lease.take().or(lease) } else { None };
    }

    fn count_moving(&mut self) {
        let moving = self.signals.keys().filter(|run_id| !self.waits_for_client(**run_id)).count();
        self.shared.moving.change(self.moving, moving);
        self.moving = moving;
    }

    fn abandon(&mut self, run_id: RunId) {
        if self.signals.contains_key(&run_id) {
            let message = "the agent stopped without completing the run".to_owned();
            let error = RunError { code: RunErrorCode::AgentError, message };
            self.own.push_back(Command::Cut { run_id, cut: Cut::Failed(error) });
        }
    }

    fn check_deadlines(&mut self) {
        let at = self.now();
        if let Some(state) = &self.state {
            self.own.extend(self.deadlines.passed(state, Instant::now(), at));
        }
    }

    /// The time now, never before an earlier answer: a log's timestamps do not go back.
    fn now(&mut self) -> Timestamp {
        self.last_at = self.last_at.max(clock::now());
        self.last_at
    }
}

/// Answers what could not even be looked at.
fn withdraw(input: Input) {
    match input {
        Input::Request(Request { ask, .. }) => match ask {
            Ask::Send { reply, .. } => Promise::Accepted(reply, Err(Unaccepted::Unavailable)).withdraw(),
            Ask::Cancel { reply, .. } | Ask::Answer { reply, .. } | Ask::Recover { reply } => {
                Promise::Done(reply, Err(Unaccepted::Unavailable)).withdraw();
            }
        },
        Input::Order(Order::Step { reply, .. }) => {
            if let Some(reply) = reply {
                Promise::Stepped(reply, Err(Stopped::Unavailable)).withdraw();
            }
        }
        Input::Order(Order::Cut { reply, .. }) => Promise::Cut(reply).withdraw(),
        Input::Own(_) | Input::Look => {}
    }
}

/// Sleeps until `instant`; for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
