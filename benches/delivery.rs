//! The cost of delivery, as ratios against a bare tokio-tungstenite server with equal buffers, in one run:
//! frames a second to 1 and to 1,000 connections, and idle memory of 10,000.
//!
//!     cargo bench --bench delivery
//!     cargo bench --bench delivery -- watched     the cost of the monitor instead
//!
//! Both servers run in processes of their own; the client is the same for both. The bare server knows no
//! user, no log and no order: it writes a prepared frame, 64 to a write. Quintet authenticates, reads the
//! user's log, and sends each entry as it was stored.

mod common;

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use common::{Server, http, login, median, start};

/// Entries that one connection reads alone, and each of 1,000 beside the others.
const ALONE: u64 = 200_000;
const TOGETHER: u64 = 2_000;
const CROWD: usize = 1_000;
const IDLE: usize = 10_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.next().as_deref() {
        Some("bare") => {
            let bytes = arguments.next().context("frame size")?.parse()?;
            runtime.block_on(bare(bytes))
        }
        Some("watched") => runtime.block_on(watched()),
        // `cargo test --benches` only checks that it starts.
        Some("--test") => Ok(()),
        _ => runtime.block_on(compare()),
    }
}

async fn compare() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ours = ours(folder.path(), &[])?;
    let reader = Reader::prepare(&ours, "reader", ALONE).await?;
    let bare = bare_server(reader.entry_bytes)?;
    println!("frames of {} bytes; medians of {ROUNDS} rounds, servers in turn", reader.entry_bytes);

    for (name, connections, frames) in [("1 connection", 1, ALONE), ("1,000 connections", CROWD, TOGETHER)] {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(rate(&ours, Some(&reader), connections, frames).await?);
            b.push(rate(&bare, None, connections, frames).await?);
        }
        let (a, b) = (median(a), median(b));
        println!("{name:<20} ours {a:>10.0} frames/s   bare {b:>10.0} frames/s   ratio {:.2}", a / b);
    }

    let (a, b) = (idle(&ours, true).await?, idle(&bare, false).await?);
    println!("{IDLE} idle           ours {a:>10.1} KiB each   bare {b:>10.1} KiB each   ratio {:.2}", a / b);
    Ok(())
}

/// Measures the same service without monitor, with it, and with a trace besides: rounds in turn.
async fn watched() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace.jsonl");
    let trace = trace.to_str().context("a path that is text")?;
    let ways: [(&str, &[&str]); 3] = [
        ("unwatched", &[]),
        ("--monitor", &["--monitor"]),
        ("--monitor --trace", &["--monitor", "--trace", trace]),
    ];
    let mut figures = vec![(Vec::new(), Vec::new()); ways.len()];
    for round in 0..ROUNDS {
        for (way, (name, flags)) in ways.iter().enumerate() {
            let journal = folder.path().join(format!("{round}-{way}"));
            let server = ours(&journal, flags)?;
            println!("{name}:");
            let reader = Reader::prepare(&server, "reader", ALONE).await?;
            figures[way].0.push(reader.live);
            figures[way].1.push(rate(&server, Some(&reader), 1, ALONE).await?);
        }
    }
    let medians: Vec<(f64, f64)> =
        figures.into_iter().map(|(live, replay)| (median(live), median(replay))).collect();
    for ((name, _), (live, replay)) in ways.iter().zip(&medians) {
        let (base_live, base_replay) = medians[0];
        println!(
            "{name:<24} live {live:>9.0} events/s ratio {:.2}   replay {replay:>9.0} frames/s ratio {:.2}",
            live / base_live,
            replay / base_replay
        );
    }
    Ok(())
}

/// Frames a second that `connections` readers take together.
async fn rate(server: &Server, reader: Option<&Reader>, connections: usize, frames: u64) -> Result<f64> {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        sockets.push(connect(server.address, reader.map(|reader| reader.token.as_str())).await?);
    }
    let ask: Arc<str> = match reader {
        Some(_) => json!({"type": "hello", "after": ALONE - frames}).to_string().into(),
        None => frames.to_string().into(),
    };
    let started = Instant::now();
    let mut readers = JoinSet::new();
    for mut socket in sockets {
        let ask = ask.clone();
        readers.spawn(async move {
            send_text(&mut socket, &ask).await?;
            // `ready` comes before our entries.
            read_frames(&mut socket, frames).await
        });
    }
    let all = async {
        while let Some(read) = readers.join_next().await {
            read??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, all).await.context("the readers did not finish")??;
    Ok(frames as f64 * connections as f64 / started.elapsed().as_secs_f64())
}

