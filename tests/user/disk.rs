//! A journal with the behaviour of a disk: appends take time, and reads wait or fail on request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use quintet::{
    journal::{
        AppendError, Batch, Journal, JournalError, JournalLayer, Lines, Log, LogLayer, ReadLimit, Recovery,
        RunRecord, memory::MemoryJournal,
    },
    kernel::ids::{Offset, RunId, UserId},
};
use tokio::sync::watch;

pub struct Disk {
    memory: MemoryJournal,
    ways: Arc<Ways>,
}

/// Its current behaviour.
pub struct Ways {
    append: Duration,
    reads_held: watch::Sender<bool>,
    reads_waiting: watch::Sender<usize>,
    lookups_fail: AtomicBool,
    recoveries: AtomicUsize,
}

struct DiskLog(Arc<dyn Log>, Arc<Ways>);

impl Disk {
    /// Makes a journal whose appends take `append`.
    pub fn new(memory: &MemoryJournal, append: Duration) -> Self {
        let ways = Ways {
            append,
            reads_held: watch::Sender::new(false),
            reads_waiting: watch::Sender::new(0),
            lookups_fail: AtomicBool::new(false),
            recoveries: AtomicUsize::new(0),
        };
        Self { memory: memory.clone(), ways: Arc::new(ways) }
    }

    /// Holds reads of entries until they are released.
    pub fn hold_reads(&self, held: bool) {
        self.ways.reads_held.send_replace(held);
    }

    /// Resolves when a read is held.
    pub async fn read_is_held(&self) {
        let mut waiting = self.ways.reads_waiting.subscribe();
        // The sender lives as long as `self`.
        let _ = waiting.wait_for(|waiting| *waiting > 0).await;
    }

    /// Returns the number of recoveries since the last call, including failed ones.
    pub fn take_recoveries(&self) -> usize {
        self.ways.recoveries.swap(0, Ordering::SeqCst)
    }

    /// Makes look-ups of runs in the index fail.
    pub fn fail_lookups(&self, fail: bool) {
        self.ways.lookups_fail.store(fail, Ordering::SeqCst);
    }
}

#[async_trait]
impl JournalLayer for Disk {
    fn inner(&self) -> &dyn Journal {
        &self.memory
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(DiskLog(self.memory.log(user_id), self.ways.clone()))
    }
}

#[async_trait]
impl LogLayer for DiskLog {
    fn inner(&self) -> &dyn Log {
        &*self.0
    }

    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        tokio::time::sleep(self.1.append).await;
        self.0.append(batch).await
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let mut held = self.1.reads_held.subscribe();
        if *held.borrow() {
            self.1.reads_waiting.send_modify(|waiting| *waiting += 1);
            let _ = held.wait_for(|held| !held).await;
            self.1.reads_waiting.send_modify(|waiting| *waiting -= 1);
        }
        self.0.read(after, limit).await
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        self.1.recoveries.fetch_add(1, Ordering::SeqCst);
        self.0.recovery(recent_max).await
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRecord>, JournalError> {
        if self.1.lookups_fail.load(Ordering::SeqCst) {
            return Err(JournalError::Unavailable("the test injected a fault".into()));
        }
        self.0.run(run_id).await
    }
}
