//! One environment each.
//!
//! - [`run`]: one run, every step offered in every phase
//! - [`user`]: one user's log, every command offered in every state
//! - [`ticket`]: two users' tickets, two ends that race for them, and time
//! - [`connection`]: one connection, every input offered in every state
//! - [`delivery`]: hub, log, connections, lossy links and clients with cursors
//! - [`isolation`]: two users with equal ids, two connections each, machines that come and go
//! - [`fence`]: two nodes race for one log, crash, and lose answers of the journal

pub mod connection;
pub mod delivery;
pub mod erasure;
pub mod fence;
pub mod isolation;
pub mod run;
pub mod ticket;
pub mod user;
