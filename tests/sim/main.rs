//! The whole service on a simulated network: the real gateway, hubs, agents and clients, in one thread, on
//! time that a seed drives. Everything that can go wrong does, at instants that the seed draws; what
//! clients were told is judged by the checker that the kills use, written from the contract
//! ([`verdict`]), and the journal has the last word.
//!
//! `QUINTET_SIM_SEEDS` seeds from `QUINTET_SIM_SEED` on are played: 100 from 1 unless told otherwise. A seed
//! that fails names the command that plays it again, and plays the same every time.
//!
//! - [`plan`]: what a seed draws; [`storm`]: doing it
//! - [`sky`]: time, chance and the trace; [`trouble`]: a journal that fails; [`server`]: the service as a host
//! - [`client`]: one connection; [`device`]: one user at one device
//! - [`seeds`]: a hundred of them; [`scene`]: a simulation written by hand; [`clocks`], [`half_open`]: some

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
