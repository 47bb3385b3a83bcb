//! Runs of Quintet as [AG-UI](https://docs.ag-ui.com) events, for front ends that speak AG-UI.
//!
//! # The table
//!
//! | entry | events |
//! |---|---|
//! | `user_message` | – (in the snapshot) |
//! | `agent_started` | `CUSTOM` `quintet.agent_started` |
//! | `agent_thinking` `reasoning` | `REASONING_START`, `REASONING_MESSAGE_START`, `…_CONTENT`; the ends at the next text, call or end of the run |
//! | `agent_thinking` `answer` | `TEXT_MESSAGE_START`, `…_CONTENT`; `…_END` as above |
//! | `agent_thinking` `progress` | `CUSTOM` `quintet.progress` |
//! | `agent_thinking` with `reset` | the end of the open message, `MESSAGES_SNAPSHOT` without the withdrawn text |
//! | `tool_executing` | `TOOL_CALL_START`, `TOOL_CALL_ARGS`, `TOOL_CALL_END` |
//! | `tool_completed` | `TOOL_CALL_RESULT` |
//! | `agent_completed` `succeeded`, `merged` | `RUN_FINISHED` |
//! | `agent_completed` `cancelled` | `RUN_FINISHED`, in 1.0 with the outcome `cancelled` |
//! | `agent_completed` `failed`, `timed_out`, `interrupted` | `RUN_ERROR` |
//! | all open calls are calls of the client | `RUN_FINISHED` with the outcome `interrupt`, or with pending calls of the front end |
//!
//! # Guarantees
//!
//! - The events of a legal run are legal in both generations of AG-UI, from whichever entry they start ([`encoder`]).
//! - Applying a snapshot of a prefix and the events of the rest yields the messages that all events yield. Ids of
//!   messages depend on the log only.
//! - An answer that says no never becomes consent ([`answer`], RUN-11).
//! - All that a front end sends is limited ([`input`]).
//!
//! # The parts
//!
//! - [`input`]: the request of a front end; [`envelope`]: requests to the single endpoint; [`info`]: the list of agents
//! - [`event`], [`message`]: the wire; [`ids`]: ids of messages and calls
//! - [`fold`]: the messages of one run; [`encoder`]: the events of one run; [`interrupt`]: calls that wait for the
//!   client; [`answer`]: their results

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod answer;
pub mod encoder;
pub mod envelope;
pub mod event;
pub mod fold;
pub mod ids;
pub mod info;
pub mod input;
pub mod interrupt;
pub mod message;

pub use self::{
    encoder::{Encoder, EncoderSetup},
    event::{Dialect, Event},
    ids::CallRef,
    input::{InputError, InputLimits, RunInput},
};

#[cfg(test)]
mod tests;
