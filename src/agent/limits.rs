//! Limits of the resources that all agents share, and of each user's part of them (ISO-6).

quintet_runtime::limits! {
    /// Limits of the agents' threads and of their reads.
    pub struct AgentLimits {
        /// Greatest number of threads of the agents; there are as many as the machine has cores, and at least
        /// 4.
        pub agent_threads_max: usize = 64, in 4..=1_024;
        /// Agents of one user that compute at the same time, each on a thread; always fewer than there are
        /// threads. Agents that wait do not count.
        pub user_agent_threads_max: usize = 1, in 1..=1_024;
        /// Threads for the blocking work of agents.
        pub agent_blocking_threads_max: usize = 64, in 1..=1_024;
        /// Time for which the runs of an earlier process wait at the start for the tools of MCP servers, in milliseconds.
        pub tools_wait_ms: u64 = 10_000, in 0..=600_000;
        /// Concurrent searches of histories, each of which holds a page in memory.
        pub searches_max: usize = 16, in 1..=10_000;
        /// Concurrent searches of one user; a further one waits.
        pub user_searches_max: usize = 1, in 1..=10_000;
        /// Bytes of the log that one search reads; a longer search ends with `complete: false`.
        pub search_bytes_max: usize = 16 * 1024 * 1024, in 1_024..=1_073_741_824;
        /// Entries of the log that one search reads; a longer search ends with `complete: false`.
        pub search_entries_max: usize = 20_000, in 1..=10_000_000;
    }
}
