//! The limits of a model agent.

use quintet_upstream::retry::RetryLimits;

quintet_runtime::limits! {
    /// Limits of one model agent.
    pub struct ModelLimits {
        /// Time until the head of a response, in milliseconds.
        pub first_byte_timeout_ms: u64 = 60_000, in 1..=3_600_000;
        /// Time without a byte after which a response counts as broken, in milliseconds.
        pub idle_timeout_ms: u64 = 120_000, in 1..=3_600_000;
        /// Time for the token counts after the end of an answer, and for the body of a refusal, in
        /// milliseconds.
        pub usage_timeout_ms: u64 = 5_000, in 1..=600_000;
        /// Length of one event of a response, in bytes.
        pub event_bytes_max: usize = 1024 * 1024, in 1_024..=268_435_456;
        /// Length of one response, in bytes of its events.
        pub response_bytes_max: usize = 16 * 1024 * 1024, in 1_024..=1_073_741_824;
        /// Further attempts of a request that failed before its first token.
        pub retries_max: u32 = 4, in 0..=100;
        /// Pause before the first further attempt, in milliseconds; it doubles with each one.
        pub retry_pause_ms: u64 = 500, in 1..=600_000;
        /// Longest pause between two attempts, in milliseconds, also when the service asks for a longer one.
        pub retry_pause_max_ms: u64 = 30_000, in 1..=3_600_000;
        /// Pause between two deltas of one run, in milliseconds: text that arrives meanwhile is joined.
        pub delta_pause_ms: u64 = 40, in 0..=10_000;
        /// Time without a delta after which a run reports that it waits for its model, in milliseconds, so that its step
        /// timeout does not end it. It is to be less than `step_timeout_ms`.
        pub wait_notice_ms: u64 = 20_000, in 10..=3_600_000;
        /// Time for which a run waits for the first start of servers of tools, in milliseconds.
        pub tools_wait_ms: u64 = 10_000, in 0..=600_000;
        /// Responses of the model in one run.
        pub model_rounds_max: usize = 16, in 1..=1_000;
        /// Tool calls of one response; one with more is refused.
        pub response_calls_max: usize = 128, in 1..=10_000;
        /// Tool calls of one response that are executed; further ones are answered with an error.
        pub round_calls_max: usize = 32, in 1..=1_000;
        /// Tool calls of one run that are executed at the same time.
        pub parallel_calls_max: usize = 8, in 1..=64;
        /// Length of a request, in tokens, which are estimated as one for every 3 bytes.
        pub context_tokens_max: u64 = 32_000, in 256..=100_000_000;
        /// Length of one response, in tokens; 0 for the limit of the provider. With a limit, concurrent runs reserve
        /// their longest responses of `user_tokens_per_day_max`, and do not exceed it together.
        pub output_tokens_max: u64 = 0, in 0..=100_000_000;
        /// Tokens of one run; 0 for no limit.
        pub run_tokens_max: u64 = 0, in 0..=1_000_000_000_000;
        /// Tokens of the runs of one thread; 0 for no limit.
        pub thread_tokens_max: u64 = 0, in 0..=1_000_000_000_000;
        /// Tokens of the runs of one user on one day (UTC); 0 for no limit.
        pub user_tokens_per_day_max: u64 = 0, in 0..=1_000_000_000_000;
        /// Entries of the user's log that are read to count tokens.
        pub usage_entries_max: usize = 100_000, in 1..=10_000_000;
    }
}

impl ModelLimits {
    /// Returns the limits of the retries.
    pub(crate) fn retries(&self) -> RetryLimits {
        RetryLimits {
            retries_max: self.retries_max,
            retry_pause_ms: self.retry_pause_ms,
            retry_pause_max_ms: self.retry_pause_max_ms,
        }
    }
}
