//! Who answers the messages. An agent holds a [`Run`] and moves it on; nothing else is in its reach.
//!
//! - [`Agent`], [`Tool`] ([`roles`]): what authors implement
//! - [`Run`] ([`run`]): the kernel's typestate in an agent's hands; [`call`]: one tool call;
//!   [`link`]: its way to the log; [`replay`]: what the log holds is not done twice (RUN-9); [`echo`]: what it
//!   has said, read again
//! - [`gate`], [`turns`]: agents' time, shared by user (ISO-6); [`limits`]: its bounds
//! - [`supervisor`]: runs them, apart from the service's own input and output (RUN-6)
//! - [`assistant`]: the default agent, with [`tools`]; [`rehearsal`]: plays a script
//! - [`history`]: the user's own log, to read

pub mod assistant;
pub mod call;
mod echo;
pub mod gate;
pub mod history;
pub mod limits;
mod link;
pub mod rehearsal;
pub mod replay;
pub mod roles;
pub mod run;
pub mod supervisor;
pub mod tools;
pub mod turns;

pub use self::{
    call::{AskedCall, Executed, OpenCall},
    history::History,
    limits::AgentLimits,
    roles::{Agent, Task, Tool, ToolContext, Unfinished},
    run::{AfterClose, Completed, ExecutingTools, Run, Started, Thinking},
    supervisor::{Directory, Floor},
};
