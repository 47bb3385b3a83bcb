//! The service on a disk that fails: full, read only, torn writes, failed syncs, flipped bits, and power
//! cuts. The disk is a layer under the real program ([`disk`]); the checker of all campaigns ([`verdict`])
//! judges what clients received, `quintet audit` the journal that is left.
//!
//! Small by default: `QUINTET_CAMPAIGN_STRIKES=500` makes a campaign of [`campaign`],
//! `QUINTET_CAMPAIGN_USERS` sets its load, and `QUINTET_CAMPAIGN_SEED` repeats the random choices, but not
//! the instants: these depend on the machine.

#![cfg(target_os = "linux")]

mod campaign;
#[allow(dead_code, reason = "the layer and the tests use their parts of it")]
mod control;
mod disk;
mod power;
mod storage;

use quintet_testkit::{client, context, crowd, ends, http, ledger, moves, planned_message, process, verdict};
