//! The embedded engine: one SQLite database in the data folder, one process at a time.
//!
//! ```text
//!   log.append ──▶ bounded queue ──▶ writer thread: one transaction for all that wait ──▶ fsync ──▶ replies
//!   log.read …  ──▶ bounded queue ──▶ reader threads, a connection each, snapshots
//! ```
//!
//! - [`engine`]: the journal and its logs; [`options`]: what an operator may set; [`lock`]: one process
//! - [`schema`]: tables, versions, migrations; [`check`], [`wal`]: is what lies there whole
//! - [`writer`]: group commit; [`changes`]: what a batch changes in the index; [`trim`]: retention
//! - [`upkeep`]: its log kept short, and the ground found again after the disk failed
//! - [`resumes`]: how often each open run was resumed
//! - [`epochs`]: what tells cursors of this history from those of another (DEL-3)
//! - [`reader`]: queries; [`pool`]: the threads that run them; [`backup`]; [`fault`]: what went wrong

mod backup;
mod changes;
mod check;
mod engine;
pub mod epochs;
mod fault;
pub mod lock;
mod options;
mod pool;
mod reader;
mod resumes;
pub mod schema;
mod trim;
mod upkeep;
mod wal;
mod writer;

pub use self::{backup::backup_folder, engine::SqliteJournal, fault::OpenError, options::SqliteOptions};
pub(crate) use self::{check::log_damage, writer::checksum};

#[cfg(test)]
mod tests;
