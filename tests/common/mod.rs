//! What several campaigns share: messages and what has to come of them, and a checker of what clients
//! were told that is written from the contract and not from the service's code.
//!
//! - [`http`]: one request a connection
//! - [`moves`]: what a client says next
//! - [`stage`]: a seed, what was found, waits that end
//! - [`wish`]: a message, and the one run that has to come of it
//! - [`witness`]: one user's connections, judged as they speak
//! - [`verdict`]: one user's log, judged at the end

#![allow(dead_code, reason = "each campaign uses its part of it")]

pub mod http;
pub mod moves;
pub mod stage;
pub mod verdict;
pub mod wish;
pub mod witness;
