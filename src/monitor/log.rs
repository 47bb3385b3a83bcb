//! The monitor of one user's log: observes every batch that becomes durable, in order.
//!
//! Guarantee: an offset counts as durable only once the journal has confirmed it, and its trace record is
//! written before the offset becomes visible to the checks (DEL-1).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;

use quintet_audit::live::{CloseAsked, LiveCheck};
use quintet_journal::{AppendError, Batch, Extent, JournalError, Lines, Log, LogLayer, ReadLimit, Recovery};
use quintet_kernel::{
    entry::{CallOwner, Entry},
    ids::{MessageId, Offset, UserId},
    user::{Command, Decision, Receipt, Refusal},
};
use quintet_observer::UserObserver;

use super::{
    record::{
        AppendRecord, DecisionRecord, OpenRunRecord, Outcome, Record, Recovered, ReplyRecord, TracedCommand,
        TracedEntry, TracedErasure,
    },
    watch::Watch,
};

/// The monitor of one user's machines.
#[derive(Debug)]
pub(super) struct UserMonitor {
    watch: Arc<Watch>,
    user_id: UserId,
    durable: AtomicU64,
    state: Mutex<LogCheckState>,
}

#[derive(Debug, Default)]
struct LogCheckState {
    /// `None` until the hub has loaded the log, and while its state is unknown.
    check: Option<LiveCheck>,
    /// The command that the hub is deciding.
    deciding: Option<TracedCommand>,
    /// Decisions of the hub that are not yet appended.
    decided: Vec<DecisionRecord>,
    closes: Vec<CloseAsked>,
}

impl UserObserver for UserMonitor {
    fn durable(&self) -> Offset {
        Offset(self.durable.load(Ordering::Acquire))
    }

    fn deciding(&self, command: &Command) {
        let command = TracedCommand::of(command, &self.user_id, &self.watch.names);
        self.state().deciding = Some(command);
    }

    fn decided(&self, decision: &Result<Decision, Refusal>) {
        let mut state = self.state();
        let Some(command) = state.deciding.take() else { return };
        let entries = decision.as_ref().map_or(0, |decision| decision.entries.len() as u64);
        if let (TracedCommand::Answer { run, .. } | TracedCommand::Close { run, .. }, Ok(_)) =
            (&command, decision)
        {
            let by = if matches!(command, TracedCommand::Answer { .. }) {
                CallOwner::Client
            } else {
                CallOwner::Agent
            };
            state.closes.push(CloseAsked { run_id: *run, by });
        }
        if self.watch.trace.is_some() {
            DecisionRecord { command, answer: ReplyRecord::of(decision), entries, times: 1 }
                .add(&mut state.decided);
        }
    }

    fn unchanged(&self, head: Offset) {
        self.settled(head, Outcome::Nothing);
    }

    fn dropped(&self, head: Offset) {
        self.settled(head, Outcome::Forgotten);
    }
}

impl UserMonitor {
    pub(super) fn new(watch: Arc<Watch>, user_id: UserId) -> Self {
        Self { watch, user_id, durable: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Records that no append follows the last decisions.
    fn settled(&self, head: Offset, outcome: Outcome) {
        let mut state = self.state();
        state.closes.clear();
        let decided = std::mem::take(&mut state.decided);
        if !decided.is_empty() {
            self.append(head, decided, Vec::new(), outcome);
        }
    }

    fn state(&self) -> MutexGuard<'_, LogCheckState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the journal has confirmed the log up to `head`.
    fn reaches(&self, head: Offset) {
        // Under the lock: a thread that reads the raised offset also finds the record written.
        let _state = self.state();
        if self.durable.fetch_max(head.0, Ordering::AcqRel) < head.0 {
            self.watch.write(|names| Record::Head { user: names.user(&self.user_id), head });
        }
    }

    fn append(
        &self,
        expected: Offset,
        decided: Vec<DecisionRecord>,
        entries: Vec<TracedEntry>,
        outcome: Outcome,
    ) {
        self.watch.write(|names| {
            let user = names.user(&self.user_id);
            Record::Append(AppendRecord { user, expected, decided, entries, outcome })
        });
    }

    fn traced<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) -> Vec<TracedEntry> {
        let mut traced = Vec::new();
        for entry in entries.into_iter().filter_map(Entry::run) {
            TracedEntry::of(entry, &self.user_id, &self.watch.names).add(&mut traced);
        }
        traced
    }
}

/// A log with a monitor.
pub(super) struct MonitoredLog {
    log: Arc<dyn Log>,
    watched: Arc<UserMonitor>,
}

/// Limits of one read.
const PAGE: ReadLimit = ReadLimit { entries_max: 1024, bytes_max: 1024 * 1024 };

impl MonitoredLog {
    pub(super) fn new(log: Arc<dyn Log>, watched: Arc<UserMonitor>) -> Self {
        Self { log, watched }
    }

