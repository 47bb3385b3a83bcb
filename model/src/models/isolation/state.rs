//! Two users, as a model checker holds them.

use std::{fmt, sync::Arc};

use quintet::kernel::{entry::Entry, user::UserState};

use super::IsolationModel;
use crate::{
    ask::{Ask, Deed},
    vocabulary::brief,
};

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub users: [Account; 2],
    /// Set while the service is down.
    pub is_down: bool,
    /// Each connection of each user: how far it has read, or none.
    pub connections: Vec<Option<u64>>,
    pub broken: Option<&'static str>,
}

/// A user's log, and its machines while they live.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Account {
    pub log: Arc<Vec<Entry>>,
    pub machines: Option<UserState>,
    /// Set after a failed append: the log has to be read before the machines exist again.
    pub is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorldAction {
    Connect(u8),
    Disconnect(u8),
    /// A client asks, over this connection.
    Ask(u8, Ask),
    /// The agent of a user's run makes a step.
    Step(u8, Deed),
    Deliver(u8),
    /// The machines of a user are let go.
    LetGo(u8),
    /// An append for a user fails, and what its machines knew with it; its log is read again.
    WriteFails(u8),
    ReadAgain(u8),
    /// The service crashes, with every connection; at its restart it resumes open runs.
    Crash,
    Restart,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, user) in (1..).zip(&self.users) {
            let log: Vec<String> = user.log.iter().map(brief).collect();
            let live = match (&user.machines, user.is_lost) {
                (Some(_), _) => "live",
                (None, true) => "lost",
                (None, false) => "gone",
            };
            write!(f, "u{number} {live} {log:?}, ")?;
        }
        let up = if self.is_down { "down" } else { "up" };
        write!(f, "{up}, connections at {:?}", self.connections)?;
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}

impl World {
    pub(super) fn breaks(&mut self, rule: &'static str) {
        self.broken = self.broken.or(Some(rule));
    }

    /// Whether one of the user's connections is open.
    pub(crate) fn is_connected(&self, model: &IsolationModel, user: usize) -> bool {
        (0..self.connections.len()).any(|c| model.user(c) == user && self.connections[c].is_some())
    }

    /// Whether the user's machines are needed: by a connection or by an open run.
    pub(super) fn is_leased(&self, model: &IsolationModel, user: usize) -> bool {
        let is_running = self.users[user].machines.as_ref().is_some_and(|m| !m.open_runs().is_empty());
        self.is_connected(model, user) || is_running
    }
}
