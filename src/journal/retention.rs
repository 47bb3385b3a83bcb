//! Retention, and the sizes that it bounds.

/// The retention policy: entries beyond either limit are trimmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Greatest age of an entry, in milliseconds; `None` for no limit.
    pub age_ms_max: Option<u64>,
    /// Most entries kept of one user; `None` for no limit.
    pub user_entries_max: Option<u64>,
    /// Bytes of entries kept of one user; `None` for no limit.
    pub user_bytes_max: Option<u64>,
}

/// The sizes of an embedded journal's files, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSizes {
    /// The database itself.
    pub database: u64,
    /// The write-ahead log beside it.
    pub write_ahead_log: u64,
}

/// The result of a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Users with trimmed entries.
    pub users: u64,
    /// Entries that were trimmed.
    pub entries: u64,
}
