//! The whole service on a simulated network: the real gateway, hubs, agents and clients, in one thread, on
//! time that a seed drives. Faults of all kinds happen at random instants; the checker of the kill campaigns,
//! written from the contract ([`verdict`]), judges what clients received, and the journal is compared at the
//! end.
//!
//! Plays `QUINTET_SIM_SEEDS` seeds from `QUINTET_SIM_SEED` on: by default 100 from 1. A seed that fails names
//! the command that plays it again, and plays the same every time.
//!
//! - [`plan`]: the random choices of a seed; [`run`]: their execution
//! - [`clock`]: time, randomness and the trace; [`trouble`]: a journal that fails; [`server`]: the service as a
//!   host
//! - [`client`]: one connection; [`device`]: one user at one device
//! - [`seeds`]: a hundred of them; [`scenario`]: a simulation written by hand; [`clocks`], [`half_open`]: some
//!   of these

mod client;
mod clock;
mod clocks;
mod device;
mod faulty_client;
mod half_open;
mod plan;
mod run;
mod scenario;
mod seeds;
mod server;
mod trouble;

use quintet_testkit::{context, http, ledger, moves, planned_message, verdict};
