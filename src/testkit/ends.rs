//! The end of every campaign: all that was begun ends, every log is read once more, and all of it is judged.

use std::{path::Path, time::Duration};

use quintet::audit::AuditOptions;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::Client,
    context::CampaignContext,
    crowd::Crowd,
    http,
    ledger::{FrameSeen, SharedLedger},
    process::{Addresses, Process},
    verdict::{CampaignFaults, Tally, judge},
};

/// Time limit for everything that the load began.
const FINISH_WAIT: Duration = Duration::from_secs(120);

/// Plays all users beside `faults`, until everything they began has ended.
pub async fn finish<T>(context: &CampaignContext, crowd: &Crowd, faults: impl Future<Output = T>) -> T {
    let play = crowd.play();
    tokio::pin!(play, faults);
    let done = tokio::select! {
        done = &mut faults => done,
        () = &mut play => context.fail("the load ended too early"),
    };
    if tokio::time::timeout(FINISH_WAIT, play).await.is_err() {
        context.fail(&format!("not over within {FINISH_WAIT:?}:\n{}", crowd.open_shown()));
    }
    context.look();
    done
}

/// Reads every log once more from its beginning, and ends the service in order.
pub async fn end(context: &CampaignContext, crowd: &Crowd, process: &Process) {
    let to = crowd.place.borrow().expect("the service runs");
    let mut rng = context.rng(u64::MAX);
    for ledger in &crowd.books {
        let read = async {
            let mut client = Client::open(context, ledger, to, 0, &mut rng).await?;
            client.until(FrameSeen::CaughtUp).await?;
            client.leave().await;
            Ok::<_, crate::client::Ended>(())
        };
        if let Err(ended) = context.soon("a log from its beginning", read).await {
            ledger.borrow().found(format_args!("a log could not be read again: {ended:?}"));
        }
        pages(context, ledger, to).await;
    }
    context.soon("machines without users", nobody_is_left(to)).await;
    process.signal(Signal::TERM);
    let status = process.ended(context).await;
    if status.code() != Some(0) {
        context.found(format!("the service ended with {status}"));
    }
    context.look();
}

/// Checks that the log read by pages equals the log.
async fn pages(context: &CampaignContext, ledger: &SharedLedger, to: Addresses) {
    let user = ledger.borrow().user.clone();
    let token = http::login(to.listen, &user).await.unwrap();
    let mut after = 0;
    while after < ledger.borrow().head() {
        let path = format!("/v1/entries?after={after}&limit=1000");
        let page = context.soon("a page", http::request(to.listen, "GET", &path, Some(&token), None)).await;
        let (status, body) = page.unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        let ledger = ledger.borrow();
        let entries = page["entries"].as_array().filter(|entries| !entries.is_empty());
        let Some(entries) = entries else {
            return ledger.found(format_args!("no page after {after}: {status} {page}"));
        };
        for entry in entries {
            let known = ledger.log.get(after as usize);
            if known.is_none_or(|known| serde_json::from_str::<Value>(known).unwrap() != *entry) {
                return ledger.found(format_args!("a page has {entry}, a connection had {known:?}"));
            }
            after += 1;
        }
    }
}

/// Polls until no user has machines any more (ISO-5): there is no notification.
async fn nobody_is_left(to: Addresses) {
    loop {
        let (_, metrics) = http::request(to.admin, "GET", "/metrics", None, None).await.unwrap();
        if metrics.lines().any(|line| line == "quintet_live_users 0") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Judges every user's log, and adds up the counts.
pub fn verdict(context: &CampaignContext, crowd: &Crowd, faults: CampaignFaults) -> Tally {
    let mut all = Tally::default();
    for ledger in &crowd.books {
        all.add(&judge(&ledger.borrow(), faults));
    }
    context.look();
    all
}

/// Runs the auditor on the journal, once nothing is open any more.
pub fn audit(context: &CampaignContext, folder: &Path) {
    match quintet::audit::audit(folder, &AuditOptions::default()) {
        Ok(report) if report.is_clean() && report.unfinished_total == 0 => {}
        Ok(report) => context.fail(&format!("the auditor found something:\n{report}")),
        Err(error) => context.fail(&format!("there was no audit: {error}")),
    }
}
