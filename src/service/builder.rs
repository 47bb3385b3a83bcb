//! The builder of a service, for programs that embed one.
//!
//! Guarantee: [`ServiceBuilder::build`] performs the checks of the command line, with the same code, and exists
//! only once the program has stated how clients authenticate: [`dev`](ServiceBuilder::dev) or
//! [`production`](ServiceBuilder::production) (AUTH-5).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;

use super::{
    access::{CheckedSettings, Mode},
    agents::{AgentSet, described},
    error::ServiceError,
    start::{Parts, Service},
    token_keys::TokenKeys,
};
use crate::{
    agent::Agent,
    journal::{Journal, sqlite::SqliteJournal},
    ops::config::{ConfigError, LoadedSettings, Raw, Settings},
};

/// State of a [`ServiceBuilder`] that does not know yet how clients authenticate.
#[derive(Debug)]
pub struct WantsAccess(());

/// State of a [`ServiceBuilder`] for development: any client can log in as any user, on loopback only.
#[derive(Debug)]
pub struct DevAccess(());

/// State of a [`ServiceBuilder`] for production: tokens and origins are checked.
#[derive(Debug)]
pub struct ProductionAccess {
    keys: TokenKeys,
    origins: Vec<String>,
}

/// Builds a [`Service`]. Made by [`Service::builder`].
///
/// `Access` is the state of the builder: [`build`](ServiceBuilder::build) exists after
/// [`dev`](ServiceBuilder::dev) or [`production`](ServiceBuilder::production).
#[must_use = "a builder does nothing until `build`"]
pub struct ServiceBuilder<Access> {
    access: Access,
    loaded: LoadedSettings,
    /// The first invalid value that was set; returned by `build`.
    error: Option<ConfigError>,
    agents: AgentSet,
    journal: Option<JournalSource>,
    has_admin: bool,
    has_prometheus: bool,
    routes: Router,
}

/// The journal of a service that is not built yet.
enum JournalSource {
    Given(Arc<dyn Journal>),
    Sqlite(PathBuf),
}

impl ServiceBuilder<WantsAccess> {
    pub(super) fn new() -> Self {
        Self {
            access: WantsAccess(()),
            loaded: LoadedSettings::from(Settings::default()),
            error: None,
            agents: AgentSet::default(),
            journal: None,
            has_admin: false,
            has_prometheus: false,
            routes: Router::new(),
        }
    }

    /// Develops on one machine: the service issues tokens to any client for any user at `POST /dev/login`, with
    /// a key of its own, and serves the chat page (feature `page`). Its address must be on loopback.
    pub fn dev(self) -> ServiceBuilder<DevAccess> {
        self.split(DevAccess(())).1
    }

    /// Serves clients whose tokens these keys verify, and browsers of these origins, such as
    /// `https://chat.example.org`. At least one origin is needed (AUTH-4).
    pub fn production<O: Into<String>>(
        self,
        keys: TokenKeys,
        origins: impl IntoIterator<Item = O>,
    ) -> ServiceBuilder<ProductionAccess> {
        let origins = origins.into_iter().map(Into::into).collect();
        self.split(ProductionAccess { keys, origins }).1
    }
}

impl<Access> ServiceBuilder<Access> {
    /// Returns the state, and the builder in another one.
    fn split<Other>(self, other: Other) -> (Access, ServiceBuilder<Other>) {
        let Self { access, loaded, error, agents, journal, has_admin, has_prometheus, routes } = self;
        let rest = ServiceBuilder {
            access: other,
            loaded,
            error,
            agents,
            journal,
            has_admin,
            has_prometheus,
            routes,
        };
        (access, rest)
    }

    /// Adds an agent. The first one is the default for messages without an `agent_name`.
    pub fn agent(self, agent: impl Agent) -> Self {
        self.agents(AgentSet::new(agent))
    }

    /// Adds agents, such as `AgentSet::built_in`.
    pub fn agents(mut self, agents: AgentSet) -> Self {
        self.agents = self.agents.and(agents);
        self
    }

    /// Makes the agent of this name the default.
    pub fn default_agent(mut self, name: impl Into<String>) -> Self {
        self.agents = self.agents.default_agent(name);
        self
    }

    /// Keeps the log in this engine. A program that opens the journal itself also closes it after the drain.
    pub fn journal(mut self, journal: impl Journal) -> Self {
        self.journal = Some(JournalSource::Given(Arc::new(journal)));
        self
    }

    /// Keeps the log in an embedded SQLite journal in this folder, which `build` opens, and creates if it is
    /// missing; that blocks while the journal is checked. Only one process at a time can use it.
    pub fn sqlite(mut self, folder: impl AsRef<Path>) -> Self {
        self.journal = Some(JournalSource::Sqlite(folder.as_ref().to_owned()));
        self
    }

    /// Replaces all settings, for example by [`Settings`] of the program, or by a [`LoadedSettings`] configuration
    /// file. Methods that are called later override single ones. The settings of the command line that choose
    /// a journal or the log (`data_dir`, `journal`, `log` …) have no effect.
    pub fn settings(mut self, settings: impl Into<LoadedSettings>) -> Self {
        self.loaded = settings.into();
        self
    }

    /// Sets one setting by its name, as `--set` does: `set("user_connections_max", 10)`.
    pub fn set(self, name: &str, value: impl ToString) -> Self {
        self.write(name, Raw::Text(value.to_string()))
    }

