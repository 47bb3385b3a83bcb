//! The kernel as a parameter. Every method's default is the shipped code; a mutant overrides the one
//! that it breaks, and nothing in the kernel has to know about it.

use std::fmt::Debug;

use quintet::kernel::{
    entry::{Entry, Event, RunEntry},
    ids::Offset,
    limits::Limits,
    run::{AnyRun, EarlyEnd, Step, Violation},
    user::{Command, Decision, Erasure, InvalidEntry, RecentMessage, Refusal, UserState},
};

use crate::{law, vocabulary::AT};

/// The run machine and the user machine, as the models drive them.
pub trait Machine: Debug + Send + Sync {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        run.step(step, AT)
    }

    fn end(&self, run: &AnyRun, cut: EarlyEnd) -> Vec<Event> {
        run.end(cut, "", AT)
    }

    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        state.decide(command, limits, AT)
    }

    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        state.evolve(entry, limits)
    }

    fn recover(
        &self,
        head: Offset,
        recent: Vec<RecentMessage>,
        unfinished: &[&RunEntry],
        erasures: Vec<Erasure>,
        limits: &Limits,
    ) -> Result<UserState, InvalidEntry> {
        UserState::recover(head, recent, unfinished.iter().copied(), erasures, limits)
    }

    fn begin_erasure(&self, state: &mut UserState, erasure: Erasure) {
        state.begin_erasure(erasure);
    }
}

impl dyn Machine {
    /// The state after a restart: made of the log's head, its messages, and its unfinished runs.
    pub fn recovered(&self, log: &[Entry], limits: &Limits) -> Option<UserState> {
        let recent = law::runs(log).iter().map(law::Told::recent).collect();
        self.remembering(recent, log, limits)
    }

    /// The same, if these are the messages that it remembers.
    pub fn remembering(
        &self,
        recent: Vec<RecentMessage>,
        log: &[Entry],
        limits: &Limits,
    ) -> Option<UserState> {
        self.recovered_with(recent, vec![], log, limits)
    }

    /// The same, with these erasures under way.
    pub fn recovered_with(
        &self,
        recent: Vec<RecentMessage>,
        erasures: Vec<Erasure>,
        log: &[Entry],
        limits: &Limits,
    ) -> Option<UserState> {
        let told = law::runs(log);
        let is_open =
            |entry: &&RunEntry| told.iter().any(|t| t.run_id == entry.run_id && t.ended().is_none());
        let unfinished: Vec<&RunEntry> = log.iter().filter_map(Entry::run).filter(is_open).collect();
        self.recover(Offset(log.len() as u64), recent, &unfinished, erasures, limits).ok()
    }
}

/// The kernel as it ships.
#[derive(Debug)]
pub struct Shipped;

impl Machine for Shipped {}
