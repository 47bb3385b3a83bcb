//! Traces of the running service, checked against the machines and their specifications.
//!
//! ```text
//!   FILE ─▶ read ─▶ processes ─┬▶ wide: every record, by the kernel itself    logs, links, tickets
//!                              └▶ narrow: small slices, by the TLA+ text      slice ─▶ narrow
//! ```
//!
//! Guarantee: unchecked parts are counted and reported ([`Account`]); the first record that no behaviour
//! allows is named ([`Refused`]). Steps that a trace does not show (an append of unknown outcome, the last
//! writes of a killed process) are searched, not assumed.
//!
//! - [`read`]: lines into processes; [`logs`], [`links`], [`tickets`]: the wide pass
//! - [`replay`]: recorded commands and entries as the kernel has them
//! - [`slice`], [`delivery`], [`narrow`]: the parts that are small enough for the specifications, and their verdict
//! - [`accept`]: all of it, for one file; [`spoil`]: wrong records, each of which must be refused

pub mod accept;
pub mod delivery;
pub mod links;
pub mod logs;
pub mod narrow;
pub mod read;
pub mod replay;
pub mod slice;
pub mod spoil;
pub mod tickets;

use std::fmt;

pub use self::{accept::accept, narrow::Checked};

/// A record that no behaviour allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Of the file, from 1.
    pub line: usize,
    pub why: String,
}

impl Refused {
    pub fn at(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// The checked parts of a trace, and those that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub processes: usize,
    pub records: usize,
    pub users: usize,
    pub entries: u64,
    pub commands: u64,
    pub connections: usize,
    pub connection_steps: u64,
    pub tickets: usize,
    /// Restarts after which unrecorded entries were found: their process was killed.
    pub hidden_restarts: usize,
    pub hidden_entries: u64,
    /// Appends whose outcome only the next recovery showed.
    pub searched_appends: usize,
    /// Records that stand where others are lost, and could not be judged.
    pub unjudged: u64,
    pub narrow: Vec<Narrow>,
}

/// The result of one specification for its slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    pub spec: &'static str,
    pub slices: usize,
    /// Slices that are the same under their small names are checked once: those that were new.
    pub distinct: usize,
    /// Too large for the specification, or cut off by a hole: only the wide pass has seen them.
    pub left_out: usize,
}

impl Account {
    /// Adds the numbers of another trace.
    pub fn add(&mut self, other: &Account) {
        self.processes += other.processes;
        self.records += other.records;
        self.users += other.users;
        self.entries += other.entries;
        self.commands += other.commands;
        self.connections += other.connections;
        self.connection_steps += other.connection_steps;
        self.tickets += other.tickets;
        self.hidden_restarts += other.hidden_restarts;
        self.hidden_entries += other.hidden_entries;
        self.searched_appends += other.searched_appends;
        self.unjudged += other.unjudged;
        for narrow in &other.narrow {
            match self.narrow.iter_mut().find(|mine| mine.spec == narrow.spec) {
                Some(mine) => {
                    mine.slices += narrow.slices;
                    mine.distinct += narrow.distinct;
                    mine.left_out += narrow.left_out;
                }
                None => self.narrow.push(narrow.clone()),
            }
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of {} processes; ", self.records, self.processes)?;
        write!(f, "{} users, {} entries of {} commands; ", self.users, self.entries, self.commands)?;
        write!(f, "{} connections, {} steps; ", self.connections, self.connection_steps)?;
        write!(f, "{} tickets", self.tickets)?;
        if self.hidden_restarts > 0 {
            write!(f, "; {} entries hidden at {} restarts", self.hidden_entries, self.hidden_restarts)?;
        }
        if self.searched_appends > 0 {
            write!(f, "; {} appends searched", self.searched_appends)?;
        }
        if self.unjudged > 0 {
            write!(f, "; {} records unjudged behind a hole", self.unjudged)?;
        }
        for Narrow { spec, slices, distinct, left_out } in &self.narrow {
            write!(f, "\n  {spec}.tla accepts {slices} slices, {distinct} of them new; {left_out} left out")?;
        }
        Ok(())
    }
}
