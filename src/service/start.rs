//! Starts a service on its own listeners, or mounts it in a host's router.
//!
//! Guarantee: open runs of an earlier process are resumed before the first client is served (RUN-6).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    serve::{Listener, ListenerExt},
};
use tokio::net::TcpListener;

use super::{
    access::{AccessParts, CheckedSettings, Mode},
    error::ServiceError,
    running::{Background, Running},
};
use crate::{
    agent::host::SharedAgentLauncher,
    gateway::{
        Gateway,
        admit::Admit,
        auth::Auth,
        hosts::Hosts,
        listen,
        operations::{Operations, Render},
        peers::{Peers, TrustedProxies},
        refusal_log::RefusalLog,
        router,
        state::LegacyClients,
    },
    journal::{Journal, sqlite::SqliteJournal},
    monitor::{Monitor, trace::Trace},
    observer::{NoObserver, Observer},
    ops::{
        disk::{self, DiskMonitor},
        metrics,
    },
    runtime::{
        drain::{Drain, ShutdownStage},
        saturation::Saturation,
        tasks::Tasks,
    },
    user::factory::Factory,
    wire::http::AgentInfo,
};

/// The parts of a service that are passed in beside its settings.
pub struct Parts {
    /// The journal of all users.
    pub journal: Arc<dyn Journal>,
    /// The agents and their executor.
    pub agents: SharedAgentLauncher,
    /// The agents as `GET /v1/agents` lists them.
    pub described: Vec<AgentInfo>,
}

/// A service that is ready to start. Made by [`Service::builder`], or from its parts by [`Service::new`].
///
/// [`start`](Self::start) serves it on listeners of its own; [`mount`](Self::mount) returns its routes for a
/// host's server.
pub struct Service {
    settings: CheckedSettings,
    parts: Parts,
    /// Renders the metrics; `None` if they go to a recorder of the host.
    exposition: Option<Exposition>,
    pub(super) has_admin: bool,
    /// The journal, if the builder opened it: closed after the drain.
    pub(super) owned: Option<SqliteJournal>,
    /// Routes of the program on the public listener.
    pub(super) routes: Router,
}

