//! The resource limits of a user's machines. At a limit a request fails with `limit_reached` or `too_large`;
//! memory does not grow beyond it.

/// The limits of one user's machines. Each name ends in unit and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of a message's `text`.
    pub text_bytes_max: usize,
    /// Bytes of an `agent_thinking`'s `delta`.
    pub delta_bytes_max: usize,
    /// Bytes of a call's `parameters`.
    pub parameters_bytes_max: usize,
    /// Bytes of a call's `results` and `error` together.
    pub results_bytes_max: usize,
    /// Bytes of all `answer` deltas of a run since its last reset.
    pub answer_bytes_max: usize,
    /// Concurrently open calls of one run.
    pub open_calls_max: usize,
    /// Total calls of one run.
    pub run_calls_max: usize,
    /// Events of one run, without those that end it.
    pub run_events_max: u64,
    /// Runs of one user that are accepted and not yet completed.
    pub open_runs_max: usize,
    /// Messages queued behind the active run of one thread.
    pub queued_messages_max: usize,
    /// Latest messages of the user whose ids are kept in memory for idempotency (DEL-6); older ones are
    /// looked up in the journal.
    pub recent_messages_max: usize,
    /// Resumes of one run without a new durable step of its agent, each by a process that then died; the
    /// run then ends as `failed`, code `resume_limit` (RUN-6).
    pub run_resumes_max: u32,
    /// Resumes of one run in all, each by a process that then died; the run then ends in the same way.
    pub run_resumes_total_max: u32,
    /// Erasures of one user whose end is not in the log; a further one is refused (DEL-8).
    pub erasures_open_max: usize,
}

impl Limits {
    /// The default limits.
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
        erasures_open_max: 8,
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

    /// The defaults are the documented limits of clients and agents.
    #[test]
    fn limits_are_those_documented_for_clients_and_agents() {
        let limits = Limits::default();
        assert_eq!((limits.text_bytes_max, limits.delta_bytes_max), (65_536, 65_536));
        assert_eq!((limits.parameters_bytes_max, limits.results_bytes_max), (65_536, 262_144));
        assert_eq!(limits.answer_bytes_max, 1_048_576);
    }
}
