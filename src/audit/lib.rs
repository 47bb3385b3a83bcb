//! The audit: an independent check that a stored journal satisfies the contract.
//!
//! Guarantee: the verdict depends on the stored bytes only, and the code shares nothing with the kernel that
//! wrote them except the definition of the hash chain. Memory is bounded by the messages and threads of the
//! largest user (some hundred bytes each), not by the size of the journal.
//!
//! ```text
//!   rows ──▶ storage, chain ──▶ line ──▶ log: order, threads ──▶ run: event order ──▶ index
//! ```
//!
//! - [`journal`]: audits a whole journal; [`evidence`]: exports a part of one, to be verified elsewhere;
//!   [`live`]: checks a log while it is written
//! - [`line`]: decodes an entry; [`run`], [`log`]: check the order of entries; [`index`]: compares the index
//! - [`report`]: the findings

mod evidence;
mod index;
mod journal;
mod line;
pub mod live;
mod log;
mod report;
mod run;

pub use self::{
    evidence::{EvidenceError, Subject, Verdict, export, verify},
    journal::{AuditError, AuditOptions, audit},
    report::{Report, Unfinished, Violation},
};
