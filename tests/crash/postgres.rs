//! The service is killed at random instants under load, over a journal in PostgreSQL.

use std::process::Command;

use quintet::{journal::Journal, runtime::ids};
use quintet_testkit::postgres::{open, schema};
use tempfile::TempDir;

use crate::{
    campaign::kill_and_judge,
    context::{CampaignContext, setting},
    crowd::Crowd,
    planned_message::PlannedMessage,
    process::watched,
};

#[tokio::test]
async fn kills_at_random_instants_lose_nothing_that_postgresql_has() {
    let Some(address) = schema().await else { return };
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let kills = setting("QUINTET_CAMPAIGN_KILLS").map_or(8, |kills| kills.div_ceil(3));
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(5);
    let context = CampaignContext::new("crash campaign on PostgreSQL");
    // Traces are named by the folder.
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join(format!("postgres-{}", ids::fresh().simple()));
    let crowd = Crowd::new(&context, users as usize, PlannedMessage::any);
    let command = || -> Command {
        let mut command = watched(&folder);
        // A process that follows a kill waits for the end of the earlier lease.
        command.args(["--journal", &address]);
        command.env("QUINTET_POSTGRES_LEASE_MS", "1000").env("QUINTET_POSTGRES_LEASE_MARGIN_MS", "100");
        command.env("QUINTET_POSTGRES_RENEWAL_INTERVAL_MS", "250");
        command
    };
    let tally = kill_and_judge(&context, &crowd, kills, command).await;
    eprintln!("{kills} kills, {users} users: {tally:?}");
    assert!(tally.runs as u64 > kills, "a campaign without load shows nothing: {tally:?}");
    assert_eq!(tally.interrupted, 0, "all agents here resume after a crash: {tally:?}");
    assert!(!folder.exists(), "nothing is embedded");
    // The service has given its lease up.
    let journal = open(&address).await;
    assert_eq!(journal.unfinished().await.unwrap(), [], "every run has ended");
}
