//! One batch of a hub that knows its log: from the first decision to the last effect.

use std::time::Duration;

use tokio::time::Instant;

use super::{Common, HubInput, Known};
use crate::{
    batch::{BatchBuilder, DecidedBatch, PendingReply},
    journal::{AppendError, Batch},
    kernel::{ids::Offset, user::Progress},
};

/// A hub that knows its log.
pub(super) struct Working<'a> {
    pub hub: &'a mut Common,
    pub known: &'a mut Known,
}

/// The end of a batch after which the log has to be read back (DEL-7).
pub(super) struct Lost {
    /// The replies that were not sent.
    pub replies: Vec<PendingReply>,
}

impl Working<'_> {
    /// Decides all queued inputs, appends the result, sends the replies.
    pub(super) async fn batch(&mut self, input: HubInput) -> Result<(), Lost> {
        let mut batch = BatchBuilder::new(self.known.view.head());
        let at = self.hub.now();
        for (run_id, past) in std::mem::take(&mut self.known.orphans) {
            self.resume_or_end(&mut batch, run_id, past, at);
        }
        self.hold_trials(&mut batch, at);
        self.enforce_deadlines();
        let mut next = Some(input);
        while let Some(input) = next {
            batch.count_command();
            self.handle(&mut batch, input, at).await;
            next = if self.has_room(&batch) { self.next_waiting(&batch) } else { None };
        }
        self.commit(batch.finish()).await?;
        self.await_trial();
        Ok(())
    }

    /// Returns the next queued input, alternating between clients and agents (ISO-6).
    fn next_waiting(&mut self, batch: &BatchBuilder) -> Option<HubInput> {
        let Self { hub, known } = self;
        if let Some(command) = known.own.pop_front() {
            return Some(HubInput::Own(command));
        }
        if batch.commands().is_multiple_of(2) {
            let request = hub.requests.try_recv().ok().map(HubInput::Request);
            request.or_else(|| known.agent_commands.try_recv().ok().map(HubInput::AgentCommand))
        } else {
            let command = known.agent_commands.try_recv().ok().map(HubInput::AgentCommand);
            command.or_else(|| hub.requests.try_recv().ok().map(HubInput::Request))
        }
    }

    fn has_room(&self, batch: &BatchBuilder) -> bool {
        let limits = &self.hub.shared.limits;
        // A message of this batch must still be among the recent ones, because the journal does not have it yet
        // (DEL-6).
        let commands_max = limits.hub.batch_commands_max.min(limits.kernel.recent_messages_max);
        !batch.is_stale()
            && !batch.erases()
            && batch.bytes() < limits.hub.batch_bytes_max
            && batch.commands() < commands_max
    }

    /// Appends the batch, then sends replies and carries out effects (DEL-1).
    async fn commit(&mut self, decided: DecidedBatch) -> Result<(), Lost> {
        let DecidedBatch { entries, lines, effects, replies, resumes, erasures, stale } = decided;
        if stale {
            self.hub.observer.dropped(Offset(lines.first().0 - 1));
            return Err(Lost { replies });
        }
        if entries.is_empty() && resumes.is_empty() && erasures.is_empty() {
            self.hub.observer.unchanged(self.known.view.head());
        } else {
            let count = entries.len() as u64;
            let expected = Offset(lines.first().0 - 1);
            let begun = Instant::now();
            let spending = self.spending_with(lines.as_bytes().len(), self.hub.last_at);
            let erases = !erasures.is_empty();
            let executor = Some(self.hub.shared.incarnation);
            let batch = Batch {
                resumes,
                spending,
                erasures,
                executor,
                fence: self.known.fence,
                ..Batch::new(expected, entries, lines.clone())
            };
            let fence = batch.fence_after();
            let appended = self.hub.log.append(batch).await;
            metrics::histogram!("quintet_append_seconds").record(begun.elapsed().as_secs_f64());
            if let Err(error) = appended {
                self.note_failure(&error);
                return Err(Lost { replies });
            }
            self.known.fence = fence;
            if count > 0 {
                self.known.spending = spending;
                metrics::counter!("quintet_entries_appended_total").increment(count);
                metrics::counter!("quintet_batches_appended_total").increment(1);
                metrics::counter!("quintet_appended_bytes_total").increment(lines.as_bytes().len() as u64);
                if erases {
                    // DEL-8: what is being erased is no longer read from memory.
                    self.hub.tail.raise(lines.last());
                } else {
                    self.hub.tail.publish(lines);
                }
                let idle = Duration::from_millis(self.hub.shared.limits.hub.tail_idle_timeout_ms);
                self.hub.tail_clears = Some(Instant::now() + idle);
            }
            if erases {
                self.hub.tail.clear();
            }
        }
        let mut unread = false;
        for effect in effects {
            if let Err(error) = self.apply(effect).await {
                tracing::error!(user_id = %self.hub.user_id, %error, "a message cannot be read back");
                unread = true;
            }
        }
        replies.into_iter().for_each(PendingReply::send);
        if unread {
            // An accepted run starts once the journal is back, and does not fail with it (RUN-6).
            return Err(Lost { replies: Vec::new() });
        }
        self.settle();
        Ok(())
    }

    fn note_failure(&self, error: &AppendError) {
        let user_id = &self.hub.user_id;
        match error {
            AppendError::Conflict { .. } | AppendError::Contended => {
                metrics::counter!("quintet_append_failures_total", "reason" => "conflict").increment(1);
                tracing::warn!(%user_id, %error, "another writer appended first");
            }
            AppendError::Journal(_) => {
                metrics::counter!("quintet_append_failures_total", "reason" => "journal").increment(1);
                tracing::error!(%user_id, %error, "an append failed");
            }
        }
    }

    /// Keeps a handle exactly while a run is open or an erasure is under way (ISO-5), and updates the process-wide
    /// counts.
    fn settle(&mut self) {
        let runs = self.known.view.open_runs();
        let open = !runs.is_empty();
        let waiting = runs.values().filter(|run| matches!(run.progress, Progress::Waiting)).count();
        let active_runs = self.known.signals.keys().filter(|run_id| !self.is_quiesced(**run_id)).count();
        self.hub.count(active_runs, waiting);
        self.known.erasing.start(&self.hub.log, self.known.view.erasures(), &self.hub.shared.limits.hub);
        if !open && self.known.view.erasures().is_empty() {
            self.hub.lease = None;
        }
    }
}
