//! From the hub to the clients: a hub that decides and appends, the durable log, connections with the
//! shipped connection machine and the caller's part around it, lossy links, clients that keep a cursor.
//! The hub crashes, links drop, retention trims, a drain begins, at any time. Its specification is
//! `Delivery.tla`.
//!
//! - [`state`]: the state; [`link`]: one connection and its caller; [`properties`]: the claims

mod link;
mod properties;
mod state;

use std::sync::Arc;

use quintet::kernel::{
    connection::{Input, Timer},
    entry::Entry,
    ids::Offset,
    limits::Limits,
    user::{Decision, OnBusy, Reply, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::{After, Ask, CutBy, Deed},
    checks::Checked,
    machine::Machine,
    models::connection::ConnectionMachine,
    vocabulary::{run, without_words},
};

pub use self::state::{Client, DeliveryAction, DeliveryState, Drain, Frame, Hub, Link, Message};

#[derive(Clone, Debug)]
pub struct DeliveryModel {
    pub machine: &'static dyn Machine,
    pub connection: &'static dyn ConnectionMachine,
    pub clients: usize,
    pub limits: Limits,
    /// Whether the service may drain, and retention trim.
    pub drains: bool,
    pub trims: bool,
    /// The number of clients that send the message; the others only read.
    pub senders: usize,
    /// Whether entries are also read one at a time.
    pub reads_singly: bool,
    /// Whether a client without a cursor may start at the head.
    pub head_starts: bool,
}

impl DeliveryModel {
    /// The hub takes a command; `None` if that adds nothing.
    fn decide(&self, state: &mut DeliveryState, ask: Ask, promise: Option<usize>) -> Option<()> {
        let hub = state.hub.as_ref().filter(|hub| hub.batch.is_empty())?;
        let command = ask.command(&state.log, &hub.view, run(1));
        let decision = self.machine.decide(&hub.view, command, &self.limits).ok()?;
        self.conclude(state, decision, promise)
    }

    /// The hub goes on with a decision: what it adds is to be appended, and answered to this client.
    pub(crate) fn conclude(
        &self,
        state: &mut DeliveryState,
        decision: Decision,
        promise: Option<usize>,
    ) -> Option<()> {
        let mut view = state.hub.clone().filter(|hub| hub.batch.is_empty())?.view;
        let batch: Vec<Entry> = decision.entries.into_iter().map(without_words).collect();
        for entry in &batch {
            if self.machine.evolve(&mut view, entry, &self.limits).is_err() {
                state.breaks("FOLD");
            }
        }
        let promise = promise.filter(|_| matches!(decision.reply, Reply::Accepted { .. }));
        let is_known = batch.is_empty();
        state.hub = Some(Hub { view, batch, promise: promise.filter(|_| !is_known) });
        if let Some(c) = promise.filter(|_| is_known) {
            self.answer(state, c);
        }
        Some(())
    }

    pub(crate) fn answer(&self, state: &mut DeliveryState, c: usize) {
        if let Some(link) = &mut state.links[c] {
            link.message = Message::Answered;
            self.input(state, c, &Input::Answered { reply: Some(()) });
        }
    }

    fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        self.machine.recovered(log, &self.limits)
    }

    /// Ends the drain, also with runs open.
    pub(crate) fn drained(&self, state: &mut DeliveryState) -> Option<()> {
        if state.drain != Drain::Draining {
            return None;
        }
        state.drain = Drain::Drained;
        let head = Offset(state.log.len() as u64);
        (0..self.clients).for_each(|c| self.input(state, c, &Input::Drained { head }));
        Some(())
    }
}

fn is_run_open(state: &DeliveryState) -> bool {
    state.hub.as_ref().is_some_and(|hub| !hub.view.open_runs().is_empty() || !hub.batch.is_empty())
}

impl Model for DeliveryModel {
    type State = DeliveryState;
    type Action = DeliveryAction;

    fn init_states(&self) -> Vec<DeliveryState> {
        vec![DeliveryState {
            log: Arc::default(),
            trimmed: 0,
            hub: None,
            drain: Drain::No,
            links: vec![None; self.clients],
            clients: vec![Client::default(); self.clients],
            broken: None,
        }]
    }

