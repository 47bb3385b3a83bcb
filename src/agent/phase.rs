//! The phases of a run, and what an agent may do in each. The traits here are sealed.
//!
//! ```text
//!   phase            think, answer     open, open_for_client    call, ask, complete    close    take_messages
//!   Started          ──▶ Thinking      –                        –                      –        yes
//!   Thinking         ──▶ Thinking      ──▶ ExecutingTools       yes                    –        yes
//!   ExecutingTools   unchanged         ──▶ ExecutingTools       –                      yes      –
//!   Completed        –                 –                        –                      –        –
//! ```

pub use quintet_kernel::run::{Completed, ExecutingTools, Started, Thinking};
use quintet_kernel::{
    entry::{Call, Thought},
    run::{self as machine, Breach},
};
use quintet_runtime::clock;

use crate::host::RunEnded;

/// A phase in which an agent may emit thoughts and pieces of the answer.
pub trait CanThink: Sealed + Sized {
    /// The phase after a thought.
    type Next;

    #[doc(hidden)]
    fn think(machine: machine::Run<Self>, thought: Thought) -> machine::Run<Self::Next>;
}

/// A phase in which an agent may open calls (RUN-3).
pub trait CanOpen: Sealed + Sized {
    #[doc(hidden)]
    fn open(machine: machine::Run<Self>, call: Call) -> Result<machine::Run<ExecutingTools>, RunEnded>;
}

/// A phase in which an agent may take messages that wait for its run (RUN-12).
pub trait CanTake: Sealed {}

impl CanTake for Started {}
impl CanTake for Thinking {}

mod sealed {
    pub trait Sealed {}
}

use sealed::Sealed;

impl Sealed for Started {}
impl Sealed for Thinking {}
impl Sealed for ExecutingTools {}

impl CanThink for Started {
    type Next = Thinking;

    fn think(machine: machine::Run<Self>, thought: Thought) -> machine::Run<Thinking> {
        machine.think(thought).0
    }
}

impl CanThink for Thinking {
    type Next = Thinking;

    fn think(machine: machine::Run<Self>, thought: Thought) -> machine::Run<Thinking> {
        machine.think(thought).0
    }
}

impl CanThink for ExecutingTools {
    type Next = ExecutingTools;

    fn think(machine: machine::Run<Self>, thought: Thought) -> machine::Run<ExecutingTools> {
        machine.think(thought).0
    }
}

impl CanOpen for Thinking {
    fn open(machine: machine::Run<Self>, call: Call) -> Result<machine::Run<ExecutingTools>, RunEnded> {
        Ok(machine.open(call, clock::now()).map_err(reopened)?.0)
    }
}

impl CanOpen for ExecutingTools {
    fn open(machine: machine::Run<Self>, call: Call) -> Result<machine::Run<ExecutingTools>, RunEnded> {
        Ok(machine.open(call, clock::now()).map_err(reopened)?.0)
    }
}

/// Maps a reused call id; the log has refused it earlier.
pub(super) fn reopened<P>(_: machine::CallReopened<P>) -> RunEnded {
    RunEnded::Violated(Breach::CallReopened)
}
