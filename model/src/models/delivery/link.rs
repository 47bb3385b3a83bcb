//! One connection and its caller: what the connection machine is given, and what becomes of its effects.

use quintet::kernel::{
    connection::{
        Connection, ConnectionLimits, Effect, Effects, Gap, Input, ResumeCursor, ServerFrame, Timer,
    },
    ids::{Epoch, Offset},
};
use uuid::Uuid;

use super::{DeliveryModel, DeliveryState, Drain, FOREVER, Frame, Link, Message};
use crate::{law, models::connection::identity};

impl DeliveryModel {
    /// One input to a connection, and the caller's part in the effects.
    pub(crate) fn input(&self, state: &mut DeliveryState, c: usize, input: &Input) {
        let Some(mut link) = state.links[c].take() else { return };
        let mut effects = Effects::new();
        if self.connection.step(&mut link.machine, input, &mut effects).is_err() {
            state.breaks("FIT");
        }
        let (mut closed, mut answers) = (false, 0);
        for effect in effects {
            match effect {
                Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) if link.looked_up.is_some() => {
                    // DEL-3: a start at the head requests nothing before it.
                    if resumed_after != head || gap.is_some() {
                        state.breaks("DEL-3");
                    }
                    (link.sent, link.owes, link.looked_up) = (resumed_after.0, Some(head.0), None);
                    link.wire.push(Frame::AtHead(head.0));
                }
                Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) => {
                    let gap = gap.map(|Gap { from, to }| (from.0, to.0));
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
                    link.wire.push(Frame::Entries(first.0, last.0));
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

    /// The hub has nothing to answer to this connection any more.
    pub(super) fn forget(state: &mut DeliveryState, c: usize) {
        if let Some(hub) = &mut state.hub {
            hub.promise = hub.promise.filter(|promised| *promised != c);
        }
    }

    /// Connects a client that has everything up to `after`, while the log that is shown reaches to `head`.
    pub(crate) fn connect(&self, state: &mut DeliveryState, c: usize, after: u64, head: u64) -> Option<()> {
        if state.hub.is_none() || state.links[c].is_some() || state.drain != Drain::No {
            return None;
        }
        let mut effects = Effects::new();
        let limits = ConnectionLimits::DEFAULT;
        let machine = Connection::accept(Some(identity(1)), limits, &mut effects);
        state.links[c] = Some(Link::new(machine));
        let cursor = ResumeCursor::After { epoch: Some(HERE), after: Offset(after) };
        self.input(state, c, &Input::Hello { cursor, credential: None });
        let (trimmed, head) = (Offset(state.trimmed), Offset(head));
        self.input(state, c, &Input::Attached { epoch: HERE, trimmed, head });
        Some(())
    }

    /// A client without a cursor connects at the head. Its head is looked up; `ready` follows later.
    pub(crate) fn look_up_head(&self, state: &mut DeliveryState, c: usize) -> Option<()> {
        let has_cursor = state.clients[c].after > 0;
        if state.hub.is_none() || state.links[c].is_some() || state.drain != Drain::No || has_cursor {
            return None;
        }
        let mut effects = Effects::new();
        let machine = Connection::accept(Some(identity(1)), ConnectionLimits::DEFAULT, &mut effects);
        let head = state.log.len() as u64;
        state.links[c] = Some(Link { sent: head, looked_up: Some(head), ..Link::new(machine) });
        self.input(state, c, &Input::Hello { cursor: ResumeCursor::Head, credential: None });
        Some(())
    }

    /// The log of a connection is open, with this head.
    pub(crate) fn attached(&self, state: &mut DeliveryState, c: usize, head: u64) {
        let (trimmed, head) = (Offset(state.trimmed.min(head)), Offset(head));
        self.input(state, c, &Input::Attached { epoch: HERE, trimmed, head });
    }

    /// Reads for a connection from a log that is shown up to `head`: one entry, or all.
    pub(crate) fn read(&self, state: &mut DeliveryState, c: usize, all: bool, head: u64) -> Option<()> {
        if !all && !self.reads_singly {
            return None;
        }
        let (after, through) = state.links[c].as_ref()?.fetch?;
        let last = head.min(through);
        if after >= last && state.trimmed <= after {
            return None;
        }
        let input = if state.trimmed > after {
            Input::Outrun
        } else {
            let last = if all { last } else { after + 1 };
            Input::Chunk { first: Offset(after + 1), last: Offset(last), entries: () }
        };
        self.input(state, c, &input);
        Some(())
    }

    /// The socket has taken what was flushed.
    pub(crate) fn flushed(&self, state: &mut DeliveryState, c: usize) -> Option<()> {
        let link = state.links[c].as_mut().filter(|link| link.flushing)?;
        link.flushing = false;
        link.replies = 0;
        self.input(state, c, &Input::Flushed);
        Some(())
    }

    /// A client takes the next frame from its link.
    pub(super) fn receive(state: &mut DeliveryState, c: usize) -> Option<()> {
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
            // It had nothing; what lies before it reads backwards.
            Frame::AtHead(head) => {
                let fits = client.after == 0 && head <= state.log.len() as u64;
                client.after = head;
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
}

const HERE: Epoch = Epoch(Uuid::from_u128(1));
