//! From the hub to the clients: a hub that decides and appends, the durable log, connections with the
//! shipped connection machine and the caller's part around it, lossy links, clients that keep a cursor.
//! The hub crashes, links drop, retention trims, a drain comes, at every instant. Its specification is
//! `Delivery.tla`.

//!
//! - [`state`]: what there is; [`properties`]: what is claimed of it

mod properties;
mod state;

use std::sync::Arc;

use quintet::kernel::{
    connection::{
        Connection, Effect, Effects, Gap, Input, Limits as ConnectionLimits, ResumeCursor, ServerFrame, Timer,
    },
    entry::Entry,
    ids::{Epoch, MessageId, Offset},
    limits::Limits,
    user::{OnBusy, Receipt, Reply, UserState},
};
use stateright::{Model, Property};
use uuid::Uuid;

use crate::{
    ask::{Ask, CutBy, Deed},
    checks::Checked,
    law,
    machine::Machine,
    models::connection::{ConnectionMachine, identity},
    vocabulary::{run, without_words},
};

pub use self::state::{Client, DeliveryAction, DeliveryState, Drain, Frame, Hub, Link, Message};

/// A small named defect of what stands between log and client; `None` is what the service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    None,
    /// Entries are published when they are decided, not when they are durable (DEL-1).
    PublishesEarly,
    /// The sender is told before the append (DEL-5).
    AcceptsEarly,
    /// A resume goes on at the head: what came meanwhile is lost (DEL-3, "loss on replay").
    ResumesAtHead,
    /// A resume starts over: what the client has comes again (DEL-3).
    ResumesAtStart,
    /// A trimmed cursor goes on without a word (DEL-3).
    HidesGap,
    /// What could not be sent at once is dropped (DEL-2, "priority inversion").
    DropsWhenBusy,
    /// The callback that goes on after a flush is never called ("flush that never runs").
    NeverFlushes,
    /// A new connection is not told to the hub: it is never read for ("connection never registered").
    NeverReads,
    /// The whole backlog goes out at once, whatever the socket takes (DEL-4).
    IgnoresBackpressure,
    /// The drain waits for a reader that does not read, for ever (CONN-6, "deadlock on close").
    DrainWaits,
    /// The drain is over while a run is not (CONN-6).
    DrainEndsEarly,
    /// A message that comes again over a new connection is taken for a new one (DEL-6).
    TakesAgain,
    /// One flush is reported twice.
    FlushesTwice,
    /// The view that an append did not confirm is kept (DEL-7).
    KeepsView,
}

#[derive(Clone, Debug)]
pub struct DeliveryModel {
    pub machine: &'static dyn Machine,
    pub connection: &'static dyn ConnectionMachine,
    pub slip: Slip,
    pub clients: usize,
    pub limits: Limits,
    /// Whether the service may drain, and retention trim.
    pub drains: bool,
    pub trims: bool,
    /// How many of the clients send the message; the others only read.
    pub senders: usize,
    /// Whether entries are also read one at a time.
    pub reads_singly: bool,
}

impl DeliveryModel {
    /// How far readers may read.
    fn published(&self, state: &DeliveryState) -> u64 {
        match &state.hub {
            Some(hub) if self.slip == Slip::PublishesEarly => hub.view.head().0,
            _ => state.log.len() as u64,
        }
    }