/// KiB of resident memory that an idle connection costs its server.
async fn idle(server: &Server, ours: bool) -> Result<f64> {
    let before = server.resident_kib()?;
    let mut sockets = Vec::new();
    for i in 0..IDLE {
        let token = if ours { Some(login(server.address, &format!("idle-{i}")).await?) } else { None };
        let mut socket = connect(server.address, token.as_deref()).await?;
        if ours {
            send_text(&mut socket, r#"{"type":"hello"}"#).await?;
            // `ready` and `caught_up`
            read_frames(&mut socket, 2).await?;
        }
        sockets.push(socket);
    }
    let after = server.resident_kib()?;
    Ok((after as f64 - before as f64) / IDLE as f64)
}

fn ours(folder: &Path, flags: &[&str]) -> Result<Server> {
    let settings = [("QUINTET_CONNECTIONS_MAX", "20000"), ("QUINTET_USER_CONNECTIONS_MAX", "2000")];
    Server::quintet(folder, flags, &settings)
}

fn bare_server(bytes: usize) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", &bytes.to_string()]);
    let (child, line) = start(command)?;
    Ok(Server { child, address: line.trim().parse()? })
}

/// A user whose log is long.
struct Reader {
    token: String,
    entry_bytes: usize,
    /// Events a second while its log was written.
    live: f64,
}

impl Reader {
    async fn prepare(server: &Server, user_id: &str, entries: u64) -> Result<Self> {
        let token = login(server.address, user_id).await?;
        let script = json!({"steps": [{"think": "x".repeat(12), "repeat": entries}]}).to_string();
        let body = json!({"message_id": "m", "thread_id": "t", "text": script, "agent_name": "rehearsal"});
        let accepted = http(server.address, "POST", "/v1/messages", Some(&token), Some(&body)).await?;
        ensure!(accepted["run_id"].is_string(), "not accepted: {accepted}");
        let mut socket = connect(server.address, Some(&token)).await?;
        send_text(&mut socket, r#"{"type":"hello"}"#).await?;
        let (started, mut last) = (Instant::now(), 0);
        // ready, caught_up, user_message, agent_started, the thoughts, agent_completed
        tokio::time::timeout(PATIENCE, async {
            last = read_frames(&mut socket, entries + 4).await?;
            anyhow::Ok(())
        })
        .await
        .context("the log was not written in time")??;
        let live = entries as f64 / started.elapsed().as_secs_f64();
        println!("a run that thinks {entries} times, durable and read live: {live:.0} events/s");
        Ok(Self { token, entry_bytes: last, live })
    }
}

/// Does the opening handshake by hand and reads the rest as bytes, so that the client costs little.
async fn connect(address: SocketAddr, token: Option<&str>) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n{bearer}\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        ensure!(socket.read(&mut byte).await? == 1, "closed in the handshake");
        answer.push(byte[0]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "refused: {}", String::from_utf8_lossy(&answer));
    Ok(socket)
}

async fn send_text(socket: &mut TcpStream, text: &str) -> Result<()> {
    let mut frame = vec![0x81];
    match text.len() {
        small @ 0..126 => frame.push(0x80 | small as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(long)?.to_be_bytes());
        }
    }
    // A mask of zeros leaves the text as it is.
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    Ok(socket.write_all(&frame).await?)
}

/// Reads at least `count` frames; returns the payload size of the largest.
async fn read_frames(socket: &mut TcpStream, count: u64) -> Result<usize> {
    let (mut buffer, mut held, mut seen, mut largest) = (vec![0u8; 64 * 1024], 0, 0, 0);
    while seen < count {
        let read = socket.read(&mut buffer[held..]).await?;
        if read == 0 {
            bail!("closed after {seen} of {count} frames");
        }
        held += read;
        let mut at = 0;
        while let Some((header, payload)) = frame(&buffer[at..held]) {
            if at + header + payload > held {
                break;
            }
            at += header + payload;
            largest = largest.max(payload);
            seen += 1;
        }
        buffer.copy_within(at..held, 0);
        held -= at;
    }
    Ok(largest)
}

/// Header and payload length of a server's frame, if the header is whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => Some((4, u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]) as usize)),
        127 => Some((10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?)),
        small => Some((2, small as usize)),
    }
}

/// The reference server: answers a text frame that holds a number with so many prepared frames.
async fn bare(bytes: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let text: Arc<str> = "x".repeat(bytes).into();
    let frame = Message::text(&*text);
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let frame = frame.clone();
        connections.spawn(async move {
            let mut config = WebSocketConfig::default();
            config.read_buffer_size = 4096;
            config.write_buffer_size = 4096;
            let Ok(mut socket) = tokio_tungstenite::accept_async_with_config(socket, Some(config)).await
            else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                let Some(count) = message.to_text().ok().and_then(|text| text.parse().ok()) else { return };
                if push(&mut socket, &frame, count).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn push(socket: &mut WebSocketStream<TcpStream>, frame: &Message, count: u64) -> Result<()> {
    for i in 1..=count {
        socket.feed(frame.clone()).await?;
        if i % 64 == 0 {
            socket.flush().await?;
        }
    }
    Ok(socket.flush().await?)
}
