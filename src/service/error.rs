//! The errors of building and starting a service.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    agent::RegistrationError,
    gateway::{
        dev::DevLoginError,
        hosts::InvalidName,
        key::{KeyError, file::KeyFileError},
        origins::InvalidOrigin,
        peers::forwarded::InvalidNetwork,
    },
    journal::{JournalError, sqlite::OpenError},
    ops::{config::ConfigError, metrics::RecorderError},
};

/// The reason for which a service was not built or not started. Each message names what to change;
/// [`ServiceError::is_configuration`] distinguishes a mistake in the program or its settings from a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A setting is unknown, out of its range, missing, or contradicts another one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A development service was given an address that other machines reach (AUTH-5).
    #[error(
        "dev() logs in every caller as any user, so it stays on loopback and not on {address}: bind 127.0.0.1 \
         or [::1], or use production()"
    )]
    NotLoopback {
        /// The refused address.
        address: SocketAddr,
    },
    /// A production service has no origin allow-list (AUTH-4).
    #[error(
        "production() needs at least one browser origin that may connect, such as \"https://chat.example.org\""
    )]
    NoOrigins,
    /// The builder has no agent.
    #[error(
        "the service has no agent: add one with agent(), or the built-in ones with agents(AgentSet::built_in())"
    )]
    NoAgent,
    /// The name of an agent or of a tool is invalid or occurs twice, or `default_agent()` names no agent.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// An agent or a tool server of the settings is invalid.
    #[error("{name}: {why}")]
    Agent {
        /// The table or the setting.
        name: String,
        /// The reason.
        why: String,
    },
    /// The builder has no journal.
    #[error("the service has no journal: open a folder with sqlite(), or pass an engine to journal()")]
    NoJournal,
    /// The journal in the folder given to `sqlite()` cannot be opened.
    #[error("the journal cannot be opened")]
    Journal(#[from] OpenError),
    /// The threads of the agents cannot be started.
    #[error("the threads of the agents cannot be started")]
    Threads(#[source] std::io::Error),
    /// A key file cannot be read.
    #[error("{name}: {}", .path.display())]
    KeyFile {
        /// The setting that names the file.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: KeyFileError,
    },
    /// A key file holds no valid key.
    #[error("{name}: {}", .path.display())]
    Key {
        /// The setting that names the file.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: KeyError,
    },
    /// The key set cannot be used.
    #[error("jwks_url: {0}")]
    Jwks(String),
    /// An allowed origin is not an origin.
    #[error("allow_origin: {0}")]
    Origin(#[from] InvalidOrigin),
    /// A trusted proxy is not an address or a network.
    #[error("trusted_proxies: {0}")]
    TrustedProxy(#[from] InvalidNetwork),
    /// An allowed host is not a host name.
    #[error("hosts: {0}")]
    Host(#[from] InvalidName),
    /// An address cannot be bound.
    #[error("{name}: {address} cannot be bound")]
    Listen {
        /// The setting of the address.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The trace file cannot be written.
    #[error("trace_file: {} cannot be written", .path.display())]
    Trace {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The key of a development service cannot be made.
    #[error(transparent)]
    DevLogin(#[from] DevLoginError),
    /// The service was to install its metrics recorder, and the process has another one.
    #[error(transparent)]
    Metrics(#[from] RecorderError),
    /// The runs that an earlier process left open cannot be resumed (RUN-6).
    #[error("runs left open by an earlier process cannot be resumed")]
    Recovery(#[source] JournalError),
}

impl ServiceError {
    /// Returns whether the program or a setting has to change (exit code 2 of the command line; otherwise 1).
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::NotLoopback { .. }
            | Self::NoOrigins
            | Self::NoAgent
            | Self::Registration(_)
            | Self::Agent { .. }
            | Self::NoJournal
            | Self::KeyFile { .. }
            | Self::Key { .. }
            | Self::Jwks(_)
            | Self::Origin(_)
            | Self::TrustedProxy(_)
            | Self::Host(_)
            | Self::Trace { .. } => true,
            Self::Journal(_)
            | Self::Threads(_)
            | Self::Listen { .. }
            | Self::DevLogin(_)
            | Self::Metrics(_)
            | Self::Recovery(_) => false,
        }
    }
}
