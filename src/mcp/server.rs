//! A server as the service holds it.

use std::{fmt, io, sync::Arc};

use async_trait::async_trait;
use quintet_agent::{Tool, tool::ToolSource};
use quintet_upstream::HttpClient;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    config::{ConfigError, ServerConfig},
    log::ServerLog,
    state::{ServerState, Tools},
    supervisor::Supervisor,
    thread,
    tool::ServerLink,
};

/// A configured server, which is kept running until this value is dropped.
pub struct McpServer {
    link: Arc<ServerLink>,
    tools: watch::Receiver<Tools>,
    /// Cancelled when the first start has succeeded or failed.
    first_tried: CancellationToken,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// The reason for which a server cannot be kept. Operator fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The thread of the server was not started.
    #[error("the thread of the MCP server {server} cannot be started: {source}")]
    Thread {
        /// The server.
        server: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl McpServer {
    /// Starts to keep a server running and returns without waiting for it. A server that cannot be reached is no
    /// error: it is tried again, and has no tools until then.
    ///
    /// # Errors
    ///
    /// Returns [`McpError`] if a credential cannot be read or the thread cannot be started.
    pub fn start(config: ServerConfig, http: HttpClient) -> Result<Self, McpError> {
        let secrets = config.secrets()?;
        let config = Arc::new(config);
        let (commands, received) = mpsc::channel(config.limits.calls_max);
        let (state, seen_state) = watch::channel(ServerState::Connecting);
        let (tools, seen_tools) = watch::channel(Tools::from([]));
        let (first_tried, stop) = (CancellationToken::new(), CancellationToken::new());
        let link = Arc::new(ServerLink {
            config: config.clone(),
            redactor: secrets.redactor(),
            commands,
            state: seen_state,
        });
        let supervisor = Supervisor {
            log: ServerLog::new(config.name.as_str().into()),
            config,
            secrets,
            http,
            commands: received,
            state,
            tools,
            link: link.clone(),
            first_tried: first_tried.clone(),
            stop: stop.clone(),
            tasks: Default::default(),
            prefers_initialize: false,
        };
        let server = &link.config.name;
        thread::start(server, supervisor.run())
            .map_err(|source| McpError::Thread { server: server.clone(), source })?;
        Ok(Self { link, tools: seen_tools, first_tried, _stop_on_drop: stop.clone().drop_guard(), stop })
    }

    /// Returns a tool without looking whether the server has it.
    #[cfg(test)]
    pub(crate) fn tool(&self, name: &str) -> crate::tool::McpTool {
        let spec = crate::catalog::ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: serde_json::Value::Null,
            is_idempotent: false,
        };
        crate::tool::McpTool::new(spec, self.link.clone())
    }

    /// Returns the name of the server.
    pub fn name(&self) -> &str {
        &self.link.config.name
    }

    /// Returns the state of the server.
    pub fn state(&self) -> ServerState {
        *self.link.state.borrow()
    }

    /// Waits until the first start of the server has succeeded or failed, and returns its state. It takes as long as
    /// `start_timeout_ms` at most, and less than twice that for a server of an earlier revision of the protocol.
    pub async fn tried(&self) -> ServerState {
        self.reached(|state| state != ServerState::Connecting).await
    }

    /// Waits until the state of the server is one that is wanted, or [`ServerState::Stopped`], and returns it.
    pub async fn reached(&self, is_wanted: impl Fn(ServerState) -> bool) -> ServerState {
        let mut state = self.link.state.clone();
        let reached = state.wait_for(|state| *state == ServerState::Stopped || is_wanted(*state)).await;
        // The sender is gone only with the thread.
        reached.map_or(ServerState::Stopped, |state| *state)
    }

    /// Returns a receiver that is notified when the tools of the server have changed.
    pub fn tools_changed(&self) -> watch::Receiver<Tools> {
        self.tools.clone()
    }

    /// Stops the server and waits for its end: open calls close as `error`; a child process gets `stop_timeout_ms` to
    /// exit, and is killed then.
    pub async fn stop(&self) {
        self.stop.cancel();
        // The state is `Stopped` as soon as no call is taken; the sender is gone once the connection is closed.
        let mut state = self.link.state.clone();
        while state.changed().await.is_ok() {}
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("McpServer");
        debug.field("name", &self.name()).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// The last list of tools. It stays while the server is down.
#[async_trait]
impl ToolSource for McpServer {
    fn tools(&self) -> Arc<[Arc<dyn Tool>]> {
        self.tools.borrow().clone()
    }

    async fn prepare(&self) {
        self.first_tried.cancelled().await;
    }

    async fn stop(&self) {
        McpServer::stop(self).await;
    }
}

impl ServerState {
    /// All states.
    pub const ALL: [ServerState; 4] =
        [ServerState::Connecting, ServerState::Ready, ServerState::BackingOff, ServerState::Stopped];

    /// Returns the label of the state in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            ServerState::Connecting => "connecting",
            ServerState::Ready => "ready",
            ServerState::BackingOff => "backing_off",
            ServerState::Stopped => "stopped",
        }
    }

    /// Returns the state as the end of a sentence.
    pub(crate) fn description(self) -> &'static str {
        match self {
            ServerState::Connecting => "being started",
            ServerState::Ready => "ready",
            ServerState::BackingOff => "down and will be started again",
            ServerState::Stopped => "stopped",
        }
    }
}