    /// Sets a setting. The first error is returned by `build`, so that calls can be chained.
    fn write(mut self, name: &str, value: Raw) -> Self {
        if self.error.is_none() {
            match self.loaded.clone().with(name, value) {
                Ok(loaded) => self.loaded = loaded,
                Err(error) => self.error = Some(error),
            }
        }
        self
    }

    /// Listens on this address and port; port 0 picks a free one. Default: `127.0.0.1:8080`.
    pub fn bind(self, address: impl ToString) -> Self {
        self.set("listen", address)
    }

    /// Opens an admin listener on this address, for `/livez`, `/readyz` and `/metrics`. Without a call there
    /// is none; [`Running::admin_router`](super::Running::admin_router) has the same routes.
    pub fn bind_admin(mut self, address: impl ToString) -> Self {
        self.has_admin = true;
        self.set("admin_listen", address)
    }

    /// Installs the metrics recorder for Prometheus in this process, which `/metrics` then renders. Without a
    /// call, metrics go to the recorder that the program has installed, if any, and `/metrics` answers 404.
    #[cfg(feature = "prometheus")]
    pub fn prometheus(mut self) -> Self {
        self.has_prometheus = true;
        self
    }

    /// Serves these routes of the program on the public listener, beside those of the service. They are not
    /// behind its checks of hosts and origins. A path that both have panics when the service starts, as it
    /// does in [`Router::merge`].
    pub fn routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Returns the settings, or the first invalid value that was set.
    fn valid(&mut self) -> Result<LoadedSettings, ConfigError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self.loaded.clone()),
        }
    }

    /// Assembles the service, once its settings have passed the checks.
    fn finish(self, checked: CheckedSettings) -> Result<Service, ServiceError> {
        let settings = checked.settings();
        let agents = self.agents.registry(checked.mode() == Mode::Dev, settings)?;
        let mut owned = None;
        let journal = match self.journal.ok_or(ServiceError::NoJournal)? {
            JournalSource::Given(journal) => journal,
            JournalSource::Sqlite(folder) => {
                let opened = SqliteJournal::open(&folder, settings.sqlite)?;
                owned = Some(opened.clone());
                Arc::new(opened)
            }
        };
        let parts = Parts { described: described(&agents), journal, agents: Arc::new(agents) };
        let mut service = Service::new(checked, parts);
        service.has_admin = self.has_admin;
        service.owned = owned;
        service.routes = self.routes;
        if self.has_prometheus { service.with_prometheus() } else { Ok(service) }
    }
}

impl ServiceBuilder<DevAccess> {
    /// Allows pages of this origin, in addition to those that the service itself serves.
    pub fn allow_origin(self, origin: impl Into<String>) -> Self {
        let origins = self.loaded.settings.allow_origin.iter().cloned().chain([origin.into()]);
        let origins = Raw::List(origins.collect());
        self.write("allow_origin", origins)
    }

    /// Checks the settings, opens the journal and starts the threads of the agents.
    ///
    /// # Errors
    /// When an address is not on loopback, a setting is invalid, an agent or the journal is missing, or the
    /// journal cannot be opened.
    pub fn build(mut self) -> Result<Service, ServiceError> {
        let loaded = self.valid()?;
        for address in [loaded.settings.listen, loaded.settings.admin_listen] {
            if !address.ip().is_loopback() {
                return Err(ServiceError::NotLoopback { address });
            }
        }
        self.finish(CheckedSettings::dev(loaded)?)
    }
}

impl ServiceBuilder<ProductionAccess> {
    /// Checks the settings and reads the key, opens the journal and starts the threads of the agents.
    ///
    /// # Errors
    /// When there is no origin, a setting or a key is invalid, an agent or the journal is missing, or the
    /// journal cannot be opened.
    pub fn build(self) -> Result<Service, ServiceError> {
        let (ProductionAccess { keys, mut origins }, mut rest) = self.split(());
        let (loaded, key) = keys.apply(rest.valid()?)?;
        origins.extend(loaded.settings.allow_origin.iter().cloned());
        if origins.is_empty() {
            return Err(ServiceError::NoOrigins);
        }
        let loaded = loaded.with("allow_origin", Raw::List(origins))?;
        rest.finish(CheckedSettings::with_keys(loaded, key)?)
    }
}

impl Service {
    /// Returns a builder.
    ///
    /// # Examples
    ///
    /// A service for production. The example in the [crate documentation](crate) is one for development.
    ///
    /// ```no_run
    /// use quintet::{AgentSet, Service, TokenKeys};
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = TokenKeys::public_key_file("/etc/chat/public.pem").audience("chat");
    /// let service = Service::builder()
    ///     .agents(AgentSet::built_in())
    ///     .sqlite("/var/lib/chat")
    ///     .bind("0.0.0.0:8080")
    ///     .production(keys, ["https://chat.example.org"])
    ///     .build()?;
    /// service.start().await?.run_until(tokio::signal::ctrl_c()).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Without `dev` or `production`, no way to authenticate clients is known, and this does not compile (AUTH-5):
    ///
    /// ```compile_fail,E0599
    /// use quintet::{AgentSet, Service};
    ///
    /// let builder = Service::builder().agents(AgentSet::built_in()).sqlite("/var/lib/chat").bind("0.0.0.0:8080");
    /// builder.build();
    /// ```
    pub fn builder() -> ServiceBuilder<WantsAccess> {
        ServiceBuilder::new()
    }
}
