//! Builds, runs, drains and stops the service. Used by `main` and by tests.
//!
//! ```text
//!   start: settings ─▶ journal, agents ─▶ admin listener ─▶ recover ─▶ public listener ─▶ Running
//!   drain: /readyz 503, no new message ─▶ runs at rest, or drain_wait_ms_max
//!          ─▶ connections closed (1012), each within its own limits ─▶ journal let go
//! ```
//!
//! Guarantees: no client is served before all runs left open by an earlier process are resumed (RUN-6). A
//! drain takes bounded time and loses nothing (CONN-6). Without a verification key or, in production, without
//! an origin allow-list, the service does not start (AUTH-4, AUTH-5).

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::serve::{Listener, ListenerExt};
use tokio::net::TcpListener;

use super::{
    config::{
        Loaded, Settings, Source,
        check::{self, KeySource},
    },
    disk::{self, DiskMonitor},
    metrics, telemetry,
};
use crate::{
    agent::host::SharedAgents,
    gateway::{
        Gateway,
        admit::Admit,
        auth::{Auth, Keys},
        dev::{DevLogin, DevLoginError},
        drain::{Drain, Stage},
        hosts::{Hosts, InvalidName},
        jwks::Jwks,
        key::{
            KeyDescription, KeyError, VerifyingKey,
            file::{KeyFile, KeyFileError},
            secret::HmacSecret,
        },
        listen,
        operations::{self, Operations},
        origins::{InvalidOrigin, Origins},
        peers::{Peers, TrustedProxies, forwarded::InvalidNetwork},
        refusal_log::RefusalLog,
        router,
        token::ClaimsPolicy,
    },
    journal::{Journal, JournalError},
    monitor::{Monitor, trace::Trace},
    observer::{NoObserver, Observer},
    runtime::{saturation::Saturation, tasks::Tasks},
    user::factory::Factory,
    wire::http::AgentInfo,
};

/// The mode of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Development on one machine: any client can log in as any user, on loopback only.
    Dev,
    /// Production.
    Serve,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Serve => "serve",
        })
    }
}

/// The parts of a service that are passed in beside its settings.
pub struct Parts {
    pub journal: Arc<dyn Journal>,
    pub agents: SharedAgents,
    /// The agents as `GET /v1/agents` lists them.
    pub described: Vec<AgentInfo>,
}

/// A running service. Dropping it stops it immediately; [`Running::drain`] shuts it down in order.
pub struct Running {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    gateway: Gateway,
    monitor: Option<Monitor>,
    /// Tasks of the public listener: its acceptor, sockets and connections.
    public: Tasks,
    /// Aborted on drop.
    _background: Background,
}

/// Tasks that run until the service is dropped.
#[derive(Default)]
struct Background(Vec<tokio::task::AbortHandle>);

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// All runs ended or reached a safe point in time. Otherwise the next process resumes them (RUN-6).
    pub runs_at_rest: bool,
    /// All connections closed in time.
    pub connections_closed: bool,
}

