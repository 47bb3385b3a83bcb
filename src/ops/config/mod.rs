//! Every setting of the service, wherever it was given: flag, `QUINTET_*` variable, TOML file, default,
//! the first that has it.
//!
//! Guarantees: a setting that is not known, or out of its range, is an error that names it and where it
//! stands, never ignored (AUTH-5); of each effective value it is known where it came from; a secret is
//! never shown.
//!
//! - [`table`]: the settings, one row each; [`value`]: how a row reads what it was given
//! - [`check`]: what a command needs of them
//! - [`links`]: variables of an orchestrator, which are no settings

pub mod check;
pub mod links;
pub mod table;
pub mod value;

use std::{collections::BTreeMap, fmt, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf};

pub use self::{
    table::{Setting, table},
    value::Raw,
};
use super::{limits::RetentionLimits, telemetry::LogLimits};
use crate::{
    agent::AgentLimits,
    gateway::{limits::GatewayLimits, peers::forwarded::ForwardedHeader},
    journal::sqlite::SqliteOptions,
    kernel::limits::Limits,
    user::{deadline::DeadlineLimits, factory::UserLimits, hub::HubLimits, tail::TailLimits},
};

/// The effective settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub data_dir: PathBuf,
    /// `None`: the embedded engine, in the data folder.
    pub journal: Option<String>,
    /// File with an HMAC secret.
    pub jwt_secret: Option<PathBuf>,
    /// File with a public key.
    pub jwt_public_key: Option<PathBuf>,
    pub jwks_url: Option<String>,
    pub jwt_audience: Option<String>,
    /// Tokens for any audience are taken.
    pub any_audience: bool,
    pub jwt_issuer: Option<String>,
    pub allow_origin: Vec<String>,
    /// Names of the public listener beside loopback and IP addresses.
    pub hosts: Vec<String>,
    /// The same of the listener for operations.
    pub admin_hosts: Vec<String>,
    /// Networks whose hosts are proxies.
    pub trusted_proxies: Vec<String>,
    pub forwarded_header: ForwardedHeader,
    pub extra_agents: Vec<String>,
    pub log: String,
    pub log_format: LogFormat,
    pub log_limits: LogLimits,
    /// Whether the running service is held against its rules.
    pub conformance: bool,
    /// Where its transitions are written.
    pub trace_file: Option<PathBuf>,
    pub kernel: Limits,
    pub gateway: GatewayLimits,
    pub agents: AgentLimits,
    pub deadlines: DeadlineLimits,
    pub hub: HubLimits,
    pub tail: TailLimits,
    pub retention: RetentionLimits,
    pub sqlite: SqliteOptions,
}

/// The form of the log on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
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
            extra_agents: Vec::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            log_limits: LogLimits::DEFAULT,
            conformance: false,
            trace_file: None,
            kernel: Limits::DEFAULT,
            gateway: GatewayLimits::DEFAULT,
            agents: AgentLimits::DEFAULT,
            deadlines: DeadlineLimits::DEFAULT,
            hub: HubLimits::DEFAULT,
            tail: TailLimits::DEFAULT,
            retention: RetentionLimits::DEFAULT,
            sqlite: SqliteOptions::default(),
        }
    }
}

impl Settings {
    /// Whether the agent that plays scripts was asked for by its name.
    pub fn names_rehearsal(&self) -> bool {
        self.extra_agents.iter().any(|name| name == table::REHEARSAL)
    }

    /// Returns where the keys that verify tokens come from, for the log.
    pub fn key_source(&self, dev: bool) -> &'static str {
        if dev {
            "throw-away"
        } else if self.jwt_secret.is_some() {
            "jwt_secret"
        } else if self.jwt_public_key.is_some() {
            "jwt_public_key"
        } else {
            "jwks_url"
        }
    }

    /// The bounds of each user's machines.
    pub fn user_limits(&self) -> UserLimits {
        UserLimits { kernel: self.kernel, deadlines: self.deadlines, hub: self.hub, tail: self.tail }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What the operator gave, by place, not yet looked at.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Settings of the command line: the flag as it is spelled, the setting's name, the value.
    pub flags: Vec<(String, String, Raw)>,
    /// Variables of the environment; those without [`VARIABLE_PREFIX`] are somebody else's.
    pub variables: Vec<(String, String)>,
    /// The configuration file and its text.
    pub file: Option<(PathBuf, String)>,
}

/// The settings, and where each that is no default came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Variables that an orchestrator set for its services of this name, and that are ignored.
    pub service_links: Vec<String>,
    sources: BTreeMap<&'static str, Source>,
}

/// Why the settings cannot be used. The operator's to mend; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{source_}: there is no setting {name:?}{hint}")]
    Unknown { name: String, source_: Source, hint: String },
    #[error("{source_}: {name}: {why}")]
    Invalid { name: &'static str, source_: Source, why: String },
    #[error("{source_}: {why}")]
    Syntax { source_: Source, why: String },
    #[error("{0}")]
    Missing(String),
}

/// What a variable's name begins with; the rest is the setting's name in capitals.
pub const VARIABLE_PREFIX: &str = "QUINTET_";

/// The variable that names the configuration file. Empty, it counts as not set.
pub const CONFIG_VARIABLE: &str = "QUINTET_CONFIG";

impl Loaded {
    /// Makes settings of what was given: file first, then variables, then flags, each over the one before.
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
                loaded.set(&table, &name, Raw::from_toml(&value), source.clone())?;
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
        for (flag, name, value) in given.flags {
            loaded.set(&table, &name, value, Source::Flag(flag))?;
        }
        Ok(loaded)
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

    /// Where the value of a setting came from.
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or_default()
    }

    /// The configuration file, if it holds a secret and users outside its group may read it.
    pub fn exposed_file(&self) -> Option<PathBuf> {
        let settings = &self.settings;
        let urls = [("journal", &settings.journal), ("jwks_url", &settings.jwks_url)];
        urls.into_iter().find_map(|(name, url)| {
            let Source::File(path) = self.source(name) else { return None };
            let is_secret = url.as_ref().is_some_and(|url| value::without_secrets(url) != *url);
            let mode = std::fs::metadata(&path).ok()?.permissions().mode();
            (is_secret && mode & 0o004 != 0).then_some(path)
        })
    }

    /// The effective settings as TOML, each with where it came from; secrets hidden.
    pub fn show(&self) -> String {
        let mut shown = String::new();
        for setting in table() {
            let line = match (setting.read)(&self.settings) {
                Some(value) => format!("{} = {value}", setting.name),
                None => format!("# {} is not set", setting.name),
            };
            shown.push_str(&format!("{line:<48} # {}\n", self.source(setting.name)));
        }
        shown
    }
}

/// The setting that was probably meant.
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

/// Letters to insert, delete or replace to make `a` of `b`.
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
