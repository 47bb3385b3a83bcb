//! The whole service on a simulated network: the real gateway, hubs, agents and clients, in one thread, on
//! time that a seed drives. Faults of all kinds happen at random instants; the checker of the kill campaigns,
//! written from the contract ([`verdict`]), judges what clients received, and the journal is compared at the
//! end.
//!
//! Plays `QUINTET_SIM_SEEDS` seeds from `QUINTET_SIM_SEED` on: by default 100 from 1. A seed that fails names
//! the command that plays it again, and plays the same every time.
//!
//! - [`plan`]: the random choices of a seed; [`storm`]: their execution
//! - [`sky`]: time, randomness and the trace; [`trouble`]: a journal that fails; [`server`]: the service as a
//!   host
//! - [`client`]: one connection; [`device`]: one user at one device
//! - [`seeds`]: a hundred of them; [`scene`]: a simulation written by hand; [`clocks`], [`half_open`]: some
//!   of these

mod client;
mod clocks;
mod device;
mod half_open;
mod mischief;
mod plan;
mod scene;
mod seeds;
mod server;
mod sky;
mod storm;
mod trouble;

use quintet_testkit::{http, moves, stage, verdict, wish, witness};
