//! A client of the system that Quintet replaces, unchanged: a token in a subprotocol, no `hello`, its own types.
//!
//! ```text
//! cargo run -- dev                               # in one terminal
//! cargo run --example legacy_client              # in another one
//! ```
//!
//! It prints the types of the events of one run. `docs/legacy.md` describes the protocol and how to leave it; a new client
//! looks like `resuming_client`.

use std::error::Error;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let host = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let user = arguments.next().unwrap_or_else(|| "ada".to_owned());

    // Reqwest is built without a provider of cryptography here.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "another provider is installed")?;
    // Only `quintet dev` has a login. In production, the token comes from the identity provider.
    let login =
        reqwest::Client::new().post(format!("http://{host}/dev/login")).json(&json!({"user_id": user}));
    let login: Value = login.send().await?.error_for_status()?.json().await?;
    let token = login["token"].as_str().ok_or("no token")?;

    let mut request = format!("ws://{host}/ws").into_client_request()?;
    let offered = format!("jwt-auth, jwt.{}", BASE64_URL_SAFE_NO_PAD.encode(token));
    request.headers_mut().insert("sec-websocket-protocol", offered.parse()?);
    let (mut socket, _) = connect_async(request).await?;

    let chat = json!({"type": "chat_message", "content": "What is 6 * 7?", "thread_id": "thread_1"});
    socket.send(Message::text(chat.to_string())).await?;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        println!("{}", frame["type"].as_str().unwrap_or_default());
        if frame["type"] == "agent_completed" {
            println!("{}: {}", frame["status"], frame["final_response"]);
            socket.close(None).await?;
            break;
        }
    }
    Ok(())
}
