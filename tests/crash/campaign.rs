//! The service is killed at random instants under load, and everything that it ever sent is checked against
//! the contract (RUN-6, RUN-7, RUN-9, RUN-11, DEL-1 … DEL-6).

use std::{process::Command, time::Duration};

use rand::{RngExt, rngs::StdRng};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    context::{CampaignContext, setting},
    crowd::{CampaignPhase, Crowd},
    ends::{audit, end, finish, verdict},
    planned_message::PlannedMessage,
    process::{Process, watched},
    verdict::{CampaignFaults, Tally},
};

/// The instant of a kill.
#[derive(Clone, Copy, Debug)]
enum Instant {
    /// So soon after its start that it has not resumed the runs of its predecessor.
    BeforeReady(Duration),
    /// After so many received entries.
    After { entries: u64 },
    /// While it drains.
    Draining { entries: u64, then: Duration },
}

impl Instant {
    fn any(rng: &mut StdRng) -> Self {
        let entries = rng.random_range(0..600);
        match rng.random_range(0..20) {
            0..=2 => Instant::BeforeReady(Duration::from_millis(rng.random_range(0..120))),
            3 | 4 => Instant::Draining { entries, then: Duration::from_millis(rng.random_range(0..60)) },
            _ => Instant::After { entries },
        }
    }
}

/// Time in which a service under load has to send something.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[tokio::test]
async fn kills_at_random_instants_lose_nothing_accepted() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let kills = setting("QUINTET_CAMPAIGN_KILLS").unwrap_or(25);
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(if kills > 100 { 16 } else { 6 });
    let context = CampaignContext::new("crash campaign");
    let folder = TempDir::new().unwrap();
    let crowd = Crowd::new(&context, users as usize, PlannedMessage::any);
    let tally = kill_and_judge(&context, &crowd, kills, || watched(folder.path())).await;
    audit(&context, folder.path());

    let streamed = crowd.streamed.get();
    eprintln!("{kills} kills, {users} users: {tally:?}, {streamed} entries on event streams");
    assert!(streamed > kills, "event streams carry the load as well: {streamed}");
    assert!(tally.runs as u64 > kills, "a campaign without load shows nothing: {tally:?}");
    assert!(tally.unknown_calls > 0 && tally.answered > 0, "{tally:?}");
    assert_eq!(tally.interrupted, 0, "all agents here resume after a crash: {tally:?}");
}

/// A whole campaign: load, kills, an orderly end, the verdict.
pub async fn kill_and_judge(
    context: &CampaignContext,
    crowd: &Crowd,
    kills: u64,
    command: impl Fn() -> Command,
) -> Tally {
    let storm = async {
        let mut rng = context.rng(0);
        for _ in 0..kills {
            let process = Process::start(command(), context.lines());
            strike(context, crowd, &process, Instant::any(&mut rng)).await;
            crowd.place.send_replace(None);
            process.kill(context).await;
            context.look();
        }
        let process = Process::start(command(), context.lines());
        crowd.place.send_replace(Some(process.ready(context).await));
        crowd.phase.send_replace(CampaignPhase::Finish);
        process
    };
    let process = finish(context, crowd, storm).await;
    end(context, crowd, &process).await;
    verdict(context, crowd, CampaignFaults { killed: true, hasty: false })
}

/// Lets the process serve until the instant of the kill.
async fn strike(context: &CampaignContext, crowd: &Crowd, process: &Process, instant: Instant) {
    let entries = match instant {
        Instant::BeforeReady(wait) => {
            // The instant itself is random here: the test waits for nothing.
            tokio::time::sleep(wait).await;
            return;
        }
        Instant::After { entries } | Instant::Draining { entries, .. } => entries,
    };
    crowd.place.send_replace(Some(process.ready(context).await));
    if tokio::time::timeout(SILENCE_MAX, crowd.receives(entries)).await.is_err() {
        context.found(format!("silence under load: {}", crowd.open_shown()));
    }
    if let Instant::Draining { then, .. } = instant {
        process.signal(Signal::TERM);
        tokio::time::sleep(then).await;
    }
}
