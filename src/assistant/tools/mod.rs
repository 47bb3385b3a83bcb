//! The tools of the built-in agents. Each is bounded and idempotent.
//!
//! - [`calculate`], with [`number`]: exact arithmetic, nested to any depth
//! - [`current_time`], with [`zones`]: the time in any IANA time zone
//! - [`search_history`]: search in the user's own log

pub mod calculate;
pub mod current_time;
mod fold;
pub mod number;
pub mod search_history;
mod searches;
pub mod zones;
