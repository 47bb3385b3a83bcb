//! The embedded engine: one [SQLite](https://www.sqlite.org/fileformat2.html) database in the data folder, used
//! by one process at a time.
//!
//! ```text
//!   log.append ──▶ bounded queue ──▶ writer thread: one transaction for all that wait ──▶ fsync ──▶ replies
//!   log.read …  ──▶ bounded queue ──▶ reader threads, a connection each, snapshots
//! ```
//!
//! - [`engine`]: the journal and its logs; [`options`]: settings; [`lock`]: the lock of the data folder
//! - [`schema`]: tables, versions, migrations; [`check`], [`wal`]: detection of damage
//! - [`writer`]: group commit, with retention, checkpoints, and recovery after a failed sync
//! - [`changes`]: the index changes of a batch; [`checksum`]: checksums of rows
//! - [`resumes`]: counts of the resumes of open runs
//! - [`epochs`]: the history of the journal's epochs, which decides whether a cursor is valid (DEL-3)
//! - [`reader`]: queries; [`pool`]: reader threads; [`backup`]: online copies; [`fault`]: error mapping

mod backup;
mod changes;
mod check;
mod checksum;
mod engine;
pub mod epochs;
mod fault;
pub mod lock;
mod options;
mod pool;
mod reader;
mod resumes;
pub mod schema;
mod space;
mod wal;
mod writer;

pub use self::{
    backup::backup_folder,
    engine::SqliteJournal,
    fault::{BackupError, OpenError},
    options::SqliteOptions,
};
pub use self::{check::log_damage, checksum::checksum};

#[cfg(test)]
mod tests;
