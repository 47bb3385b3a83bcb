//! Bounds on what one user may store, held before anything is decided (ISO-6).
//!
//! ```text
//!                        bytes of the day          free bytes of the disk
//!   new message          below 7/8 of the limit    at the minimum or above
//!   answer to a call     below the limit           –
//!   step of an agent     below the limit           at half of the minimum or above
//!   end of a run, cancel always                    always
//! ```
//!
//! Guarantee: an accepted run ends, also past a limit (RUN-6); past a limit a log grows by ends alone,
//! of which there are at most `open_runs_max`.

use super::batch::Working;
use crate::{
    agent::host::RunEnded,
    batch::BatchBuilder,
    handle::RequestError,
    kernel::{
        entry::{RunError, RunErrorCode},
        ids::{RunId, Timestamp},
        run::EarlyEnd,
        spending::Spending,
        user::{AgentStep, Command, Refusal},
    },
    room::{self, Room},
    runtime::saturation::Scope,
};

/// The part of a day's bytes, as a divisor, that is left to runs that are open.
const RUNS_SHARE: u64 = 8;

/// Time after which a message that the disk had no room for may be sent again.
const DISK_RETRY_MS: u64 = 5_000;

/// Of the limits, as settings name them.
const DAY: &str = "user_bytes_per_day_max";

impl Working<'_> {
    /// Refuses a message that is new while there is no room for it and its run.
    pub(super) fn require_room(&self, batch: &BatchBuilder, at: Timestamp) -> Result<(), RequestError> {
        if self.hub.shared.room() != Room::Enough {
            self.hub.shared.saturation.reached(room::SETTING, Scope::Service);
            return Err(RequestError::DiskNearlyFull { retry_after_ms: DISK_RETRY_MS });
        }
        let max = self.hub.shared.limits.hub.user_bytes_per_day_max;
        self.require_bytes(batch, max - max / RUNS_SHARE, at)
    }

    /// Refuses what the user adds to an open run while the day's bytes are spent.
    pub(super) fn require_bytes_of_day(
        &self,
        batch: &BatchBuilder,
        at: Timestamp,
    ) -> Result<(), RequestError> {
        self.require_bytes(batch, self.hub.shared.limits.hub.user_bytes_per_day_max, at)
    }

    fn require_bytes(&self, batch: &BatchBuilder, bytes_max: u64, at: Timestamp) -> Result<(), RequestError> {
        match self.wait_ms(batch, bytes_max, at) {
            None => Ok(()),
            Some(retry_after_ms) => {
                self.hub.shared.saturation.reached(DAY, Scope::User);
                Err(RequestError::LimitReached { limit: DAY, retry_after_ms })
            }
        }
    }

    /// Returns the limit that a step of an agent is over, if any.
    pub(super) fn over_limit(
        &self,
        batch: &BatchBuilder,
        step: &AgentStep,
        at: Timestamp,
    ) -> Option<&'static str> {
        if matches!(step, AgentStep::Complete(_)) {
            return None;
        }
        if self.hub.shared.room() == Room::Reserved {
            return Some(room::SETTING);
        }
        let max = self.hub.shared.limits.hub.user_bytes_per_day_max;
        self.wait_ms(batch, max, at).map(|_| DAY)
    }

    /// Ends a run whose agent is over `limit`, as `failed` (RUN-6).
    pub(super) fn end_at_limit(
        &mut self,
        batch: &mut BatchBuilder,
        run_id: RunId,
        limit: &'static str,
        at: Timestamp,
    ) -> RunEnded {
        let scope = if limit == room::SETTING { Scope::Service } else { Scope::User };
        self.hub.shared.saturation.reached(limit, scope);
        let error = RunError { code: RunErrorCode::LimitReached, message: format!("{limit} is reached") };
        match self.decide(batch, Command::Cut { run_id, cut: EarlyEnd::Failed(error) }, at) {
            Some(Ok(_)) => RunEnded::LimitReached(limit),
            Some(Err(_)) => RunEnded::Ended,
            None => RunEnded::Unavailable,
        }
    }

    /// Records that the kernel refused a command over a limit of one user.
    pub(super) fn note_refusal(&self, refusal: &Refusal) {
        if let Refusal::LimitReached(limit) = refusal {
            self.hub.shared.saturation.reached(limit, Scope::User);
        }
    }

    /// Returns the level of the user's day once a batch of `bytes` is appended at `at`.
    pub(super) fn spending_with(&self, bytes: usize, at: Timestamp) -> Spending {
        self.known.spending.plus(bytes as u64, self.hub.shared.limits.hub.user_bytes_per_day_max, at)
    }

    /// Returns the time until the user's day is below `bytes_max`, this turn included; `None` if it is, or if
    /// nothing is counted.
    fn wait_ms(&self, batch: &BatchBuilder, bytes_max: u64, at: Timestamp) -> Option<u64> {
        let day_bytes_max = self.hub.shared.limits.hub.user_bytes_per_day_max;
        if day_bytes_max == 0 {
            return None;
        }
        self.spending_with(batch.bytes(), at).wait_ms(bytes_max, day_bytes_max, at)
    }
}
