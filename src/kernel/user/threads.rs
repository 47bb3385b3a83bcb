//! Decisions about threads: their properties, and the erasure of a thread or of the whole log (DEL-8).
//!
//! ```text
//!   Erase ─▶ the open runs of the scope end as cancelled; the intent is stored with them
//!            │ the journal erases the entries up to the intent, step by step, also after a restart
//!   Erased ◀─┘ ─▶ thread_erased or log_erased
//! ```
//!
//! Guarantees: no run of the scope is open once the intent is stored, so that nothing needs an entry that is erased.
//! Messages after the intent are not erased. An erasure ends once.

use super::{
    command::{Decision, Refusal, Reply, ThreadProperties, UpdateThread},
    draft::Draft,
    erasure::{EraseScope, Erasure},
    state::UserState,
};
use crate::{
    entry::ThreadChange,
    ids::{Offset, ReceiptId, Timestamp},
    limits::Limits,
    run::EarlyEnd,
};

impl UserState {
    /// Writes the properties of a thread, all of them.
    pub(super) fn update_thread(&self, command: UpdateThread, at: Timestamp) -> Result<Decision, Refusal> {
        let UpdateThread { thread_id, update, current } = command;
        let current = match self.erases(&thread_id, Offset::ZERO) {
            // DEL-8: the properties of a thread that is being erased go with it. The thread exists if it has a message
            // since the intent.
            true => self.has_recent(&thread_id).then(ThreadProperties::default),
            false => current,
        };
        let current = current.ok_or(Refusal::NotFound)?;
        let title = update.title.unwrap_or(current.title);
        let archived = update.archived.unwrap_or(current.archived);
        let mut draft = Draft::new(self, at);
        draft.change(thread_id, ThreadChange::Updated { title, archived });
        Ok(draft.decided(Reply::Done))
    }

    /// Ends the open runs of the scope, and begins its erasure.
    pub(super) fn erase(
        &self,
        scope: EraseScope,
        receipt: ReceiptId,
        limits: &Limits,
        at: Timestamp,
    ) -> Result<Decision, Refusal> {
        if self.erasures.len() >= limits.erasures_open_max {
            return Err(Refusal::LimitReached("erasures_open_max"));
        }
        let mut draft = Draft::new(self, at);
        for (_, line) in self.lines.iter().filter(|(thread_id, _)| scope.has(thread_id)) {
            for run_id in line {
                draft.end(*run_id, EarlyEnd::Cancelled);
            }
        }
        let through = Offset(draft.next_offset().0 - 1);
        let erasure = Erasure { scope, through, receipt, requested_at: at };
        Ok(Decision { erasure: Some(erasure), ..draft.decided(Reply::Done) })
    }

    /// Reports the end of an erasure in the log.
    pub(super) fn erased(&self, receipt: ReceiptId, at: Timestamp) -> Result<Decision, Refusal> {
        let found = self.erasures.iter().find(|erasure| erasure.receipt == receipt);
        let Erasure { scope, through, .. } = found.ok_or(Refusal::NotFound)?;
        let mut draft = Draft::new(self, at);
        match scope {
            EraseScope::Thread(thread_id) => {
                draft.change(thread_id.clone(), ThreadChange::Erased { through: *through, receipt });
            }
            EraseScope::Log => draft.log_erased(*through, receipt),
        }
        Ok(draft.decided(Reply::Done))
    }
}
