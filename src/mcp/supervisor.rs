//! The task that keeps one server running.

use std::{sync::Arc, time::Duration};

use quintet_agent::Tool;
use quintet_runtime::tasks::Tasks;
use quintet_upstream::HttpClient;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    call::{CallCommand, CallError},
    catalog::{Catalog, ListError},
    config::{Protocol, Secrets, ServerConfig},
    connection::{ConnectError, Connection, Connector},
    counts,
    log::ServerLog,
    phase::{Input, Phase},
    state::{ServerState, Tools},
    tool::{McpTool, ServerLink},
};

/// Starts a server, serves its calls, and starts it again.
pub(crate) struct Supervisor {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) secrets: Secrets,
    pub(crate) http: HttpClient,
    pub(crate) log: ServerLog,
    pub(crate) commands: mpsc::Receiver<CallCommand>,
    pub(crate) state: watch::Sender<ServerState>,
    pub(crate) tools: watch::Sender<Tools>,
    pub(crate) link: Arc<ServerLink>,
    /// Cancelled when the first start has succeeded or failed.
    pub(crate) first_tried: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: Tasks,
    /// True if the server took the handshake of the earlier revisions only.
    pub(crate) prefers_initialize: bool,
}

impl Supervisor {
    /// Runs until the service stops the server.
    pub(crate) async fn run(mut self) {
        let begun = Instant::now();
        let mut phase = Phase::start();
        while phase != Phase::Stopped {
            let next = match phase {
                Phase::Connecting { .. } => {
                    self.enter(phase);
                    match self.connect().await {
                        Connected::Yes(connection) => {
                            phase = self.after(phase, Input::Connected { now: begun.elapsed() });
                            self.enter(phase);
                            self.serve(*connection, begun).await
                        }
                        Connected::No => Input::Failed { jitter: rand::random() },
                        Connected::Stopped => Input::Stopped,
                    }
                }
                Phase::BackingOff { pause, .. } => {
                    self.enter(phase);
                    self.pause(pause).await
                }
                Phase::Ready { .. } | Phase::Stopped => Input::Stopped,
            };
            phase = self.after(phase, next);
        }
        self.enter(phase);
    }

    fn after(&self, phase: Phase, input: Input) -> Phase {
        phase.handle(input, &self.config.limits).unwrap_or_else(|error| {
            self.log.write(|server| tracing::error!(server, %error, "an MCP server is stopped by a fault"));
            Phase::Stopped
        })
    }

    /// Announces a phase.
    fn enter(&self, phase: Phase) {
        let state = match phase {
            Phase::Connecting { .. } => ServerState::Connecting,
            Phase::Ready { .. } => ServerState::Ready,
            Phase::BackingOff { .. } => ServerState::BackingOff,
            Phase::Stopped => ServerState::Stopped,
        };
        counts::state(&self.config.name, state);
        self.log
            .write(|server| tracing::debug!(server, to = phase.name(), "an MCP server changed its phase"));
        self.state.send_replace(state);
        if state != ServerState::Connecting {
            self.first_tried.cancel();
        }
    }

