//! The state machine of one user's log, as two pure functions: [`UserState::decide`] returns the entries that a
//! command adds, [`UserState::evolve`] applies one entry to the state. Recovery is a fold of `evolve`.
//!
//! ```text
//!   send_message ─▶ queue of its thread: [ running | waiting, waiting … ]
//!                                            │ agent_completed: the next in the queue starts
//! ```
//!
//! Guarantees: a thread has at most one active run (RUN-8). Every accepted message is queued until its run
//! completes (RUN-6). A message id stands for one run (DEL-6). A refused command changes nothing.
//!
//! - [`state`]: the state and `evolve`; [`command`]: commands, replies and refusals
//! - [`decide`]: the entries that a command adds; [`draft`]: a decision under construction

mod command;
mod decide;
mod draft;
mod state;

pub use command::{
    AgentStep, Command, Decision, NewMessage, OnBusy, PastCall, Refusal, Reply, Resumes, Send,
};
pub use state::{Misfit, OpenRun, Progress, Receipt, Recovering, UserState};
