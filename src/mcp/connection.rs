//! One connection to a server: its transport, handshake and first list of tools.

use std::{sync::Arc, time::Duration};

use quintet_upstream::HttpClient;
use rmcp::{
    RoleClient,
    model::{ProtocolVersion, SubscriptionFilter},
    service::{
        ClientInitializeError, ClientLifecycleMode, RunningService, ServiceError,
        serve_client_with_lifecycle_and_ct,
    },
    transport::{
        Transport,
        async_rw::AsyncRwTransport,
        common::client_side_sse::ExponentialBackoff,
        streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig},
    },
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    call::CallRoute,
    catalog::{self, Catalog, ListError},
    config::{Endpoint, Protocol, Secrets, ServerConfig},
    guarded::{GuardedTransport, LineLimit},
    handler::Handler,
    log::ServerLog,
    open_calls::OpenCalls,
    process::{ChildServer, SpawnError},
    stderr,
};
use quintet_runtime::tasks::Tasks;

/// An open connection.
pub(crate) struct Connection {
    running: RunningService<RoleClient, Handler>,
    child: Option<ChildServer>,
    pub(crate) calls: Arc<OpenCalls>,
    /// Notified when the list of tools is to be read again.
    pub(crate) changed: Arc<Notify>,
    /// Cancelled when the connection has ended.
    pub(crate) lost: CancellationToken,
}

/// The reason for which there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The process was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(&'static str),
    /// The server cannot list its tools.
    #[error("the tools cannot be listed: {0}")]
    List(#[from] ListError),
}

/// The parts that connections are made of.
pub(crate) struct Connector<'a> {
    pub(crate) config: &'a Arc<ServerConfig>,
    pub(crate) secrets: &'a Secrets,
    pub(crate) http: &'a HttpClient,
    pub(crate) log: &'a ServerLog,
    pub(crate) tasks: &'a Tasks,
}

impl Connector<'_> {
    /// Connects by the handshake of this mode.
    pub(crate) async fn connect(&self, mode: Protocol) -> Result<(Connection, Catalog), ConnectError> {
        let limits = self.config.limits;
        let lost = CancellationToken::new();
        match &self.config.endpoint {
            Endpoint::Command { command, folder, env, .. } => {
                let (child, streams) = ChildServer::spawn(command, folder.as_deref(), env, self.secrets)?;
                let _followed = self.tasks.spawn(stderr::follow(
                    streams.stderr,
                    self.log.clone(),
                    limits,
                    self.secrets.redactor(),
                ));
                let stdout = LineLimit::new(streams.stdout, limits.frame_bytes_max);
                let transport = AsyncRwTransport::new_client(stdout, streams.stdin)
                    .with_max_line_length(limits.frame_bytes_max);
                self.open(mode, transport, Some(child), lost).await
            }
            Endpoint::Url { url, .. } => {
                let mut backoff = ExponentialBackoff::default();
                backoff.max_times = Some(SSE_RETRIES_MAX);
                backoff.max_delay = Some(Duration::from_millis(limits.restart_pause_max_ms));
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .max_concurrent_requests(limits.calls_max)
                    .max_sse_event_size(limits.frame_bytes_max)
                    .max_json_response_size(limits.frame_bytes_max);
                config.retry_config = Arc::new(backoff);
                config.auth_header = self.secrets.bearer.as_ref().map(|secret| secret.expose().to_owned());
                let client = self.http.unrepeatable().clone();
                let transport = StreamableHttpClientTransport::with_client(client, config);
                self.open(mode, transport, None, lost).await
            }
            #[cfg(test)]
            Endpoint::Duplex(servers) => {
                let (ours, theirs) = tokio::io::duplex(crate::tests::DUPLEX_BYTES);
                servers.send(theirs).expect("the test has ended");
                let (read, write) = tokio::io::split(ours);
                let read = LineLimit::new(read, limits.frame_bytes_max);
                self.open(mode, AsyncRwTransport::new_client(read, write), None, lost).await
            }
        }
    }

    async fn open<T>(
        &self,
        mode: Protocol,
        transport: T,
        child: Option<ChildServer>,
        lost: CancellationToken,
    ) -> Result<(Connection, Catalog), ConnectError>
    where
        T: Transport<RoleClient> + 'static,
    {
        let transport = GuardedTransport::new(transport, self.config.limits.requests_max, lost.clone());
        let calls = Arc::new(OpenCalls::new(self.config.limits));
        let changed = Arc::new(Notify::new());
        let handler = Handler {
            calls: calls.clone(),
            changed: changed.clone(),
            lost: lost.clone(),
            log: self.log.clone(),
        };
        let running =
            serve_client_with_lifecycle_and_ct(handler, transport, lifecycle(mode), CancellationToken::new())
                .await
                .map_err(|error| ConnectError::Handshake(reason(&error)))?;
        let connection = Connection { running, child, calls, changed, lost };
        let catalog = match connection.has_tools() {
            true => catalog::list(connection.running.peer(), self.config).await?,
            false => Catalog::default(),
        };
        connection.follow_changes(self);
        Ok((connection, catalog))
    }
}

