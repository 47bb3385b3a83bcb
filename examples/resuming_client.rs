//! A client that loses its connection again and again, and still gets every entry exactly once.
//!
//! ```text
//! cargo run -- dev                               # in one terminal
//! cargo run --example resuming_client            # in another one
//! ```
//!
//! A frame is an entry if and only if it has an `offset`. The client stores the last `offset` that it applied,
//! and `epoch` from `ready`. When it reconnects, it sends both in `hello`, and the log continues exactly
//! there, or `ready` states a `gap`. The `message_id` is the client's, so that a message can be repeated after
//! an unknown outcome and still makes one run.

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

/// What a client stores: its position in the log, and what it knows of its message.
#[derive(Debug, Default)]
struct Stored {
    epoch: Option<String>,
    offset: u64,
    run_id: Option<Value>,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The run completed.
    Completed,
    /// The connection was lost.
    Lost,
}

/// Entries after which this client drops its connection.
const ENTRIES_PER_CONNECTION: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let user = arguments.next().unwrap_or_else(|| "ada".to_owned());
    let message_id = uuid::Uuid::now_v7().to_string();

    // Reqwest is built without a provider of cryptography here.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "another provider is installed")?;
    let http = reqwest::Client::new();
    let mut stored = Stored::default();
    let mut connections = 1;
    while connect(&http, &host, &user, &message_id, &mut stored).await? == Outcome::Lost {
        connections += 1;
    }
    println!("complete after {connections} connections");
    Ok(())
}

/// Opens one connection, resumes at the cursor, and applies entries until the run completes or the connection
/// is lost.
async fn connect(
    http: &reqwest::Client,
    host: &str,
    user: &str,
    message_id: &str,
    stored: &mut Stored,
) -> Result<Outcome, Box<dyn Error>> {
    // Only `quintet dev` has a login. In production, the token comes from the identity provider.
    let login = http.post(format!("http://{host}/dev/login")).json(&json!({"user_id": user}));
    let token: Value = login.send().await?.error_for_status()?.json().await?;
    let hello = json!({
        "type": "hello",
        "token": token["token"],
        "epoch": stored.epoch,
        "after": stored.offset,
    });

    let (mut socket, _) = connect_async(format!("ws://{host}/v1/ws")).await?;
    socket.send(Message::text(hello.to_string())).await?;
    // Repeated on each connection: whether the service has the message is not known, and need not be.
    let message = json!({
        "type": "send_message",
        "message_id": message_id,
        "thread_id": "resuming_client",
        "text": "What is 12 × (3 + 4), and what time is it in Lisbon?",
    });

    let mut applied = 0;
    while let Some(frame) = socket.next().await {
        let text = match frame {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) | Err(_) => return Ok(Outcome::Lost),
            Ok(_) => continue,
        };
        let frame: Value = serde_json::from_str(&text)?;
        if let Some(offset) = frame["offset"].as_u64() {
            println!("{offset} {}", frame["type"].as_str().unwrap_or_default());
            stored.offset = offset;
            applied += 1;
            if frame["message_id"] == message_id {
                stored.run_id = Some(frame["run_id"].clone());
            }
            if frame["type"] == "agent_completed" && stored.run_id.as_ref() == Some(&frame["run_id"]) {
                socket.close(None).await?;
                return Ok(Outcome::Completed);
            }
            if applied == ENTRIES_PER_CONNECTION {
                // Drops the socket without a close frame, as a broken network does.
                return Ok(Outcome::Lost);
            }
            continue;
        }
        match frame["type"].as_str() {
            Some("ready") => {
                if let Some(gap) = frame["gap"].as_object() {
                    println!("entries {} to {} are no longer stored", gap["from"], gap["to"]);
                }
                stored.epoch = frame["epoch"].as_str().map(str::to_owned);
            }
            Some("caught_up") => socket.send(Message::text(message.to_string())).await?,
            Some("error") => return Err(frame.to_string().into()),
            _ => {}
        }
    }
    Ok(Outcome::Lost)
}
