//! The work in progress over all users, which a drain waits for (CONN-6).

use tokio::sync::watch;

/// The work in progress.
#[derive(Debug)]
pub(crate) struct ActiveRuns(watch::Sender<Activity>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Activity {
    /// Runs that are not waiting for their client.
    runs: usize,
    /// Hubs that are processing a batch, which may start runs once it is durable.
    batches: usize,
}

/// A guard that counts one batch of a hub, from before its first read to after its last effect.
#[must_use = "the batch is counted until this is dropped"]
pub(crate) struct BatchInProgress<'a>(&'a ActiveRuns);

impl ActiveRuns {
    pub(super) fn new() -> Self {
        Self(watch::channel(Activity::default()).0)
    }

    /// Updates one user's share of the runs.
    pub(super) fn change(&self, from: usize, to: usize) {
        if from != to {
            self.0.send_modify(|activity| activity.runs = activity.runs + to - from);
        }
    }

    /// Counts a batch until the guard is dropped.
    pub(super) fn begin_batch(&self) -> BatchInProgress<'_> {
        self.0.send_modify(|activity| activity.batches += 1);
        BatchInProgress(self)
    }

    /// Returns the number of runs that are not waiting for their client.
    pub(super) fn runs(&self) -> usize {
        self.0.borrow().runs
    }

    /// Waits until no run can advance by itself and no hub processes a batch.
    pub(super) async fn idle(&self) {
        let mut active_runs = self.0.subscribe();
        // The sender is borrowed for the wait, so the wait cannot fail.
        let _ = active_runs.wait_for(|activity| *activity == Activity::default()).await;
    }
}

impl Drop for BatchInProgress<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|activity| activity.batches -= 1);
    }
}
