//! Traces of the running service, held against the machines and their specifications.
//!
//! ```text
//!   FILE ─▶ read ─▶ processes ─┬▶ wide: every record, by the kernel itself    logs, links, tickets
//!                              └▶ narrow: small slices, by the TLA+ text      slice ─▶ narrow
//! ```
//!
//! Guarantee: whatever is not checked is counted and said ([`Account`]); the first record that no
//! behaviour allows is named ([`Refused`]). What a trace does not show (an append that failed without
//! saying how, what a killed process wrote last) is searched, not assumed.
//!
//! - [`read`]: lines into processes; [`logs`], [`links`], [`tickets`]: the wide pass
//! - [`replay`]: recorded commands and entries as the kernel has them
//! - [`slice`], [`delivery`], [`narrow`]: what is small enough for the specifications, and their answer
//! - [`accept`]: all of it, for one file; [`spoil`]: wrong records, to see each refused

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

/// What was checked, and what was not.
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
    /// Restarts after which entries were found that no record tells of: their process was killed.
    pub hidden_restarts: usize,
    pub hidden_entries: u64,
    /// Appends of which only the next recovery told whether they are in the log.
    pub searched_appends: usize,
    /// Records that stand where others are lost, and could not be judged.
    pub unjudged: u64,
    pub narrow: Vec<Narrow>,
}

/// What one specification said of the slices that are for it.
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
    /// What several traces come to.
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
