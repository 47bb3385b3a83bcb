//! The settings of the service. In order of precedence: flag, `QUINTET_*` variable, TOML file, default.
//!
//! Guarantees: an unknown or out-of-range setting is an error that names the setting and its source (AUTH-5).
//! The source of each effective value is known. Secrets are never printed.
//!
//! - [`agents`]: agents and tool servers, which are tables of the file
//! - [`mod@table`]: the settings, one row ([`setting`]) each; [`value`]: parses and prints their values
//! - [`check`]: the checks of each command
//! - [`links`]: variables of Kubernetes service links, which are not settings

pub mod agents;
pub mod check;
pub mod links;
pub mod setting;
pub mod table;
pub mod value;

use std::{collections::BTreeMap, fmt, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf};

pub use self::{agents::AgentSettings, setting::Setting, table::table, value::Raw};
use super::limits::{DiskLimits, LogLimits, RetentionLimits};
#[cfg(feature = "postgres")]
use quintet_postgres::PostgresLimits;

use crate::{
    agent::AgentLimits,
    gateway::{limits::GatewayLimits, peers::forwarded::ForwardedHeader},
    journal::sqlite::SqliteOptions,
    kernel::limits::Limits,
    user::{deadline::DeadlineLimits, limits::HubLimits, limits::UserLimits, tail::TailLimits},
};

/// The effective settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address of the public listener; port 0 selects a free one.
    pub listen: SocketAddr,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// Folder of the embedded journal.
    pub data_dir: PathBuf,
    /// Connection string; `None` for the embedded engine in `data_dir`.
    pub journal: Option<String>,
    /// Path of a file with an HMAC secret.
    pub jwt_secret: Option<PathBuf>,
    /// Path of a file with a public key in PEM.
    pub jwt_public_key: Option<PathBuf>,
    /// URL of the key set (JWKS) that verifies tokens.
    pub jwks_url: Option<String>,
    /// Required `aud` of tokens.
    pub jwt_audience: Option<String>,
    /// Disables the check of `aud`.
    pub any_audience: bool,
    /// Required `iss` of tokens; `None` disables the check.
    pub jwt_issuer: Option<String>,
    /// Browser origins that may connect (AUTH-4).
    pub allow_origin: Vec<String>,
    /// Allowed `Host` names of the public listener, in addition to `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Allowed `Host` names of the admin listener, in addition to `localhost` and IP addresses.
    pub admin_hosts: Vec<String>,
    /// Addresses and networks of reverse proxies whose `forwarded_header` is used.
    pub trusted_proxies: Vec<String>,
    /// The header in which the trusted proxies send the client address.
    pub forwarded_header: ForwardedHeader,
    /// Agents and tool servers.
    pub agent_settings: AgentSettings,
    /// Names of built-in agents to enable in addition to the default ones.
    pub extra_agents: Vec<String>,
    /// Log filter: a level, or levels by module as in `info,quintet::gateway=debug`.
    pub log: String,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Limits of the log.
    pub log_limits: LogLimits,
    /// Serves the predecessor's clients on `/ws`.
    pub legacy_clients: bool,
    /// Enables the conformance monitor.
    pub monitor: bool,
    /// Path of the trace of transitions.
    pub trace_file: Option<PathBuf>,
    /// Limits of runs, threads and messages, which the kernel enforces.
    pub kernel: Limits,
    /// Limits of the gateway.
    pub gateway: GatewayLimits,
    /// Limits of the execution of agents.
    pub agents: AgentLimits,
    /// Timeouts of runs.
    pub deadlines: DeadlineLimits,
    /// Limits of each user's hub.
    pub hub: HubLimits,
    /// Limits of each user's tail.
    pub tail: TailLimits,
    /// Limits on the entries that the journal keeps.
    pub retention: RetentionLimits,
    /// The minimum of free disk space.
    pub disk: DiskLimits,
    /// Options of the embedded journal.
    pub sqlite: SqliteOptions,
    /// File with the certificate authorities of the PostgreSQL server.
    #[cfg(feature = "postgres")]
    pub postgres_ca_file: Option<PathBuf>,
    /// Limits of a journal in PostgreSQL.
    #[cfg(feature = "postgres")]
    pub postgres: PostgresLimits,
}

