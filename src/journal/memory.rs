//! A journal in memory, for tests. It satisfies every guarantee of the trait except durability beyond the
//! process, and fails on request in every way in which a real journal can fail.

mod erase;
mod stored;
mod threads;
mod trim;
mod user_log;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use quintet_kernel::{
    ids::{Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, UserId},
    user::Receipt,
};
use quintet_runtime::ids;
use tokio::sync::watch;

use self::{stored::StoredErasure, user_log::UserLog};
use super::{
    AppendError, Batch, EraseProgress, ErasureRecord, Extent, Journal, JournalError, Lines, Log, Position,
    ReadLimit, Recovery, Retention, RunRecord, Side, ThreadRecord, ThreadsQuery, Trimmed, erasing::hashed,
    lines::LinesBuilder,
};

/// An in-memory journal. Clones share the logs. Each process that is built over it has an incarnation of its own, to which
/// every other one has expired, so that a further one stands for a restarted process. The nodes of
/// [`MemoryJournal::node`] run side by side.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    shared: Arc<MemoryInner>,
    /// The id of the node, if this is one of several.
    node: Option<Incarnation>,
}

/// The kind of an injected append failure. The caller cannot distinguish them (DEL-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// Nothing of the batch is in the log.
    Lost,
    /// The batch is in the log.
    Applied,
    /// The batch is not in the log yet; [`MemoryJournal::land_late_appends`] appends it. A log that reports its
    /// head in between does not satisfy the guarantee of [`Log::recovery`].
    Late,
}

#[derive(Debug)]
struct MemoryInner {
    epoch: Epoch,
    users: Mutex<BTreeMap<UserId, UserLog>>,
    faults: Mutex<Faults>,
    /// Records if appends are paused, and how many are waiting.
    pause: watch::Sender<Pause>,
    /// The nodes whose leases have not expired.
    nodes: Mutex<BTreeSet<Incarnation>>,
    /// The nodes that know that theirs have ended.
    fenced: watch::Sender<BTreeSet<Incarnation>>,
}

#[derive(Debug, Default)]
struct Faults {
    down: bool,
    free_bytes: Option<u64>,
    appends: VecDeque<AppendFault>,
    late: Vec<(UserId, Batch)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    paused: bool,
    held: usize,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new(Epoch(uuid::Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8e4f_0000_0000_0001)))
    }
}

impl MemoryJournal {
    /// Creates an empty journal under this epoch.
    pub fn new(epoch: Epoch) -> Self {
        let shared = MemoryInner {
            epoch,
            users: Mutex::default(),
            faults: Mutex::default(),
            pause: watch::channel(Pause::default()).0,
            nodes: Mutex::default(),
            fenced: watch::channel(BTreeSet::new()).0,
        };
        Self { shared: Arc::new(shared), node: None }
    }

    /// Returns the journal of one of several nodes that share the logs. Its lease does not expire before
    /// [`Self::expire`].
    pub fn node(&self) -> Self {
        let incarnation = Incarnation(ids::fresh());
        lock(&self.shared.nodes).insert(incarnation);
        Self { shared: self.shared.clone(), node: Some(incarnation) }
    }

    /// Lets a node know that it cannot prove its lease any more ([`Journal::lease_lost`]). To the others it has not expired
    /// before [`Self::expire`].
    pub fn fence(&self, incarnation: Incarnation) {
        self.shared.fenced.send_modify(|fenced| {
            fenced.insert(incarnation);
        });
    }

    /// Ends the lease of a node, for good. The node does not know of it.
    pub fn expire(&self, incarnation: Incarnation) {
        lock(&self.shared.nodes).remove(&incarnation);
    }

    /// Makes the next append that would succeed fail with `fault`. Repeated calls are queued.
    pub fn fail_next_append(&self, fault: AppendFault) {
        lock(&self.shared.faults).appends.push_back(fault);
    }