    fn actions(&self, _: &DeliveryState, actions: &mut Vec<DeliveryAction>) {
        use DeliveryAction as A;
        actions.extend([A::Write, A::WriteFails, A::Crash, A::Restart, A::Deadline]);
        actions.extend([Deed::Think, Deed::Succeed].map(A::Step));
        if self.trims {
            actions.push(A::Trim);
        }
        if self.drains {
            actions.extend([A::DrainBegins, A::DrainEnds]);
        }
        for c in 0..self.clients {
            if self.head_starts {
                actions.extend([A::LookUpHead(c), A::ReadyAtHead(c)]);
            }
            actions.extend([A::Connect(c), A::Ask(c), A::Take(c), A::Read(c, false), A::Read(c, true)]);
            actions.extend([A::Flushed(c), A::Receive(c), A::Drop(c), A::Leave(c)]);
        }
    }

    fn next_state(&self, state: &DeliveryState, action: DeliveryAction) -> Option<DeliveryState> {
        use DeliveryAction as A;
        if state.broken.is_some() {
            return None;
        }
        let mut next = state.clone();
        match action {
            A::Connect(c) => self.connect(&mut next, c, state.clients[c].after, state.log.len() as u64)?,
            A::LookUpHead(c) => self.look_up_head(&mut next, c)?,
            A::ReadyAtHead(c) => {
                let head = state.links[c].as_ref()?.looked_up?;
                self.attached(&mut next, c, head);
            }
            A::Ask(c) => {
                let link = state.links[c].as_ref()?;
                if c >= self.senders
                    || link.looked_up.is_some()
                    || link.message != Message::Unsent
                    || state.clients[c].accepted
                    || !link.machine.reads_frames()
                {
                    return None;
                }
                self.input(&mut next, c, &Input::Command(()));
            }
            A::Take(c) => {
                state.links[c].as_ref().filter(|link| link.message == Message::Sent)?;
                if state.drain != Drain::No && state.log.is_empty() {
                    // Refused with `draining`: the client repeats it elsewhere.
                    return None;
                }
                let (on_busy, after) = (OnBusy::Enqueue, After::Latest);
                let send = Ask::Send { message: 1, thread: 1, on_busy, after };
                self.decide(&mut next, send, Some(c))?;
            }
            A::Step(deed) => self.decide(&mut next, Ask::Step { run: 1, deed }, None)?,
            A::Deadline => self.decide(&mut next, Ask::Cut { run: 1, cut: CutBy::Deadline }, None)?,
            A::Write => {
                let hub = next.hub.as_mut().filter(|hub| !hub.batch.is_empty())?;
                let batch = std::mem::take(&mut hub.batch);
                let promise = hub.promise.take();
                Arc::make_mut(&mut next.log).extend(batch);
                if let Some(c) = promise {
                    self.answer(&mut next, c);
                }
            }
            A::WriteFails => {
                state.hub.as_ref().filter(|hub| !hub.batch.is_empty())?;
                let view = self.recovered(&state.log)?;
                next.hub = Some(Hub { view, batch: vec![], promise: None });
            }
            A::Crash => {
                state.hub.as_ref()?;
                next.hub = None;
                next.drain = Drain::No;
                next.links.fill(None);
            }
            A::Restart => {
                if state.hub.is_some() {
                    return None;
                }
                let view = self.recovered(&state.log)?;
                next.hub = Some(Hub { view, batch: vec![], promise: None });
            }
            A::Read(c, all) => self.read(&mut next, c, all, state.log.len() as u64)?,
            A::Flushed(c) => {
                state.links[c].as_ref().filter(|link| link.wire.len() < SOCKET_FRAMES)?;
                self.flushed(&mut next, c)?;
            }
            A::Receive(c) => Self::receive(&mut next, c)?,
            A::Drop(c) => {
                state.links[c].as_ref()?;
                next.links[c] = None;
                Self::forget(&mut next, c);
            }
            A::Trim => {
                if is_run_open(state) || state.hub.is_none() || state.log.is_empty() {
                    return None;
                }
                next.trimmed = state.log.len() as u64;
            }
            A::DrainBegins => {
                if state.hub.is_none() || state.drain != Drain::No {
                    return None;
                }
                next.drain = Drain::Draining;
                for c in 0..self.clients {
                    self.input(&mut next, c, &Input::Drain { reconnect_after_ms: 0 });
                }
            }
            A::DrainEnds if is_run_open(state) => return None,
            A::DrainEnds => self.drained(&mut next)?,
            A::Leave(c) => {
                state.links[c].as_ref()?.leaving?;
                self.input(&mut next, c, &Input::Elapsed(Timer::Leave));
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

/// Frames that a socket takes before it pushes back.
pub const SOCKET_FRAMES: usize = 2;
/// Frames that are ever on the way to one client (DEL-4).
pub const WIRE_FRAMES_MAX: usize = 5;
/// Beyond every offset: the bound of a reader without a bound.
pub const FOREVER: u64 = 999;
