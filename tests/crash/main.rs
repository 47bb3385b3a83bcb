//! The service against force: killed at random instants, told to end under load, read by clients that
//! do not read. What its clients were told is judged by a checker of its own, written from the contract
//! ([`verdict`]); the journal that is left, by `quintet audit`.
//!
//! Small unless told otherwise. `QUINTET_CAMPAIGN_KILLS=500` makes it a campaign, `QUINTET_CAMPAIGN_USERS`
//! sets the load, and `QUINTET_CAMPAIGN_SEED` repeats what was drawn, though not the instants: those
//! are the machine's.

mod campaign;
mod drain;
mod ledger;
mod poison;
mod readers;
mod taken_up;

use quintet_testkit::{client, crowd, ends, http, moves, process, stage, verdict, wish, witness};

/// The machine belongs to one campaign at a time, so that what is measured is its own.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
