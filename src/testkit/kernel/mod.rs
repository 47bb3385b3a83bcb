//! An oracle of the kernel, written from the rules and from nothing else.
//!
//! - [`oracle`]: the rules as predicates over a word of events, and over a log
//! - [`erasures`]: the erasures of a log
//! - [`account`]: one user's log beside its machine, command by command
//! - [`make`]: short ids, calls, ends

pub mod account;
pub mod erasures;
pub mod make;
pub mod oracle;
