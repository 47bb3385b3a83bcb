//! Settings and fixed limits of the embedded engine.

/// The settings of the embedded engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// True: an acknowledged append survives a power loss (`synchronous=FULL`). False: it survives a crash of
    /// the process, but a power loss may lose the last moments (`NORMAL`).
    pub survives_power_loss: bool,
    /// Reader threads, each with its own connection.
    pub reader_threads: usize,
    /// Appends queued for the writer; a further one waits for room.
    pub waiting_appends_max: usize,
    /// Reads queued for a reader; a further one waits for room.
    pub waiting_reads_max: usize,
    /// Appends that share one commit.
    pub commit_batches_max: usize,
    /// Bytes of entries that share one commit.
    pub commit_bytes_max: usize,
    /// Run records kept per user after their entries are trimmed. A `message_id` is remembered as long as its
    /// record (DEL-6).
    pub run_records_max: u64,
    /// Largest database, in bytes, that is checked completely at open. A larger one is checked only as far as
    /// SQLite does at open; every row is checked again when it is read.
    pub check_bytes_max: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            survives_power_loss: true,
            reader_threads: 3,
            waiting_appends_max: 4096,
            waiting_reads_max: 1024,
            commit_batches_max: 1024,
            commit_bytes_max: 4 * 1024 * 1024,
            run_records_max: 100_000,
            check_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// Users whose head and chain the writer caches.
pub(super) const USERS_AT_HAND_MAX: usize = 65_536;
/// Rows that are trimmed in one step, between which waiting appends are served (ISO-6).
pub(super) const TRIM_ROWS_MAX: usize = 512;
/// Users that are examined in one step of trimming.
pub(super) const TRIM_USERS_MAX: usize = 256;
/// Bytes of a database page.
pub(super) const PAGE_BYTES: u32 = 8192;
/// Pages in the write-ahead log at which the writer starts a checkpoint.
pub(super) const CHECKPOINT_PAGES: u32 = 4000;
/// Pages in the write-ahead log at which readers are paused so that the log can restart.
pub(super) const LOG_PAGES_MAX: u32 = 2 * CHECKPOINT_PAGES;
/// Size to which the write-ahead log file is truncated after a checkpoint.
pub(super) const LOG_KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Size of the writer's page cache.
pub(super) const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Size of each reader's page cache.
pub(super) const READER_CACHE_KIB: u32 = 2 * 1024;
/// Prepared statements cached per connection.
pub(super) const STATEMENTS_MAX: usize = 64;
/// Entries that one step of an erasure examines, between which waiting appends are served (ISO-6).
pub(super) const ERASE_ENTRIES_MAX: usize = 1024;
/// Bytes of entries at which a step of an erasure ends; the row that reaches the limit is its last.
pub(super) const ERASE_BYTES_MAX: usize = 1024 * 1024;
/// Pages of the database that one step of an erasure examines for remains of erased entries.
pub(super) const SCRUB_PAGES_MAX: u32 = 1024;
