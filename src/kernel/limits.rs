//! Every bound that the kernel keeps, by name; what is reached answers with `limit_reached` or
//! `too_large`, never with growth.

/// The bounds of one user's machines. Units stand last in each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of one message's `text`.
    pub text_bytes_max: usize,
    /// Bytes of one thought's `delta`.
    pub delta_bytes_max: usize,
    /// Bytes of a call's `parameters`.
    pub parameters_bytes_max: usize,
    /// Bytes of a call's `results` and `error` together.
    pub results_bytes_max: usize,
    /// Bytes of all `answer` deltas of a run since its last reset.
    pub answer_bytes_max: usize,
    /// Calls of one run open at once.
    pub open_calls_max: usize,
    /// Calls of one run in all.
    pub run_calls_max: usize,
    /// Events of one run, the terminal ones not counted.
    pub run_events_max: u64,
    /// Runs of one user that are accepted and not completed.
    pub open_runs_max: usize,
    /// Messages waiting behind the active run of one thread.
    pub queued_messages_max: usize,
    /// The user's latest messages that are remembered in memory for idempotency; older ones are
    /// looked up in the journal.
    pub recent_messages_max: usize,
    /// Resumes of one run without a new durable step of its agent, each by a process that then died; the
    /// run then ends as `failed`, code `resume_limit` (RUN-6).
    pub run_resumes_max: u32,
    /// Resumes of one run in all, each by a process that then died; the run then ends in the same way.
    pub run_resumes_total_max: u32,
}

impl Limits {
    /// What the service runs with unless it is told otherwise.
    pub const DEFAULT: Limits = Limits {
        text_bytes_max: 64 * 1024,
        delta_bytes_max: 64 * 1024,
        parameters_bytes_max: 64 * 1024,
        results_bytes_max: 256 * 1024,
        answer_bytes_max: 1024 * 1024,
        open_calls_max: 64,
        run_calls_max: 4096,
        run_events_max: 10_000_000,
        open_runs_max: 256,
        queued_messages_max: 64,
        recent_messages_max: 256,
        run_resumes_max: 2,
        run_resumes_total_max: 32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's own, and the same promise for what an agent says.
    #[test]
    fn the_limits_are_those_that_clients_and_agents_are_told() {
        let limits = Limits::default();
        assert_eq!((limits.text_bytes_max, limits.delta_bytes_max), (65_536, 65_536));
        assert_eq!((limits.parameters_bytes_max, limits.results_bytes_max), (65_536, 262_144));
        assert_eq!(limits.answer_bytes_max, 1_048_576);
    }
}
