//! The rows of a group of batches, and the statement that stores them.
//!
//! ```text
//!   w  the row of this connection, locked, if its node has a lease; without it nothing is appended
//!   k  the users whose head and chain are as expected, locked; a row that is locked elsewhere is skipped
//!   x  the users whose batch does not fit the index
//!   l  those of k that are not in x: their rows are written, each table by a part of its own
//! ```
//!
//! All parts see the state before the statement, and a row is written by one part at most.

mod tables;

use quintet_journal::{
    Batch, Fence, ResumeRecord,
    chain::ChainHash,
    engine::{Changes, NewRow, hashed, rows, status_text},
};
use quintet_kernel::{
    entry::{Entry, LogErased, ThreadChange},
    ids::{
        AgentName, Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, Title,
        UserId,
    },
    spending::Spending,
    user::{EraseScope, Erasure},
};

/// The row of a user, as of the last answer of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserRow {
    pub(super) id: i64,
    pub(super) head: Offset,
    pub(super) fence: Fence,
    pub(super) chain: ChainHash,
}

/// Batches of different users.
pub(super) struct Group {
    origin: Epoch,
    /// True to wait for a row that is locked elsewhere.
    waits: bool,
    users: Vec<UserChange>,
    rows: Vec<(i64, NewRow)>,
    accepted: Vec<AcceptedRow>,
    changed: Vec<ChangedRow>,
    completed: Vec<(i64, RunId)>,
    resumes: Vec<(i64, ResumeRecord)>,
    threads: Vec<ThreadRow>,
    titles: Vec<(i64, ThreadId, TitleChange)>,
    changes: Vec<(i64, Offset, ThreadId)>,
    forgotten: Vec<(i64, ThreadId)>,
    erasures: Vec<(i64, Erasure, ChainHash)>,
    closings: Vec<(i64, ReceiptId, Offset)>,
}

struct UserChange {
    before: UserRow,
    after: UserRow,
    runs: usize,
    bytes: usize,
    /// `None` if the batch has no entry.
    spending: Option<Spending>,
}

/// A run of an earlier batch.
struct ChangedRow {
    uid: i64,
    run_id: RunId,
    started: Option<Offset>,
    completed: Option<(Offset, &'static str)>,
    /// True if another node has started it (RUN-13).
    taken: bool,
    /// Its executor, if it is taken over or starts.
    executor: Option<Incarnation>,
}

struct AcceptedRow {
    uid: i64,
    accepted: Offset,
    accepted_at: Timestamp,
    run_id: RunId,
    message_id: MessageId,
    /// The text that would take the place of the message id after an erasure.
    hash: String,
    thread_id: ThreadId,
    agent_name: AgentName,
    started: Option<Offset>,
    completed: Option<(Offset, &'static str)>,
    parent: Option<Offset>,
    executor: Option<Incarnation>,
}

struct ThreadRow {
    uid: i64,
    thread_id: ThreadId,
    first: Offset,
    last: Offset,
    last_at: Timestamp,
    messages: u64,
    title: Option<TitleChange>,
}

#[derive(Clone)]
struct TitleChange {
    updated: Offset,
    title: Option<Title>,
    archived: bool,
}

impl Group {
    pub(super) fn new(origin: Epoch, waits: bool) -> Self {
        Self {
            origin,
            waits,
            users: Vec::new(),
            rows: Vec::new(),
            accepted: Vec::new(),
            changed: Vec::new(),
            completed: Vec::new(),
            resumes: Vec::new(),
            threads: Vec::new(),
            titles: Vec::new(),
            changes: Vec::new(),
            forgotten: Vec::new(),
            erasures: Vec::new(),
            closings: Vec::new(),
        }
    }

    /// Adds the batch of a user. Returns the row of the user after it.
    pub(super) fn add(&mut self, user_id: &UserId, before: UserRow, batch: &Batch) -> UserRow {
        let uid = before.id;
        let new = rows(before.chain, batch);
        let chain = new.last().map_or(before.chain, |row| row.chain);
        let head = if batch.entries.is_empty() { before.head } else { batch.lines.last() };
        let after = UserRow { head, fence: batch.fence_after(), chain, ..before };
        let changes = Changes::of(&batch.entries);
        let ended = self.completed.len();
        let runs = self.add_runs(user_id, uid, &changes, batch);
        for record in &batch.resumes {
            // The record of a run that completes is removed.
            if !self.completed[ended..].iter().any(|(_, run_id)| *run_id == record.run_id) {
                self.resumes.push((uid, *record));
            }
        }
        self.add_threads(uid, &changes, &batch.erasures);
        for entry in &batch.entries {
            if let Some(receipt) = closes(entry) {
                self.closings.push((uid, receipt, entry.offset()));
            }
        }
        self.erasures.extend(batch.erasures.iter().map(|erasure| (uid, erasure.clone(), chain)));
        self.rows.extend(new.into_iter().map(|row| (uid, row)));
        self.users.push(UserChange {
            before,
            after,
            runs,
            bytes: batch.lines.as_bytes().len(),
            spending: (!batch.entries.is_empty()).then_some(batch.spending),
        });
        after
    }

