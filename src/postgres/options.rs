//! Settings and fixed limits.

use std::path::PathBuf;

quintet_runtime::limits! {
    /// Limits of a journal in PostgreSQL.
    pub struct PostgresLimits {
        /// Connections that append. Each user belongs to one of them.
        pub postgres_writer_connections: usize = 2, in 1..=16;
        /// Connections that read, trim and erase.
        pub postgres_reader_connections_max: usize = 6, in 1..=256;
        /// Appends queued for a writer; a further one waits for room.
        pub postgres_waiting_appends_max: usize = 4_096, in 1..=1_000_000;
        /// Users that share one commit.
        pub postgres_commit_users_max: usize = 256, in 1..=4_096;
        /// Bytes of entries at which no further append joins a commit.
        pub postgres_commit_bytes_max: usize = 1_048_576, in 1..=67_108_864;
        /// Time to connect and authenticate, in milliseconds.
        pub postgres_connect_timeout_ms: u64 = 5_000, in 100..=60_000;
        /// Time that a commit may take, in milliseconds. After it the connection is given up, and the outcome is read back.
        pub postgres_append_timeout_ms: u64 = 30_000, in 100..=600_000;
        /// Time that a query, or one step of trimming or erasure, may take, in milliseconds, with its wait for a connection.
        pub postgres_read_timeout_ms: u64 = 10_000, in 100..=600_000;
        /// Time that the end of an append of unknown outcome is waited for at once, in milliseconds.
        pub postgres_settle_timeout_ms: u64 = 5_000, in 100..=60_000;
        /// Longest time between two attempts to connect a writer, in milliseconds.
        pub postgres_reconnect_interval_ms_max: u64 = 2_000, in 10..=60_000;
        /// Time after which the lease of a node that was not renewed expires, by the clock of the database, in milliseconds.
        pub postgres_lease_ms: u64 = 10_000, in 1_000..=600_000;
        /// Time between two renewals of the lease, in milliseconds. Two of them and the margin have to fit into the lease.
        pub postgres_renewal_interval_ms: u64 = 2_500, in 100..=200_000;
        /// Time for which the wake-ups of other nodes are collected into one notification, in milliseconds.
        pub postgres_wake_interval_ms: u64 = 5, in 1..=1_000;
        /// Users that are named in the wake-ups of one interval; if there are more, all are woken.
        pub postgres_wake_users_max: usize = 4_096, in 1..=1_000_000;
        /// Time between two polls for the appends of other nodes, in case a wake-up was lost, in milliseconds.
        pub postgres_poll_interval_ms: u64 = 500, in 10..=60_000;
        /// Users in one query of a poll.
        pub postgres_poll_users_max: usize = 1_000, in 1..=100_000;
        /// Time before the end of its lease at which a node gives it up, in milliseconds. The clocks of the hosts that the database fails over to must agree within it.
        pub postgres_lease_margin_ms: u64 = 1_000, in 50..=60_000;
    }
}

/// The settings of a journal in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The address, as a URL (`postgres://user@host/database`) or in the key-value form of libpq. Several hosts may be
    /// named; the one that accepts writes is used. It may contain a password and is not logged.
    pub url: String,
    /// A PEM file with the authorities that certify the server; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// The limits.
    pub limits: PostgresLimits,
    /// Run records kept of each user after their entries are trimmed. A message id is remembered as long as its record
    /// (DEL-6).
    pub run_records_max: u64,
    /// True to keep other processes out while this one serves the database. Without it the process is one of several nodes.
    pub exclusive: bool,
}

impl PostgresOptions {
    /// Returns the default settings for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            limits: PostgresLimits::DEFAULT,
            run_records_max: 100_000,
            exclusive: true,
        }
    }
}

/// Users whose head and chain a writer caches.
pub(crate) const USERS_AT_HAND_MAX: usize = 65_536;
/// Rows that one statement of a read returns at most.
pub(crate) const READ_ROWS_MAX: usize = 256;
/// Bytes of rows that one statement of a read returns at most, or one row.
pub(crate) const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows that are trimmed in one transaction.
pub(crate) const TRIM_ROWS_MAX: i64 = 512;
/// Users that are examined by one statement of trimming.
pub(crate) const TRIM_USERS_MAX: i64 = 256;
/// Entries that one step of an erasure examines.
pub(crate) const ERASE_ENTRIES_MAX: usize = 1024;
/// Bytes of entries at which a step of an erasure ends; the row that reaches the limit is its last.
pub(crate) const ERASE_BYTES_MAX: usize = 1024 * 1024;
/// First wait after a failed connection of a writer, in milliseconds; it doubles up to its limit.
pub(crate) const RECONNECT_INTERVAL_MS_MIN: u64 = 20;
/// Time until a connection for wake-ups is opened again, in milliseconds.
pub(crate) const WAKE_RETRY_MS: u64 = 500;
/// Attempts to renew a lease in the time between two renewals, after one without an answer.
pub(crate) const RENEWAL_RETRIES: u32 = 5;
/// Times that an append is tried whose row another transaction holds.
pub(crate) const CONTENDED_TRIES_MAX: usize = 4;