/// The format of the log on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            data_dir: PathBuf::from("./quintet-data"),
            journal: None,
            jwt_secret: None,
            jwt_public_key: None,
            jwks_url: None,
            jwt_audience: None,
            any_audience: false,
            jwt_issuer: None,
            allow_origin: Vec::new(),
            hosts: Vec::new(),
            admin_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            agent_settings: AgentSettings::default(),
            extra_agents: Vec::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            log_limits: LogLimits::DEFAULT,
            legacy_clients: true,
            monitor: false,
            trace_file: None,
            kernel: Limits::DEFAULT,
            gateway: GatewayLimits::DEFAULT,
            agents: AgentLimits::DEFAULT,
            deadlines: DeadlineLimits::DEFAULT,
            hub: HubLimits::DEFAULT,
            tail: TailLimits::DEFAULT,
            retention: RetentionLimits::DEFAULT,
            disk: DiskLimits::DEFAULT,
            sqlite: SqliteOptions::default(),
            #[cfg(feature = "postgres")]
            postgres_ca_file: None,
            #[cfg(feature = "postgres")]
            postgres: PostgresLimits::DEFAULT,
        }
    }
}

impl Settings {
    /// Returns whether `extra_agents` contains the scripted agent.
    pub fn names_rehearsal(&self) -> bool {
        self.extra_agents.iter().any(|name| name == table::REHEARSAL)
    }

    /// Returns the limits of each user's machines.
    pub fn user_limits(&self) -> UserLimits {
        UserLimits { kernel: self.kernel, deadlines: self.deadlines, hub: self.hub, tail: self.tail }
    }
}

/// The source of a setting's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The default value.
    #[default]
    Default,
    /// The configuration file at this path.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// The flag, as typed.
    Flag(String),
    /// The program that embeds the service.
    Program,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Program => f.write_str("set by the program"),
        }
    }
}

/// The unparsed settings, grouped by source.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Flags: the flag as typed, the name of the setting, the value.
    pub flags: Vec<(String, String, Raw)>,
    /// Environment variables. Those without [`VARIABLE_PREFIX`] are ignored.
    pub variables: Vec<(String, String)>,
    /// The path and text of the configuration file.
    pub file: Option<(PathBuf, String)>,
}

/// The effective settings and the source of each non-default value.
#[derive(Clone, Debug)]
pub struct LoadedSettings {
    /// The effective settings.
    pub settings: Settings,
    /// Ignored variables of Kubernetes service links.
    pub service_links: Vec<String>,
    sources: BTreeMap<&'static str, Source>,
}

/// The reason for which the settings cannot be used. Operator fault; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("{source_}: there is no setting {name:?}{hint}")]
    Unknown {
        /// The name as given.
        name: String,
        /// The source of the name.
        source_: Source,
        /// A suggestion, appended to the message.
        hint: String,
    },
    /// The value of a setting is invalid or out of range.
    #[error("{source_}: {name}: {why}")]
    Invalid {
        /// The name of the setting.
        name: &'static str,
        /// The source of the value.
        source_: Source,
        /// The reason; it completes a sentence that begins with the setting's name.
        why: String,
    },
    /// The configuration file is not valid TOML.
    #[error("{source_}: {why}")]
    Syntax {
        /// The file.
        source_: Source,
        /// The message of the parser.
        why: String,
    },
    /// A required setting is missing, or settings contradict each other, as this message describes.
    #[error("{0}")]
    Missing(String),
}

/// Prefix of variables. The rest is the name of the setting in upper case.
pub const VARIABLE_PREFIX: &str = "QUINTET_";

/// The variable with the path of the configuration file. An empty value counts as unset.
pub const CONFIG_VARIABLE: &str = "QUINTET_CONFIG";

