//! The threads of the agents, as a runtime of their own.

use std::{future::Future, io};

/// The runtime of the agents. Its drop stops every agent at its next await, in the background.
#[cfg(not(quintet_shuttle))]
pub(crate) struct AgentThreads(Option<tokio::runtime::Runtime>);

#[cfg(not(quintet_shuttle))]
impl AgentThreads {
    pub(crate) fn start(threads: usize, blocking_threads_max: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(blocking_threads_max)
            .thread_name("agent")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.runtime().enter();
        work()
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(work);
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.0.as_ref().expect("it is there until the drop")
    }
}

#[cfg(not(quintet_shuttle))]
impl Drop for AgentThreads {
    fn drop(&mut self) {
        // To wait here would hang on an agent that never yields.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads that cannot be started: a schedule of shuttle consists of the tasks of one runtime.
#[cfg(quintet_shuttle)]
pub(crate) enum AgentThreads {}

#[cfg(quintet_shuttle)]
impl AgentThreads {
    pub(crate) fn start(_threads: usize, _blocking_threads_max: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn enter<T>(&self, _work: impl FnOnce() -> T) -> T {
        match *self {}
    }

    pub(crate) fn spawn(&self, _work: impl Future<Output = ()> + Send + 'static) {
        match *self {}
    }
}
