//! The sans-IO core: the state machines that decide what a user's log may contain.
//!
//! No runtime, no clock, no randomness, no lock, no logging: time, ids and journal look-ups arrive inside
//! the input, decisions are returned as values.
//!
//! - [`ids`], [`json`], [`entry`]: the vocabulary types
//! - [`connection`]: one connection, from the socket to its close
//! - [`run`]: one run, as a typestate API and as a transition table
//! - [`user`]: one user's log, as the functions `decide` and `evolve`
//! - [`ticket`]: one ticket, from issue to redemption or expiry
//! - [`limits`], [`rules`]: resource limits, and the rules of the contract

pub mod connection;
pub mod entry;
pub mod ids;
pub mod json;
pub mod limits;
pub mod rules;
pub mod run;
pub mod ticket;
pub mod user;