impl LoadedSettings {
    /// Merges the settings: the file first, then variables, then flags, each overriding the previous ones.
    ///
    /// # Errors
    /// When a setting is unknown or has an invalid value, or the file is not valid TOML.
    pub fn load(given: Given) -> Result<Self, ConfigError> {
        let mut loaded =
            Self { settings: Settings::default(), service_links: Vec::new(), sources: BTreeMap::new() };
        let table = table();
        if let Some((path, text)) = given.file {
            let source = Source::File(path);
            let values: toml::Table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax {
                source_: source.clone(),
                why: e.to_string(),
            })?;
            for (name, value) in values {
                if let Some(tables) = [agents::AGENTS, agents::MCP_SERVERS].into_iter().find(|n| *n == name) {
                    loaded.take_tables(tables, &value, source.clone())?;
                } else {
                    loaded.set(&table, &name, Raw::from_toml(&value), source.clone())?;
                }
            }
        }
        for (variable, value) in given.variables {
            let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
            if variable != CONFIG_VARIABLE {
                if links::is_service_link(name, &value) {
                    loaded.service_links.push(variable);
                    continue;
                }
                let name = name.to_ascii_lowercase();
                loaded.set(&table, &name, Raw::Text(value), Source::Variable(variable))?;
            }
        }
        // Last, so that flags override variables and the file.
        for (flag, name, value) in given.flags {
            if let Some(why) = Settings::refused_flag(&name) {
                return Err(ConfigError::Invalid { name: agents::KEY, source_: Source::Flag(flag), why });
            }
            loaded.set(&table, &name, value, Source::Flag(flag))?;
        }
        Ok(loaded)
    }

    /// Returns the settings with one more value, which overrides a previous one.
    ///
    /// # Errors
    /// When the setting is unknown or the value is invalid.
    pub fn with(mut self, name: &str, value: Raw) -> Result<Self, ConfigError> {
        self.set(&table(), name, value, Source::Program)?;
        Ok(self)
    }

    fn take_tables(
        &mut self,
        name: &'static str,
        value: &toml::Value,
        source: Source,
    ) -> Result<(), ConfigError> {
        let taken = self.settings.agent_settings.take(name, value);
        taken.map_err(|why| ConfigError::Invalid { name, source_: source.clone(), why })?;
        self.sources.insert(name, source);
        Ok(())
    }

    fn set(&mut self, table: &[Setting], name: &str, raw: Raw, source: Source) -> Result<(), ConfigError> {
        let Some(setting) = table.iter().find(|setting| setting.name == name) else {
            let hint = hint(table, name);
            return Err(ConfigError::Unknown { name: name.to_owned(), source_: source, hint });
        };
        let source_ = source.clone();
        (setting.write)(&mut self.settings, raw).map_err(|why| ConfigError::Invalid {
            name: setting.name,
            source_,
            why,
        })?;
        self.sources.insert(setting.name, source);
        Ok(())
    }

    /// Returns the settings whose values were written by the program and not parsed, with their values as text.
    pub(super) fn unparsed<'t>(&self, table: &'t [Setting]) -> Vec<(&'t Setting, String)> {
        let by_program = table.iter().filter(|setting| self.source(setting.name) == Source::Program);
        by_program.filter_map(|setting| Some((setting, (setting.read)(&self.settings)?))).collect()
    }

    /// Returns the source of a setting's value.
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or_default()
    }

    /// Returns the path of the configuration file if it contains a secret and is readable by all users.
    pub fn exposed_file(&self) -> Option<PathBuf> {
        let settings = &self.settings;
        let agents = &settings.agent_settings;
        let has_secret =
            |url: &Option<String>| url.as_ref().is_some_and(|url| value::without_secrets(url) != *url);
        let settings = [
            ("journal", has_secret(&settings.journal)),
            ("jwks_url", has_secret(&settings.jwks_url)),
            ("llm_url", has_secret(&agents.llm_url)),
            ("upstream_proxy", has_secret(&agents.upstream_proxy)),
            (agents::KEY, agents.llm_key.is_some()),
        ];
        settings.into_iter().find_map(|(name, is_secret)| {
            let Source::File(path) = self.source(name) else { return None };
            let mode = std::fs::metadata(&path).ok()?.permissions().mode();
            (is_secret && mode & 0o004 != 0).then_some(path)
        })
    }

    /// Formats the effective settings as TOML with their sources. Secrets are hidden.
    pub fn show(&self) -> String {
        let mut shown = String::new();
        for setting in table() {
            let line = match (setting.read)(&self.settings) {
                Some(value) => format!("{} = {value}", setting.name),
                None => format!("# {} is not set", setting.name),
            };
            shown.push_str(&format!("{line:<48} # {}\n", self.source(setting.name)));
        }
        shown.push_str(&self.settings.agent_settings.show());
        shown
    }
}

/// Settings of a program. Those that differ from their default have the source [`Source::Program`].
impl From<Settings> for LoadedSettings {
    fn from(settings: Settings) -> Self {
        let defaults = Settings::default();
        let differs = |setting: &&Setting| (setting.read)(&settings) != (setting.read)(&defaults);
        let sources = table().iter().filter(differs).map(|setting| (setting.name, Source::Program)).collect();
        Self { settings, service_links: Vec::new(), sources }
    }
}

/// Returns a suggestion for an unknown name: the setting with the smallest edit distance.
fn hint(table: &[Setting], name: &str) -> String {
    let name = name.replace('-', "_");
    if name == "jwt_key" {
        return "; an HMAC secret is given as jwt_secret (--jwt-secret FILE), a public key in PEM as \
                jwt_public_key (--jwt-public-key FILE)"
            .to_owned();
    }
    let nearest = table
        .iter()
        .map(|setting| (distance(&name, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 3);
    match nearest {
        Some((_, nearest)) => format!("; did you mean {nearest:?}?"),
        None => "; `quintet check-config` lists them all".to_owned(),
    }
}

/// Returns the Levenshtein distance between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
