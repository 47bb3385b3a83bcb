//! Log lines of the thread of a server.

use std::sync::Arc;

use tracing::{Dispatch, dispatcher};

/// Writes to the log that was in use when the server was started. On the thread of a server no other log is in use, so
/// that the protocol library, which logs messages with their texts, logs nothing (AUTH-6).
#[derive(Clone, Debug)]
pub(crate) struct ServerLog {
    dispatch: Dispatch,
    pub(crate) server: Arc<str>,
}

impl ServerLog {
    pub(crate) fn new(server: Arc<str>) -> Self {
        Self { dispatch: dispatcher::get_default(Clone::clone), server }
    }

    /// Calls `write` with the log in use.
    pub(crate) fn write(&self, write: impl FnOnce(&str)) {
        dispatcher::with_default(&self.dispatch, || write(&self.server));
    }
}
