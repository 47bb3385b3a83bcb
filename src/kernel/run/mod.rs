//! The state machine of one agent run, as a typestate API and as a transition table.
//!
//! ```text
//!                think                    open                      think, open, close (others open)
//!   Started ────────────────▶ Thinking ────────────▶ ExecutingTools ───┐
//!      │                       │   ▲ │                  │        ▲─────┘
//!      │ end (not succeeded)   │   │ └ think            │ close (the last open call)
//!      ▼                       │   └────────────────────┘
//!   Completed ◀────────────────┘ complete, end
//! ```
//!
//! [`Run`], the typestate API, has in each phase only the methods that are legal there, so an illegal step
//! does not compile. [`AnyRun::step`], the dynamic API, is one `match` over the same methods; a step without
//! an arm is a [`Violation`]. Both produce the same events (RUN-1 … RUN-5, RUN-7, RUN-10).
//!
//! Guarantee: the sequence of events that a run produces satisfies RUN-1 … RUN-5.
//!
//! - [`phases`]: the typestate API; [`table`]: the dynamic API, with its rejected steps
//! - [`violation`]: the names of phases and steps, and the rules that a step can break

mod phases;
mod table;
mod violation;

pub use phases::{
    AfterClose, CallReopened, Completed, Cut, Ending, ExecutingTools, OpenCall, Run, Started, Thinking,
};
pub use table::{AnyRun, Closer, Step, Violation};
pub use violation::{Breach, PhaseName, StepName};
