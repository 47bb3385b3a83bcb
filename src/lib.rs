//! Quintet delivers the five events of every agent run to the user who owns it: in legal order,
//! durably, once. `docs/architecture.md` is the way in.

pub mod agent;
pub mod audit;
pub mod gateway;
pub mod journal;
pub mod kernel;
pub mod ops;
pub mod runtime;
pub mod user;
pub mod wire;
pub mod witness;
