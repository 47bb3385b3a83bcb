//! Limits of a remote agent.

quintet_runtime::limits! {
    /// Limits of the runs of one remote agent. Each is a key of its configuration.
    pub struct RemoteLimits {
        /// Time from a request to the first event of its response, in milliseconds.
        pub first_event_timeout_ms: u64 = 60_000, in 1..=3_600_000;
        /// Time without a byte after which a response counts as broken, in milliseconds.
        pub idle_timeout_ms: u64 = 120_000, in 1..=3_600_000;
        /// Shortest pause between two deltas of a text, in milliseconds; deltas that arrive in between are joined.
        pub delta_pause_ms: u64 = 40, in 0..=10_000;
        /// Length of one event, in bytes.
        pub event_bytes_max: usize = 4 * 1024 * 1024, in 1_024..=268_435_456;
        /// Events of one run.
        pub run_events_max: u64 = 1_000_000, in 1..=100_000_000;
        /// Bytes of all events of one run.
        pub run_bytes_max: u64 = 256 * 1024 * 1024, in 1_024..=1_099_511_627_776;
        /// Length of an id, in bytes.
        pub id_bytes_max: usize = 1_024, in 16..=65_536;
        /// Messages, steps and reasoning messages that are open at the same time.
        pub open_messages_max: usize = 64, in 1..=10_000;
        /// Calls that are open at the same time.
        pub open_calls_max: usize = 64, in 1..=10_000;
        /// Calls of one run.
        pub run_calls_max: usize = 1_024, in 1..=100_000;
        /// Length of the arguments of one call, in bytes.
        pub arguments_bytes_max: usize = 64 * 1024, in 2..=16_777_216;
        /// Text that waits for the end of a message that began earlier, in bytes.
        pub held_text_bytes_max: usize = 1024 * 1024, in 1..=268_435_456;
        /// Questions of one response.
        pub interrupts_max: usize = 32, in 1..=1_000;
        /// Requests of one run: the first, and one for each time that the agent waits for answers.
        pub requests_max: usize = 32, in 1..=10_000;
        /// Reconnects of one request, if the agent is resumable.
        pub reconnects_max: u32 = 3, in 0..=100;
        /// Further attempts of a request that was not answered with an event.
        pub retries_max: u32 = 2, in 0..=100;
        /// Pause before the first further attempt, in milliseconds; it doubles with each one.
        pub retry_pause_ms: u64 = 500, in 1..=600_000;
        /// Longest pause, in milliseconds, also when the agent asks for a longer one.
        pub retry_pause_max_ms: u64 = 30_000, in 1..=3_600_000;
        /// Bytes of earlier runs of the thread that are sent with a message; 0 for agents that keep threads themselves.
        pub conversation_bytes_max: usize = 256 * 1024, in 0..=67_108_864;
    }
}
