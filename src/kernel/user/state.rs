//! The state of a log on which decisions depend, and `evolve`, which applies an entry to it.

use std::collections::{BTreeMap, VecDeque};

use super::erasure::{EraseScope, Erasure};
use crate::{
    entry::{Body, Completion, Entry, Event, LogErased, RunEntry, ThreadChange, ThreadEntry},
    ids::{AgentName, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp},
    limits::Limits,
    run::{AnyRun, Run, Violation},
};

/// The state of a user's log: the head, the open runs, the recent messages, and the erasures under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserState {
    pub(super) head: Offset,
    /// Threads with an open run, each with its open runs in order of acceptance. The first may be active.
    pub(super) lines: BTreeMap<ThreadId, VecDeque<RunId>>,
    /// The open runs: accepted and not completed.
    pub(super) runs: BTreeMap<RunId, OpenRun>,
    /// The latest messages, oldest first, at most `recent_messages_max`, without those that are being erased.
    recent: VecDeque<RecentMessage>,
    /// True if messages were taken out of `recent` for an erasure, so that there may be older ones although there is room.
    thinned: bool,
    /// The erasures whose end is not in the log, in the order of their intents, at most `erasures_open_max` (DEL-8).
    pub(super) erasures: Vec<Erasure>,
}

/// A recent message, remembered for idempotency (DEL-6) and as the parent of further messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecentMessage {
    /// The id of the message.
    pub message_id: MessageId,
    /// The conversation of the message.
    pub thread_id: ThreadId,
    /// Its run, and its offset.
    pub receipt: Receipt,
}

/// The parent of a new message, as far as the recent messages determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecentParent {
    /// The parent is the message at this offset; 0: none.
    Is(Offset),
    /// The offset is not that of a message of the thread.
    None,
    /// The parent, if there is one, is older than the recent messages.
    Older,
}

/// A run between its `user_message` and its `agent_completed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenRun {
    /// The conversation of the run.
    pub thread_id: ThreadId,
    /// The message that the run answers.
    pub message_id: MessageId,
    /// The agent that executes the run.
    pub agent_name: AgentName,
    /// The offset of the `user_message`.
    pub accepted: Offset,
    /// True if the message waits for the active run to take it (RUN-12).
    pub steers: bool,
    /// The progress of the run: queued, or started.
    pub progress: Progress,
}

/// The progress of an open run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Queued behind the active run of its thread.
    Waiting,
    /// Started.
    Begun(AnyRun),
}

/// The reply to an accepted message, always the same for the same `message_id` (DEL-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The run of the message.
    pub run_id: RunId,
    /// Offset of the `user_message`.
    pub offset: Offset,
}

