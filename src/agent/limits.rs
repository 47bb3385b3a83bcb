//! The bounds of what all agents share, and of each user's part in it (ISO-6).

crate::limits! {
    /// Bounds of the agents' threads and of what they read.
    pub struct AgentLimits {
        /// Threads of the agents at most; there are as many as the machine has cores, and at least 4.
        pub agent_threads_max: usize = 64, in 4..=1_024;
        /// Agents of one user that compute at the same time, each on a thread; always fewer than there are
        /// threads. Agents that wait do not count.
        pub agent_user_turns_max: usize = 1, in 1..=1_024;
        /// Threads for agents' blocking work.
        pub agent_blocking_threads_max: usize = 64, in 1..=1_024;
        /// Searches of the history that hold a page in memory at the same time.
        pub searches_max: usize = 16, in 1..=10_000;
        /// Searches of one user that run at the same time; one more waits.
        pub user_searches_max: usize = 1, in 1..=10_000;
        /// Bytes of the log that one search reads; then it ends with `complete: false`.
        pub search_bytes_max: usize = 16 * 1024 * 1024, in 1_024..=1_073_741_824;
        /// Entries of the log that one search reads; then it ends with `complete: false`.
        pub search_entries_max: usize = 20_000, in 1..=10_000_000;
    }
}
