//! The order in which runs are resumed, and the counting of resumes (RUN-6).

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use tokio::time::Instant;

use super::batch::Working;
use crate::{
    batch::{BatchBuilder, RunEffect},
    journal::ResumeRecord,
    kernel::{
        entry::{RunError, RunErrorCode},
        ids::{CallId, RunId, Timestamp},
        run::{AnyRun, EarlyEnd},
        user::{Command, Progress, Reply, Resumes},
    },
    recovery::Past,
    trials::TrialPermit,
};

/// The resumed runs of one user.
#[derive(Default)]
pub(super) struct ResumedRuns {
    /// The resume records of the open runs.
    pub records: BTreeMap<RunId, ResumeRecord>,
    /// Suspected runs that wait for their trial.
    pub suspects: BTreeMap<RunId, Past>,
    permit: Permit,
    trial: Option<Trial>,
}

#[derive(Default)]
enum Permit {
    #[default]
    None,
    Awaited(Pin<Box<dyn Future<Output = TrialPermit> + Send>>),
    Granted(TrialPermit),
}

/// The trial in progress: a suspected run that has not yet shown that the process survives it.
struct Trial {
    run_id: RunId,
    timeout: Duration,
    /// `None` until its agent is launched.
    ends: Option<Instant>,
    _permit: TrialPermit,
}

impl ResumedRuns {
    /// Creates the state from the resume records of the open runs.
    pub(super) fn of(records: BTreeMap<RunId, ResumeRecord>) -> Self {
        Self { records, ..Self::default() }
    }

    /// Waits for the permit of the next trial; for ever if no run waits for one.
    pub(super) async fn granted(&mut self) {
        let Permit::Awaited(permit) = &mut self.permit else { return std::future::pending().await };
        let granted = permit.await;
        self.permit = Permit::Granted(granted);
    }

    /// Returns the time at which the trial in progress times out.
    pub(super) fn trial_ends(&self) -> Option<Instant> {
        self.trial.as_ref().and_then(|trial| trial.ends)
    }

    /// Starts the timeout of a trial when its agent is launched.
    pub(super) fn launched(&mut self, run_id: RunId) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.run_id == run_id) {
            trial.ends = Some(Instant::now() + trial.timeout);
        }
    }

    /// Ends the trial of a run that has made a step since its launch, waits for its client, or has ended.
    pub(super) fn outlived(&mut self, run_id: RunId) {
        if self.trial.as_ref().is_some_and(|trial| trial.run_id == run_id && trial.ends.is_some()) {
            self.trial = None;
        }
    }

    pub(super) fn completed(&mut self, run_id: RunId) {
        self.records.remove(&run_id);
        self.suspects.remove(&run_id);
        if self.trial.as_ref().is_some_and(|trial| trial.run_id == run_id) {
            self.trial = None;
        }
    }
}