    /// One input to a connection, and the caller's part in what it orders.
    fn input(&self, state: &mut DeliveryState, c: usize, input: &Input) {
        let Some(mut link) = state.links[c].take() else { return };
        let mut effects = Effects::new();
        if self.connection.step(&mut link.machine, input, &mut effects).is_err() {
            state.breaks("FIT");
        }
        let (mut closed, mut answers) = (false, 0);
        for effect in effects {
            match effect {
                Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) => {
                    let gap =
                        gap.map(|Gap { from, to }| (from.0, to.0)).filter(|_| self.slip != Slip::HidesGap);
                    (link.sent, link.owes) = (resumed_after.0, Some(head.0));
                    link.wire.push(Frame::Ready { after: resumed_after.0, head: head.0, gap });
                }
                Effect::Send(ServerFrame::CaughtUp { offset }) => {
                    link.owes = None;
                    link.wire.push(Frame::CaughtUp(offset.0));
                }
                Effect::Send(ServerFrame::Answer(())) => {
                    link.wire.push(Frame::Accepted);
                    answers += 1;
                }
                Effect::Send(ServerFrame::Draining { .. }) => link.wire.push(Frame::Draining),
                Effect::Send(_) => {}
                Effect::SendChunk(()) => {
                    let Input::Chunk { first, last, .. } = input else { continue };
                    if last.0 > state.log.len() as u64 {
                        state.breaks("DEL-1");
                    }
                    if !(self.slip == Slip::DropsWhenBusy && link.wire.len() >= SOCKET_FRAMES) {
                        link.wire.push(Frame::Entries(first.0, last.0));
                    }
                    (link.sent, link.fetch) = (last.0, None);
                }
                Effect::Execute(()) => link.message = Message::Sent,
                Effect::Flush => {
                    link.flushing = true;
                    link.replies = 0;
                }
                Effect::ReadOn { after, through } => link.fetch = Some((after.0, through.0.min(FOREVER))),
                Effect::Arm(Timer::Leave) => link.leaving = Some(state.log.len() as u64),
                Effect::Close(_) => closed = true,
                Effect::Verify(())
                | Effect::Attach { .. }
                | Effect::PingPeer
                | Effect::Arm(_)
                | Effect::Disarm(_)
                | Effect::ExpireAt(_) => {}
            }
        }
        link.replies += answers;
        // What was sent before the close still arrives, or is lost with the link: the client, not the
        // server, holds the cursor, so both are the same to the rules.
        state.links[c] = (!closed).then_some(link);
        if closed {
            Self::forget(state, c);
        }
    }

    /// Nobody waits any more for what was promised to this connection.
    fn forget(state: &mut DeliveryState, c: usize) {
        if let Some(hub) = &mut state.hub {
            hub.promise = hub.promise.filter(|promised| *promised != c);
        }
    }

    fn connect(&self, state: &mut DeliveryState, c: usize) -> Option<()> {
        if state.hub.is_none() || state.links[c].is_some() || state.drain != Drain::No {
            return None;
        }
        let head = self.published(state);
        let after = match self.slip {
            Slip::ResumesAtHead => head,
            Slip::ResumesAtStart => 0,
            _ => state.clients[c].after,
        };
        let mut effects = Effects::new();
        let limits = ConnectionLimits::DEFAULT;
        let machine = Connection::accept(Some(identity(1)), limits, &mut effects);
        state.links[c] = Some(Link {
            machine,
            sent: 0,
            owes: None,
            fetch: None,
            flushing: false,
            replies: 0,
            message: Message::Unsent,
            leaving: None,
            wire: vec![],
        });
        let cursor = ResumeCursor { epoch: Some(HERE), after: Offset(after) };
        self.input(state, c, &Input::Hello { cursor, credential: None });
        let (trimmed, head) = (Offset(state.trimmed), Offset(head));
        self.input(state, c, &Input::Attached { epoch: HERE, trimmed, head });
        Some(())
    }

    /// The hub decides; `None` if that adds nothing.
    fn decide(&self, state: &mut DeliveryState, ask: Ask, promise: Option<usize>) -> Option<()> {
        let hub = state.hub.clone().filter(|hub| hub.batch.is_empty())?;
        let decision = match self.slip {
            // As if neither memory nor the journal knew the message, and the run were another.
            Slip::TakesAgain if promise.is_some() && !state.log.is_empty() => {
                let knows_nothing = self.remembering(vec![], &state.log)?;
                let command = ask.command(&[], &knows_nothing, run(2));
                self.machine.decide(&knows_nothing, command, &self.limits).ok()?
            }
            _ => {
                let command = ask.command(&state.log, &hub.view, run(1));
                self.machine.decide(&hub.view, command, &self.limits).ok()?
            }
        };
        let mut view = hub.view;
        let batch: Vec<Entry> = decision.entries.into_iter().map(without_words).collect();
        for entry in &batch {
            if self.machine.evolve(&mut view, entry, &self.limits).is_err() {
                state.breaks("FOLD");
            }
        }
        let tell = batch.is_empty() || self.slip == Slip::AcceptsEarly;
        let promise = promise.filter(|_| matches!(decision.reply, Reply::Accepted { .. }));
        state.hub = Some(Hub { view, batch, promise: promise.filter(|_| !tell) });
        if let Some(c) = promise.filter(|_| tell) {
            self.answer(state, c);
        }
        Some(())
    }

    fn answer(&self, state: &mut DeliveryState, c: usize) {
        if let Some(link) = &mut state.links[c] {
            link.message = Message::Answered;
            self.input(state, c, &Input::Answered { reply: Some(()) });
        }
    }

    fn lose_links(state: &mut DeliveryState) {
        state.links.iter_mut().for_each(|link| *link = None);
    }

    fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        let told = law::runs(log);
        self.remembering(told.iter().map(|told| (told.message_id.clone(), told.receipt())).collect(), log)
    }

    /// What a restart makes of the log, if these are the messages that it remembers.
    fn remembering(&self, recent: Vec<(MessageId, Receipt)>, log: &[Entry]) -> Option<UserState> {
        let told = law::runs(log);
        let is_open = |entry: &&Entry| told.iter().any(|t| t.run_id == entry.run_id && t.ended().is_none());
        let unfinished: Vec<&Entry> = log.iter().filter(is_open).collect();
        self.machine.recover(Offset(log.len() as u64), recent, &unfinished, &self.limits).ok()
    }

    fn receive(state: &mut DeliveryState, c: usize) -> Option<()> {
        let link = state.links[c].as_mut().filter(|link| !link.wire.is_empty())?;
        let frame = link.wire.remove(0);
        let client = &mut state.clients[c];
        let rule = match frame {
            Frame::Ready { after, gap, .. } => {
                let fits = match gap {
                    None => after == client.after,
                    Some((from, to)) => from == client.after + 1 && to == after,
                };
                client.after = after;
                (!fits).then_some("DEL-3")
            }
            Frame::Entries(first, last) => {
                let fits = first == client.after + 1 && last >= first;
                client.after = last;
                (!fits).then_some("DEL-2")
            }
            Frame::CaughtUp(offset) => (offset != client.after).then_some("DEL-2"),
            Frame::Accepted => {
                client.accepted = true;
                law::runs(&state.log).is_empty().then_some("DEL-5")
            }
            Frame::Draining => None,
        };
        if let Some(rule) = rule {
            state.breaks(rule);
        }
        Some(())
    }

    fn open_run(state: &DeliveryState) -> bool {
        state.hub.as_ref().is_some_and(|hub| !hub.view.open_runs().is_empty() || !hub.batch.is_empty())
    }
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
            A::Connect(c) => self.connect(&mut next, c)?,
            A::Ask(c) => {
                let link = state.links[c].as_ref()?;
                if c >= self.senders
                    || link.message != Message::Unsent
                    || state.clients[c].accepted
                    || !link.machine.hears()
                {
                    return None;
                }
                self.input(&mut next, c, &Input::Command(()));
            }
            A::Take(c) => {
                state.links[c].as_ref().filter(|link| link.message == Message::Sent)?;
                if state.drain == Drain::No || !state.log.is_empty() {
                    let send = Ask::Send { message: 1, thread: 1, on_busy: OnBusy::Enqueue };
                    self.decide(&mut next, send, Some(c))?;
                } else {
                    // Refused with `draining`: the client goes on asking elsewhere.
                    return None;
                }
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
                let hub = state.hub.as_ref().filter(|hub| !hub.batch.is_empty())?;
                let view = match self.slip {
                    Slip::KeepsView => hub.view.clone(),
                    _ => self.recovered(&state.log)?,
                };
                next.hub = Some(Hub { view, batch: vec![], promise: None });
            }
            A::Crash => {
                state.hub.as_ref()?;
                next.hub = None;
                next.drain = Drain::No;
                Self::lose_links(&mut next);
            }
            A::Restart => {
                if state.hub.is_some() {
                    return None;
                }
                let view = self.recovered(&state.log)?;
                next.hub = Some(Hub { view, batch: vec![], promise: None });
            }
            A::Read(c, all) => {
                if !all && !self.reads_singly {
                    return None;
                }
                let (after, through) = state.links[c].as_ref()?.fetch?;
                let last = self.published(state).min(through);
                if self.slip == Slip::NeverReads || after >= last && state.trimmed <= after {
                    return None;
                }
                if state.trimmed > after {
                    self.input(&mut next, c, &Input::Outrun);
                } else {
                    let last = if all { last } else { after + 1 };
                    self.input(
                        &mut next,
                        c,
                        &Input::Chunk { first: Offset(after + 1), last: Offset(last), entries: () },
                    );
                }
            }
            A::Flushed(c) => {
                let link = next.links[c].as_mut()?;
                let takes = link.wire.len() < SOCKET_FRAMES || self.slip == Slip::IgnoresBackpressure;
                if !link.flushing || !takes || self.slip == Slip::NeverFlushes {
                    return None;
                }
                link.flushing = false;
                link.replies = 0;
                self.input(&mut next, c, &Input::Flushed);
                if self.slip == Slip::FlushesTwice {
                    self.input(&mut next, c, &Input::Flushed);
                }
            }
            A::Receive(c) => Self::receive(&mut next, c)?,
            A::Drop(c) => {
                state.links[c].as_ref()?;
                next.links[c] = None;
                Self::forget(&mut next, c);
            }
            A::Trim => {
                if Self::open_run(state) || state.hub.is_none() || state.log.is_empty() {
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
            A::DrainEnds => {
                let at_rest = !Self::open_run(state) || self.slip == Slip::DrainEndsEarly;
                if state.drain != Drain::Draining || !at_rest {
                    return None;
                }
                next.drain = Drain::Drained;
                let head = Offset(state.log.len() as u64);
                for c in 0..self.clients {
                    self.input(&mut next, c, &Input::Drained { head });
                }
            }
            A::Leave(c) => {
                let link = state.links[c].as_ref()?;
                if link.leaving.is_none() || self.slip == Slip::DrainWaits {
                    return None;
                }
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
/// "Whatever comes": beyond every offset.
pub const FOREVER: u64 = 999;

const HERE: Epoch = Epoch(Uuid::from_u128(1));
