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
    user::{AgentStep, PastCall},
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
        /// What the journal knows of the call; not looked up yet if there is none.
        past: Option<PastCall>,
        reply: oneshot::Sender<Result<Answered, Unaccepted>>,
    },
    /// Take up what an earlier process left open (RUN-6).
    Recover {
        reply: oneshot::Sender<Result<(), Unaccepted>>,
    },
}

/// What comes of an answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Done,
    /// The run is not open: the journal has to be asked, which may take long, and then again the hub.
    NotOpen,
}

/// A step of a run, from its agent.
pub enum Order {
    Step {
        run_id: RunId,
        step: AgentStep,
        reply: Option<oneshot::Sender<Result<(), Stopped>>>,
    },
    Cut {
        run_id: RunId,
        cut: Cut,
        reply: oneshot::Sender<()>,
    },
    /// The agent of a resumed run waits for its client (RUN-11).
    Parked {
        run_id: RunId,
    },
}
