//! A server that a test plays, and a run that makes calls.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use quintet_agent::{Answer, Json, ToolError, host::Owner};
use quintet_upstream::{HttpClient, HttpOptions};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
};

use crate::{McpServer, ServerConfig, config::Endpoint, tool::CallHost};

/// Bytes that a connection holds in each direction.
pub(crate) const DUPLEX_BYTES: usize = 64 * 1024;

/// Runs a test within a time limit.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(300), test).await.expect("the test takes too long");
    });
}

pub(super) fn http() -> HttpClient {
    HttpClient::new(&HttpOptions::default()).unwrap()
}

/// Reads a configuration with the name `s`, short pauses, and these keys.
pub(super) fn config(keys: Value) -> ServerConfig {
    let mut config = json!({
        "name": "s", "restart_pause_ms": 1, "restart_pause_max_ms": 1, "list_pause_ms": 1, "stop_timeout_ms": 1_000,
        "progress_pause_ms": 0,
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

/// The connections to a server that a test plays.
pub(super) struct Peers(mpsc::UnboundedReceiver<DuplexStream>);

/// Starts a server that the test plays, with the handshake of revision 2025-11-25.
pub(super) fn start(keys: Value) -> (McpServer, Peers) {
    start_in("2025-11-25", keys)
}

pub(super) fn start_in(protocol: &str, mut keys: Value) -> (McpServer, Peers) {
    let (connections, connected) = mpsc::unbounded_channel();
    keys["command"] = json!(["fake"]);
    keys["protocol"] = json!(protocol);
    let mut config = config(keys);
    config.endpoint = Endpoint::Duplex(connections);
    (McpServer::start(config, http()).unwrap(), Peers(connected))
}

impl Peers {
    /// Waits for the next connection.
    pub(super) async fn next(&mut self) -> Peer {
        let (read, write) = tokio::io::split(self.0.recv().await.expect("the server has stopped"));
        Peer { lines: BufReader::new(read).lines(), write, was_initialized: false }
    }

    /// Waits for the next connection, and answers until the tools are listed.
    pub(super) async fn ready(&mut self, tools: Value) -> Peer {
        let mut peer = self.next().await;
        peer.handshake(tools).await;
        peer
    }
}

/// One connection.
pub(super) struct Peer {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    write: WriteHalf<DuplexStream>,
    was_initialized: bool,
}

impl Peer {
    /// Waits for the next message; `None` if the connection was closed.
    pub(super) async fn read(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.ok()??;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Waits for the next message of this method, and answers pings and lists until then.
    pub(super) async fn expect(&mut self, method: &str) -> Value {
        loop {
            let message = self.read().await.unwrap_or_else(|| panic!("the connection ended before {method}"));
            if message["method"] == method {
                return message;
            }
        }
    }

    /// Waits for the answer to the request of this id.
    pub(super) async fn answer(&mut self, id: i64) -> Value {
        loop {
            let message = self.read().await.expect("the connection ended before an answer");
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write.write_all(bytes).await
    }

    pub(super) async fn send(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.raw(line.as_bytes()).await.unwrap();
    }

    pub(super) async fn request(&mut self, id: i64, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    }

    pub(super) async fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Answers a request with a result.
    pub(super) async fn reply(&mut self, request: &Value, result: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})).await;
    }

    pub(super) async fn handshake(&mut self, tools: Value) {
        let initialize = self.expect("initialize").await;
        assert_eq!(initialize["params"]["protocolVersion"], "2025-11-25");
        assert!(!self.was_initialized);
        self.was_initialized = true;
        self.reply(
            &initialize,
            json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
        )
        .await;
        self.list(tools).await;
    }

    /// Answers the next list of tools.
    pub(super) async fn list(&mut self, tools: Value) {
        let list = self.expect("tools/list").await;
        self.reply(&list, json!({"tools": tools})).await;
    }

    /// Waits for a call and returns its request.
    pub(super) async fn call(&mut self) -> Value {
        self.expect("tools/call").await
    }
}

/// Returns a list of tools with these names.
pub(super) fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect()
}

/// Returns a result with this text.
pub(super) fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// A run that makes calls.
pub(super) struct Run {
    owner: Owner,
    progress: mpsc::UnboundedSender<String>,
    asks: mpsc::UnboundedSender<(String, Value, oneshot::Sender<Answer>)>,
}

/// The reports and questions of a run's calls.
pub(super) struct Seen {
    pub(super) progress: mpsc::UnboundedReceiver<String>,
    pub(super) asks: mpsc::UnboundedReceiver<(String, Value, oneshot::Sender<Answer>)>,
}

impl Run {
    pub(super) fn of(owner: u64) -> (Self, Seen) {
        let (progress, progress_seen) = mpsc::unbounded_channel();
        let (asks, asks_seen) = mpsc::unbounded_channel();
        (Self { owner: Owner::new(owner), progress, asks }, Seen { progress: progress_seen, asks: asks_seen })
    }

    /// Calls a tool and returns its result as JSON, or the message of its error.
    pub(super) async fn call(&self, server: &McpServer, tool: &str) -> Result<Value, String> {
        let parameters = Json::parse(r#"{"a": 1}"#).unwrap();
        match server.tool(tool).call(&parameters, self).await {
            Ok(result) => Ok(result.to_value()),
            Err(error) => Err(error.user_message().to_owned()),
        }
    }
}

#[async_trait]
impl CallHost for Run {
    fn owner(&self) -> Owner {
        self.owner
    }

    async fn progress(&self, text: String) {
        self.progress.send(text).unwrap();
    }

    async fn ask(&self, name: &str, parameters: Json) -> Result<Answer, ToolError> {
        let (reply, answer) = oneshot::channel();
        self.asks.send((name.to_owned(), parameters.to_value(), reply)).unwrap();
        Ok(answer.await.unwrap_or(Answer::Unanswered { why: "dropped".to_owned() }))
    }
}
