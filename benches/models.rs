//! Language models behind the service, beside a client that reads the same model directly.
//!
//!     cargo bench --bench models
//!     BENCH_BINARY=… cargo bench --bench models     another build of the service
//!
//! The model is a server in this process with the OpenAI chat completions interface, whose tokens carry the time at
//! which they were written, so that the age of a token is measured where it is read. Medians of three rounds, direct
//! and through the service in turn.

mod common;

use std::{convert::Infallible, sync::LazyLock, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
    routing::post,
};
use common::{Server, Socket, median};
use futures::{StreamExt, stream};
use quintet::runtime::tasks::Tasks;
use quintet_upstream::{HttpClient, HttpOptions, sse};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

const ROUNDS: usize = 3;
/// Tokens of a stream without pauses.
const BURST_TOKENS: usize = 20_000;
/// Tokens of a paced stream, and the time from one to the next: 30 tokens/s, as a fast reader reads.
const PACED_TOKENS: usize = 150;
const PACE: Duration = Duration::from_millis(33);
/// Streams at once, a user each.
const USERS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

const CANCELS: usize = 50;

/// Responses of the model that have ended.
static CLOSED: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn main() -> Result<()> {
    // `cargo test --benches` only checks that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    LazyLock::force(&BEGIN);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(compare())
}

async fn compare() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let model = Router::new().route("/v1/chat/completions", post(complete));
    let tasks = Tasks::default();
    tasks.spawn(async move { axum::serve(listener, model).await });

    let mut bursts = [Vec::new(), Vec::new()];
    let mut ages = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let server = Server::quintet(folder.path(), &["--llm-url", &url, "--llm-model", "burst"], &[])?;
        bursts[0].push(direct(&url, "burst").await?.micros_a_token());
        bursts[1].push(through(&server, "ann").await?.micros_a_token());
        drop(server);
        let folder = tempfile::tempdir()?;
        let server = Server::quintet(folder.path(), &["--llm-url", &url, "--llm-model", "paced"], &[])?;
        let (alone, ours) = (direct(&url, "paced").await?, through(&server, "ann").await?);
        for (column, age) in ages.iter_mut().zip([alone.age(50), alone.age(99), ours.age(50), ours.age(99)]) {
            column.push(age);
        }
    }
    let [alone, ours] = bursts.map(median);
    println!(
        "{BURST_TOKENS} tokens without pauses: {alone:.2} µs a token direct, {ours:.2} through, ratio {:.2}",
        ours / alone
    );
    let [p50, p99, ours_p50, ours_p99] = ages.map(median);
    println!(
        "one stream of 30 tokens/s, age of a token: direct p50 {p50:.2} p99 {p99:.2} ms, through p50 {ours_p50:.2} p99 {ours_p99:.2} ms"
    );
    cancels(&url).await?;
    crowd(&url).await
}

/// The time from a client's cancel to the end of its request at the model.
async fn cancels(url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::quintet(folder.path(), &["--llm-url", url, "--llm-model", "paced"], &[])?;
    let mut socket = Socket::enter(server.address, "ann").await?;
    let mut closed = CLOSED.subscribe();
    let mut took = Read::default();
    for n in 0..CANCELS {
        let message =
            json!({"type": "send_message", "message_id": format!("c{n}"), "thread_id": "t", "text": "go"});
        socket.send(&message).await?;
        let answering = |frame: &Value| frame["type"] == "agent_thinking";
        let frame = socket.until(answering, PATIENCE).await?;
        closed.borrow_and_update();
        let begun = Instant::now();
        socket.send(&json!({"type": "cancel_run", "run_id": frame["run_id"]})).await?;
        tokio::time::timeout(PATIENCE, closed.changed()).await.context("the request goes on")??;
        took.ages_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        socket.until(|frame| frame["type"] == "agent_completed", PATIENCE).await?;
    }
    println!(
        "{CANCELS} cancels, until the request is closed: p50 {:.1} max {:.1} ms",
        took.age(50),
        took.age(100)
    );
    Ok(())
}

/// Counts the end of a response when it is dropped.
struct EndCount;

impl Drop for EndCount {
    fn drop(&mut self) {
        CLOSED.send_modify(|closed| *closed += 1);
    }
}

/// [`USERS`] streams at once, direct and through the service.
async fn crowd(url: &str) -> Result<()> {
    let alone = all(|_| {
        let url = url.to_owned();
        async move { direct(&url, "paced").await }
    })
    .await?;
    let folder = tempfile::tempdir()?;
    let server = Server::quintet(folder.path(), &["--llm-url", url, "--llm-model", "paced"], &[])?;
    let mut sockets = Vec::new();
    for n in 0..USERS {
        sockets.push(Some(Socket::enter(server.address, &format!("user-{n}")).await?));
    }
    let begun = Instant::now();
    let ours = all(|n| {
        let socket = sockets[n].take();
        async move { talk(&mut socket.context("a socket for each")?).await }
    })
    .await?;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{USERS} streams of 30 tokens/s at once, age of a token: direct p50 {:.1} p99 {:.1} ms, through p50 {:.1} p99 {:.1} ms; \
         {took:.1} s, at best {:.1}; memory {} MiB",
        alone.age(50),
        alone.age(99),
        ours.age(50),
        ours.age(99),
        PACE.as_secs_f64() * PACED_TOKENS as f64,
        server.resident_kib_peak()? / 1024,
    );
    Ok(())
}

