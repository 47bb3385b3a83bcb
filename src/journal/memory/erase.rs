//! Erasures in memory, in the same steps as in an engine (DEL-8).

use bytes::Bytes;
use quintet_kernel::{
    entry::{Entry, LogErased, ThreadChange},
    ids::{Epoch, Offset, ReceiptId, UserId},
    user::{Erasure, Receipt},
};
use quintet_runtime::clock;

use super::{UserLog, stored::StoredErasure};
use crate::{
    EraseProgress, ErasureRecord, JournalError, RunRecord,
    chain::ChainHash,
    erasing::{erased, hashed},
};

impl UserLog {
    /// Stores the intents of a batch that was applied.
    pub(super) fn intend(&mut self, intents: Vec<Erasure>, chain_head: ChainHash) {
        for Erasure { scope, through, receipt, requested_at } in intents {
            // Nothing follows the intent yet, so the threads have no entry that is kept.
            self.threads.retain(|thread_id, _| !scope.has(thread_id));
            let (completed_at, entries) = (None, 0);
            let record =
                ErasureRecord { receipt, scope, through, chain_head, requested_at, completed_at, entries };
            self.erasures.push(StoredErasure { record, at: Offset::ZERO, closed: false });
        }
    }

    /// Records an entry that closes an erasure.
    pub(super) fn close(&mut self, entry: &Entry) {
        let closes = match entry {
            Entry::LogErased(LogErased { receipt, .. }) => receipt,
            Entry::Thread(thread) => match &thread.change {
                ThreadChange::Erased { receipt, .. } => receipt,
                ThreadChange::Updated { .. } => return,
            },
            Entry::Run(_) | Entry::Erased(_) => return,
        };
        let of_receipt = |erasure: &&mut StoredErasure| erasure.record.receipt == *closes;
        self.erasures.iter_mut().filter(of_receipt).for_each(|erasure| erasure.closed = true);
    }

    pub(super) fn erase_step(
        &mut self,
        owner: (Epoch, &UserId),
        receipt: ReceiptId,
        limit: usize,
    ) -> Result<EraseProgress, JournalError> {
        let Some(number) = self.erasures.iter().position(|erasure| erasure.record.receipt == receipt) else {
            return Err(JournalError::Damaged(format!("there is no intent of the erasure {receipt}")));
        };
        let mut left = limit.max(1);
        let StoredErasure { record, at, .. } = &self.erasures[number];
        if record.completed_at.is_some() {
            return Ok(EraseProgress::Done(record.clone()));
        }
        let (scope, through, mut at) = (record.scope.clone(), record.through, *at);
        let of_scope = |run: &&RunRecord| scope.has(&run.thread_id);
        let runs: Vec<_> =
            self.runs.range(..=through).map(|(_, run)| run).filter(of_scope).take(left).cloned().collect();
        left -= runs.len();
        for RunRecord { run_id, message_id, accepted, .. } in runs {
            self.runs.remove(&accepted);
            self.accepted.remove(&run_id);
            self.messages.remove(&message_id);
            let receipt = Receipt { run_id, offset: accepted };
            self.erased_messages.insert(hashed(owner.0, owner.1, &message_id), receipt);
        }
        let mut entries = 0;
        at = at.max(self.trimmed);
        while left > 0 && at < through {
            at = at.next();
            left -= 1;
            let line = &mut self.entries[(at.0 - self.trimmed.0 - 1) as usize];
            let blank = erased(&scope, at, line)
                .map_err(|_| JournalError::Damaged(format!("entry {at} is not as it was written")))?;
            if let Some(blank) = blank {
                *line = Bytes::from(blank);
                self.thread_changes.remove(&at);
                entries += 1;
            }
        }
        let erasure = &mut self.erasures[number];
        erasure.at = at;
        erasure.record.entries += entries;
        if left == 0 {
            return Ok(EraseProgress::Working);
        }
        erasure.record.completed_at = Some(clock::now());
        Ok(EraseProgress::Done(erasure.record.clone()))
    }
}
