//! The agents of a service, before the threads that execute them exist.

use std::sync::Arc;

use super::{
    configured::{ASSISTANT, ConfiguredAgents},
    error::ServiceError,
};
use crate::{
    agent::{Agent, AgentRegistry, Executor},
    kernel::ids::AgentName,
    ops::config::Settings,
    wire::http::AgentInfo,
};

/// The agents of a service, one of which is the default.
///
/// # Examples
///
/// ```
/// use quintet::AgentSet;
///
/// // `assistant`, and `rehearsal` in development.
/// let agents = AgentSet::built_in();
/// # let _ = agents;
/// ```
#[derive(Default)]
pub struct AgentSet {
    agents: Vec<Arc<dyn Agent>>,
    /// The name of the default agent; `None` for the first one.
    default_agent: Option<String>,
    has_built_in: bool,
}

impl AgentSet {
    /// Creates a set of one agent, which is the default for messages without an `agent_name`.
    pub fn new(agent: impl Agent) -> Self {
        Self::default().with(agent)
    }

    /// Creates the set of built-in agents: `assistant`, which is the default, and `rehearsal` in development
    /// or where the setting `extra_agents` names it.
    #[cfg(feature = "assistant")]
    pub fn built_in() -> Self {
        Self { has_built_in: true, ..Self::default() }
    }

    /// Adds an agent.
    #[must_use]
    pub fn with(mut self, agent: impl Agent) -> Self {
        self.agents.push(Arc::new(agent));
        self
    }

    /// Makes the agent of this name the default. Without a call, the first agent is.
    #[must_use]
    pub fn default_agent(mut self, name: impl Into<String>) -> Self {
        self.default_agent = Some(name.into());
        self
    }

    /// Adds the agents of another set after those of this one.
    #[must_use]
    pub(super) fn and(mut self, more: Self) -> Self {
        self.agents.extend(more.agents);
        self.default_agent = more.default_agent.or(self.default_agent);
        self.has_built_in |= more.has_built_in;
        self
    }

    /// Starts the threads of these agents.
    ///
    /// # Errors
    /// When there is no agent, an agent of the settings is invalid, a name is invalid or occurs twice, the default
    /// agent is missing, or no thread can be started.
    pub(crate) fn registry(self, is_dev: bool, settings: &Settings) -> Result<AgentRegistry, ServiceError> {
        let rehearsal = self.rehearses(is_dev, settings.names_rehearsal());
        let configured = ConfiguredAgents::check(&settings.agent_settings)?;
        let limits = settings.agents;
        let threads = Executor::threads_within(limits).map_err(ServiceError::Threads)?;
        #[cfg(feature = "assistant")]
        let assistant = crate::assistant::Assistant::within(&limits);
        #[cfg(feature = "assistant")]
        let tools = assistant.tools().to_vec();
        #[cfg(not(feature = "assistant"))]
        let tools = Vec::new();
        let mut agents = self.agents;
        let started = threads.enter(|| configured.start(&tools))?;
        agents.extend(started.agents);
        let mut default = self.default_agent;
        if self.has_built_in {
            // An agent of the settings may take its place.
            #[cfg(feature = "assistant")]
            if !agents.iter().any(|agent| agent.name() == ASSISTANT) {
                agents.push(Arc::new(assistant));
            }
            default.get_or_insert_with(|| ASSISTANT.to_owned());
        }
        if rehearsal {
            agents.push(Arc::new(crate::agent::rehearsal::Rehearsal));
        }
        let first = agents.first().map(|agent| agent.name().to_owned()).ok_or(ServiceError::NoAgent)?;
        let default = settings.agent_settings.default_agent.clone().or(default).unwrap_or(first);
        Ok(AgentRegistry::of(&default, agents, threads)?.with_sources(started.sources))
    }

    /// Returns whether `rehearsal` is among the agents, in development or where the settings name it.
    fn rehearses(&self, is_dev: bool, is_named: bool) -> bool {
        is_named || (self.has_built_in && is_dev)
    }
}

/// Creates a registry whose default agent is the assistant, for programs that execute agents without a
/// [`Service`](super::Service), such as tests.
#[cfg(feature = "assistant")]
pub fn built_in(executor: Executor) -> AgentRegistry {
    let assistant = crate::assistant::Assistant::within(executor.limits());
    AgentRegistry::new(assistant, executor).expect("valid names")
}

/// Returns the agents as `GET /v1/agents` lists them.
pub(crate) fn described(agents: &AgentRegistry) -> Vec<AgentInfo> {
    use crate::agent::host::AgentLauncher;

    let default = agents.default_agent();
    let describe = |(name, agent): (&AgentName, &dyn Agent)| AgentInfo {
        agent_name: name.clone(),
        description: agent.description().to_owned(),
        default: *name == default,
    };
    agents.agents().map(describe).collect()
}