/// The recorder whose metrics `/metrics` renders.
#[cfg(feature = "prometheus")]
#[derive(Clone, Copy)]
struct Exposition(&'static metrics_exporter_prometheus::PrometheusHandle);

/// No recorder is compiled in.
#[cfg(not(feature = "prometheus"))]
#[derive(Clone, Copy)]
enum Exposition {}

impl Service {
    /// Creates a service from its parts. Metrics go to the recorder of the process; see
    /// `Service::with_prometheus`.
    ///
    /// # Examples
    ///
    /// ```
    /// use quintet::{
    ///     Service,
    ///     service::{CheckedSettings, Parts},
    /// };
    ///
    /// fn service(settings: CheckedSettings, parts: Parts) -> Service {
    ///     Service::new(settings, parts)
    /// }
    /// ```
    ///
    /// Settings that were not checked do not compile (AUTH-4, AUTH-5):
    ///
    /// ```compile_fail,E0308
    /// use quintet::{
    ///     Service,
    ///     ops::config::Settings,
    ///     service::Parts,
    /// };
    ///
    /// fn service(settings: Settings, parts: Parts) -> Service {
    ///     Service::new(settings, parts)
    /// }
    /// ```
    pub fn new(settings: CheckedSettings, parts: Parts) -> Self {
        Self { settings, parts, exposition: None, has_admin: true, owned: None, routes: Router::new() }
    }

    /// Installs the metrics recorder for Prometheus in this process, which `/metrics` then renders.
    ///
    /// # Errors
    /// When the process has another recorder, or the feature `prometheus` is off.
    #[cfg(feature = "prometheus")]
    pub fn with_prometheus(self) -> Result<Self, ServiceError> {
        Ok(Self { exposition: Some(Exposition(metrics::recorder()?)), ..self })
    }

    /// Without the feature `prometheus` there is no recorder to install.
    #[cfg(not(feature = "prometheus"))]
    pub(super) fn with_prometheus(self) -> Result<Self, ServiceError> {
        Ok(self)
    }

    /// Returns the settings.
    pub fn settings(&self) -> &CheckedSettings {
        &self.settings
    }

    /// Binds the listeners and starts the service.
    ///
    /// # Errors
    /// When a listener cannot be bound, a setting is invalid, or open runs cannot be resumed.
    pub async fn start(self) -> Result<Running, ServiceError> {
        let settings = self.settings.settings();
        let bind = async |name, address| {
            TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { name, address, source })
        };
        // Both are bound before anything else starts, so that an address in use has no side effects.
        let listener = bind("listen", settings.listen).await?;
        let admin =
            if self.has_admin { Some(bind("admin_listen", settings.admin_listen).await?) } else { None };
        let limits = settings.gateway;
        let listener = listener.tap_io(move |socket| listen::tune(socket, &limits));
        self.serve(listener, admin).await
    }

    /// Starts the service on listeners of any kind, such as those of a simulated network. A development service
    /// checks that `listener` is bound to loopback (AUTH-5).
    ///
    /// # Errors
    /// When a setting is invalid, or open runs cannot be resumed.
    pub async fn start_on<L, A>(self, listener: L, admin: A) -> Result<Running, ServiceError>
    where
        L: Listener<Addr = SocketAddr>,
        A: Listener<Addr = SocketAddr>,
    {
        self.serve(listener, Some(admin)).await
    }

    async fn serve<L, A>(mut self, listener: L, admin: Option<A>) -> Result<Running, ServiceError>
    where
        L: Listener<Addr = SocketAddr>,
        A: Listener<Addr = SocketAddr>,
    {
        let settings = self.settings.settings();
        let address = |name, address, bound: std::io::Result<SocketAddr>| {
            bound.map_err(|source| ServiceError::Listen { name, address, source })
        };
        let listen = address("listen", settings.listen, listener.local_addr())?;
        let bound =
            admin.as_ref().map(|admin| address("admin_listen", settings.admin_listen, admin.local_addr()));
        let admin_listen = bound.transpose()?;
        let limits = settings.gateway;
        let routes = std::mem::take(&mut self.routes);

        let (mut running, recovery) = self.assemble(listen)?;
        running.admin_listen = admin_listen;
        if let Some(admin) = admin {
            // Serves from startup to the very end; a drain does not close it.
            let peers = Peers::new(limits, TrustedProxies::default(), recovery.saturation.clone());
            let routes = running.admin_router();
            running.background.start(listen::serve(
                admin,
                routes,
                limits,
                Drain::default(),
                Tasks::default(),
                peers,
            ));
        }
        recovery.run(&mut running).await?;
        let gateway = running.gateway.clone();
        running.public.spawn(listen::serve(
            listener,
            routes.merge(router(gateway.clone())),
            limits,
            gateway.drain.clone(),
            running.public.clone(),
            gateway.peers.clone(),
        ));
        Ok(running)
    }

    /// Starts the service without a listener and returns its routes, for the server of a host. `listen` is the
    /// address on which that server is reached, for the origins of its own pages; a development service refuses
    /// one that is not on loopback (AUTH-5).
    ///
    /// The host's server must
    ///
    /// - speak HTTP/1.1 with upgrades, as [`mod@axum::serve`] does, and
    /// - add [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo) to each request
    ///   ([`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info)). A request
    ///   without it is answered with 500 and has no effect, since limits per peer could not be kept (ISO-6).
    ///
    /// Limits on peers, frames, requests and connections hold as on the service's own listener; those on
    /// sockets count requests in progress and open streams. What a router cannot do is up to the host: the
    /// number of its sockets (`sockets_max`), the time and size of a request's head (`request_header_timeout_ms`,
    /// `request_header_bytes_max`), and closing a socket whose peer reads nothing. To keep these too, let the service
    /// serve the host's routes: [`ServiceBuilder::routes`](super::ServiceBuilder::routes).
    ///
    /// Drain the service before the host's server stops: see [`Running::closing`].
    ///
    /// # Errors
    /// When a setting is invalid, `listen` is not on loopback for a development service, or open runs cannot
    /// be resumed.
    pub async fn mount(mut self, listen: SocketAddr) -> Result<(Router, Running), ServiceError> {
        let routes = std::mem::take(&mut self.routes);
        let (mut running, recovery) = self.assemble(listen)?;
        recovery.run(&mut running).await?;
        Ok((routes.merge(router(running.gateway.clone())), running))
    }

    /// Creates everything of a running service but its listeners. Nothing is resumed yet.
    fn assemble(self, listen: SocketAddr) -> Result<(Running, StartupRecovery), ServiceError> {
        let Self { settings, parts, exposition, has_admin: _, owned, routes: _ } = self;
        settings.log_warnings();
        metrics::register();
        let Parts { journal, agents, described } = parts;
        let saturation = Saturation::default();
        let public = Tasks::default();
        let monitor = monitor(&settings, &*journal)?;
        let observer: Arc<dyn Observer> = match &monitor {
            Some(monitor) => Arc::new(monitor.clone()),
            None => Arc::new(NoObserver),
        };
        let limits = settings.settings().user_limits();
        let factory = Factory::observed(journal.clone(), agents, limits, observer, saturation.clone());
        let gateway = gateway(&settings, listen, factory, described, saturation.clone(), public.clone())?;

        let recovered = Arc::new(AtomicBool::new(false));
        let operations = Operations {
            drain: gateway.drain.clone(),
            hosts: Hosts::listed(settings.settings().admin_hosts.iter().map(String::as_str))?,
            recovered: recovered.clone(),
            auth: gateway.auth.clone(),
            journal: journal.clone(),
            saturation: saturation.clone(),
            metrics: exposition.map(|exposition| exposition.rendering(gateway.clone())),
        };
        let running = Running {
            listen,
            admin_listen: None,
            gateway,
            monitor,
            operations,
            public,
            owned,
            background: Background::default(),
        };
        Ok((running, StartupRecovery { settings, journal, saturation, exposition, recovered }))
    }
}

