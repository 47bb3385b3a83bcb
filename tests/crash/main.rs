//! The service under force: killed at random instants, drained under load, read by clients that do not read.
//! A separate checker, written from the contract ([`verdict`]), judges what the clients received; `quintet
//! audit` judges the journal that is left.
//!
//! Small by default. `QUINTET_CAMPAIGN_KILLS=500` makes it a campaign, `QUINTET_CAMPAIGN_USERS` sets the
//! load, and `QUINTET_CAMPAIGN_SEED` repeats the random choices, but not the instants: these depend on the
//! machine.

mod campaign;
mod child;
mod drain;
mod erasure;
mod life;
mod poison;
mod postgres;
mod readers;
mod resumed;
mod side_effects;
mod steer;

use quintet_testkit::{client, context, crowd, ends, http, ledger, moves, planned_message, process, verdict};

/// Campaigns run one at a time, so that each measures only itself.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
