//! Spawns tasks. Each task belongs to an owner that can wait for its end.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// The tasks of one owner. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Spawns a task that belongs to this owner. It is not aborted when the handle is dropped.
    #[expect(clippy::disallowed_methods, reason = "this module is where tasks start")]
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.0.track_future(task))
    }

    /// Returns the number of running tasks.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether no task is running.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until all tasks have ended. No task may be spawned afterwards.
    pub async fn finished(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