/// Why the service did not start. See [`StartError::is_configuration`].
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] super::config::ConfigError),
    #[error("{name}: {}", .path.display())]
    KeyFile {
        name: &'static str,
        path: PathBuf,
        #[source]
        source: KeyFileError,
    },
    #[error("{name}: {}", .path.display())]
    Key {
        name: &'static str,
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    #[error("jwks_url: {0}")]
    Jwks(String),
    #[error("allow_origin: {0}")]
    Origin(#[from] InvalidOrigin),
    #[error("trusted_proxies: {0}")]
    TrustedProxy(#[from] InvalidNetwork),
    #[error("hosts: {0}")]
    Host(#[from] InvalidName),
    #[error("{name}: {address} cannot be bound")]
    Listen {
        name: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("trace_file: {} cannot be written", .path.display())]
    Trace {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    DevLogin(#[from] DevLoginError),
    #[error(transparent)]
    Metrics(#[from] metrics::RecorderError),
    #[error("runs left open by an earlier process cannot be resumed")]
    Recovery(#[source] JournalError),
}

impl StartError {
    /// Returns whether the operator has to change a setting (exit code 2; otherwise 1).
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::KeyFile { .. }
            | Self::Key { .. }
            | Self::Jwks(_)
            | Self::Origin(_)
            | Self::TrustedProxy(_)
            | Self::Host(_)
            | Self::Trace { .. } => true,
            Self::Listen { .. } | Self::DevLogin(_) | Self::Metrics(_) | Self::Recovery(_) => false,
        }
    }
}

/// Checks that the settings are complete and consistent for the mode. Has no side effects.
///
/// # Errors
/// When a required setting is missing, settings contradict each other, or the key file is invalid.
pub fn check(mode: Mode, loaded: &Loaded) -> Result<(), StartError> {
    match mode {
        Mode::Dev => check::dev(loaded)?,
        Mode::Serve => {
            check::serve(loaded)?;
            key_of_file(&loaded.settings)?;
        }
    }
    Ok(())
}

/// Logs warnings about ignored settings, and about a configuration file with secrets that other users can
/// read (AUTH-6). The log must be started.
pub fn warn_of_settings(loaded: &Loaded) {
    if !loaded.service_links.is_empty() {
        let variables = loaded.service_links.join(", ");
        tracing::warn!(variables, "variables of Kubernetes service links are ignored");
    }
    if let Some(path) = loaded.exposed_file() {
        tracing::warn!(path = %path.display(), "every user of this machine can read a secret in the configuration: chmod o-rwx");
    }
}

/// Binds both listeners and starts the service. The settings must have passed [`check`].
///
/// # Errors
/// When a listener cannot be bound, a setting is invalid, or recovery fails.
pub async fn start(mode: Mode, settings: &Settings, parts: Parts) -> Result<Running, StartError> {
    let bind = async |name, address| {
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { name, address, source })
    };
    // Both are bound before anything else starts, so that an address in use has no side effects.
    let listener = bind("listen", settings.listen).await?;
    let admin = bind("admin_listen", settings.admin_listen).await?;
    let limits = settings.gateway;
    let listener = listener.tap_io(move |socket| listen::tune(socket, &limits));
    start_on(mode, settings, parts, listener, admin).await
}

/// Starts the service on any kind of listener, such as those of a simulated network.
///
/// # Errors
/// When a setting is invalid, or recovery fails.
pub async fn start_on<L, A>(
    mode: Mode,
    settings: &Settings,
    parts: Parts,
    listener: L,
    admin: A,
) -> Result<Running, StartError>
where
    L: Listener<Addr = SocketAddr>,
    A: Listener<Addr = SocketAddr>,
{
    let handle = metrics::recorder()?;
    let address = |name, address, bound: std::io::Result<SocketAddr>| {
        bound.map_err(|source| StartError::Listen { name, address, source })
    };
    let listen = address("listen", settings.listen, listener.local_addr())?;
    let admin_listen = address("admin_listen", settings.admin_listen, admin.local_addr())?;
    let Parts { journal, agents, described } = parts;

    let monitor = monitor(settings, &*journal)?;
    let observer: Arc<dyn Observer> = match &monitor {
        Some(monitor) => Arc::new(monitor.clone()),
        None => Arc::new(NoObserver),
    };
    let saturation = Saturation::default();
    let factory =
        Factory::observed(journal.clone(), agents, settings.user_limits(), observer, saturation.clone());
    let public = Tasks::default();
    let gateway = gateway(mode, settings, listen, factory, described, saturation.clone(), public.clone())?;
    let mut background = Background::default();
    let limits = settings.gateway;

    let (shown, rendered) = (gateway.clone(), handle.clone());
    let recovered = Arc::new(AtomicBool::new(false));
    let operations = Operations {
        drain: gateway.drain.clone(),
        hosts: Hosts::listed(settings.admin_hosts.iter().map(String::as_str))?,
        recovered: recovered.clone(),
        auth: gateway.auth.clone(),
        journal: journal.clone(),
        saturation: saturation.clone(),
        metrics: Arc::new(move || {
            sample(&shown);
            rendered.render()
        }),
    };
    // The admin listener serves from startup to the very end; a drain does not close it.
    let admin = listen::serve(
        admin,
        operations::router(operations),
        limits,
        Drain::default(),
        Tasks::default(),
        Peers::new(limits, TrustedProxies::default(), saturation.clone()),
    );
    background.start(admin);
    let mut disk =
        DiskMonitor::new(journal.clone(), settings.disk, gateway.factory.clone(), saturation.clone());
    // Before the first message.
    disk.look().await;
    background.start(disk.run());
    let (refusals, measured) = (gateway.refusals.clone(), journal.clone());
    background.start(async move {
        loop {
            disk::measure(&*measured).await;
            tokio::time::sleep(metrics::UPKEEP_INTERVAL).await;
            handle.run_upkeep();
            saturation.sweep();
            refusals.sweep();
        }
    });

    // RUN-6: open runs are resumed before the public listener accepts its first socket.
    gateway.factory.recover().await.map_err(StartError::Recovery)?;
    recovered.store(true, Ordering::Release);
    public.spawn(listen::serve(
        listener,
        router(gateway.clone()),
        limits,
        gateway.drain.clone(),
        public.clone(),
        gateway.peers.clone(),
    ));
    if settings.retention.trims() {
        background.start(disk::trim(journal, settings.retention));
    }
    Ok(Running { listen, admin_listen, gateway, monitor, public, _background: background })
}

/// Creates the monitor, if the settings enable its checks or its trace.
fn monitor(settings: &Settings, journal: &dyn Journal) -> Result<Option<Monitor>, StartError> {
    if !settings.conformance && settings.trace_file.is_none() {
        return Ok(None);
    }
    let trace = settings
        .trace_file
        .as_ref()
        .map(|path| Trace::to_file(path).map_err(|source| StartError::Trace { path: path.clone(), source }));
    let connection = settings.gateway.connection();
    let (trace, epoch) = (trace.transpose()?, journal.epoch());
    Ok(Some(Monitor::new(settings.conformance, trace, epoch, &settings.kernel, connection)))
}

fn gateway(
    mode: Mode,
    settings: &Settings,
    listen: SocketAddr,
    factory: Factory,
    described: Vec<AgentInfo>,
    saturation: Saturation,
    tasks: Tasks,
) -> Result<Gateway, StartError> {
    let limits = settings.gateway;
    let listed = Origins::parse(settings.allow_origin.iter().map(String::as_str))?;
    let policy = ClaimsPolicy {
        audience: check::audience(settings)?,
        issuer: settings.jwt_issuer.clone(),
        clock_skew_ms_max: limits.clock_skew_ms_max,
        lifetime_ms_max: limits.token_lifetime_ms_max,
    };
    let (keys, origins, dev) = match mode {
        // AUTH-4, AUTH-5: refuses settings that were not passed to `check` before.
        Mode::Serve => {
            check::production(settings)?;
            (keys(settings)?, listed, None)
        }
        Mode::Dev => {
            check::loopback("listen", listen, Source::Default)?;
            let login = DevLogin::throw_away()?;
            let key = login.verifying_key();
            (Keys::Fixed(Arc::new(key)), listed.and(Origins::of_loopback(listen)), Some(Arc::new(login)))
        }
    };
    let trusted = settings.trusted_proxies.iter().map(String::as_str);
    let trusted = TrustedProxies::parse(trusted, settings.forwarded_header)?;
    let hosts = match mode {
        // Without an allow-list, production accepts any name that its proxy and clients use.
        Mode::Serve if settings.hosts.is_empty() => Hosts::Any,
        Mode::Serve | Mode::Dev => Hosts::listed(settings.hosts.iter().map(String::as_str))?,
    };
    let auth = Auth::new(keys, policy, &limits, saturation.clone(), factory.observer().clone());
    Ok(Gateway {
        factory,
        agents: described.into(),
        auth,
        origins: Arc::new(origins),
        refusals: RefusalLog::new(settings.log_limits.refusal_lines_per_minute_max),
        admit: Admit::new(limits, saturation.clone()),
        peers: Peers::new(limits, trusted, saturation),
        hosts,
        drain: Drain::default(),
        limits,
        tasks,
        dev,
    })
}

/// Loads the verification keys of the configured kind (AUTH-5).
fn keys(settings: &Settings) -> Result<Keys, StartError> {
    if let Some((name, path, key, file)) = key_of_file(settings)? {
        tracing::info!(setting = name, path = %path.display(), key = %key.description(), "verification key read");
        warn_of_access(name, &path, &key, &file);
        if settings.jwt_audience.is_none() && key.is_costly() {
            tracing::warn!(
                "jwt_audience is not set: tokens of this issuer for other applications are accepted too"
            );
        }
        return Ok(Keys::Fixed(Arc::new(key)));
    }
    let url = settings.jwks_url.as_deref().unwrap_or_default();
    let url = reqwest::Url::parse(url).map_err(|e| StartError::Jwks(e.to_string()))?;
    if settings.any_audience {
        tracing::warn!("any_audience is set: tokens of this issuer for other applications are accepted too");
    }
    Ok(Keys::Set(
        Jwks::start(url, settings.gateway).map_err(|e| StartError::Jwks(e.without_url().to_string()))?,
    ))
}

/// The name of the setting, the path, the key and the file.
type KeyOfFile = (&'static str, PathBuf, VerifyingKey, KeyFile);

/// Reads the configured key file. Returns `None` if a key set is configured instead.
fn key_of_file(settings: &Settings) -> Result<Option<KeyOfFile>, StartError> {
    let (name, path) = match check::key_source(settings)? {
        KeySource::Secret(path) => ("jwt_secret", path.to_owned()),
        KeySource::PublicKey(path) => ("jwt_public_key", path.to_owned()),
        KeySource::Jwks(_) => return Ok(None),
    };
    let unread = |source| StartError::KeyFile { name, path: path.clone(), source };
    let file = KeyFile::read(&path).map_err(unread)?;
    let key = match name {
        "jwt_secret" => HmacSecret::from_file(&file.contents)
            .map_err(KeyError::from)
            .map(|secret| VerifyingKey::from_secret(&secret)),
        _ => VerifyingKey::from_public_pem(&file.contents),
    };
    match key {
        Ok(key) => Ok(Some((name, path, key, file))),
        Err(source) => Err(StartError::Key { name, path, source }),
    }
}

/// Returns the setting and description of the configured key file, for `check-config`; `None` without one.
///
/// # Errors
/// When `quintet serve` would refuse the file.
pub fn described_key(settings: &Settings) -> Result<Option<(&'static str, KeyDescription)>, StartError> {
    if check::key_source(settings).is_err() {
        return Ok(None);
    }
    Ok(key_of_file(settings)?.map(|(name, _, key, _)| (name, key.description().clone())))
}

/// Warns about a secret that other users can read, and a key that they can replace (AUTH-6).
fn warn_of_access(name: &str, path: &std::path::Path, key: &VerifyingKey, file: &KeyFile) {
    let is_secret = !key.is_costly();
    if is_secret && file.is_readable_by_others {
        tracing::warn!(setting = name, path = %path.display(), "every user of this machine can read the secret: chmod o-rwx");
    }
    if file.is_writable_by_others {
        tracing::warn!(setting = name, path = %path.display(), "users other than its owner can change the key: chmod go-w");
    }
}

/// Updates the metrics that are sampled when `/metrics` is rendered.
fn sample(gateway: &Gateway) {
    ::metrics::gauge!("quintet_live_users").set(gateway.factory.live_users() as f64);
    ::metrics::gauge!("quintet_moving_runs").set(gateway.factory.moving_runs() as f64);
    ::metrics::gauge!("quintet_tickets_outstanding").set(gateway.auth.tickets_outstanding() as f64);
    let sockets = gateway.peers.sockets_open();
    let by_state = [("authenticated", sockets.authenticated), ("unauthenticated", sockets.unauthenticated)];
    for (state, open) in by_state {
        ::metrics::gauge!("quintet_sockets", "state" => state).set(open as f64);
    }
    let draining = gateway.drain.stage() != Stage::Serving;
    ::metrics::gauge!("quintet_waiting_messages").set(gateway.factory.waiting_messages() as f64);
    ::metrics::gauge!("quintet_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::process().collect();
    let losses = telemetry::losses();
    ::metrics::counter!("quintet_log_dropped_total").absolute(losses.dropped);
    ::metrics::counter!("quintet_log_write_errors_total").absolute(losses.write_errors);
    ::metrics::gauge!("quintet_draining").set(if draining { 1.0 } else { 0.0 });
}

impl Running {
    /// Shuts the service down in order (CONN-6). Takes at most `drain_wait_ms_max` + `leave_wait_ms_max` +
    /// `close_wait_ms_max` + 1 s.
    pub async fn drain(&self) -> Drained {
        let limits = self.gateway.limits;
        tracing::info!(live_users = self.gateway.factory.live_users(), "draining");
        let observer = self.gateway.factory.observer();
        // Connections are notified first; then the factory rejects new messages.
        self.gateway.drain.advance(Stage::Draining);
        self.gateway.factory.drain();
        observer.draining();
        let rest = Duration::from_millis(limits.drain_wait_ms_max);
        let runs_at_rest = tokio::time::timeout(rest, self.gateway.factory.comes_to_rest()).await.is_ok();

        self.gateway.factory.rest();
        observer.drained();
        self.gateway.drain.advance(Stage::Closing);
        // Upper bound for each connection; one that exceeds it is abandoned.
        let close = Duration::from_millis(limits.leave_wait_ms_max + limits.close_wait_ms_max) + LATE_MAX;
        let connections_closed = tokio::time::timeout(close, self.public.finished()).await.is_ok();
        let drained = Drained { runs_at_rest, connections_closed };
        tracing::info!(runs_at_rest, connections_closed, "drained");
        // Does not wait for the trace file: its writer thread runs in real time, which a simulation does not
        // control.
        observer.stopped();
        drained
    }

    /// Returns the monitor, if the settings enable one.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// Returns the shared state of the handlers, for tests.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

impl Background {
    fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.push(Tasks::default().spawn(task).abort_handle());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a drain, connections still get a close frame.
        self.gateway.drain.advance(Stage::Closing);
    }
}

/// Allowance for the last connection to notice its timeout.
const LATE_MAX: Duration = Duration::from_secs(1);
