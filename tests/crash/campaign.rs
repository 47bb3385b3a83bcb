//! The service is killed at random instants under load, and everything that it ever said is held
//! against the contract (RUN-6, RUN-7, RUN-9, RUN-11, DEL-1 … DEL-6).

use std::{path::Path, process::Command, time::Duration};

use quintet::audit::AuditOptions;
use rand::{RngExt, rngs::StdRng};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::Client,
    crowd::{Crowd, Phase},
    http,
    process::{Addresses, Process, watched},
    stage::{Stage, setting},
    verdict::{Tally, Weather, judge},
    wish::Wish,
    witness::{Heard, SharedBook},
};

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
enum Instant {
    /// So soon after its start that it has not taken up what the one before left.
    BeforeReady(Duration),
    /// After so many entries have been heard.
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

/// Time in which everything that the load began has to come to its end.
const FINISH_WAIT: Duration = Duration::from_secs(120);

/// Time in which a service under load has to say something.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[tokio::test]
async fn nothing_accepted_is_lost_whenever_the_service_is_killed() {
    let _alone = crate::ONE_AT_A_TIME.lock().await;
    let kills = setting("QUINTET_CAMPAIGN_KILLS").unwrap_or(25);
    let users = setting("QUINTET_CAMPAIGN_USERS").unwrap_or(if kills > 100 { 16 } else { 6 });
    let stage = Stage::new("crash campaign");
    let folder = TempDir::new().unwrap();
    let crowd = Crowd::new(&stage, users as usize, Wish::any);
    let tally = kill_and_judge(&stage, &crowd, kills, || watched(folder.path())).await;
    audit(&stage, folder.path());

    eprintln!("{kills} kills, {users} users: {tally:?}");
    assert!(tally.runs as u64 > kills, "a campaign without load shows nothing: {tally:?}");
    assert!(tally.unknown_calls > 0 && tally.answered > 0, "{tally:?}");
    assert_eq!(tally.interrupted, 0, "all agents here take up what a crash broke off: {tally:?}");
}

/// A whole campaign: load, kills, an orderly end, the verdict.
pub async fn kill_and_judge(
    stage: &Stage,
    crowd: &Crowd,
    kills: u64,
    command: impl Fn() -> Command,
) -> Tally {
    let storm = async {
        let mut rng = stage.rng(0);
        for _ in 0..kills {
            let process = Process::start(command(), stage.lines());
            strike(stage, crowd, &process, Instant::any(&mut rng)).await;
            crowd.place.send_replace(None);
            process.kill(stage).await;
            stage.look();
        }
        let process = Process::start(command(), stage.lines());
        crowd.place.send_replace(Some(process.ready(stage).await));
        crowd.phase.send_replace(Phase::Finish);
        process
    };
    let process = finish(stage, crowd, storm).await;
    end(stage, crowd, &process).await;
    verdict(stage, crowd, Weather { killed: true, hasty: false })
}

/// Lets the process serve until the instant has come.
async fn strike(stage: &Stage, crowd: &Crowd, process: &Process, instant: Instant) {
    let entries = match instant {
        Instant::BeforeReady(wait) => {
            // The instant itself is what is random here: nothing is waited for.
            tokio::time::sleep(wait).await;
            return;
        }
        Instant::After { entries } | Instant::Draining { entries, .. } => entries,
    };
    crowd.place.send_replace(Some(process.ready(stage).await));
    if tokio::time::timeout(SILENCE_MAX, crowd.hears(entries)).await.is_err() {
        stage.found(format!("silence under load: {}", crowd.open_shown()));
    }
    if let Instant::Draining { then, .. } = instant {
        process.signal(Signal::TERM);
        tokio::time::sleep(then).await;
    }
}

/// Plays all users beside `storm`, until everything they began is over.
pub async fn finish<T>(stage: &Stage, crowd: &Crowd, storm: impl Future<Output = T>) -> T {
    let play = crowd.play();
    tokio::pin!(play, storm);
    let done = tokio::select! {
        done = &mut storm => done,
        () = &mut play => stage.fail("the load ended before it was told to"),
    };
    if tokio::time::timeout(FINISH_WAIT, play).await.is_err() {
        stage.fail(&format!("not over within {FINISH_WAIT:?}:\n{}", crowd.open_shown()));
    }
    stage.look();
    done
}

/// Reads every log once more from its beginning, and ends the service in order.
pub async fn end(stage: &Stage, crowd: &Crowd, process: &Process) {
    let to = crowd.place.borrow().expect("it serves");
    let mut rng = stage.rng(u64::MAX);
    for book in &crowd.books {
        let read = async {
            let mut client = Client::open(stage, book, to, 0, &mut rng).await?;
            client.until(Heard::CaughtUp).await?;
            client.leave().await;
            Ok::<_, crate::client::Ended>(())
        };
        if let Err(ended) = stage.soon("a log from its beginning", read).await {
            book.borrow().found(format_args!("a log could not be read again: {ended:?}"));
        }
        pages(stage, book, to).await;
    }
    stage.soon("machines without users", nobody_is_left(to)).await;
    process.signal(Signal::TERM);
    let status = process.ended(stage).await;
    if status.code() != Some(0) {
        stage.found(format!("the service ended with {status}"));
    }
    stage.look();
}

/// The log by pages is the log.
async fn pages(stage: &Stage, book: &SharedBook, to: Addresses) {
    let user = book.borrow().user.clone();
    let token = http::login(to.listen, &user).await.unwrap();
    let mut after = 0;
    while after < book.borrow().head() {
        let path = format!("/v1/entries?after={after}&limit=1000");
        let page = stage.soon("a page", http::request(to.listen, "GET", &path, Some(&token), None)).await;
        let (status, body) = page.unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        let book = book.borrow();
        let entries = page["entries"].as_array().filter(|entries| !entries.is_empty());
        let Some(entries) = entries else {
            return book.found(format_args!("no page after {after}: {status} {page}"));
        };
        for entry in entries {
            let known = book.log.get(after as usize);
            if known.is_none_or(|known| serde_json::from_str::<Value>(known).unwrap() != *entry) {
                return book.found(format_args!("a page says {entry}, a connection said {known:?}"));
            }
            after += 1;
        }
    }
}

/// Looks until no user has machines any more (ISO-5): nobody announces it.
async fn nobody_is_left(to: Addresses) {
    loop {
        let (_, metrics) = http::request(to.admin, "GET", "/metrics", None, None).await.unwrap();
        if metrics.lines().any(|line| line == "quintet_live_users 0") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Judges every user's log, and adds up what was met.
pub fn verdict(stage: &Stage, crowd: &Crowd, weather: Weather) -> Tally {
    let mut all = Tally::default();
    for book in &crowd.books {
        all.add(&judge(&book.borrow(), weather));
    }
    stage.look();
    all
}

/// What the auditor says of the journal, once nothing is open any more.
pub fn audit(stage: &Stage, folder: &Path) {
    match quintet::audit::audit(folder, &AuditOptions::default()) {
        Ok(report) if report.is_clean() && report.unfinished_total == 0 => {}
        Ok(report) => stage.fail(&format!("the auditor found something:\n{report}")),
        Err(error) => stage.fail(&format!("there was no audit: {error}")),
    }
}
