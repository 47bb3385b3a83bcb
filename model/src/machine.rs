//! The kernel as a parameter. Every method's default is the shipped code; a mutant overrides the one
//! that it breaks, and nothing in the kernel has to know about it.

use std::fmt::Debug;

use quintet::kernel::{
    entry::{Entry, Event},
    ids::{MessageId, Offset},
    limits::Limits,
    run::{AnyRun, Cut, Step, Violation},
    user::{Command, Decision, Misfit, Receipt, Refusal, UserState},
};

use crate::vocabulary::AT;

/// The run machine and the user machine, as the models drive them.
pub trait Machine: Debug + Send + Sync {
    fn step(&self, run: AnyRun, step: Step) -> Result<(AnyRun, Event), Violation> {
        run.step(step, AT)
    }

    fn end(&self, run: &AnyRun, cut: Cut) -> Vec<Event> {
        run.end(cut, "", AT)
    }

    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        state.decide(command, limits, AT)
    }

    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), Misfit> {
        state.evolve(entry, limits)
    }

    fn recover(
        &self,
        head: Offset,
        recent: Vec<(MessageId, Receipt)>,
        unfinished: &[&Entry],
        limits: &Limits,
    ) -> Result<UserState, Misfit> {
        UserState::recover(head, recent, unfinished.iter().copied(), limits)
    }
}

/// The kernel as it ships.
#[derive(Debug)]
pub struct Shipped;

impl Machine for Shipped {}
