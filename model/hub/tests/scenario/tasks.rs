//! `runtime::tasks` on shuttle's tasks.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// Tasks of one owner. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.0.track_future(task))
    }
}
