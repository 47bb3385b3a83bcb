//! One agent run, as two faces of one table.
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
//! The typestate face ([`Run`]) has only the methods that are legal in a phase, so an illegal step
//! does not compile. The dynamic face ([`AnyRun::step`]) is one `match` over the same methods; what
//! it does not list is a [`Violation`]. Both produce the same events (RUN-1 … RUN-5, RUN-7, RUN-10).
//!
//! Guarantee: the events that leave a run, in the order in which they leave, are a legal word.
//!
//! - [`phases`]: the typestate face; [`table`]: the dynamic one; [`violation`]: what is refused

mod phases;
mod table;
mod violation;

pub use phases::{
    AfterClose, CallReopened, Completed, Cut, Ending, ExecutingTools, OpenCall, Run, Started, Thinking,
};
pub use table::{AnyRun, Closer, Step};
pub use violation::{Breach, PhaseName, StepName, Violation};