impl UserState {
    /// Recovers the state of a log that ends at `head` from every entry of its open runs, in order, its latest messages,
    /// and its erasures whose end is not in the log.
    ///
    /// # Errors
    ///
    /// Returns a [`InvalidEntry`] if the entries are not legal; the log is then damaged.
    pub fn recover<'a>(
        head: Offset,
        recent: impl IntoIterator<Item = RecentMessage>,
        unfinished: impl IntoIterator<Item = &'a RunEntry>,
        erasures: impl IntoIterator<Item = Erasure>,
        limits: &Limits,
    ) -> Result<Self, InvalidEntry> {
        let mut recovering = Recovering::default();
        unfinished.into_iter().try_for_each(|entry| recovering.take(entry))?;
        Ok(recovering.finish(head, recent, erasures, limits))
    }

    /// Returns the offset of the last entry.
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Returns the open runs: accepted and not completed.
    pub fn open_runs(&self) -> &BTreeMap<RunId, OpenRun> {
        &self.runs
    }

    /// Returns the receipt of a recent message.
    pub fn recent(&self, message_id: &MessageId) -> Option<Receipt> {
        self.recent.iter().rev().find(|recent| recent.message_id == *message_id).map(|recent| recent.receipt)
    }

    /// Returns the recent messages, oldest first.
    pub fn recent_messages(&self) -> impl Iterator<Item = &RecentMessage> {
        self.recent.iter()
    }

    /// Returns the parent of a new message of a thread, as far as the recent messages determine it; `named` is the one
    /// that the message names.
    pub fn recent_parent(&self, thread_id: &ThreadId, named: Option<Offset>) -> RecentParent {
        let of_thread = |recent: &&RecentMessage| recent.thread_id == *thread_id;
        let mut recent = self.recent.iter().rev();
        match named {
            Some(Offset::ZERO) => RecentParent::Is(Offset::ZERO),
            Some(parent) => match recent.find(|recent| recent.receipt.offset == parent) {
                Some(recent) if of_thread(&recent) => RecentParent::Is(parent),
                Some(_) => RecentParent::None,
                None => RecentParent::Older,
            },
            None => match recent.find(of_thread) {
                Some(latest) => RecentParent::Is(latest.receipt.offset),
                None => RecentParent::Older,
            },
        }
    }

    /// Returns true if some message may be older than the recent ones.
    pub fn has_older(&self, limits: &Limits) -> bool {
        self.thinned || self.recent.len() >= limits.recent_messages_max
    }

    /// Returns true if a recent message is of this thread.
    pub fn has_recent(&self, thread_id: &ThreadId) -> bool {
        self.recent.iter().any(|recent| recent.thread_id == *thread_id)
    }

    /// Returns the erasures whose end is not in the log, in the order of their intents (DEL-8).
    pub fn erasures(&self) -> &[Erasure] {
        &self.erasures
    }

    /// Returns true if the entry of this thread at this offset is being erased.
    pub fn erases(&self, thread_id: &ThreadId, offset: Offset) -> bool {
        self.erasures.iter().any(|erasure| erasure.scope.has(thread_id) && offset <= erasure.through)
    }

    /// Applies the intent of an erasure that the journal has stored, after the entries of its decision: the messages of
    /// its scope leave the state (DEL-8).
    pub fn begin_erasure(&mut self, erasure: Erasure) {
        let before = self.recent.len();
        let is_erased = |recent: &RecentMessage| {
            erasure.scope.has(&recent.thread_id) && recent.receipt.offset <= erasure.through
        };
        self.recent.retain(|recent| !is_erased(recent));
        self.thinned |= self.recent.len() < before;
        self.erasures.push(erasure);
    }

    /// Applies the next entry.
    ///
    /// # Errors
    ///
    /// Returns a [`InvalidEntry`] if the entry does not follow the head or is not legal. The state is unchanged.
    pub fn evolve(&mut self, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        let (expected, found) = (self.head.next(), entry.offset());
        if found != expected {
            return Err(InvalidEntry::Offset { expected, found });
        }
        match entry {
            Entry::Run(entry) => {
                self.apply(entry)?;
                self.remember(entry, limits);
            }
            Entry::Thread(ThreadEntry {
                thread_id,
                change: ThreadChange::Erased { through, receipt },
                ..
            }) => {
                self.end_erasure(EraseScope::Thread(thread_id.clone()), *through, *receipt)?;
            }
            Entry::LogErased(LogErased { through, receipt, .. }) => {
                self.end_erasure(EraseScope::Log, *through, *receipt)?;
            }
            Entry::Thread(ThreadEntry { change: ThreadChange::Updated { .. }, .. }) | Entry::Erased(_) => {}
        }
        self.head = found;
        Ok(())
    }

    /// Removes the erasure whose end is in the log.
    fn end_erasure(
        &mut self,
        scope: EraseScope,
        through: Offset,
        receipt: ReceiptId,
    ) -> Result<(), InvalidEntry> {
        let is_ended = |erasure: &Erasure| {
            (&erasure.scope, erasure.through, erasure.receipt) == (&scope, through, receipt)
        };
        let at = self.erasures.iter().position(is_ended).ok_or(InvalidEntry::NoSuchErasure(receipt))?;
        self.erasures.remove(at);
        Ok(())
    }

    /// Adds the entry to the recent messages, if it is one.
    fn remember(&mut self, entry: &RunEntry, limits: &Limits) {
        if let Body::UserMessage { message_id, .. } = &entry.body {
            let receipt = Receipt { run_id: entry.run_id, offset: entry.offset };
            let (message_id, thread_id) = (message_id.clone(), entry.thread_id.clone());
            self.recent.push_back(RecentMessage { message_id, thread_id, receipt });
            self.forget(limits);
        }
    }

    /// Drops the oldest messages beyond `recent_messages_max`.
    fn forget(&mut self, limits: &Limits) {
        let excess = self.recent.len().saturating_sub(limits.recent_messages_max);
        self.recent.drain(..excess);
    }

    fn apply(&mut self, entry: &RunEntry) -> Result<(), InvalidEntry> {
        let run_id = entry.run_id;
        match &entry.body {
            Body::UserMessage { message_id, steers, .. } => {
                if self.runs.contains_key(&run_id) {
                    return Err(InvalidEntry::Accepted(run_id));
                }
                let run = OpenRun {
                    thread_id: entry.thread_id.clone(),
                    message_id: message_id.clone(),
                    agent_name: entry.agent_name.clone(),
                    accepted: entry.offset,
                    steers: *steers,
                    progress: Progress::Waiting,
                };
                self.lines.entry(run.thread_id.clone()).or_default().push_back(run_id);
                self.runs.insert(run_id, run);
                Ok(())
            }
            Body::Event { seq, event } => self.apply_event(run_id, *seq, event, entry.timestamp),
        }
    }

    fn apply_event(
        &mut self,
        run_id: RunId,
        seq: Seq,
        event: &Event,
        at: Timestamp,
    ) -> Result<(), InvalidEntry> {
        if let Event::Completed(Completion { merged_into: Some(into), .. }) = event {
            self.require_takes(run_id, *into)?;
        }
        let open = self.runs.get_mut(&run_id).ok_or(InvalidEntry::NoSuchRun(run_id))?;
        let last = match &open.progress {
            Progress::Waiting => Seq::default(),
            Progress::Begun(run) => run.seq(),
        };
        if seq != last.next() {
            return Err(InvalidEntry::Seq { run_id, expected: last.next(), found: seq });
        }
        let run = match (std::mem::replace(&mut open.progress, Progress::Waiting), event) {
            (Progress::Waiting, Event::Started { message_id }) => {
                AnyRun::Started(Run::start(message_id.clone(), at).0)
            }
            (Progress::Waiting, _) => return Err(InvalidEntry::NotStarted(run_id)),
            (Progress::Begun(run), event) => match run.evolve(event, at) {
                Ok(run) => run,
                Err(violation) => {
                    open.progress = Progress::Begun((*violation.run).clone());
                    return Err(violation.into());
                }
            },
        };
        if let AnyRun::Completed(_) = run {
            let OpenRun { thread_id, .. } = self.runs.remove(&run_id).expect("it was there a moment ago");
            let line = self.lines.get_mut(&thread_id).expect("an open run stands in its thread's line");
            line.retain(|other| *other != run_id);
            if line.is_empty() {
                self.lines.remove(&thread_id);
            }
        } else {
            open.progress = Progress::Begun(run);
        }
        Ok(())
    }
}

