//! The embedded engine: one [SQLite](https://www.sqlite.org/fileformat2.html) database in the data folder, used
//! by one process at a time.
//!
//! ```text
//!   log.append ──▶ bounded queue ──▶ writer thread: one transaction for all that wait ──▶ fsync ──▶ replies
//!   log.read …  ──▶ bounded queue ──▶ reader threads, a connection each, snapshots
//! ```
//!
//! [`SqliteJournal`] is the journal, with the settings [`SqliteOptions`]. The rest of the public items is for tools
//! that inspect the files of a journal: [`schema`] and [`epochs`] for its tables, [`lock`] for its folder, [`log_damage`]
//! and [`checksum`] for damage.
//!
//! Guarantees: one process at a time owns a data folder. Damage of the database or its write-ahead log is detected when
//! the journal is opened or the row is read, and is an error, not an empty result. Files that belong to different states
//! of a journal are refused, and entries that were lost below the service end the epoch (DEL-3).
//!
//! The private modules:
//!
//! - `engine`: the journal and its logs; `options`: settings
//! - `check`, `wal`: detection of damage, by SQLite's [database] and [write-ahead log] formats
//! - `writer`: group commit, with retention, checkpoints, and recovery after a failed sync
//! - `space`: sizes and free space
//! - `erasures`: intents and records of erasures; `scrub`, `pages`, `rewrite`: what is erased goes from the files (DEL-8)
//! - `resumes`: counts of the resumes of open runs
//! - `threads`: the index of threads
//! - `reader`: queries; `pool`: reader threads; `backup`: online copies; `fault`: error mapping
//!
//! [database]: https://www.sqlite.org/fileformat2.html
//! [write-ahead log]: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

mod backup;
mod check;
mod engine;
pub mod epochs;
pub mod erasures;
mod fault;
pub mod lock;
mod options;
mod pages;
mod pool;
mod reader;
mod resumes;
mod rewrite;
pub mod schema;
mod scrub;
mod space;
mod thread_changes;
mod threads;
mod wal;
mod writer;

pub use self::check::log_damage;
pub use self::{
    backup::backup_folder,
    engine::SqliteJournal,
    fault::{BackupError, OpenError},
    options::SqliteOptions,
};
pub use crate::engine::checksum;

#[cfg(test)]
mod tests;
