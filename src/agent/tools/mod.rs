//! What the built-in agents can do. Each tool is real, bounded and idempotent.
//!
//! - [`calculate`] over [`number`]: arithmetic of any nesting, exact
//! - [`current_time`] over [`zones`]: the time in any IANA time zone
//! - [`search_history`] over [`fold`] and [`searches`]: the user's own log

pub mod calculate;
pub mod current_time;
pub mod fold;
pub mod number;
pub mod search_history;
pub mod searches;
pub mod zones;
