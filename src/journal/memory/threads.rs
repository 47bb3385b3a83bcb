//! The index of threads.

use std::ops::Bound;

use quintet_kernel::{
    entry::{ThreadChange, ThreadEntry},
    ids::{Offset, ThreadId},
};

use super::{UserLog, stored::StoredThread};
use crate::{Side, ThreadRecord, ThreadsQuery};

impl UserLog {
    /// Applies a change to a thread of the index. A thread that was erased has no record to change.
    pub(super) fn change_thread(&mut self, entry: ThreadEntry) {
        self.thread_changes.insert(entry.offset, entry.thread_id.clone());
        match (entry.change, self.threads.get_mut(&entry.thread_id)) {
            (ThreadChange::Updated { title, archived }, Some(thread)) => {
                (thread.title, thread.archived, thread.updated) = (title, archived, entry.offset);
            }
            (ThreadChange::Updated { .. } | ThreadChange::Erased { .. }, _) => {}
        }
    }

    pub(super) fn find_threads(&self, query: ThreadsQuery) -> Vec<ThreadRecord> {
        let ThreadsQuery { before, archived, limit } = query;
        let matches = |thread: &StoredThread| {
            before.is_none_or(|before| thread.last < before)
                && archived.is_none_or(|archived| thread.archived == archived)
        };
        let mut found: Vec<_> = self.threads.iter().filter(|(_, thread)| matches(thread)).collect();
        found.sort_by_key(|(_, thread)| std::cmp::Reverse(thread.last));
        found.truncate(limit);
        found.into_iter().map(|(thread_id, thread)| self.thread_record(thread_id, thread)).collect()
    }

    pub(super) fn find_changes(&self, thread_id: &ThreadId, side: Side, limit: usize) -> Vec<Offset> {
        let of_thread = |(offset, of): (&Offset, &ThreadId)| (of == thread_id).then_some(*offset);
        match side {
            Side::After(after) => {
                let later = self.thread_changes.range((Bound::Excluded(after), Bound::Unbounded));
                later.filter_map(of_thread).take(limit).collect()
            }
            Side::Before(before) => {
                self.thread_changes.range(..before).rev().filter_map(of_thread).take(limit).collect()
            }
        }
    }

    pub(super) fn thread_record(&self, thread_id: &ThreadId, thread: &StoredThread) -> ThreadRecord {
        let runs = || self.runs.values().filter(|run| run.thread_id == *thread_id);
        let stored = runs().map(|run| run.accepted).find(|accepted| *accepted > self.trimmed);
        let open = || runs().filter(|run| run.completed.is_none());
        let StoredThread { first, last, last_at, messages, title, archived, updated } = thread.clone();
        ThreadRecord {
            thread_id: thread_id.clone(),
            first,
            last,
            last_at,
            messages,
            title,
            archived,
            updated,
            first_message: stored.unwrap_or_default(),
            agent_name: runs().next_back().map(|run| run.agent_name.clone()),
            open_runs: open().count() as u64,
            open_run: open().next().map(|run| run.run_id),
        }
    }
}
