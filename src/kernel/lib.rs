//! The sans-IO core: the state machines that decide what a user's log may contain.
//!
//! No runtime, no clock, no randomness, no lock, no logging: time, ids and journal look-ups arrive inside
//! the input, decisions are returned as values.
//!
//! - [`ids`], [`json`], [`entry`]: the vocabulary types
//! - [`connection`]: one connection, from the socket to its close
//! - [`run`]: one run, as typestate and as table
//! - [`user`]: one user's log, as `decide` and `evolve`
//! - [`spending`]: the bytes that one user appends a day
//! - [`ticket`]: one ticket, from its issue to its end
//! - [`limits`], [`rules`]: the bounds, and the ids of the contract's rules

pub mod connection;
pub mod entry;
pub mod ids;
pub mod json;
pub mod limits;
pub mod rules;
pub mod run;
pub mod spending;
pub mod ticket;
pub mod user;
