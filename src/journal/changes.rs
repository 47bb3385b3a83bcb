//! The index changes of a batch, folded so that each run and each thread is updated once.

use quintet_kernel::{
    entry::{Body, Entry, Event, RunEntry, RunStatus, ThreadChange, ThreadEntry},
    ids::{MessageId, Offset, RunId, ThreadId, Timestamp, Title},
};

/// The index changes of one batch.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// The runs that are accepted, started or completed.
    pub runs: Vec<RunChange<'a>>,
    /// The threads with an entry of a run.
    pub threads: Vec<ThreadActivity<'a>>,
    /// The latest `thread_updated` of each thread.
    pub titles: Vec<ThreadUpdate<'a>>,
    /// The entries that belong to a thread and to no run.
    pub thread_changes: Vec<(Offset, &'a ThreadId)>,
}

/// The change of a run that is accepted, started or completed in the batch.
#[derive(Debug)]
pub struct RunChange<'a> {
    /// The run.
    pub run_id: RunId,
    /// The `user_message`, if it is in this batch.
    pub accepted: Option<AcceptedMessage<'a>>,
    /// Offset of its `agent_started`, if that is in this batch.
    pub started: Option<Offset>,
    /// Offset of its `agent_completed` and its status, if that is in this batch.
    pub completed: Option<(Offset, RunStatus)>,
}

/// A `user_message` of the batch.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedMessage<'a> {
    /// The entry.
    pub entry: &'a RunEntry,
    /// The id of the message.
    pub message_id: &'a MessageId,
    /// The message that it follows; `None` for the latest one of its thread.
    pub parent: Option<Offset>,
}

/// The entries of the runs of a thread in the batch.
#[derive(Debug)]
pub struct ThreadActivity<'a> {
    /// The thread.
    pub thread_id: &'a ThreadId,
    /// Offset of its first entry in the batch.
    pub first: Offset,
    /// Offset of its last entry in the batch.
    pub last: Offset,
    /// The time of the entry at `last`.
    pub last_at: Timestamp,
    /// Number of messages in the batch.
    pub messages: u64,
}

/// A `thread_updated` of the batch.
#[derive(Debug)]
pub struct ThreadUpdate<'a> {
    /// The thread.
    pub thread_id: &'a ThreadId,
    /// Offset of the `thread_updated`.
    pub updated: Offset,
    /// The new title.
    pub title: Option<&'a Title>,
    /// True if the thread is put aside.
    pub archived: bool,
}

impl<'a> Changes<'a> {
    /// Folds the entries of a batch.
    pub fn of(entries: &'a [Entry]) -> Self {
        let mut changes = Self::default();
        for entry in entries {
            if let Entry::Thread(entry) = entry {
                changes.thread_changes.push((entry.offset, &entry.thread_id));
                changes.update(entry);
            }
        }
        for entry in entries.iter().filter_map(Entry::run) {
            let thread = changes.thread(entry);
            thread.last = entry.offset;
            thread.last_at = entry.timestamp;
            match &entry.body {
                Body::UserMessage { message_id, parent, .. } => {
                    thread.messages += 1;
                    changes.runs.push(RunChange {
                        run_id: entry.run_id,
                        accepted: Some(AcceptedMessage { entry, message_id, parent: *parent }),
                        started: None,
                        completed: None,
                    });
                }
                Body::Event { event: Event::Started { .. }, .. } => {
                    changes.run(entry.run_id).started.get_or_insert(entry.offset);
                }
                Body::Event { event: Event::Completed(completion), .. } => {
                    changes.run(entry.run_id).completed = Some((entry.offset, completion.status));
                }
                Body::Event { .. } => {}
            }
        }
        changes
    }

    fn update(&mut self, entry: &'a ThreadEntry) {
        let ThreadChange::Updated { title, archived } = &entry.change else { return };
        self.titles.retain(|earlier| earlier.thread_id != &entry.thread_id);
        self.titles.push(ThreadUpdate {
            thread_id: &entry.thread_id,
            updated: entry.offset,
            title: title.as_ref(),
            archived: *archived,
        });
    }

    fn run(&mut self, run_id: RunId) -> &mut RunChange<'a> {
        let at = self.runs.iter().rposition(|run| run.run_id == run_id).unwrap_or_else(|| {
            self.runs.push(RunChange { run_id, accepted: None, started: None, completed: None });
            self.runs.len() - 1
        });
        &mut self.runs[at]
    }

    fn thread(&mut self, entry: &'a RunEntry) -> &mut ThreadActivity<'a> {
        let at = self.threads.iter().rposition(|t| t.thread_id == &entry.thread_id).unwrap_or_else(|| {
            self.threads.push(ThreadActivity {
                thread_id: &entry.thread_id,
                first: entry.offset,
                last: entry.offset,
                last_at: entry.timestamp,
                messages: 0,
            });
            self.threads.len() - 1
        });
        &mut self.threads[at]
    }
}

/// Returns the text of a status in the index.
pub fn status_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::TimedOut => "timed_out",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Merged => "merged",
    }
}

/// The inverse of [`status_text`].
pub fn status_of(text: &str) -> Option<RunStatus> {
    [
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::TimedOut,
        RunStatus::Interrupted,
        RunStatus::Merged,
    ]
    .into_iter()
    .find(|status| status_text(*status) == text)
}