impl UserState {
    /// Checks that the run `into` is the active one of the thread of `run_id`, whose message steers (RUN-12).
    fn require_takes(&self, run_id: RunId, into: RunId) -> Result<(), InvalidEntry> {
        let (merged, taker) = (self.runs.get(&run_id), self.runs.get(&into));
        let is_taken = match (merged, taker) {
            (Some(merged), Some(taker)) => {
                merged.steers
                    && merged.thread_id == taker.thread_id
                    && taker.accepted < merged.accepted
                    && matches!(taker.progress, Progress::Begun(_))
            }
            _ => false,
        };
        if is_taken { Ok(()) } else { Err(InvalidEntry::NotTaken { run_id, into }) }
    }
}

/// A recovery in progress, fed one entry at a time so that memory stays bounded.
#[derive(Debug, Default)]
pub struct Recovering(UserState);

impl Recovering {
    /// Applies the next entry of an open run.
    ///
    /// # Errors
    ///
    /// Returns a [`InvalidEntry`] if the entry is not legal; the log is then damaged.
    pub fn take(&mut self, unfinished: &RunEntry) -> Result<(), InvalidEntry> {
        self.0.apply(unfinished)
    }

    /// Completes the recovery of a log that ends at `head`, with its latest messages and its erasures whose end is not
    /// in the log.
    pub fn finish(
        self,
        head: Offset,
        recent: impl IntoIterator<Item = RecentMessage>,
        erasures: impl IntoIterator<Item = Erasure>,
        limits: &Limits,
    ) -> UserState {
        let mut state = UserState { head, recent: recent.into_iter().collect(), ..self.0 };
        erasures.into_iter().for_each(|erasure| state.begin_erasure(erasure));
        state.forget(limits);
        state
    }
}

/// An entry that does not fit the state: this kernel did not write the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// The entry does not follow the head (DEL-2).
    #[error("entry {found} is in the place of entry {expected}")]
    Offset {
        /// The offset after the head.
        expected: Offset,
        /// The offset of the entry.
        found: Offset,
    },
    /// The event does not follow the last event of its run (RUN-2).
    #[error("event {found:?} of run {run_id} is in the place of event {expected:?}")]
    Seq {
        /// The run of the event.
        run_id: RunId,
        /// The number after the run's last event.
        expected: Seq,
        /// The number of the event.
        found: Seq,
    },
    /// A second `user_message` for an open run.
    #[error("run {0} is accepted twice")]
    Accepted(RunId),
    /// An event of a run that was never accepted or has completed.
    #[error("an event of run {0}, which is not open")]
    NoSuchRun(RunId),
    /// An event of a queued run that is not `agent_started` (RUN-1).
    #[error("run {0} has not started")]
    NotStarted(RunId),
    /// The end of an erasure that is not under way (DEL-8).
    #[error("erasure {0} ends, which is not under way")]
    NoSuchErasure(ReceiptId),
    /// A run is merged into one that cannot have taken its message (RUN-12).
    #[error("run {run_id} is merged into run {into}, which cannot have taken its message")]
    NotTaken {
        /// The merged run.
        run_id: RunId,
        /// The run that it names.
        into: RunId,
    },
    /// An event that is illegal in the phase of its run (RUN-10).
    #[error(transparent)]
    Violation(#[from] Violation),
}
