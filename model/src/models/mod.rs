//! One environment each.
//!
//! - [`run`]: one run, every step offered in every phase
//! - [`user`]: one user's log, every command offered in every state

pub mod run;
pub mod user;
