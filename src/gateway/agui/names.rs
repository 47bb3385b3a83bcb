//! The runs of AG-UI requests while their streams last. A front end that stops a run names the request, whose id is
//! its own, and not the run.
//!
//! At most one entry for each stream (`connections_max`). A request that no longer has a stream names no run, so a late
//! stop cancels nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::kernel::ids::{RunId, ThreadId, UserId};

/// The runs of open streams by their requests. Clones share them.
#[derive(Clone, Default)]
pub struct RequestNames(Arc<Mutex<HashMap<RequestName, Vec<RunId>>>>);

/// The name of a request. The user is a part of it, so no request names a run of another user (ISO-2).
#[derive(Clone, PartialEq, Eq, Hash)]
struct RequestName {
    user_id: UserId,
    thread_id: ThreadId,
    request_id: Arc<str>,
}

/// A named run. Dropping it removes the name.
pub struct Named {
    names: RequestNames,
    name: RequestName,
    run_id: RunId,
}

impl RequestNames {
    /// Names a run until the result is dropped.
    pub fn name(
        &self,
        user_id: &UserId,
        thread_id: &ThreadId,
        request_id: &Arc<str>,
        run_id: RunId,
    ) -> Named {
        let name = RequestName {
            user_id: user_id.clone(),
            thread_id: thread_id.clone(),
            request_id: request_id.clone(),
        };
        self.runs().entry(name.clone()).or_default().push(run_id);
        Named { names: self.clone(), name, run_id }
    }

    /// Returns the runs of a request, one for each of its open streams.
    pub fn find(&self, user_id: &UserId, thread_id: &ThreadId, request_id: &str) -> Vec<RunId> {
        let name = RequestName {
            user_id: user_id.clone(),
            thread_id: thread_id.clone(),
            request_id: request_id.into(),
        };
        self.runs().get(&name).cloned().unwrap_or_default()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RequestName, Vec<RunId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut names = self.names.runs();
        if let Some(runs) = names.get_mut(&self.name) {
            if let Some(at) = runs.iter().position(|run_id| *run_id == self.run_id) {
                runs.swap_remove(at);
            }
            if runs.is_empty() {
                names.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn iso_2_a_name_is_one_users_and_ends_with_its_stream() {
        let (ann, ben) = (UserId::parse("ann").unwrap(), UserId::parse("ben").unwrap());
        let (thread, request) = (ThreadId::parse("t").unwrap(), Arc::<str>::from("r"));
        let names = RequestNames::default();
        let first = names.name(&ann, &thread, &request, RunId(Uuid::from_u128(1)));
        let second = names.name(&ann, &thread, &request, RunId(Uuid::from_u128(2)));
        assert_eq!(names.find(&ann, &thread, "r").len(), 2);
        assert!(names.find(&ben, &thread, "r").is_empty());
        drop(first);
        assert_eq!(names.find(&ann, &thread, "r"), [RunId(Uuid::from_u128(2))]);
        drop(second);
        assert!(names.runs().is_empty());
    }
}