    /// Appends the batches of appends that failed as [`AppendFault::Late`].
    pub fn land_late_appends(&self) {
        let late = std::mem::take(&mut lock(&self.shared.faults).late);
        let mut users = lock(&self.shared.users);
        for (user_id, batch) in late {
            let owner = (self.shared.epoch, &user_id.clone());
            users.entry(user_id).or_default().apply(batch, owner);
        }
    }

    /// Sets the bytes that [`Journal::free_bytes`] returns; `None` at first.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        lock(&self.shared.faults).free_bytes = free;
    }

    /// Makes every read and append fail while `down` is true.
    pub fn set_down(&self, down: bool) {
        lock(&self.shared.faults).down = down;
    }

    /// Releases the resumes of a process, as an engine does on a clean shutdown.
    pub fn release_resumes(&self, ended: Incarnation) {
        for log in lock(&self.shared.users).values_mut() {
            log.resumes.values_mut().for_each(|record| *record = record.released(ended));
        }
    }

    /// Makes appends wait, before they take effect, until [`Self::release_appends`].
    pub fn pause_appends(&self) {
        self.shared.pause.send_modify(|pause| pause.paused = true);
    }

    /// Lets the appends that wait since [`Self::pause_appends`] take effect.
    pub fn release_appends(&self) {
        self.shared.pause.send_modify(|pause| pause.paused = false);
    }

    /// Waits until at least `count` appends are waiting.
    pub async fn appends_held(&self, count: usize) {
        let mut pause = self.shared.pause.subscribe();
        // The sender lives as long as `self`.
        let _ = pause.wait_for(|pause| pause.held >= count).await;
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    fn incarnation(&self) -> Incarnation {
        self.node.unwrap_or_else(|| Incarnation(ids::fresh()))
    }

    fn is_shared(&self) -> bool {
        self.node.is_some()
    }

    async fn expired(
        &self,
        executors: &BTreeSet<Incarnation>,
    ) -> Result<BTreeSet<Incarnation>, JournalError> {
        self.shared.up()?;
        let nodes = lock(&self.shared.nodes);
        Ok(executors.iter().copied().filter(|executor| !nodes.contains(executor)).collect())
    }

    fn holds_lease(&self) -> bool {
        self.node.is_none_or(|node| !self.shared.fenced.borrow().contains(&node))
    }

    async fn lease_lost(&self) {
        let Some(node) = self.node else { return std::future::pending().await };
        let mut fenced = self.shared.fenced.subscribe();
        // The sender lives as long as `self`.
        let _ = fenced.wait_for(|fenced| fenced.contains(&node)).await;
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(MemoryLog { journal: self.clone(), shared: self.shared.clone(), user_id: user_id.clone() })
    }

    async fn unfinished(&self) -> Result<Vec<UserId>, JournalError> {
        self.shared.up()?;
        let users = lock(&self.shared.users);
        let open = |log: &UserLog| {
            let runs = log.runs.values().any(|run| run.completed.is_none());
            runs || log.erasures.iter().any(|erasure| !erasure.closed)
        };
        Ok(users.iter().filter(|(_, log)| open(log)).map(|(user_id, _)| user_id.clone()).collect())
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<UserId>, JournalError> {
        self.shared.up()?;
        if self.node.is_none() {
            return Ok(Vec::new());
        }
        let (users, nodes) = (lock(&self.shared.users), lock(&self.shared.nodes));
        let gone = |log: &UserLog| {
            let mut open = log.runs.values().filter(|run| run.completed.is_none());
            open.any(|run| run.executor.is_some_and(|executor| !nodes.contains(&executor)))
        };
        let found = users.iter().filter(|(_, log)| gone(log));
        Ok(found.map(|(user_id, _)| user_id.clone()).take(limit).collect())
    }

    async fn free_bytes(&self) -> std::io::Result<Option<u64>> {
        Ok(lock(&self.shared.faults).free_bytes)
    }

    /// Trims entries as an engine does, but keeps every run record.
    async fn trim(&self, retention: Retention, now: Timestamp) -> Result<Trimmed, JournalError> {
        self.shared.up()?;
        let mut trimmed = Trimmed::default();
        for log in lock(&self.shared.users).values_mut() {
            let entries = log.trim(retention, now);
            trimmed.users += u64::from(entries > 0);
            trimmed.entries += entries;
        }
        Ok(trimmed)
    }
}

#[derive(Debug)]
struct MemoryLog {
    journal: MemoryJournal,
    shared: Arc<MemoryInner>,
    user_id: UserId,
}

impl MemoryInner {
    fn up(&self) -> Result<(), JournalError> {
        if lock(&self.faults).down { Err(unavailable()) } else { Ok(()) }
    }
}

impl MemoryLog {
    fn with<T>(&self, ask: impl FnOnce(&mut UserLog) -> T) -> Result<T, JournalError> {
        self.shared.up()?;
        Ok(ask(lock(&self.shared.users).entry(self.user_id.clone()).or_default()))
    }

    async fn released(&self) {
        let mut pause = self.shared.pause.subscribe();
        if pause.borrow().paused {
            let _held = Held::new(&self.shared.pause);
            // The sender lives as long as `self`.
            let _ = pause.wait_for(|pause| !pause.paused).await;
        }
    }
}

/// A guard that counts one waiting append.
struct Held<'a>(&'a watch::Sender<Pause>);