async fn all<F>(mut stream: impl FnMut(usize) -> F) -> Result<Read>
where
    F: Future<Output = Result<Read>> + Send + 'static,
{
    let mut streams: JoinSet<Result<Read>> = (0..USERS).map(&mut stream).collect();
    let mut read = Read::default();
    while let Some(one) = streams.join_next().await {
        read.ages_ms.extend(one??.ages_ms);
    }
    ensure!(read.ages_ms.len() == USERS * PACED_TOKENS, "{} tokens were read", read.ages_ms.len());
    Ok(read)
}

/// What a client has read of one stream, or of several.
#[derive(Default)]
struct Read {
    ages_ms: Vec<f64>,
    took: Duration,
}

impl Read {
    fn take(&mut self, text: &str) -> Result<()> {
        let now = BEGIN.elapsed().as_micros() as f64;
        for token in text.split_whitespace() {
            self.ages_ms.push((now - token.parse::<f64>()?) / 1e3);
        }
        Ok(())
    }

    fn micros_a_token(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / self.ages_ms.len() as f64
    }

    fn age(&self, percent: usize) -> f64 {
        let mut ages = self.ages_ms.clone();
        ages.sort_by(f64::total_cmp);
        ages[(ages.len() * percent / 100).min(ages.len() - 1)]
    }
}

/// Reads a stream of the model directly.
async fn direct(url: &str, model: &str) -> Result<Read> {
    static CLIENT: LazyLock<HttpClient> =
        LazyLock::new(|| HttpClient::new(&HttpOptions::default()).expect("default options"));
    let begun = Instant::now();
    let request = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "go"}]});
    let response = CLIENT
        .repeatable()
        .post(format!("{url}/chat/completions"))
        .header("content-type", "application/json")
        .body(request.to_string())
        .send()
        .await?;
    let mut events = sse::events(response, sse::SseLimits::default());
    let mut read = Read::default();
    while let Some(event) = events.next().await {
        let data = event?.data;
        if data == "[DONE]" {
            break;
        }
        let chunk: Value = serde_json::from_str(&data)?;
        read.take(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default())?;
    }
    read.took = begun.elapsed();
    Ok(read)
}

/// Reads a stream of the model through the service.
async fn through(server: &Server, user_id: &str) -> Result<Read> {
    talk(&mut Socket::enter(server.address, user_id).await?).await
}

async fn talk(socket: &mut Socket) -> Result<Read> {
    let begun = Instant::now();
    socket.send(&json!({"type": "send_message", "message_id": "m", "thread_id": "t", "text": "go"})).await?;
    let mut read = Read::default();
    let whole = async {
        loop {
            let frame: Value = serde_json::from_str(&socket.next().await?)?;
            match frame["type"].as_str() {
                Some("agent_thinking") if frame["kind"] == "answer" => {
                    read.take(frame["delta"].as_str().unwrap_or_default())?;
                }
                Some("agent_completed") => {
                    ensure!(frame["status"] == "succeeded", "the run failed: {}", frame["error"]);
                    return Ok(());
                }
                Some("error") => anyhow::bail!("refused: {frame}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.context("no end in time")??;
    read.took = begun.elapsed();
    Ok(read)
}

/// The model: `burst` writes its tokens as fast as they are read, `paced` at a steady rate.
async fn complete(request: Bytes) -> Response {
    let request: Value = match serde_json::from_slice(&request) {
        Ok(request) => request,
        Err(error) => return (axum::http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let is_paced = request["model"] == "paced";
    let tokens = if is_paced { PACED_TOKENS } else { BURST_TOKENS };
    let mut ticks = tokio::time::interval(if is_paced { PACE } else { Duration::from_nanos(1) });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let events = stream::unfold((0, ticks, EndCount), move |(n, mut ticks, count)| async move {
        if n > tokens {
            return None;
        }
        if is_paced {
            ticks.tick().await;
        }
        let choice = |delta: Value, reason: Value| {
            json!({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m",
                   "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        };
        let event = if n == tokens {
            format!("data: {}\n\ndata: [DONE]\n\n", choice(json!({}), json!("stop")))
        } else {
            let token = format!("{} ", BEGIN.elapsed().as_micros());
            format!("data: {}\n\n", choice(json!({"content": token}), Value::Null))
        };
        Some((Ok::<_, Infallible>(event), (n + 1, ticks, count)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}