    /// Connects, refusing calls meanwhile.
    async fn connect(&mut self) -> Connected {
        let Self { config, secrets, http, log, tasks, commands, stop, .. } = self;
        let connector = Connector { config, secrets, http, log, tasks };
        let limit = Duration::from_millis(config.limits.start_timeout_ms);
        let mut mode = config.protocol;
        if mode == Protocol::Auto && self.prefers_initialize {
            mode = Protocol::Initialize;
        }
        let attempt = async {
            match timeout(limit, connector.connect(mode)).await {
                // Some servers of the earlier revisions do not survive the first request of the newest one.
                Ok(Err(ConnectError::Handshake(_))) if mode == Protocol::Auto => {
                    mode = Protocol::Initialize;
                    timeout(limit, connector.connect(mode)).await
                }
                attempt => attempt,
            }
        };
        let attempt = tokio::select! {
            attempt = attempt => attempt,
            () = stop.cancelled() => return Connected::Stopped,
            () = refuse(commands, config, ServerState::Connecting) => return Connected::Stopped,
        };
        let is_silent = attempt.is_err();
        let error = match attempt {
            Ok(Ok((connection, catalog))) => {
                self.prefers_initialize = mode == Protocol::Initialize;
                let (tools, protocol) = (catalog.tools.len(), connection.protocol());
                self.log.write(|server| tracing::info!(server, protocol, tools, "an MCP server is ready"));
                self.publish(catalog);
                return Connected::Yes(Box::new(connection));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => format!("it took longer than {} ms", self.config.limits.start_timeout_ms),
        };
        // A server that does not answer the first request of the newest revision gets the handshake next.
        self.prefers_initialize = is_silent && mode == Protocol::Auto;
        counts::failure(&self.config.name);
        self.log.write(|server| tracing::warn!(server, error, "an MCP server was not started"));
        Connected::No
    }

    /// Serves calls until the connection ends.
    async fn serve(&mut self, mut connection: Connection, begun: Instant) -> Input {
        let limits = self.config.limits;
        let changed = connection.changed.clone();
        let lost = connection.lost.clone();
        let calls = connection.calls.clone();
        let mut listed = Instant::now();
        let mut listing: Option<JoinHandle<Listed>> = None;
        let stopped = loop {
            let due = async {
                sleep_until(listed + Duration::from_millis(limits.list_pause_ms)).await;
                tokio::select! {
                    () = changed.notified() => Due::Announced,
                    () = sleep_until(listed + Duration::from_millis(limits.refresh_ms)) => Due::Regularly,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break true,
                () = lost.cancelled() => break false,
                () = connection.child_ended() => break false,
                // A new process has no abandoned calls, so its questions can be attributed again (ISO-2).
                () = calls.stale.notified() => {
                    self.log.write(|server| tracing::info!(server, "an MCP server is restarted, to ask again"));
                    break false;
                }
                result = finished(&mut listing) => {
                    listing = None;
                    match result {
                        Ok(catalog) => self.publish(catalog),
                        Err(error) => {
                            self.log.write(|server| {
                                tracing::warn!(server, error, "the tools of an MCP server were not listed");
                            });
                            break false;
                        }
                    }
                }
                due = due, if listing.is_none() => {
                    listed = Instant::now();
                    // A server that works on calls may answer late.
                    let is_idle = connection.calls.is_empty();
                    if connection.has_tools() && (due == Due::Announced || is_idle) {
                        listing = Some(self.list(&connection));
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.begin(&connection, command),
                    None => break true,
                },
            }
        };
        if let Some(listing) = listing {
            listing.abort();
        }
        if !stopped {
            counts::failure(&self.config.name);
            self.log.write(|server| tracing::warn!(server, "the connection to an MCP server ended"));
        }
        // Calls are not accepted by a connection that is being closed.
        self.state.send_replace(if stopped { ServerState::Stopped } else { ServerState::BackingOff });
        connection.close(Duration::from_millis(limits.stop_timeout_ms)).await;
        match stopped {
            true => Input::Stopped,
            false => Input::Lost { now: begun.elapsed(), jitter: rand::random() },
        }
    }

    /// Waits for the end of a pause, refusing calls meanwhile.
    async fn pause(&mut self, pause: Duration) -> Input {
        tokio::select! {
            () = sleep(pause) => Input::PauseOver,
            () = self.stop.cancelled() => Input::Stopped,
            () = refuse(&mut self.commands, &self.config, ServerState::BackingOff) => Input::Stopped,
        }
    }

    /// Begins a call, if it is still wanted.
    fn begin(&self, connection: &Connection, command: CallCommand) {
        if command.reply.is_closed() {
            return counts::call(&self.config.name, "cancelled");
        }
        let place = match connection.calls.begin(command.line.owner) {
            Ok(place) => place,
            Err(limit) => return reject(command, &self.config, CallError::Busy(limit)),
        };
        let _call = self.tasks.spawn(connection.route(&self.config, &self.log).run(command, place));
    }

    /// Begins to list the tools.
    fn list(&self, connection: &Connection) -> JoinHandle<Listed> {
        let limit = Duration::from_millis(self.config.limits.start_timeout_ms);
        let list = connection.list(self.config.clone());
        self.tasks.spawn(async move {
            match timeout(limit, list).await {
                Ok(Ok(catalog)) => Ok(catalog),
                Ok(Err(error)) => Err(ListError::to_string(&error)),
                Err(_elapsed) => Err(format!("it took longer than {} ms", limit.as_millis())),
            }
        })
    }

    /// Sets the tools that agents see.
    fn publish(&self, catalog: Catalog) {
        for (why, tool) in &catalog.left_out {
            self.log
                .write(|server| tracing::warn!(server, ?tool, why, "a tool of an MCP server was left out"));
        }
        let tools = catalog.tools.into_iter().map(|spec| {
            let tool: Arc<dyn Tool> = Arc::new(McpTool::new(spec, self.link.clone()));
            tool
        });
        self.tools.send_replace(tools.collect());
    }
}

enum Connected {
    Yes(Box<Connection>),
    No,
    Stopped,
}

/// The reason for which the tools are listed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Announced,
    Regularly,
}

type Listed = Result<Catalog, String>;

/// Waits for a task, if there is one.
async fn finished(listing: &mut Option<JoinHandle<Listed>>) -> Listed {
    match listing {
        Some(task) => task.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}

/// Refuses calls until there can be no more.
async fn refuse(commands: &mut mpsc::Receiver<CallCommand>, config: &ServerConfig, state: ServerState) {
    while let Some(command) = commands.recv().await {
        let server = config.name.clone();
        reject(command, config, CallError::Unreachable { server, state: state.description() });
    }
}

fn reject(command: CallCommand, config: &ServerConfig, error: CallError) {
    counts::call(&config.name, error.outcome());
    // Without a receiver the run has ended.
    let _ = command.reply.send(Err(error));
}