impl Working<'_> {
    /// Resumes a run without an agent, or ends it if it cannot be resumed (RUN-6, RUN-9). A suspected run is
    /// queued for its trial.
    pub(super) fn resume_or_end(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        past: Past,
        at: Timestamp,
    ) {
        if batch.is_stale() {
            return;
        }
        let Some(open) = self.known.view.open_runs().get(&run_id) else { return };
        let Progress::Begun(run) = &open.progress else { return };
        if !self.hub.shared.agents.find(&open.agent_name).is_some_and(|treatment| treatment.resumable) {
            let error = RunError {
                code: RunErrorCode::NodeLost,
                message: "the service stopped while the run was open, and its agent cannot resume it"
                    .to_owned(),
            };
            self.decide(batch, Command::Cut { run_id, cut: EarlyEnd::Interrupted(error) }, at);
            return;
        }
        let counting = self.counting(run_id, &past);
        let suspected = counting.without_step > 0 && !self.is_resumed_here(run_id);
        if suspected && counting.limit_reached(&self.hub.shared.limits.kernel).is_none() {
            // Its age is measured from here, so that a clock that is set meanwhile does not end it.
            self.hub.deadlines.queued(run_id, run, &past.waited, Instant::now(), at);
            self.known.resumed.suspects.insert(run_id, past);
        } else {
            self.resume(batch, run_id, past, counting, at);
        }
    }

    /// Ends a trial that timed out, and starts the next one if there is a permit.
    pub(super) fn hold_trials(&mut self, batch: &mut BatchBuilder, at: Timestamp) {
        if self.known.resumed.trial_ends().is_some_and(|ends| ends <= Instant::now())
            && let Some(trial) = &self.known.resumed.trial
        {
            self.prove(batch, trial.run_id);
        }
        if !matches!(self.known.resumed.permit, Permit::Granted(_)) || self.known.resumed.trial.is_some() {
            return;
        }
        let Permit::Granted(permit) = std::mem::take(&mut self.known.resumed.permit) else { return };
        // A draining process resumes no more runs; the next process does (CONN-6).
        if self.hub.shared.is_draining() {
            return;
        }
        let Some((run_id, past)) = self.known.resumed.suspects.pop_first() else { return };
        let counting = self.counting(run_id, &past);
        let timeout = Duration::from_millis(self.hub.shared.limits.hub.resume_trial_timeout_ms);
        self.known.resumed.trial = Some(Trial { run_id, timeout, ends: None, _permit: permit });
        tracing::info!(%run_id, resumes = counting.without_step, "a suspected run is resumed on its own");
        if !self.resume(batch, run_id, past, counting, at) {
            self.known.resumed.trial = None;
        }
    }

    /// Requests a permit if a suspected run waits for a trial.
    pub(super) fn await_trial(&mut self) {
        let wanted = !self.known.resumed.suspects.is_empty() && self.known.resumed.trial.is_none();
        if wanted && matches!(self.known.resumed.permit, Permit::None) && !self.hub.shared.is_draining() {
            self.known.resumed.permit = Permit::Awaited(Box::pin(self.hub.shared.trials.permit()));
        }
    }

    /// Resumes a run. Returns false if it was ended instead.
    fn resume(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        mut past: Past,
        counting: Resumes,
        at: Timestamp,
    ) -> bool {
        let Some((open, run)) = self.begun(run_id) else { return false };
        let agents = &self.hub.shared.agents;
        let again =
            |call: &&CallId| agents.is_idempotent(&open.agent_name, &run.open_calls()[*call].tool_name);
        let keep = run.open_calls().keys().filter(again).cloned().collect();
        match self.decide(batch, Command::Resume { run_id, keep, resumes: counting }, at) {
            Some(Ok((Reply::Done, entries))) => {
                past.events.extend(entries);
                if !self.is_resumed_here(run_id)
                    && let Some((_, run)) = self.begun(run_id)
                {
                    let record =
                        ResumeRecord::resumed(run_id, counting, run.seq(), self.hub.shared.incarnation);
                    // Durable before the launch, because the agent may crash the process at once.
                    self.record(batch, record);
                }
                batch.effect(RunEffect::Resumed { run_id, past });
                true
            }
            Some(Ok((Reply::ResumeLimit(limit), _))) => {
                metrics::counter!("quintet_resume_limits_total", "limit" => limit).increment(1);
                tracing::error!(
                    %run_id, limit, resumes = counting.without_step, resumes_total = counting.total,
                    "a run is ended: the service stopped unexpectedly whenever it resumed it"
                );
                false
            }
            _ => false,
        }
    }

    /// Records that a run survived its resume without a step, so that the next process does not suspect it.
    pub(super) fn prove(&mut self, batch: &mut BatchBuilder, run_id: RunId) {
        let record = self.known.resumed.records.get(&run_id).copied();
        if let Some(record) = record.filter(|record| record.counted.without_step > 0) {
            self.record(batch, record.proven());
        }
        batch.effect(RunEffect::Outlived { run_id });
    }

    fn record(&mut self, batch: &mut BatchBuilder, record: ResumeRecord) {
        batch.record(record);
        self.known.resumed.records.insert(record.run_id, record);
    }

    fn counting(&self, run_id: RunId, past: &Past) -> Resumes {
        let record = self.known.resumed.records.get(&run_id);
        ResumeRecord::counting(record, past.last_step, self.hub.shared.incarnation)
    }

    /// Returns true if this process has resumed the run before, such as before a failure of the journal. Then
    /// it does not count as a new resume.
    fn is_resumed_here(&self, run_id: RunId) -> bool {
        let record = self.known.resumed.records.get(&run_id);
        record.is_some_and(|record| record.incarnation == Some(self.hub.shared.incarnation))
    }

    fn begun(&self, run_id: RunId) -> Option<(&crate::kernel::user::OpenRun, &AnyRun)> {
        let open = self.known.view.open_runs().get(&run_id)?;
        match &open.progress {
            Progress::Begun(run) => Some((open, run)),
            Progress::Waiting => None,
        }
    }
}
