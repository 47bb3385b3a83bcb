//! Kills, failing disks and power cuts together, under load from many users: everything that the service ever
//! sent is checked against the contract (RUN-6, RUN-9, DEL-1 … DEL-7).

use std::time::Duration;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use crate::{
    context::{CampaignContext, setting},
    control::{ALWAYS, Action, Call, DATABASE, LOG},
    crowd::{CampaignPhase, Crowd},
    disk::{ALL, EIO, ENOSPC, EROFS, Fault, FaultyDisk},
    ends::{audit, end, finish, verdict},
    planned_message::PlannedMessage,
    process::Process,
    verdict::CampaignFaults,
};

/// Counts of the strikes on a running service.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    kills: u32,
    power_cuts: u32,
    faults: u32,
    bitten: u32,
    went_on: u32,
    not_started: u32,
}

/// Entries after which the next strike comes, at most.
const ENTRIES_MAX: u64 = 400;

/// Duration of a fault, unless entries come during it.
const FAULT_WAIT: Duration = Duration::from_millis(250);

/// Time in which a service on a sound disk has to send something.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[tokio::test]
async fn disk_faults_and_kills_lose_nothing_accepted() {
    let strikes = setting("QUINTET_CAMPAIGN_STRIKES").unwrap_or(15);
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(if strikes > 100 { 16 } else { 6 });
    let context = CampaignContext::new("disk campaign").with_faults();
    let disk = FaultyDisk::new(context.seed);
    let crowd = Crowd::new(&context, users as usize, PlannedMessage::any);
    let mut met = Met::default();
    let storm = storm(&context, &disk, &crowd, strikes, &mut met);
    let process = finish(&context, &crowd, storm).await;
    end(&context, &crowd, &process).await;
    let tally = verdict(&context, &crowd, CampaignFaults { killed: true, hasty: false });
    audit(&context, &disk.folder());

    eprintln!("{strikes} strikes, {users} users: {met:?}, {tally:?}");
    assert!(tally.runs as u64 > strikes, "a campaign without load shows nothing: {tally:?}");
    assert!(met.bitten > 0 && met.kills > 0 && met.went_on > 0, "{met:?}");
    assert_eq!(tally.interrupted, 0, "all agents here resume after a crash: {tally:?}");
}

async fn storm(
    context: &CampaignContext,
    disk: &FaultyDisk,
    crowd: &Crowd,
    strikes: u64,
    met: &mut Met,
) -> Process {
    let mut rng = context.rng(0);
    let mut running: Option<Process> = None;
    for _ in 0..strikes {
        let process = match running.take() {
            Some(process) => process,
            None => start(context, disk, crowd, &mut rng, met).await,
        };
        heard(context, crowd, rng.random_range(0..ENTRIES_MAX)).await;
        if rng.random_bool(0.7) {
            let faults = any(&mut rng);
            faults.iter().for_each(|fault| disk.set(*fault));
            met.faults += 1;
            // During a fault there may be no entries; the instant itself is random here.
            let entries = rng.random_range(0..ENTRIES_MAX);
            let wait = FAULT_WAIT.mul_f64(rng.random_range(0.0..1.0));
            let _ = tokio::time::timeout(wait, crowd.receives(entries)).await;
            met.bitten += faults.iter().map(|fault| disk.bitten(fault.call)).sum::<u32>();
        }
        if rng.random_bool(0.5) {
            disk.clear();
            met.went_on += 1;
            running = Some(process);
        } else {
            crowd.place.send_replace(None);
            process.kill(context).await;
            met.kills += 1;
            disk.clear();
            if rng.random_bool(0.5) {
                disk.lose_power();
                met.power_cuts += 1;
            }
        }
        context.look();
    }
    disk.clear();
    let process = match running {
        Some(process) => process,
        None => start(context, disk, crowd, &mut rng, met).await,
    };
    crowd.phase.send_replace(CampaignPhase::Finish);
    process
}

/// Starts the service; sometimes the disk fails during the start, and the first start fails.
async fn start(
    context: &CampaignContext,
    disk: &FaultyDisk,
    crowd: &Crowd,
    rng: &mut StdRng,
    met: &mut Met,
) -> Process {
    if rng.random_bool(0.2) {
        any(rng).iter().for_each(|fault| disk.set(*fault));
        let process = Process::start(disk.dev(), context.lines());
        if !process.becomes_ready(context).await {
            met.not_started += 1;
        }
        process.kill(context).await;
        disk.clear();
    }
    let process = Process::start(disk.dev(), context.lines());
    crowd.place.send_replace(Some(process.ready(context).await));
    process
}

async fn heard(context: &CampaignContext, crowd: &Crowd, entries: u64) {
    if tokio::time::timeout(SILENCE_MAX, crowd.receives(entries)).await.is_err() {
        context.found(format!("silence on a sound disk: {}", crowd.open_shown()));
    }
}

/// A random fault of a disk, without flipped bits: the journal's own checks cover these, and a flipped bit
/// without a checksum cannot be detected.
fn any(rng: &mut StdRng) -> Vec<Fault> {
    let files = *[LOG, DATABASE, LOG | DATABASE].choose(rng).unwrap();
    let chance = *[ALWAYS, ALWAYS / 2, ALWAYS / 20].choose(rng).unwrap();
    let skip = rng.random_range(0..20);
    let times = *[1, 2, 5, u32::MAX].choose(rng).unwrap();
    let one = |call, action, errno| Fault { call, action, errno, files, chance, skip, times };
    match rng.random_range(0..8) {
        0 => vec![Fault { files: ALL, ..Fault::every(Call::Write, Action::Full, ENOSPC) }],
        1 => vec![
            Fault { files: ALL, ..Fault::every(Call::Write, Action::Fail, EROFS) },
            Fault { files: ALL, ..Fault::every(Call::Open, Action::Fail, EROFS) },
        ],
        2 => vec![one(Call::Write, Action::Fail, EIO)],
        3 => vec![one(Call::Write, Action::Torn, EIO)],
        4 => vec![one(Call::Read, Action::Fail, EIO)],
        5 => vec![one(Call::Truncate, Action::Fail, EIO), one(Call::Write, Action::Short, 0)],
        _ => vec![one(Call::Sync, Action::Fail, EIO)],
    }
}
