//! Nodes and their log, as a model checker holds them.

use std::{fmt, sync::Arc};

use quintet::kernel::{entry::Entry, user::UserState};

use crate::{ask::Ask, vocabulary::brief};

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FenceState {
    pub log: Arc<Vec<Entry>>,
    pub nodes: Vec<Node>,
    /// Messages whose acceptance was reported, each with its run: what senders rely on.
    pub told: Vec<(u8, u8)>,
    /// The number of invocations of the tool of each run's call, counted up to two.
    pub invoked: Vec<(u8, u8)>,
    pub broken: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Down,
    /// Up, but the log has to be read first.
    Lost {
        armed: Vec<u8>,
    },
    Knows {
        view: UserState,
        batch: Vec<Entry>,
        promise: Option<u8>,
        armed: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceAction {
    Start(u8),
    /// Reads the log and resumes open runs.
    Know(u8),
    Decide(u8, Ask),
    /// The append succeeds, and the node learns of it.
    Write(u8),
    /// The append succeeds, and the node does not learn of it.
    WriteUnheard(u8),
    /// The append fails without a trace.
    WriteFails(u8),
    /// The append is refused: another node was first.
    Refused(u8),
    /// A tool acts, for the open call of this run.
    Invoke(u8, u8),
    Crash(u8),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Down => f.write_str("down"),
            Node::Lost { .. } => f.write_str("lost"),
            Node::Knows { view, batch, .. } => {
                let batch: Vec<String> = batch.iter().map(brief).collect();
                write!(f, "at {} with {batch:?}", view.head())
            }
        }
    }
}

impl fmt::Debug for FenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log: Vec<String> = self.log.iter().map(brief).collect();
        write!(f, "log {log:?}, nodes {:?}, told {:?}, invoked {:?}", self.nodes, self.told, self.invoked)?;
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}
