//! The end of every campaign: all that was begun ends, every log is read once more, and all of it is judged.

use std::{path::Path, time::Duration};

use quintet::audit::AuditOptions;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    client::Client,
    crowd::Crowd,
    http,
    process::{Addresses, Process},
    stage::Stage,
    verdict::{Tally, Weather, judge},
    witness::{Heard, SharedBook},
};

/// Time limit for everything that the load began.
const FINISH_WAIT: Duration = Duration::from_secs(120);

/// Plays all users beside `storm`, until everything they began has ended.
pub async fn finish<T>(stage: &Stage, crowd: &Crowd, storm: impl Future<Output = T>) -> T {
    let play = crowd.play();
    tokio::pin!(play, storm);
    let done = tokio::select! {
        done = &mut storm => done,
        () = &mut play => stage.fail("the load ended too early"),
    };
    if tokio::time::timeout(FINISH_WAIT, play).await.is_err() {
        stage.fail(&format!("not over within {FINISH_WAIT:?}:\n{}", crowd.open_shown()));
    }
    stage.look();
    done
}

/// Reads every log once more from its beginning, and ends the service in order.
pub async fn end(stage: &Stage, crowd: &Crowd, process: &Process) {
    let to = crowd.place.borrow().expect("the service runs");
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

/// Checks that the log read by pages equals the log.
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
                return book.found(format_args!("a page has {entry}, a connection had {known:?}"));
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
pub fn verdict(stage: &Stage, crowd: &Crowd, weather: Weather) -> Tally {
    let mut all = Tally::default();
    for book in &crowd.books {
        all.add(&judge(&book.borrow(), weather));
    }
    stage.look();
    all
}

/// Runs the auditor on the journal, once nothing is open any more.
pub fn audit(stage: &Stage, folder: &Path) {
    match quintet::audit::audit(folder, &AuditOptions::default()) {
        Ok(report) if report.is_clean() && report.unfinished_total == 0 => {}
        Ok(report) => stage.fail(&format!("the auditor found something:\n{report}")),
        Err(error) => stage.fail(&format!("there was no audit: {error}")),
    }
}
