//! State shared by all handlers. Cheap to clone: each field is reference-counted or small.

use std::sync::Arc;

use super::{
    admit::Admit, auth::Auth, dev::DevLogin, hosts::Hosts, limits::GatewayLimits, origins::Origins,
    peers::Peers, refusal_log::RefusalLog,
};
use crate::{
    runtime::{drain::Drain, tasks::Tasks},
    user::factory::Factory,
    wire::http::AgentInfo,
};

/// The gateway of one service.
#[derive(Clone)]
pub struct Gateway {
    /// Creates and looks up the machines of users; the only access to them (ISO-4).
    pub factory: Factory,
    /// The agents that a message may name, as `GET /v1/agents` lists them.
    pub agents: Arc<[AgentInfo]>,
    /// Verifies credentials and issues tickets.
    pub auth: Auth,
    /// The browser origins that may connect (AUTH-4).
    pub origins: Arc<Origins>,
    /// The limits on connections, pages, requests and frames, with their counters (ISO-6).
    pub admit: Admit,
    /// Writes the log lines for refused requests.
    pub refusals: RefusalLog,
    /// The sockets and rate limits of peer addresses.
    pub peers: Peers,
    /// The `Host` names that the public listener accepts.
    pub hosts: Hosts,
    /// The stage of the shutdown (CONN-6).
    pub drain: Drain,
    /// The settings that bound the gateway.
    pub limits: GatewayLimits,
    /// Tasks of connections. The service waits for them at shutdown.
    pub tasks: Tasks,
    /// Whether the predecessor's clients are served on `/ws`.
    pub legacy_clients: LegacyClients,
    /// Issues tokens for any user; `Some` only under `quintet dev`.
    pub dev: Option<Arc<DevLogin>>,
}

/// Whether the predecessor's clients are served on `/ws`, under the same checks as all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyClients {
    /// They are served.
    Served,
    /// `/ws` does not exist.
    Refused,
}
