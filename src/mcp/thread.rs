//! The thread of a server.
//!
//! Each server has a thread with a runtime of its own, so that one that floods the service with messages occupies one
//! core at most (ISO-6). Logging is off on it: see [`ServerLog`](crate::log::ServerLog).

use std::{future::Future, io, thread};

use tracing::subscriber::NoSubscriber;

/// Runs a future on a new thread, with a runtime of its own.
pub(crate) fn start<F>(name: &str, work: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(format!("mcp-{name}")).spawn(move || {
        let _quiet = tracing::subscriber::set_default(NoSubscriber::default());
        runtime.block_on(work);
        // Tasks that are left, such as a blocked write, end here and not with the process.
        runtime.shutdown_background();
    })?;
    Ok(())
}
