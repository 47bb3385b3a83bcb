//! One user's log as two pure functions: [`UserState::decide`] says which entries a command adds,
//! [`UserState::evolve`] moves the state on by one entry. Recovery is a fold of `evolve`.
//!
//! ```text
//!   send_message ─▶ line of its thread: [ running | waiting, waiting … ]
//!                                           │ agent_completed: the next in line starts
//! ```
//!
//! Guarantees: a thread has at most one active run (RUN-8); every accepted message stands in a line
//! until its run completed (RUN-6); the same message id is the same run (DEL-6); a refused command
//! changes nothing.
//!
//! - [`state`]: what the log says so far, and `evolve`; [`command`]: what is asked and answered
//! - [`decide`]: what is added; [`draft`]: the entries of one decision

mod command;
mod decide;
mod draft;
mod state;

pub use command::{AgentStep, Command, Decision, OnBusy, PastCall, Refusal, Reply, Resumes, Send};
pub use state::{Misfit, OpenRun, Progress, Receipt, Recovering, UserState};
