//! The cost of one user at full load to the others (ISO-6): the 99th percentile of the time that their runs
//! take, with and without the attack, as a ratio.
//!
//!     cargo bench --bench fairness                      every attack
//!     cargo bench --bench fairness -- NAME              one
//!     BENCH_BINARY=… cargo bench --bench fairness     another build of the service
//!
//! Each measurement starts a service in a process of its own and measures it alone first, then under the
//! attack. Rounds of all attacks follow each other; the figures are medians over rounds. The goal is a ratio
//! of at most 2.

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use common::{Server, Socket, http, login, median};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

/// One way of one user to take more than a share.
struct Attack {
    name: &'static str,
    /// Runs until it is dropped.
    run: fn(Target) -> BoxFuture<'static, Result<()>>,
}

/// The service under attack.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
}

/// Add an attack here: its name and one function.
const ATTACKS: &[Attack] = &[
    Attack { name: "long-texts", run: |target| Box::pin(long_texts(target)) },
    Attack { name: "searches", run: |target| Box::pin(searches(target)) },
];

/// The others: users who each ask one question after the other.
const OTHERS: usize = 4;
const ROUNDS: usize = 3;
/// Time for an attack to come to its full strength, and time of one measurement.
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests that an attack keeps in flight.
const HANDS: usize = 8;

fn main() -> Result<()> {
    let only = std::env::args().skip(1).find(|argument| argument != "--bench");
    // `cargo test --benches` only checks that it starts.
    if only.as_deref() == Some("--test") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(compare(only.as_deref()))
}

async fn compare(only: Option<&str>) -> Result<()> {
    let attacks: Vec<_> =
        ATTACKS.iter().filter(|attack| only.is_none_or(|name| name == attack.name)).collect();
    ensure!(!attacks.is_empty(), "no attack is named so");
    let mut figures = vec![[const { Vec::new() }; 5]; attacks.len()];
    for _ in 0..ROUNDS {
        for (attack, figures) in attacks.iter().zip(&mut figures) {
            let Measured { alone, attacked, peak_mib } = measure(attack).await?;
            let row = [alone.p50, alone.p99, attacked.p50, attacked.p99, peak_mib];
            figures.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
        }
    }
    println!("{OTHERS} users' runs in ms, alone and beside one user's attack; medians of {ROUNDS} rounds");
    for (attack, columns) in attacks.iter().zip(figures) {
        let ratios = columns[1].iter().zip(&columns[3]).map(|(alone, attacked)| attacked / alone);
        let ratio = median(ratios.collect());
        let [p50, p99, attacked_p50, attacked_p99, peak] = columns.map(median);
        println!(
            "{:<12} alone p50 {p50:>7.1} p99 {p99:>7.1}   attacked p50 {attacked_p50:>7.1} p99 \
             {attacked_p99:>7.1}   ratio of p99 {ratio:>6.2}   memory {peak:>5.0} MiB",
            attack.name
        );
    }
    Ok(())
}

struct Measured {
    alone: Percentiles,
    attacked: Percentiles,
    /// The most memory that the service ever held.
    peak_mib: f64,
}

/// Milliseconds.
struct Percentiles {
    p50: f64,
    p99: f64,
}

async fn measure(attack: &Attack) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let server = Server::quintet(folder.path(), &[], &[])?;
    let target = Target { address: server.address };
    let mut others = Vec::new();
    for n in 0..OTHERS {
        others.push(Other::enter(target.address, &format!("other-{n}")).await?);
    }
    let (others, alone) = ask_for(others, MEASURED).await?;
    let mut attackers = JoinSet::new();
    attackers.spawn((attack.run)(target));
    tokio::time::sleep(WARM_UP).await;
    let (_, attacked) = ask_for(others, MEASURED).await?;
    if let Some(ended) = attackers.try_join_next() {
        ended?.context("the attack ended early")?;
    }
    let peak_mib = server.resident_kib_peak()? as f64 / 1024.0;
    Ok(Measured { alone: percentiles(alone), attacked: percentiles(attacked), peak_mib })
}

