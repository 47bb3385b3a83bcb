//! One batch of a hub that knows its log: from the first decision to the last effect.

use std::time::Duration;

use tokio::time::Instant;

use super::{Common, Input, Known};
use crate::{
    journal::{AppendError, Batch},
    kernel::{ids::Offset, user::Progress},
    user::turn::{Decided, Promise, Turn},
};

/// A hub that knows its log.
pub(super) struct Working<'a> {
    pub hub: &'a mut Common,
    pub known: &'a mut Known,
}

/// The end of a batch after which the log has to be read back (DEL-7).
pub(super) struct Lost {
    /// The replies that were not sent.
    pub promises: Vec<Promise>,
}

impl Working<'_> {
    /// Decides all queued inputs, appends the result, sends the replies.
    pub(super) async fn batch(&mut self, input: Input) -> Result<(), Lost> {
        let mut turn = Turn::new(self.known.view.head());
        let at = self.hub.now();
        for (run_id, past) in std::mem::take(&mut self.known.orphans) {
            self.resume_or_end(&mut turn, run_id, past, at);
        }
        self.hold_trials(&mut turn, at);
        self.look_after_runs();
        let mut next = Some(input);
        while let Some(input) = next {
            turn.count_command();
            self.handle(&mut turn, input, at).await;
            next = if self.has_room(&turn) { self.next_waiting(&turn) } else { None };
        }
        self.commit(turn.decided()).await?;
        self.await_trial();
        Ok(())
    }

    /// Returns the next queued input, alternating between clients and agents (ISO-6).
    fn next_waiting(&mut self, turn: &Turn) -> Option<Input> {
        let Self { hub, known } = self;
        if let Some(command) = known.own.pop_front() {
            return Some(Input::Own(command));
        }
        if turn.commands().is_multiple_of(2) {
            let request = hub.requests.try_recv().ok().map(Input::Request);
            request.or_else(|| known.orders.try_recv().ok().map(Input::Order))
        } else {
            let order = known.orders.try_recv().ok().map(Input::Order);
            order.or_else(|| hub.requests.try_recv().ok().map(Input::Request))
        }
    }

    fn has_room(&self, turn: &Turn) -> bool {
        let limits = &self.hub.shared.limits;
        // A message of this batch must still be among the recent ones, because the journal does not have it yet
        // (DEL-6).
        let commands_max = limits.hub.batch_commands_max.min(limits.kernel.recent_messages_max);
        !turn.is_stale() && turn.bytes() < limits.hub.batch_bytes_max && turn.commands() < commands_max
    }

    /// Appends the batch, then sends replies and carries out effects (DEL-1).
    async fn commit(&mut self, decided: Decided) -> Result<(), Lost> {
        let Decided { entries, lines, effects, promises, resumes, stale } = decided;
        if stale {
            self.hub.observer.dropped(Offset(lines.first().0 - 1));
            return Err(Lost { promises });
        }
        if entries.is_empty() && resumes.is_empty() {
            self.hub.observer.unchanged(self.known.view.head());
        } else {
            let count = entries.len() as u64;
            let expected = Offset(lines.first().0 - 1);
            let begun = Instant::now();
            let spending = self.spending_with(lines.as_bytes().len(), self.hub.last_at);
            let batch = Batch { expected, entries, lines: lines.clone(), resumes, spending };
            let appended = self.hub.log.append(batch).await;
            metrics::histogram!("quintet_append_seconds").record(begun.elapsed().as_secs_f64());
            if let Err(error) = appended {
                self.note_failure(&error);
                return Err(Lost { promises });
            }
            if count > 0 {
                self.known.spending = spending;
                metrics::counter!("quintet_entries_appended_total").increment(count);
                metrics::counter!("quintet_batches_appended_total").increment(1);
                metrics::counter!("quintet_appended_bytes_total").increment(lines.as_bytes().len() as u64);
                self.hub.tail.publish(lines);
                let idle = Duration::from_millis(self.hub.shared.limits.hub.tail_idle_ms_max);
                self.hub.tail_clears = Some(Instant::now() + idle);
            }
        }
        let mut unread = false;
        for effect in effects {
            if let Err(error) = self.carry_out(effect).await {
                tracing::error!(user_id = %self.hub.user_id, %error, "a message cannot be read back");
                unread = true;
            }
        }
        promises.into_iter().for_each(Promise::keep);
        if unread {
            // An accepted run starts once the journal is back, and does not fail with it (RUN-6).
            return Err(Lost { promises: Vec::new() });
        }
        self.settle();
        Ok(())
    }

    fn note_failure(&self, error: &AppendError) {
        let user_id = &self.hub.user_id;
        match error {
            AppendError::Conflict { .. } => {
                metrics::counter!("quintet_append_failures_total", "reason" => "conflict").increment(1);
                tracing::warn!(%user_id, %error, "another writer appended first");
            }
            AppendError::Journal(_) => {
                metrics::counter!("quintet_append_failures_total", "reason" => "journal").increment(1);
                tracing::error!(%user_id, %error, "an append failed");
            }
        }
    }

    /// Keeps a handle exactly while a run is open (ISO-5), and updates the process-wide counts.
    fn settle(&mut self) {
        let runs = self.known.view.open_runs();
        let open = !runs.is_empty();
        let waiting = runs.values().filter(|run| matches!(run.progress, Progress::Waiting)).count();
        let moving = self.known.signals.keys().filter(|run_id| !self.is_at_rest(**run_id)).count();
        self.hub.count(moving, waiting);
        if !open {
            self.hub.lease = None;
        }
    }
}