    /// Loads the open runs of the log, as its hub does.
    async fn learn(&self, recovery: &Recovery) -> Result<(), JournalError> {
        let watched = &self.watched;
        let mut check = LiveCheck::new(&watched.user_id, recovery.head);
        let mut open: Vec<OpenRunRecord> = Vec::new();
        let first = recovery.unfinished.iter().map(|run| run.accepted).min();
        let mut after = first.map_or(recovery.head, |first| Offset(first.0 - 1));
        while after < recovery.head {
            let room = usize::try_from(recovery.head.0 - after.0).unwrap_or(usize::MAX);
            let limit = ReadLimit { entries_max: PAGE.entries_max.min(room), ..PAGE };
            let lines = self.log.read(after, limit).await?;
            if lines.is_empty() {
                break;
            }
            after = lines.last();
            if watched.watch.monitor {
                check.learn(&lines);
            }
            if watched.watch.trace.is_some() {
                self.note_open(&lines, recovery, &mut open);
            }
        }
        check.learnt();
        open.sort_by_key(|run| run.accepted);
        let mut state = watched.state();
        state.check = watched.watch.monitor.then_some(check);
        watched.durable.fetch_max(recovery.head.0, Ordering::AcqRel);
        watched.watch.write(|names| {
            let user = names.user(&watched.user_id);
            let erasures = recovery.erasures.iter();
            let erasures =
                erasures.map(|erasure| TracedErasure::of(erasure, &watched.user_id, names)).collect();
            Record::Recovered(Recovered { user, head: recovery.head, open, erasures })
        });
        Ok(())
    }

    fn note_open(&self, lines: &Lines, recovery: &Recovery, open: &mut Vec<OpenRunRecord>) {
        for (offset, line) in lines.iter() {
            // An unreadable entry is reported by the hub, which reads the same entries.
            let Ok((_, Entry::Run(entry))) = quintet_wire::entry::decode(&line) else { continue };
            if !recovery.unfinished.iter().any(|run| run.run_id == entry.run_id) {
                continue;
            }
            let traced = TracedEntry::of(&entry, &self.watched.user_id, &self.watched.watch.names);
            match open.iter_mut().find(|run| run.entries[0].run == entry.run_id) {
                Some(run) => traced.add(&mut run.entries),
                None => open.push(OpenRunRecord { accepted: offset, entries: vec![traced] }),
            }
        }
    }
}

#[async_trait]
impl LogLayer for MonitoredLog {
    fn inner(&self) -> &dyn Log {
        &*self.log
    }

    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let watched = &self.watched;
        let (expected, lines) = (batch.expected, batch.lines.clone());
        let adds_nothing = batch.entries.is_empty();
        let traced = watched.watch.trace.is_some().then(|| watched.traced(&batch.entries));
        let (decided, closes) = {
            let mut state = watched.state();
            (std::mem::take(&mut state.decided), std::mem::take(&mut state.closes))
        };
        let appended = self.log.append(batch).await;
        let mut state = watched.state();
        let outcome = match &appended {
            // The batch holds a record of resumes and no entry.
            Ok(()) if adds_nothing => Outcome::Nothing,
            Ok(()) => Outcome::Appended,
            Err(AppendError::Conflict { .. } | AppendError::Contended) => Outcome::Refused,
            Err(AppendError::Journal(_)) => Outcome::Unknown,
        };
        if let Some(traced) = traced {
            watched.append(expected, decided, traced, outcome);
        }
        if outcome == Outcome::Nothing {
            return appended;
        }
        if outcome != Outcome::Appended {
            // The hub reloads the log after this, and the check is rebuilt with it.
            state.check = None;
            return appended;
        }
        watched.durable.fetch_max(lines.last().0, Ordering::AcqRel);
        if let Some(check) = &mut state.check {
            for violation in check.appended(&lines, &closes) {
                watched.watch.log_violation(&watched.user_id, &violation);
            }
        }
        appended
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        let extent = self.log.extent().await?;
        self.watched.reaches(extent.head);
        Ok(extent)
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        let recovery = self.log.recovery(recent_max).await?;
        // The journal has confirmed this head, even if the rest fails.
        self.watched.durable.fetch_max(recovery.head.0, Ordering::AcqRel);
        if let Err(error) = self.learn(&recovery).await {
            // The hub may succeed all the same. The log is not checked until it is loaded again.
            tracing::warn!(%error, "the open runs of a log cannot be loaded for its conformance check");
            let mut state = self.watched.state();
            state.check = None;
            self.watched.durable.fetch_max(recovery.head.0, Ordering::AcqRel);
            self.watched.watch.write(|names| {
                let user = names.user(&self.watched.user_id);
                Record::Unlearnt { user, head: recovery.head }
            });
        }
        Ok(recovery)
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        let found = self.log.message(message_id).await?;
        if let Some(receipt) = &found {
            // The journal has an entry at this offset, so the log reaches at least that far.
            self.watched.reaches(receipt.offset);
        }
        Ok(found)
    }
}
