//! The audit: an independent check that a stored journal satisfies the contract.
//!
//! # Guarantees
//!
//! - The verdict depends on the stored bytes only. The rules are written a second time, independently of the kernel
//!   that wrote the entries; shared with it are ids, and with the journal the schema and the [hash chain].
//! - Damage is a finding, not an error: the other users are still audited.
//! - Memory is bounded by the messages and threads of the largest user (some hundred bytes each), not by the size of
//!   the journal.
//! - The journal is not changed.
//!
//! ```text
//!   rows ──▶ storage, chain ──▶ line ──▶ log: order, threads ──▶ run: event order ──▶ index
//! ```
//!
//! # What it contains
//!
//! - **A whole journal**: [`audit`] checks the journal in a folder and returns a [`Report`] of [`BrokenRule`]s and
//!   [`UnfinishedRun`] runs.
//! - **Evidence**: [`export`] writes one user's log, or one run of it, to a file; [`verify`] checks such a file without
//!   the journal and returns a [`Verdict`].
//! - **A log while it is written**: [`live`] applies the same rules to each batch.
//!
//! The private modules: `journal` reads the rows, `line` decodes an entry, `log` and `run` check the order, `index`
//! compares the index, `erasures` checks what was erased, `report` collects the findings.
//!
//! # Examples
//!
//! ```
//! use quintet_audit::{AuditOptions, audit};
//! # use quintet_journal::sqlite::{SqliteJournal, SqliteOptions};
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! # drop(SqliteJournal::open(folder, SqliteOptions::default())?);
//!
//! let report = audit(folder, &AuditOptions::default())?;
//! for violation in report.violations() {
//!     eprintln!("{} at {:?}: {}", violation.rule, violation.offset, violation.what);
//! }
//! assert!(report.is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [hash chain]: quintet_journal::chain

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod erasures;
mod evidence;
mod index;
mod journal;
mod line;
pub mod live;
mod log;
mod parents;
mod report;
mod run;

pub use self::{
    evidence::{EvidenceError, EvidenceSubject, Verdict, export, verify},
    journal::{AuditError, AuditOptions, audit},
    report::{BrokenRule, Receipt, Report, UnfinishedRun},
};