/// Lets all others ask for a while. Returns them and how many milliseconds each run took.
async fn ask_for(others: Vec<Other>, time: Duration) -> Result<(Vec<Other>, Vec<f64>)> {
    let until = Instant::now() + time;
    let mut asking = JoinSet::new();
    for mut other in others {
        asking.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                took.push(other.ask().await?);
            }
            anyhow::Ok((other, took))
        });
    }
    let (mut others, mut all) = (Vec::new(), Vec::new());
    while let Some(asked) = asking.join_next().await {
        let (other, took) = asked??;
        others.push(other);
        all.extend(took);
    }
    Ok((others, all))
}

fn percentiles(mut took: Vec<f64>) -> Percentiles {
    took.sort_by(f64::total_cmp);
    Percentiles { p50: took[took.len() / 2], p99: took[took.len() * 99 / 100] }
}

/// A user who asks one question after the other.
struct Other {
    socket: Socket,
    asked: u64,
}

impl Other {
    async fn enter(address: SocketAddr, user_id: &str) -> Result<Self> {
        Ok(Self { socket: Socket::enter(address, user_id).await?, asked: 0 })
    }

    /// Asks a question and waits for the end of its run. Returns how many milliseconds that took.
    async fn ask(&mut self) -> Result<f64> {
        self.asked += 1;
        let begun = Instant::now();
        let message = json!({
            "type": "send_message", "message_id": format!("m{}", self.asked), "thread_id": "t",
            "text": "what is 6*7?",
        });
        self.socket.send(&message).await?;
        let ended = |frame: &Value| frame["type"] == "agent_completed" || frame["type"] == "error";
        let end = self.socket.until(ended, PATIENCE).await?;
        if end["status"] != "succeeded" {
            // A failed run counts with the time that it took.
            eprintln!("the run of another user failed: {}", end["error"]);
        }
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }
}

/// Sends distinct messages of the greatest length, as many as are accepted.
async fn long_texts(target: Target) -> Result<()> {
    flood(target, |n| format!("text {n} {}", "lorem ipsum dolor ".repeat(3_600))).await
}

/// Fills a history with long texts, then searches all of it for words that take long to rule out.
async fn searches(target: Target) -> Result<()> {
    let token = login(target.address, "attacker").await?;
    for n in 0..200 {
        let message = json!({
            "message_id": format!("history-{n}"), "thread_id": format!("history-{n}"),
            "text": format!("{n} {}", "a".repeat(64_000)),
        });
        http(target.address, "POST", "/v1/messages", Some(&token), Some(&message)).await?;
    }
    flood(target, |n| format!("search for {}{n}b", "a".repeat(40_000))).await
}

/// Sends messages of one user, each on a thread of its own, from [`HANDS`] concurrent tasks without a pause.
async fn flood(target: Target, text: fn(u64) -> String) -> Result<()> {
    let token: Arc<str> = login(target.address, "attacker").await?.into();
    let sent = Arc::new(AtomicU64::new(0));
    let mut hands = JoinSet::new();
    for _ in 0..HANDS {
        let (token, sent) = (token.clone(), sent.clone());
        hands.spawn(async move {
            loop {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                let message = json!({
                    "message_id": format!("m{n}"), "thread_id": format!("t{n}"), "text": text(n),
                });
                let answer =
                    http(target.address, "POST", "/v1/messages", Some(&token), Some(&message)).await?;
                if answer["run_id"].is_null() {
                    // A limit refused it: retry as fast as a client may.
                    let retry_ms = answer["retry_after_ms"].as_u64().unwrap_or(20).min(200);
                    tokio::time::sleep(Duration::from_millis(retry_ms)).await;
                }
            }
        });
    }
    match hands.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}
