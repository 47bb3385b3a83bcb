//! The wide pass over connections: every step is taken again by the connection's own machine, and what
//! it orders has to be what the socket was handed, in order; nothing is handed over that is not durable.

use std::collections::{HashMap, VecDeque};

use quintet::{
    kernel::{
        connection::{self, Connection, Effect, Effects, Input, ServerFrame},
        ids::{ConnectionId, Offset, UserId},
        ticket::Identity,
    },
    wire::codes::CloseCode,
};
use quintet_monitor::record::FrameKind;

use super::{Account, Refused, logs::Logs};

/// Every connection of one process.
#[derive(Debug)]
pub struct Links {
    limits: connection::ConnectionLimits,
    open: HashMap<ConnectionId, Link>,
    /// Records are lost before: a connection that is not known may have been accepted there.
    holed: bool,
}

#[derive(Debug)]
struct Link {
    machine: Connection,
    user: Option<UserId>,
    /// Handed to the socket next.
    owed: VecDeque<Owed>,
    closed: bool,
}

/// A frame that a machine has ordered to send.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owed {
    Entries {
        from: Offset,
        to: Offset,
    },
    /// The answer to a command: `accepted` or `error`.
    Answer,
    Frame(&'static str),
    Close(u16),
}

impl Links {
    pub fn new(limits: connection::ConnectionLimits) -> Self {
        Self { limits, open: HashMap::new(), holed: false }
    }

    /// Records are lost here: what the connections did there is not known.
    pub fn hole(&mut self) {
        self.open.clear();
        self.holed = true;
    }

    pub fn accepted(
        &mut self,
        line: usize,
        connection: ConnectionId,
        identity: Option<&Identity>,
        effects: &[Effect],
        account: &mut Account,
    ) -> Result<(), Refused> {
        account.connections += 1;
        let mut ordered = Effects::new();
        let machine = Connection::accept(identity.cloned(), self.limits, &mut ordered);
        if ordered != effects {
            return Err(Refused::at(line, format!("orders {effects:?}, and should order {ordered:?}")));
        }
        let link = Link { machine, user: None, owed: VecDeque::new(), closed: false };
        if self.open.insert(connection, link).is_some() {
            return Err(Refused::at(line, "a connection is accepted twice"));
        }
        Ok(())
    }

    /// Whose connection it is, once that is known.
    pub fn user(&self, connection: ConnectionId) -> Option<&UserId> {
        self.open.get(&connection).and_then(|link| link.user.as_ref())
    }

