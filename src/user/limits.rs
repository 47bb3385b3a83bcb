//! The limits of one user's machines.

use super::{deadline::DeadlineLimits, tail::TailLimits};
use crate::kernel::limits::Limits;

/// The limits of one user's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLimits {
    /// Limits of runs, threads and messages, which the kernel enforces.
    pub kernel: Limits,
    /// Timeouts of runs.
    pub deadlines: DeadlineLimits,
    /// Limits of the hub.
    pub hub: HubLimits,
    /// Limits of the tail.
    pub tail: TailLimits,
}

impl UserLimits {
    /// The default of every limit.
    pub const DEFAULT: UserLimits = UserLimits {
        kernel: Limits::DEFAULT,
        deadlines: DeadlineLimits::DEFAULT,
        hub: HubLimits::DEFAULT,
        tail: TailLimits::DEFAULT,
    };
}

quintet_runtime::limits! {
    /// The limits of one hub.
    pub struct HubLimits {
        /// Queued requests of one user's clients; a further one is refused as overload.
        pub hub_requests_max: usize = 64, in 1..=100_000;
        /// Queued steps of one user's agents; a further one waits in its agent.
        pub hub_steps_max: usize = 256, in 1..=100_000;
        /// Bytes by which one user's log may grow in a day, messages and events of runs: a bucket of this size,
        /// which drains evenly within a day; 0 does not count them. The last eighth is for runs that are open:
        /// before it new messages are refused with `limit_reached`, at its end a step of an agent ends its run.
        pub user_bytes_per_day_max: u64 = 1024 * 1024 * 1024, in 0..=1_000_000_000_000;
        /// Encoded bytes after which a batch takes no further command.
        pub batch_bytes_max: usize = 512 * 1024, in 1_024..=67_108_864;
        /// Commands in one batch.
        pub batch_commands_max: usize = 512, in 1..=100_000;
        /// Entries that one step of an erasure erases; between steps other users' work gets its turn (DEL-8, ISO-6).
        pub erase_step_entries_max: usize = 256, in 1..=100_000;
        /// Time without appends after which the tail of a log is dropped from memory.
        pub tail_idle_timeout_ms: u64 = 10_000, in 1..=86_400_000;
        /// Time from the resume of all other runs to the first trial of a suspected run: one that had been
        /// resumed and had made no step when the process died (RUN-6).
        pub resume_settle_timeout_ms: u64 = 500, in 0..=3_600_000;
        /// Time for which a suspected run is resumed on its own if it makes no step. A process that dies later
        /// in the run does not count as the first of the `run_resumes_max`.
        pub resume_trial_timeout_ms: u64 = 10_000, in 1..=3_600_000;
    }
}
