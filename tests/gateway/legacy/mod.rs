//! The predecessor's clients on `/ws`, over real sockets. Every check is about frames that were received, never about
//! frames that the test itself sent.
//!
//! - [`suite`]: the cases of the predecessor's mission-critical suite, under their names
//! - [`defects`]: each class of its defects, which a client of its kind must not see again
//! - [`doors`]: authentication, the setting, close codes, resumption

mod defects;
mod doors;
mod suite;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, Request};
use quintet::{agent::host::RunHandle, kernel::entry::CallOwner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{TestClient, TestService, close_call, open_call, say, soon, succeed, think};

/// A client of the predecessor: a token in a subprotocol, no `hello`, frames with `type` and `content`.
pub struct OldClient {
    pub socket: TestClient,
    pub welcome: Value,
    user: String,
}

/// A handshake request for `path` with the subprotocols of the predecessor's front end.
pub fn request(service: &TestService, path: &str, token: &str) -> Request<()> {
    let mut request = plain_request(service, path);
    let offered = format!("jwt-auth, jwt.{}", BASE64_URL_SAFE_NO_PAD.encode(token));
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(&offered).unwrap());
    request
}

/// A handshake request for `path` without credentials.
pub fn plain_request(service: &TestService, path: &str) -> Request<()> {
    format!("ws://{}{path}", service.running.listen).into_client_request().unwrap()
}

impl OldClient {
    pub async fn open(service: &TestService, user: &str) -> Self {
        Self::at(service, user, "/ws").await
    }

    pub async fn at(service: &TestService, user: &str, path: &str) -> Self {
        Self::with(service, user, request(service, path, &service.token(user))).await
    }

    pub async fn with(service: &TestService, user: &str, request: Request<()>) -> Self {
        let mut socket = service.connect(request).await;
        let welcome = socket.expect("connection_established").await;
        Self { socket, welcome, user: user.to_owned() }
    }

    pub async fn send(&mut self, frame: Value) {
        self.socket.send_frame(frame).await;
    }

    /// Sends a chat message as the predecessor's end-to-end test does.
    pub async fn chat(&mut self, message_id: &str, text: &str) {
        let user = self.user.clone();
        self.send(json!({
            "type": "chat_message", "content": text, "user_id": user, "thread_id": "thread_1", "message_id": message_id,
        }))
        .await;
    }

    /// Returns the frames up to and including the first of this type.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        soon(kind, self.socket.until(kind)).await
    }

    /// Returns the next frame; panics unless it is an `error_message` of this code that keeps the connection open.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.socket.expect("error_message").await;
        assert_eq!(error["error_code"], code, "{error}");
        assert_eq!(error["details"]["fatal"], false, "{error}");
        assert!(error["timestamp"].is_f64() && error["recovery_suggestions"].is_array(), "{error}");
        error
    }

    /// Pings; panics if anything but the pong comes, so all that was sent before has been processed.
    pub async fn alive(&mut self) {
        self.send(json!({"type": "ping", "timestamp": 1.5})).await;
        let pong = self.socket.expect("pong").await;
        assert_eq!(pong["user_id"], self.user.as_str());
    }
}

/// Plays all five events of a run.
pub async fn work(handle: &RunHandle, answer: &str) {
    think(handle, "Analyzing the request").await;
    open_call(handle, "c1", CallOwner::Agent).await;
    close_call(handle, "c1").await;
    say(handle, answer).await;
    succeed(handle).await;
}

/// The entries among frames.
pub fn events(frames: &[Value]) -> Vec<&Value> {
    frames.iter().filter(|frame| frame.get("offset").is_some()).collect()
}

/// Returns the number of frames of a type.
pub fn count(frames: &[Value], kind: &str) -> usize {
    frames.iter().filter(|frame| frame["type"] == kind).count()
}

pub const FIVE: [&str; 5] =
    ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];
