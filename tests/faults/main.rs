//! The service on a disk that fails: full, read only, torn writes, failed syncs, flipped bits, and power
//! that goes. The disk is a layer under the real program ([`disk`]); what clients were told is judged by
//! the checker of all campaigns ([`verdict`]), the journal that is left by `quintet audit`.
//!
//! Small unless told otherwise: `QUINTET_CAMPAIGN_STRIKES=500` makes a campaign of [`campaign`],
//! `QUINTET_CAMPAIGN_USERS` sets its load, and `QUINTET_CAMPAIGN_SEED` repeats what was drawn, though not
//! the instants: those are the machine's.

#![cfg(target_os = "linux")]

mod campaign;
#[allow(dead_code, reason = "the layer and the tests use their parts of it")]
mod control;
mod disk;
mod power;
mod storage;

use quintet_testkit::{client, crowd, ends, http, moves, process, stage, verdict, wish, witness};
