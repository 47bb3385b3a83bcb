//! The state between a hub and its clients, in the form of a model checker.

use std::{fmt, sync::Arc};

use quintet::kernel::{connection::Connection, entry::Entry, user::UserState};

use crate::{ask::Deed, vocabulary::brief};

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeliveryState {
    pub log: Arc<Vec<Entry>>,
    pub trimmed: u64,
    pub hub: Option<Hub>,
    pub drain: Drain,
    pub links: Vec<Option<Link>>,
    pub clients: Vec<Client>,
    pub broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hub {
    pub view: UserState,
    pub batch: Vec<Entry>,
    /// The client that gets the reply once the batch is durable.
    pub promise: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drain {
    No,
    Draining,
    Drained,
}

/// A connection as its caller holds it: the machine, what it ordered, and the wire to the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    pub machine: Connection,
    /// The last entry that was sent.
    pub sent: u64,
    /// The head in `ready`, until `caught_up` is sent.
    pub owes: Option<u64>,
    /// The range of entries that the machine ordered: after, and through.
    pub fetch: Option<(u64, u64)>,
    pub flushing: bool,
    /// Answers since the flush began.
    pub replies: u8,
    /// The progress of the client's message, which it sends once per connection.
    pub message: Message,
    /// The last entry before a drained service lets go.
    pub leaving: Option<u64>,
    /// The head that was looked up for a start at the head, until `ready` is sent.
    pub looked_up: Option<u64>,
    pub wire: Vec<Frame>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Unsent,
    /// With the hub, or on the way there.
    Sent,
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    Ready {
        after: u64,
        head: u64,
        gap: Option<(u64, u64)>,
    },
    /// `ready` of a start at the head.
    AtHead(u64),
    CaughtUp(u64),
    Entries(u64, u64),
    Accepted,
    Draining,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// The last entry that it has.
    pub after: u64,
    pub accepted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryAction {
    Connect(usize),
    /// A client without a cursor connects at the head, which is looked up.
    LookUpHead(usize),
    /// It is sent `ready`, with the head that was looked up.
    ReadyAtHead(usize),
    /// A client sends its message, or sends it again.
    Ask(usize),
    Take(usize),
    Step(Deed),
    Deadline,
    Write,
    WriteFails,
    Crash,
    Restart,
    /// A part of the ordered range is read: one entry, or all.
    Read(usize, bool),
    Flushed(usize),
    Receive(usize),
    Drop(usize),
    Trim,
    DrainBegins,
    /// Every run has come to rest.
    DrainEnds,
    /// A reader had its time to take the last entries.
    Leave(usize),
}

impl fmt::Debug for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log: Vec<String> = self.log.iter().map(brief).collect();
        let batch: Vec<String> = self.hub.iter().flat_map(|hub| &hub.batch).map(brief).collect();
        write!(f, "log {log:?} after {}, deciding {batch:?}, clients {:?}", self.trimmed, self.clients)?;
        for link in self.links.iter().flatten() {
            write!(f, ", {:?} fetching {:?} wire {:?}", link.machine.phase(), link.fetch, link.wire)?;
        }
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}

impl Link {
    /// A connection that was just made.
    pub(super) fn new(machine: Connection) -> Self {
        Self {
            machine,
            sent: 0,
            owes: None,
            fetch: None,
            flushing: false,
            replies: 0,
            message: Message::Unsent,
            leaving: None,
            looked_up: None,
            wire: vec![],
        }
    }
}

impl DeliveryState {
    pub(super) fn breaks(&mut self, rule: &'static str) {
        self.broken = self.broken.or(Some(rule));
    }
}
