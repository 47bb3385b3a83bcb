//! What an operator may set of the embedded engine, and the bounds that it keeps.

/// How the embedded engine runs. Units stand last in each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// An acknowledged append survives loss of power (`synchronous=FULL`). Off, it survives the loss
    /// of the process, but the last moments before a power cut may be gone (`NORMAL`).
    pub survives_power_loss: bool,
    /// Threads that answer reads, each with its own connection.
    pub reader_threads: usize,
    /// Appends that wait for the writer; the next one waits for room.
    pub waiting_appends_max: usize,
    /// Reads that wait for a reader; the next one waits for room.
    pub waiting_reads_max: usize,
    /// Appends that share one commit.
    pub commit_batches_max: usize,
    /// Bytes of entries that share one commit.
    pub commit_bytes_max: usize,
    /// Run records kept for each user once their entries are trimmed: so long is a `message_id`
    /// remembered (DEL-6).
    pub run_records_max: u64,
    /// A database up to this size is checked whole when it is opened, a larger one only in its
    /// structure at the top; every row is checked again when it is read.
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

/// Entries in one stored row: what a read of one entry has to load at most.
pub(super) const ROW_ENTRIES_MAX: usize = 256;
/// Bytes at which a stored row is full; the entry that fills it is the last one in it.
pub(super) const ROW_BYTES_MAX: usize = 64 * 1024;
/// Users whose head and chain the writer keeps at hand.
pub(super) const USERS_AT_HAND_MAX: usize = 65_536;
/// Rows that one turn of trimming removes before waiting appends get theirs (ISO-6).
pub(super) const TRIM_ROWS_MAX: usize = 512;
/// Users that one turn of trimming looks at.
pub(super) const TRIM_USERS_MAX: usize = 256;
/// Bytes of a database page.
pub(super) const PAGE_BYTES: u32 = 8192;
/// Pages in the write-ahead log at which the writer moves them into the database.
pub(super) const CHECKPOINT_PAGES: u32 = 4000;
/// Pages in the write-ahead log at which readers are held up for the moment that it takes to begin it anew.
pub(super) const LOG_PAGES_MAX: u32 = 2 * CHECKPOINT_PAGES;
/// Bytes that the write-ahead log keeps on disk once it has been moved into the database.
pub(super) const LOG_KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Memory of the writer's page cache.
pub(super) const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Memory of each reader's page cache.
pub(super) const READER_CACHE_KIB: u32 = 2 * 1024;
/// Distinct statements that a connection keeps prepared.
pub(super) const STATEMENTS_MAX: usize = 64;
