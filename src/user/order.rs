//! The inputs of a hub: the requests of clients. Those of agents are in [`crate::agent::host`].

use tokio::sync::oneshot;

use super::factory::{Accepted, NewMessage, Unaccepted, User};
use crate::kernel::{
    entry::CallResult,
    ids::{CallId, RunId},
    user::PastCall,
};

/// A request of the user, with a handle that keeps the hub alive until the reply (ISO-5).
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
        /// The journal's record of the call; `None` if it was not looked up.
        past: Option<PastCall>,
        reply: oneshot::Sender<Result<Answered, Unaccepted>>,
    },
    /// Resume the runs that an earlier process left open (RUN-6).
    Recover {
        reply: oneshot::Sender<Result<(), Unaccepted>>,
    },
}

/// The outcome of a client's result for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Done,
    /// The run is not open. The caller has to look the call up in the journal, which may take long, and ask
    /// again.
    NotOpen,
}
