//! The gateway from outside, over real sockets: the frames and requests of clients, the replies, and the
//! ends.
//!
//! The service is complete except for its agents, whose steps a test takes by hand, and its journal, which is
//! in memory and fails on request. A test waits for events, never for time; an event that does not come
//! within [`harness::PATIENCE`] is a failure.

mod agui;
mod backwards;
mod bodies;
mod budgets;
mod changes;
mod conformance;
mod contract;
mod conversations;
mod delivery;
mod doors;
mod ends;
mod erasing;
mod events;
mod exports;
mod folds;
mod frames;
mod handshake;
mod heads;
mod isolation;
mod legacy;
mod operations;
mod outrun;
mod pages;
mod routes;
mod starts;
mod threads;
mod turned_away;

use quintet_testkit::{
    cases,
    gateway::{self as harness, requests as http},
};
