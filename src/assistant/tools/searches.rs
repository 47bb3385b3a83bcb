//! Permits for searches and their pages, over all users and per user (ISO-6).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use quintet_agent::host::{Owner, QueueTime};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The permits of all searches.
pub(crate) struct Searches {
    pages: Semaphore,
    user_searches_max: usize,
    /// The users with a search.
    users: Mutex<BTreeMap<Owner, Weak<Semaphore>>>,
}

/// A search of one user.
pub(crate) struct SearchSlot<'a> {
    searches: &'a Searches,
    owner: Owner,
    permits: Option<Arc<Semaphore>>,
}

impl Searches {
    /// Creates permits for `searches_max` pages in memory, and for `user_searches_max` searches of one user.
    pub(crate) fn new(searches_max: usize, user_searches_max: usize) -> Self {
        Self { pages: Semaphore::new(searches_max), user_searches_max, users: Mutex::default() }
    }

    /// Registers a search of a user, which has yet to wait for the user's others.
    pub(crate) fn slot(&self, owner: Owner) -> SearchSlot<'_> {
        let mut users = self.users();
        let permits = users.get(&owner).and_then(Weak::upgrade).unwrap_or_else(|| {
            let permits = Arc::new(Semaphore::new(self.user_searches_max));
            users.insert(owner, Arc::downgrade(&permits));
            permits
        });
        SearchSlot { searches: self, owner, permits: Some(permits) }
    }

    /// Waits for the permit to hold a page. The wait counts as time in line.
    ///
    /// # Errors
    ///
    /// Returns a message for the user if searches are closed.
    pub(crate) async fn page(&self, line: &QueueTime) -> Result<SemaphorePermit<'_>, String> {
        permit(&self.pages, line).await
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<Owner, Weak<Semaphore>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SearchSlot<'_> {
    /// Waits for the user's other searches. The wait counts as time in line.
    ///
    /// # Errors
    ///
    /// Returns a message for the user if searches are closed.
    pub(crate) async fn wait(&self, line: &QueueTime) -> Result<Option<SemaphorePermit<'_>>, String> {
        match &self.permits {
            Some(permits) => permit(permits, line).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for SearchSlot<'_> {
    fn drop(&mut self) {
        let mut users = self.searches.users();
        self.permits = None;
        if users.get(&self.owner).is_some_and(|permits| permits.strong_count() == 0) {
            users.remove(&self.owner);
        }
    }
}

async fn permit<'a>(permits: &'a Semaphore, line: &QueueTime) -> Result<SemaphorePermit<'a>, String> {
    if let Ok(permit) = permits.try_acquire() {
        return Ok(permit);
    }
    let _in_line = line.enter();
    permits.acquire().await.map_err(|_| "searches are closed".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn iso_6_searches_of_one_user_run_one_at_a_time_and_release_their_state() {
        let (searches, line) = (Searches::new(2, 1), QueueTime::default());
        let (first, second) = (searches.slot(Owner::new(1)), searches.slot(Owner::new(1)));
        let other = searches.slot(Owner::new(2));
        let held = assert_ready!(task::spawn(first.wait(&line)).poll()).unwrap();
        let mut waits = task::spawn(second.wait(&line));
        assert_pending!(waits.poll());
        assert!(assert_ready!(task::spawn(other.wait(&line)).poll()).is_ok());
        drop(held);
        assert!(waits.is_woken());
        drop(waits);
        drop((first, second, other));
        assert!(searches.users().is_empty());
    }
}