    /// Adds the changes of runs. Returns the number of accepted ones.
    fn add_runs(&mut self, user_id: &UserId, uid: i64, changes: &Changes<'_>, batch: &Batch) -> usize {
        let begin = self.accepted.len();
        let executor = |starts: bool| batch.executor.filter(|_| starts);
        for run in &changes.runs {
            let completed = run.completed.map(|(offset, status)| (offset, status_text(status)));
            if completed.is_some() {
                self.completed.push((uid, run.run_id));
            }
            let Some(message) = run.accepted else {
                let taken = batch.taken_over.contains(&run.run_id);
                self.changed.push(ChangedRow {
                    uid,
                    run_id: run.run_id,
                    started: run.started,
                    completed,
                    taken,
                    executor: executor(taken || run.started.is_some()),
                });
                continue;
            };
            // Without a parent, a message follows the latest one of its thread, which may be in this batch.
            let earlier = self.accepted[begin..].iter().rev();
            let latest = || {
                let of_thread = |earlier: &&AcceptedRow| earlier.thread_id == message.entry.thread_id;
                earlier.clone().find(of_thread).map(|earlier| earlier.accepted)
            };
            let parent = message.parent.or_else(latest);
            self.accepted.push(AcceptedRow {
                uid,
                accepted: message.entry.offset,
                accepted_at: message.entry.timestamp,
                run_id: run.run_id,
                message_id: message.message_id.clone(),
                hash: hashed(self.origin, user_id, message.message_id),
                thread_id: message.entry.thread_id.clone(),
                agent_name: message.entry.agent_name.clone(),
                started: run.started,
                completed,
                parent,
                executor: executor(run.started.is_some()),
            });
        }
        for run_id in &batch.taken_over {
            let known = self.changed.iter().any(|run| (run.uid, run.run_id) == (uid, *run_id));
            if !known {
                let (started, completed, executor) = (None, None, batch.executor);
                let taken = true;
                self.changed.push(ChangedRow { uid, run_id: *run_id, started, completed, taken, executor });
            }
        }
        self.accepted.len() - begin
    }

    /// Adds the changes of threads. A thread whose erasure is in the batch has no entry that is kept.
    fn add_threads(&mut self, uid: i64, changes: &Changes<'_>, erasures: &[Erasure]) {
        let scope = |erasure: &Erasure| match &erasure.scope {
            EraseScope::Thread(thread_id) => Some(thread_id.clone()),
            EraseScope::Log => None,
        };
        let gone: Vec<ThreadId> = erasures.iter().filter_map(scope).collect();
        let mut titles: Vec<(ThreadId, TitleChange)> = changes
            .titles
            .iter()
            .filter(|change| !gone.contains(change.thread_id))
            .map(|change| {
                let (updated, title, archived) = (change.updated, change.title.cloned(), change.archived);
                (change.thread_id.clone(), TitleChange { updated, title, archived })
            })
            .collect();
        for thread in changes.threads.iter().filter(|thread| !gone.contains(thread.thread_id)) {
            let own = titles.iter().position(|(thread_id, _)| thread_id == thread.thread_id);
            self.threads.push(ThreadRow {
                uid,
                thread_id: thread.thread_id.clone(),
                first: thread.first,
                last: thread.last,
                last_at: thread.last_at,
                messages: thread.messages,
                title: own.map(|at| titles.swap_remove(at).1),
            });
        }
        let own = changes.thread_changes.iter();
        self.changes.extend(own.map(|(offset, thread_id)| (uid, *offset, (*thread_id).clone())));
        self.titles.extend(titles.into_iter().map(|(thread_id, change)| (uid, thread_id, change)));
        self.forgotten.extend(gone.into_iter().map(|thread_id| (uid, thread_id)));
    }
}

fn closes(entry: &Entry) -> Option<ReceiptId> {
    match entry {
        Entry::LogErased(LogErased { receipt, .. }) => Some(*receipt),
        Entry::Thread(thread) => match &thread.change {
            ThreadChange::Erased { receipt, .. } => Some(*receipt),
            ThreadChange::Updated { .. } => None,
        },
        Entry::Run(_) | Entry::Erased(_) => None,
    }
}
