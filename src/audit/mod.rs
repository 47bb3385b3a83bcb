//! A second opinion on a journal: does what lies there keep the contract?
//!
//! Guarantee: everything here is decided from the stored bytes alone, by code that shares nothing with
//! the kernel that wrote them but the definition of the hash chain. Memory is bounded by the largest
//! user's messages and threads (some hundred bytes each), never by the journal.
//!
//! ```text
//!   rows ──▶ storage, chain ──▶ line ──▶ log: order, threads ──▶ run: its word ──▶ index agrees?
//! ```
//!
//! - [`journal`]: the whole of one; [`evidence`]: a part of one, to be verified elsewhere; [`live`]: one
//!   that is being written
//! - [`line`]: what an entry says; [`run`], [`log`]: whether it may say so there; [`index`]
//! - [`report`]: what was found

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
