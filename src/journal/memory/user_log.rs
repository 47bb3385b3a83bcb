//! The state of one user's log in memory: entries, index, and what a batch changes in them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use quintet_kernel::{
    entry::{Body, Entry, Event, RunEntry},
    ids::{Epoch, Incarnation, MessageId, Offset, RunId, ThreadId, Timestamp, UserId},
    spending::Spending,
    user::Receipt,
};

use super::stored::{StoredErasure, StoredThread};
use crate::{
    AppendError, Batch, Fence, JournalError, ResumeRecord, RunRecord,
    chain::{ChainHash, LineDigest},
    erasing::hashed,
};

#[derive(Debug, Default)]
pub(super) struct UserLog {
    pub(super) head: Offset,
    pub(super) fence: Fence,
    pub(super) trimmed: Offset,
    pub(super) entries: VecDeque<Bytes>,
    /// The last offset and the timestamp of each stored batch.
    pub(super) batches: VecDeque<(Offset, Timestamp)>,
    pub(super) runs: BTreeMap<Offset, RunRecord>,
    pub(super) accepted: HashMap<RunId, Offset>,
    pub(super) messages: HashMap<MessageId, Receipt>,
    pub(super) threads: HashMap<ThreadId, StoredThread>,
    /// The entries that belong to a thread and to no run.
    pub(super) thread_changes: BTreeMap<Offset, ThreadId>,
    pub(super) erasures: Vec<StoredErasure>,
    /// The receipts of erased messages, by the hashes of their ids (DEL-6).
    pub(super) erased_messages: HashMap<String, Receipt>,
    /// The hash after the last entry; `None` before the first.
    pub(super) chain: Option<ChainHash>,
    pub(super) resumes: BTreeMap<RunId, ResumeRecord>,
    pub(super) spending: Spending,
}

impl UserLog {
    /// Checks a batch against head and index without changing them.
    pub(super) fn admit(&self, batch: &Batch, owner: (Epoch, &UserId)) -> Result<(), AppendError> {
        if (batch.expected, batch.fence) != (self.head, self.fence) {
            return Err(AppendError::Conflict { head: self.head });
        }
        let misfit =
            |what: &str| Err(JournalError::Damaged(format!("a batch does not fit the index: {what}")).into());
        let offsets = batch.expected.0 + 1..;
        if batch.lines.len() != batch.entries.len()
            || (!batch.entries.is_empty() && batch.lines.first() != batch.expected.next())
            || !batch.entries.iter().zip(offsets).all(|(entry, offset)| entry.offset().0 == offset)
        {
            return misfit("the entries do not follow the expected head");
        }
        let last = Offset(batch.expected.0 + batch.entries.len() as u64);
        if batch.erasures.iter().any(|erasure| erasure.through != last) {
            return misfit("an erasure does not reach through the end of its batch");
        }
        for run_id in &batch.taken_over {
            let run = self.accepted.get(run_id).and_then(|at| self.runs.get(at));
            if !run.is_some_and(|run| run.started.is_some() && run.completed.is_none()) {
                return misfit("a run that is taken over has not started, or is not open");
            }
        }
        let (mut opened, mut closed, mut messages) = (HashSet::new(), HashSet::new(), HashSet::new());
        for RunEntry { run_id, body, .. } in batch.entries.iter().filter_map(Entry::run) {
            let known = self.accepted.get(run_id).and_then(|at| self.runs.get(at));
            let open = known.map_or(opened.contains(run_id), |run| run.completed.is_none())
                && !closed.contains(run_id);
            match body {
                Body::UserMessage { message_id, .. } => {
                    let fresh = known.is_none() && opened.insert(*run_id) && messages.insert(message_id);
                    let erased = hashed(owner.0, owner.1, message_id);
                    let used = self.messages.contains_key(message_id);
                    if !fresh || used || self.erased_messages.contains_key(&erased) {
                        return misfit("a run or message id is used twice");
                    }
                }
                Body::Event { event: Event::Started { .. }, .. } if !open => {
                    return misfit("a run is not open");
                }
                Body::Event { event: Event::Completed(_), .. } if !open => {
                    return misfit("a run is not open");
                }
                Body::Event { event: Event::Completed(_), .. } => {
                    closed.insert(*run_id);
                }
                Body::Event { .. } => {}
            }
        }
        Ok(())
    }

    pub(super) fn latest_message(&self, thread_id: &ThreadId) -> Option<Offset> {
        self.runs.values().rev().find(|run| run.thread_id == *thread_id).map(|run| run.accepted)
    }

    pub(super) fn apply(&mut self, batch: Batch, owner: (Epoch, &UserId)) {
        self.fence = batch.fence_after();
        for run_id in &batch.taken_over {
            if let Some(run) = self.accepted.get(run_id).and_then(|accepted| self.runs.get_mut(accepted)) {
                run.executor = batch.executor;
            }
        }
        self.resumes.extend(batch.resumes.iter().map(|record| (record.run_id, *record)));
        let start = self.chain.unwrap_or_else(|| ChainHash::start(owner.0, owner.1));
        let chain = batch.lines.iter().fold(start, |chain, (_, line)| chain.then(LineDigest::of(&line)));
        self.chain = Some(chain);
        if let Some(last_at) = batch.entries.last().map(Entry::timestamp) {
            self.head = batch.lines.last();
            self.spending = batch.spending;
            self.entries.extend(batch.lines.iter().map(|(_, line)| line));
            self.batches.push_back((self.head, last_at));
        }
        for entry in batch.entries {
            self.close(&entry);
            match entry {
                Entry::Run(entry) => self.index(entry, batch.executor),
                Entry::Thread(entry) => self.change_thread(entry),
                Entry::LogErased(_) | Entry::Erased(_) => {}
            }
        }
        self.intend(batch.erasures, chain);
    }

    fn index(&mut self, entry: RunEntry, executor: Option<Incarnation>) {
        let RunEntry { offset, thread_id, run_id, timestamp, agent_name, body } = entry;
        let thread = self.threads.entry(thread_id.clone()).or_insert_with(|| StoredThread::new(offset));
        (thread.last, thread.last_at) = (offset, timestamp);
        match body {
            Body::UserMessage { message_id, parent, .. } => {
                thread.messages += 1;
                let parent = parent.or_else(|| self.latest_message(&thread_id)).unwrap_or_default();
                self.accepted.insert(run_id, offset);
                self.messages.insert(message_id.clone(), Receipt { run_id, offset });
                let (accepted, accepted_at) = (offset, timestamp);
                let (started, completed, executor) = (None, None, None);
                self.runs.insert(
                    offset,
                    RunRecord {
                        run_id,
                        thread_id,
                        message_id,
                        agent_name,
                        accepted,
                        accepted_at,
                        parent,
                        started,
                        completed,
                        executor,
                    },
                );
            }
            Body::Event { event, .. } => {
                let run = self.accepted.get(&run_id).and_then(|accepted| self.runs.get_mut(accepted));
                match (run, event) {
                    (Some(run), Event::Started { .. }) if run.started.is_none() => {
                        (run.started, run.executor) = (Some(offset), executor);
                    }
                    (Some(run), Event::Completed(end)) => {
                        run.completed = Some((offset, end.status));
                        self.resumes.remove(&run_id);
                    }
                    _ => {}
                }
            }
        }
    }
}
