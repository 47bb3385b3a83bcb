//! What every handler shares. Cheap to clone: everything in it is shared or small.

use std::sync::Arc;

use super::{
    admit::Admit, auth::Auth, dev::DevLogin, drain::Drain, hosts::Hosts, limits::GatewayLimits,
    origins::Origins, peers::Peers, refusal_log::RefusalLog,
};
use crate::{runtime::tasks::Tasks, user::factory::Factory, wire::http::AgentInfo};

/// The gateway of one service.
#[derive(Clone)]
pub struct Gateway {
    /// Users' machines, and the only way to them (ISO-4).
    pub factory: Factory,
    /// The agents that a message may name.
    pub agents: Arc<[AgentInfo]>,
    pub auth: Auth,
    pub origins: Arc<Origins>,
    pub admit: Admit,
    /// The lines that refused requests leave.
    pub refusals: RefusalLog,
    pub peers: Peers,
    /// The names that the public listener goes by.
    pub hosts: Hosts,
    pub drain: Drain,
    pub limits: GatewayLimits,
    /// Tasks of connections: the service waits for them before it ends.
    pub tasks: Tasks,
    /// Log in as anyone; only under `quintet dev`.
    pub dev: Option<Arc<DevLogin>>,
}
