//! What a hub is asked to do, and by whom: its two inboxes.

use tokio::sync::oneshot;

use super::{
    factory::{Accepted, NewMessage, Unaccepted, User},
    port::Stopped,
};
use crate::kernel::{
    entry::CallResult,
    ids::{CallId, RunId},
    run::Cut,
    user::AgentStep,
};

/// A request of the user. Its lease keeps the hub alive until it is answered (ISO-5).
pub struct Request {
    pub ask: Ask,
    pub lease: User,
}

pub enum Ask {
    Send {
        message: NewMessage,
        run_id: RunId,
        reply: oneshot::Sender<Result<Accepted, Unaccepted>>,
    },
    Cancel {
        run_id: RunId,
        reply: oneshot::Sender<Result<(), Unaccepted>>,
    },
    Answer {
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        reply: oneshot::Sender<Result<(), Unaccepted>>,
    },
    /// Take up what an earlier process left open (RUN-6).
    Recover {
        reply: oneshot::Sender<Result<(), Unaccepted>>,
    },
}

/// A step of a run, from its agent.
pub enum Order {
    Step { run_id: RunId, step: AgentStep, reply: Option<oneshot::Sender<Result<(), Stopped>>> },
    Cut { run_id: RunId, cut: Cut, reply: oneshot::Sender<()> },
}