    /// The connection of a record; `None` if it may have been accepted where records are lost.
    fn link(
        &mut self,
        line: usize,
        connection: ConnectionId,
        account: &mut Account,
    ) -> Result<Option<&mut Link>, Refused> {
        match self.open.get_mut(&connection) {
            Some(link) => Ok(Some(link)),
            None if self.holed => {
                account.unjudged += 1;
                Ok(None)
            }
            None => Err(Refused::at(line, "a connection that was never accepted")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a record, where it stands, and what it is held against")]
    pub fn step(
        &mut self,
        line: usize,
        connection: ConnectionId,
        input: &Input,
        rejected: bool,
        effects: &[Effect],
        logs: &Logs,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let Some(link) = self.link(line, connection, account)? else { return Ok(()) };
        account.connection_steps += 1;
        link.step(input, rejected, effects, logs).map_err(|why| Refused::at(line, why))
    }

    pub fn sent(
        &mut self,
        line: usize,
        connection: ConnectionId,
        frame: &FrameKind,
        logs: &Logs,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let Some(link) = self.link(line, connection, account)? else { return Ok(()) };
        link.sent(frame, logs).map_err(|why| Refused::at(line, why))?;
        match (frame, &link.user) {
            (FrameKind::Accepted { run, offset }, Some(user)) => {
                logs.told_accepted(line, user, *run, *offset)
            }
            _ => Ok(()),
        }
    }

    pub fn closed(
        &mut self,
        line: usize,
        connection: ConnectionId,
        code: u16,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let Some(link) = self.link(line, connection, account)? else { return Ok(()) };
        if link.closed {
            return Err(Refused::at(line, "a connection closes twice"));
        }
        link.closed = true;
        match link.owed.pop_front() {
            Some(Owed::Close(owed)) if owed == code => Ok(()),
            owed => Err(Refused::at(line, format!("closes with {code}, and owes {owed:?}"))),
        }
    }
}

impl Link {
    fn step(&mut self, input: &Input, rejected: bool, effects: &[Effect], logs: &Logs) -> Result<(), String> {
        if let Some(owed) = self.owed.front() {
            return Err(format!("an order was not carried out: {owed:?}"));
        }
        let mut ordered = Effects::new();
        let is_rejected = self.machine.step(input, &mut ordered).is_err();
        if (is_rejected, &*ordered) != (rejected, effects) {
            return Err(format!(
                "orders {effects:?} (rejected: {rejected}), and should order {ordered:?} (rejected: {is_rejected})"
            ));
        }
        for effect in ordered {
            match effect {
                Effect::Attach { identity, .. } => self.user = Some(identity.user_id),
                Effect::SendChunk(()) => {
                    let Input::Chunk { first, last, .. } = *input else {
                        return Err("a chunk is sent that did not come".into());
                    };
                    self.owed.push_back(Owed::Entries { from: first, to: last });
                }
                Effect::Send(frame) => self.owed.push_back(owed(&frame)),
                Effect::Close(cause) => self.owed.push_back(Owed::Close(CloseCode::from(cause).number())),
                _ => {}
            }
        }
        // DEL-1: a connection learns of nothing that is not durable.
        let reached = match *input {
            Input::Attached { head, .. } => Some(head),
            Input::Chunk { last, .. } => Some(last),
            _ => None,
        };
        match (reached, self.durable(logs)) {
            (Some(reached), Some(durable)) if reached > durable => {
                Err(format!("it comes to entry {reached}, and the log is durable up to {durable}"))
            }
            _ => Ok(()),
        }
    }

    /// `None`: records are missing.
    fn durable(&self, logs: &Logs) -> Option<Offset> {
        logs.durable(self.user.as_ref()?)
    }

    fn sent(&mut self, frame: &FrameKind, logs: &Logs) -> Result<(), String> {
        if self.closed {
            return Err("a frame follows the close".into());
        }
        let owed = self.owed.pop_front();
        let is_owed = match (&owed, frame) {
            (Some(Owed::Entries { from, to }), FrameKind::Entries { from: first, to: last, .. }) => {
                (from, to) == (first, last)
            }
            (Some(Owed::Answer), FrameKind::Accepted { .. }) => true,
            (Some(Owed::Answer), FrameKind::Other(kind)) => kind == "error",
            (Some(Owed::Frame(owed)), FrameKind::Other(kind)) => owed == kind,
            _ => false,
        };
        if !is_owed {
            return Err(format!("it says {frame:?}, and owes {owed:?}"));
        }
        let FrameKind::Entries { user, to, .. } = frame else { return Ok(()) };
        // ISO-1
        if self.user.as_ref() != Some(user) {
            return Err(format!("entries of {user} on a connection of {:?}", self.user));
        }
        // DEL-1
        match self.durable(logs) {
            Some(durable) if *to > durable => {
                Err(format!("entry {to} is sent, and the log is durable up to {durable}"))
            }
            _ => Ok(()),
        }
    }
}

fn owed(frame: &ServerFrame) -> Owed {
    match frame {
        ServerFrame::Ready { .. } => Owed::Frame("ready"),
        ServerFrame::CaughtUp { .. } => Owed::Frame("caught_up"),
        ServerFrame::Answer(()) => Owed::Answer,
        ServerFrame::Error { .. } => Owed::Frame("error"),
        ServerFrame::Renewed { .. } => Owed::Frame("renewed"),
        ServerFrame::Pong(()) => Owed::Frame("pong"),
        ServerFrame::Draining { .. } => Owed::Frame("draining"),
    }
}
