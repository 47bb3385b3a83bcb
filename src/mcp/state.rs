//! What a server has to show: its state and its tools.

use std::sync::Arc;

use quintet_agent::Tool;

/// The tools of a server that agents may call.
pub(crate) type Tools = Arc<[Arc<dyn Tool>]>;

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It is being started for the first time, or again.
    Connecting,
    /// Its tools are listed, and it takes calls.
    Ready,
    /// It failed, and is started again after a pause.
    BackingOff,
    /// It is not started again.
    Stopped,
}
