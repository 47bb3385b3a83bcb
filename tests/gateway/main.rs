//! The gateway from outside, over real sockets: what a client may send, what it is told, how it ends.
//!
//! The service is the whole one but for its agents, whose every step a test takes by hand, and its
//! journal, which is in memory and can be told to fail. A test waits for events, never for time; what
//! does not come within [`harness::PATIENCE`] is a failure.

mod bodies;
mod budgets;
mod conformance;
mod contract;
mod delivery;
mod doors;
mod ends;
mod events;
mod frames;
mod handshake;
mod heads;
mod isolation;
mod operations;
mod outrun;
mod pages;
mod routes;
mod turned_away;

use quintet_testkit::{
    cases,
    gateway::{self as harness, requests as http},
};