/// The steps that remain before a service accepts clients.
struct StartupRecovery {
    settings: CheckedSettings,
    journal: Arc<dyn Journal>,
    saturation: Saturation,
    exposition: Option<Exposition>,
    recovered: Arc<AtomicBool>,
}

impl StartupRecovery {
    /// Starts the upkeep and resumes open runs.
    async fn run(self, running: &mut Running) -> Result<(), ServiceError> {
        let Self { settings, journal, saturation, exposition, recovered } = self;
        let settings = settings.settings();
        let factory = running.gateway.factory.clone();
        let mut disk = DiskMonitor::new(journal.clone(), settings.disk, factory, saturation.clone());
        // Before the first message.
        disk.look().await;
        running.background.start(disk.run());
        let (gateway, measured) = (running.gateway.clone(), journal.clone());
        running.background.start(async move {
            loop {
                disk::measure(&*measured).await;
                tokio::time::sleep(metrics::UPKEEP_INTERVAL).await;
                match exposition {
                    Some(exposition) => exposition.run_upkeep(),
                    // A recorder of the host is rendered at times that only the host knows.
                    None => sample(&gateway),
                }
                saturation.sweep();
                gateway.refusals.sweep();
            }
        });

        // RUN-6: open runs are resumed before the public listener accepts its first socket.
        running.gateway.factory.recover().await.map_err(ServiceError::Recovery)?;
        recovered.store(true, Ordering::Release);
        if settings.retention.trims() {
            running.background.start(disk::trim(journal, settings.retention));
        }
        Ok(())
    }
}

#[cfg(feature = "prometheus")]
impl Exposition {
    fn rendering(self, gateway: Gateway) -> Render {
        Arc::new(move || {
            sample(&gateway);
            metrics::process().collect();
            self.0.render()
        })
    }

    fn run_upkeep(self) {
        self.0.run_upkeep();
    }
}

#[cfg(not(feature = "prometheus"))]
impl Exposition {
    fn rendering(self, _: Gateway) -> Render {
        match self {}
    }

    fn run_upkeep(self) {
        match self {}
    }
}

/// Creates the monitor, if the settings enable its checks or its trace.
fn monitor(settings: &CheckedSettings, journal: &dyn Journal) -> Result<Option<Monitor>, ServiceError> {
    let settings = settings.settings();
    if !settings.monitor && settings.trace_file.is_none() {
        return Ok(None);
    }
    let trace = settings.trace_file.as_ref().map(|path| {
        Trace::to_file(path).map_err(|source| ServiceError::Trace { path: path.clone(), source })
    });
    let connection = settings.gateway.connection();
    let (trace, epoch) = (trace.transpose()?, journal.epoch());
    Ok(Some(Monitor::new(settings.monitor, trace, epoch, &settings.kernel, connection)))
}

fn gateway(
    checked: &CheckedSettings,
    listen: SocketAddr,
    factory: Factory,
    described: Vec<AgentInfo>,
    saturation: Saturation,
    tasks: Tasks,
) -> Result<Gateway, ServiceError> {
    let settings = checked.settings();
    let limits = settings.gateway;
    let AccessParts { keys, policy, origins, dev } = checked.admission(listen)?;
    let trusted = settings.trusted_proxies.iter().map(String::as_str);
    let trusted = TrustedProxies::parse(trusted, settings.forwarded_header)?;
    let hosts = match checked.mode() {
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
        legacy_clients: if settings.legacy_clients { LegacyClients::Served } else { LegacyClients::Refused },
        dev,
    })
}

/// Updates the metrics that are sampled.
fn sample(gateway: &Gateway) {
    ::metrics::gauge!("quintet_live_users").set(gateway.factory.live_users() as f64);
    ::metrics::gauge!("quintet_active_runs").set(gateway.factory.active_runs() as f64);
    ::metrics::gauge!("quintet_tickets_outstanding").set(gateway.auth.tickets_outstanding() as f64);
    let sockets = gateway.peers.sockets_open();
    let by_state = [("authenticated", sockets.authenticated), ("unauthenticated", sockets.unauthenticated)];
    for (state, open) in by_state {
        ::metrics::gauge!("quintet_sockets", "state" => state).set(open as f64);
    }
    let draining = gateway.drain.stage() != ShutdownStage::Serving;
    ::metrics::gauge!("quintet_queued_messages").set(gateway.factory.waiting_messages() as f64);
    ::metrics::gauge!("quintet_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    #[cfg(feature = "cli")]
    {
        let losses = crate::ops::telemetry::losses();
        ::metrics::counter!("quintet_log_dropped_total").absolute(losses.dropped);
        ::metrics::counter!("quintet_log_write_errors_total").absolute(losses.write_errors);
    }
    ::metrics::gauge!("quintet_draining").set(if draining { 1.0 } else { 0.0 });
}