impl Connection {
    /// Returns the negotiated revision of the protocol.
    pub(crate) fn protocol(&self) -> String {
        self.running.peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default()
    }

    pub(crate) fn has_tools(&self) -> bool {
        self.running.peer_info().is_some_and(|info| info.capabilities.tools.is_some())
    }

    /// Returns the way of a call to the server.
    pub(crate) fn route(&self, config: &ServerConfig, log: &ServerLog) -> CallRoute {
        CallRoute {
            peer: self.running.peer().clone(),
            calls: self.calls.clone(),
            lost: self.lost.clone(),
            suspect: self.changed.clone(),
            limits: config.limits,
            log: log.clone(),
        }
    }

    /// Lists the tools again.
    pub(crate) fn list(
        &self,
        config: Arc<ServerConfig>,
    ) -> impl Future<Output = Result<Catalog, ListError>> + Send + 'static {
        let peer = self.running.peer().clone();
        async move { catalog::list(&peer, &config).await }
    }

    /// Waits for the end of the child process; never ends for another server.
    pub(crate) async fn child_ended(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.ended().await),
            None => std::future::pending().await,
        }
    }

    /// Ends the connection and its child process.
    pub(crate) async fn close(mut self, grace: Duration) {
        self.lost.cancel();
        // An error or a timeout leaves tasks that end with the thread.
        let _closed = self.running.close_with_timeout(grace).await;
        if let Some(child) = self.child.take() {
            child.stop(grace).await;
        }
    }

    /// Subscribes to changes of the list of tools where the protocol wants that: since revision 2026-07-28.
    fn follow_changes(&self, connector: &Connector<'_>) {
        let is_announced = self.running.peer_info().is_some_and(|info| {
            info.protocol_version >= ProtocolVersion::V_2026_07_28
                && info.capabilities.tools.as_ref().is_some_and(|tools| tools.list_changed == Some(true))
        });
        if !is_announced {
            return;
        }
        let (peer, changed, lost) = (self.running.peer().clone(), self.changed.clone(), self.lost.clone());
        let log = connector.log.clone();
        let pause = Duration::from_millis(connector.config.limits.restart_pause_max_ms);
        let _following = connector.tasks.spawn(async move {
            let follow = async {
                loop {
                    let filter = SubscriptionFilter::builder().tools_list_changed().build();
                    let followed: Result<(), ServiceError> = async {
                        let mut subscription = peer.listen(filter).await?;
                        while subscription.next().await?.is_some() {
                            changed.notify_one();
                        }
                        Ok(())
                    }
                    .await;
                    if let Err(error) = followed {
                        let error = catalog::failure(&error);
                        log.write(|server| {
                            tracing::debug!(server, error, "the notices of an MCP server ended")
                        });
                    }
                    sleep(pause).await;
                    // What changed in the pause was not announced.
                    changed.notify_one();
                }
            };
            tokio::select! {
                () = follow => {}
                () = lost.cancelled() => {}
            }
        });
    }
}

fn lifecycle(mode: Protocol) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match mode {
        Protocol::Auto => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        },
        Protocol::Initialize => ClientLifecycleMode::Initialize,
        Protocol::Discover => ClientLifecycleMode::Discover { preferred_versions },
    }
}

/// Describes the failure of a handshake without texts of the server.
fn reason(error: &ClientInitializeError) -> &'static str {
    if error.is_authorization_required() {
        return "the server refused the credentials";
    }
    match error {
        ClientInitializeError::ConnectionClosed(_) => "the connection ended",
        ClientInitializeError::TransportError { .. } => "the request could not be sent",
        ClientInitializeError::JsonRpcError(_) | ClientInitializeError::LegacyFallbackFailed { .. } => {
            "the server refused it"
        }
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "there is no common revision of the protocol"
        }
        _ => "the server's answer has an unexpected form",
    }
}

/// Attempts to take up a broken stream of events again.
const SSE_RETRIES_MAX: usize = 3;