impl<'a> Held<'a> {
    fn new(pause: &'a watch::Sender<Pause>) -> Self {
        pause.send_modify(|pause| pause.held += 1);
        Self(pause)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|pause| pause.held -= 1);
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        self.released().await;
        self.with(|log| {
            let owner = (self.shared.epoch, &self.user_id);
            log.admit(&batch, owner)?;
            let fault = lock(&self.shared.faults).appends.pop_front();
            match fault {
                None => log.apply(batch, owner),
                Some(AppendFault::Lost) => return Err(unavailable().into()),
                Some(AppendFault::Applied) => {
                    log.apply(batch, owner);
                    return Err(unavailable().into());
                }
                Some(AppendFault::Late) => {
                    lock(&self.shared.faults).late.push((self.user_id.clone(), batch));
                    return Err(unavailable().into());
                }
            }
            Ok(())
        })?
    }

    fn holds_lease(&self) -> bool {
        self.journal.holds_lease()
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        self.with(|log| Extent { trimmed: log.trimmed, head: log.head })
    }

    async fn position(&self) -> Result<Position, JournalError> {
        self.with(|log| Position { head: log.head, fence: log.fence })
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.with(|log| {
            let after = Offset(after.0.min(i64::MAX as u64)).max(log.trimmed);
            let mut lines = LinesBuilder::new(after.next());
            let skip = after.0.saturating_sub(log.trimmed.0) as usize;
            for line in log.entries.iter().skip(skip).take(limit.entries_max.max(1)) {
                if !lines.is_empty() && lines.bytes() + line.len() + 1 > limit.bytes_max {
                    break;
                }
                lines.push(|bytes| bytes.extend_from_slice(line));
            }
            lines.finish()
        })
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.with(|log| {
            let end = Offset(before.0.saturating_sub(1)).min(log.head);
            let kept = end.0.saturating_sub(log.trimmed.0) as usize;
            let mut bytes = 0;
            let fits = |(nth, line): &(usize, &Bytes)| {
                bytes += line.len() + 1;
                *nth == 0 || bytes <= limit.bytes_max
            };
            let latest = log.entries.iter().take(kept).rev().take(limit.entries_max.max(1)).enumerate();
            let count = latest.take_while(fits).count();
            let mut lines = LinesBuilder::new(Offset(log.trimmed.0 + (kept - count) as u64 + 1));
            for line in log.entries.iter().take(kept).skip(kept - count) {
                lines.push(|bytes| bytes.extend_from_slice(line));
            }
            lines.finish()
        })
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        self.with(|log| {
            let mut recent: Vec<_> =
                log.runs.values().rev().take(recent_max).map(RunRecord::recent).collect();
            recent.reverse();
            let unfinished = log.runs.values().filter(|run| run.completed.is_none()).cloned().collect();
            let resumes = log.resumes.values().copied().collect();
            let open = log.erasures.iter().filter(|erasure| !erasure.closed);
            let erasures = open.map(StoredErasure::intent).collect();
            let (head, fence, spending) = (log.head, log.fence, log.spending);
            Recovery { head, fence, recent, unfinished, resumes, spending, erasures }
        })
    }

    async fn message(&self, message_id: &MessageId) -> Result<Option<Receipt>, JournalError> {
        let erased = hashed(self.shared.epoch, &self.user_id, message_id);
        self.with(|log| log.messages.get(message_id).or_else(|| log.erased_messages.get(&erased)).copied())
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        self.with(|log| log.accepted.get(&run_id).and_then(|at| log.runs.get(at)).cloned())
    }

    async fn thread(&self, thread_id: &ThreadId) -> Result<Option<ThreadRecord>, JournalError> {
        self.with(|log| {
            log.threads.get_key_value(thread_id).map(|(id, thread)| log.thread_record(id, thread))
        })
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        self.with(|log| log.find_threads(query))
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.with(|log| {
            let later = |run: &&RunRecord| run.completed.is_none_or(|(at, _)| at > after);
            let of_thread = log.runs.values().filter(|run| &run.thread_id == thread_id);
            of_thread.filter(later).take(limit).cloned().collect()
        })
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.with(|log| {
            let earlier = log.runs.range(..before.unwrap_or(Offset(u64::MAX))).rev();
            let of_thread = earlier.map(|(_, run)| run).filter(|run| run.thread_id == *thread_id);
            of_thread.take(limit).cloned().collect()
        })
    }

    async fn thread_runs_ending(
        &self,
        thread_id: &ThreadId,
        before: Offset,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        self.with(|log| {
            let of_thread = log.runs.range(..before).map(|(_, run)| run);
            let end = |run: &RunRecord| run.completed.map_or(Offset(u64::MAX), |(at, _)| at);
            let mut runs: Vec<_> =
                of_thread.filter(|run| &run.thread_id == thread_id && end(run) > after).cloned().collect();
            runs.sort_by_key(|run| std::cmp::Reverse((end(run), run.accepted)));
            runs.truncate(limit);
            runs
        })
    }

    async fn thread_changes(
        &self,
        thread_id: &ThreadId,
        side: Side,
        limit: usize,
    ) -> Result<Vec<Offset>, JournalError> {
        self.with(|log| log.find_changes(thread_id, side, limit))
    }

    async fn thread_message(
        &self,
        thread_id: &ThreadId,
        at: Option<Offset>,
    ) -> Result<Option<Offset>, JournalError> {
        self.with(|log| match at {
            Some(at) => log.runs.get(&at).filter(|run| run.thread_id == *thread_id).map(|run| run.accepted),
            None => log.latest_message(thread_id),
        })
    }

    async fn path(&self, message: Offset, limit: usize) -> Result<Vec<RunRecord>, JournalError> {
        self.with(|log| {
            let first = log.runs.get(&message);
            std::iter::successors(first, |run| log.runs.get(&run.parent)).take(limit).cloned().collect()
        })
    }

    async fn erase_step(&self, receipt: ReceiptId, limit: usize) -> Result<EraseProgress, JournalError> {
        self.with(|log| log.erase_step((self.shared.epoch, &self.user_id), receipt, limit))?
    }

    async fn erasure(&self, receipt: ReceiptId) -> Result<Option<ErasureRecord>, JournalError> {
        self.with(|log| {
            let mut records = log.erasures.iter().map(|erasure| &erasure.record);
            records.find(|record| record.receipt == receipt).cloned()
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable() -> JournalError {
    JournalError::Unavailable("injected fault".into())
}
