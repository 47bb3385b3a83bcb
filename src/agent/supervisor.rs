//! Executes agents, each as a separate task, on separate threads.
//!
//! Guarantee: when an agent stops, its run ends (RUN-6): after a panic as `agent_panic`, after an error as
//! `agent_error`. When its run ends in another way, the agent is dropped. An agent that never yields occupies
//! one of the agents' threads and none of the service's. Turns are shared by user ([`super::gate`]), so that
//! one user's agents occupy at most `user_agent_threads_max` of the threads (ISO-6).
//!
//! ```text
//!   launch ──▶ task ── the run has ended ──────▶ the agent is dropped
//!                  ├── the agent completed ────▶ nothing more to do
//!                  ├── it returned an error ───▶ cut: failed, agent_error
//!                  └── it panicked ────────────▶ cut: failed, agent_panic
//! ```

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    future::Future,
    io,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::join_all};
use quintet_kernel::{
    entry::{RunError, RunErrorCode},
    ids::{AgentName, InvalidId, ToolName},
    run::EarlyEnd,
};
use quintet_runtime::tasks::Tasks;
use tokio::time::timeout;
use tracing::Instrument;

use crate::{
    agent::{Agent, Task},
    clip::clipped,
    error::{AgentError, AgentErrorKind, MESSAGE_BYTES_MAX},
    gate::Gate,
    host::{AgentCapabilities, AgentLauncher, Assignment},
    limits::AgentLimits,
    redact::UserTexts,
    run::Run,
    threads::AgentThreads,
    tool::ToolSource,
};

/// The agents of a service, by name, and their executor.
pub struct AgentRegistry {
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
    default_agent: AgentName,
    executor: Executor,
    gate: Gate,
    /// The sources of the agents' tools.
    sources: Vec<Arc<dyn ToolSource>>,
}

/// The executor of agents, with its limits.
pub struct Executor {
    limits: AgentLimits,
    place: ExecutorKind,
    /// Greatest number of agents that are polled at the same time.
    turns_max: usize,
}

enum ExecutorKind {
    /// Separate threads, which end with the registry.
    Threads(AgentThreads),
    /// The caller's runtime, for tests and simulations that control time.
    Shared(Tasks),
}

/// A panic payload whose message is shown to the user. The message of any other formatted panic is not, since
/// it may contain anything.
pub struct OpenPanic(pub String);

/// The reason for which agents cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// An agent has an invalid name.
    #[error("the name {name:?} of an agent is invalid: {source}")]
    AgentName {
        /// The name.
        name: String,
        /// The rule.
        source: InvalidId,
    },
    /// Two agents have the same name.
    #[error("two agents have the name {name:?}")]
    DuplicateAgent {
        /// The name.
        name: String,
    },
    /// A tool of an agent has an invalid name.
    #[error("the name {name:?} of a tool of agent {agent:?} is invalid: {source}")]
    ToolName {
        /// The agent.
        agent: String,
        /// The name.
        name: String,
        /// The rule.
        source: InvalidId,
    },
    /// Two tools of an agent have the same name.
    #[error("two tools of agent {agent:?} have the name {name:?}")]
    DuplicateTool {
        /// The agent.
        agent: String,
        /// The name.
        name: String,
    },
    /// No agent has the name of the default agent.
    #[error("the default agent {name:?} is not among the agents")]
    UnknownDefaultAgent {
        /// The name.
        name: String,
    },
}

impl AgentRegistry {
    /// Creates a registry with a default agent.
    ///
    /// # Errors
    ///
    /// Returns [`RegistrationError`] if the name of the agent or of one of its tools is invalid.
    pub fn new(default_agent: impl Agent, executor: Executor) -> Result<Self, RegistrationError> {
        let name = default_agent.name().to_owned();
        Self::of(&name, [Arc::new(default_agent) as Arc<dyn Agent>], executor)
    }

    /// Creates a registry of these agents.
    ///
    /// # Errors
    ///
    /// Returns [`RegistrationError`] if `default_agent` is not among them, or a name is invalid or occurs twice.
    pub fn of(
        default_agent: &str,
        agents: impl IntoIterator<Item = Arc<dyn Agent>>,
        executor: Executor,
    ) -> Result<Self, RegistrationError> {
        let mut registered = BTreeMap::new();
        for agent in agents {
            register(&mut registered, agent)?;
        }
        let default_agent = registered
            .keys()
            .find(|name| name.as_str() == default_agent)
            .cloned()
            .ok_or_else(|| RegistrationError::UnknownDefaultAgent { name: default_agent.to_owned() })?;
        // At least one thread stays free for other users.
        let user_turns_max = executor.limits.user_agent_threads_max.min(executor.turns_max - 1);
        let gate = Gate::new(executor.turns_max, user_turns_max);
        Ok(Self { agents: registered, default_agent, executor, gate, sources: Vec::new() })
    }

    /// Adds an agent.
    ///
    /// # Errors
    ///
    /// Returns [`RegistrationError`] if the name of the agent or of one of its tools is invalid or occurs twice.
    pub fn with(mut self, agent: impl Agent) -> Result<Self, RegistrationError> {
        register(&mut self.agents, Arc::new(agent))?;
        Ok(self)
    }

    /// Adds sources of the agents' tools, which the service waits for at its start, and stops at its end.
    #[must_use]
    pub fn with_sources(mut self, sources: impl IntoIterator<Item = Arc<dyn ToolSource>>) -> Self {
        self.sources.extend(sources);
        self
    }

    /// Returns the agents with their names, in order of the names.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentName, &dyn Agent)> {
        self.agents.iter().map(|(name, agent)| (name, &**agent))
    }
}

/// Adds an agent, after its name and those of its tools have been checked.
fn register(
    agents: &mut BTreeMap<AgentName, Arc<dyn Agent>>,
    agent: Arc<dyn Agent>,
) -> Result<(), RegistrationError> {
    let text = agent.name().to_owned();
    let name = AgentName::parse(&text)
        .map_err(|source| RegistrationError::AgentName { name: text.clone(), source })?;
    let mut tools = BTreeSet::new();
    for tool in agent.tools().iter().map(|tool| tool.name().to_owned()) {
        ToolName::parse(&tool).map_err(|source| RegistrationError::ToolName {
            agent: text.clone(),
            name: tool.clone(),
            source,
        })?;
        if !tools.insert(tool.clone()) {
            return Err(RegistrationError::DuplicateTool { agent: text, name: tool });
        }
    }
    match agents.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(agent);
            Ok(())
        }
        Entry::Occupied(_) => Err(RegistrationError::DuplicateAgent { name: text }),
    }
}

#[async_trait]
impl AgentLauncher for AgentRegistry {
    fn default_agent(&self) -> AgentName {
        self.default_agent.clone()
    }

    fn find(&self, agent_name: &AgentName) -> Option<AgentCapabilities> {
        self.agents.get(agent_name).map(|agent| AgentCapabilities { resumable: agent.resumable() })
    }

    fn is_idempotent(&self, agent_name: &AgentName, tool_name: &ToolName) -> bool {
        self.agents.get(agent_name).is_some_and(|agent| agent.is_idempotent(tool_name.as_str()))
    }

    fn launch(&self, assignment: Assignment) {
        let span =
            tracing::info_span!("run", run_id = %assignment.run_id, agent_name = %assignment.agent_name);
        let agent = self.agents.get(&assignment.agent_name).cloned();
        self.executor.spawn(supervise(agent, assignment, self.gate.clone()).instrument(span));
    }

    async fn prepare(&self) {
        let prepared = join_all(self.sources.iter().map(|source| source.prepare()));
        let limit = Duration::from_millis(self.executor.limits.tools_wait_ms);
        if timeout(limit, prepared).await.is_err() {
            tracing::warn!("runs are resumed without the tools of some servers, which are not ready");
        }
    }

    async fn stop(&self) {
        join_all(self.sources.iter().map(|source| source.stop())).await;
    }
}

/// Executes one run until it or its agent ends (RUN-6).
async fn supervise(agent: Option<Arc<dyn Agent>>, assignment: Assignment, gate: Gate) {
    let (handle, owner) = (assignment.handle.clone(), assignment.owner);
    let texts = UserTexts::new(handle.clone(), assignment.accepted);
    let work = pin!(AssertUnwindSafe(carry_out(agent, assignment)).catch_unwind());
    // The end of the run is observed without a turn: queued work is dropped at once, and work that yields ends
    // at its next yield.
    let work = gate.pass(owner, handle.line().clone(), work);
    let outcome = tokio::select! {
        biased;
        () = handle.ended() => return,
        outcome = work => outcome,
    };
    let failed = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            let message = error.user_message().to_owned();
            match error.into_kind() {
                AgentErrorKind::Stopped(_) => return,
                AgentErrorKind::UserFacing(error) => {
                    if error.code == RunErrorCode::Violation {
                        // RUN-10: an illegal step of a remote agent, which its agent here has refused.
                        metrics::counter!("quintet_violations_total").increment(1);
                    }
                    tracing::warn!(code = ?error.code, "an agent failed its run");
                    error
                }
                AgentErrorKind::Internal(cause) => {
                    let error = texts.redact(&cause).await;
                    tracing::warn!(error, "an agent failed its run with an error");
                    RunError { code: RunErrorCode::AgentError, message }
                }
            }
        }
        Err(panic) => {
            tracing::warn!(reason = "panic", "an agent panicked");
            panicked(&*panic)
        }
    };
    let reason = match failed.code {
        RunErrorCode::AgentPanic => "panic",
        _ => "error",
    };
    metrics::counter!("quintet_agent_failures_total", "reason" => reason).increment(1);
    let message = clipped(failed.message, MESSAGE_BYTES_MAX);
    handle.cut(EarlyEnd::Failed(RunError { message, ..failed })).await;
}

async fn carry_out(agent: Option<Arc<dyn Agent>>, mut assignment: Assignment) -> Result<(), AgentError> {
    let agent = agent.ok_or_else(|| AgentError::user_facing("the agent of this run is no longer here"))?;
    let task = Task {
        run_id: assignment.run_id,
        user_id: assignment.user_id.clone(),
        thread_id: assignment.thread_id.clone(),
        message_id: assignment.message_id.clone(),
        agent_name: assignment.agent_name.clone(),
        // Move the text: this is its only copy in the process.
        text: std::mem::take(&mut assignment.text),
    };
    agent.run(Run::begin(assignment), task).await.map(|_completed| ())
}

/// Returns the error of a run whose agent panicked. A literal message is part of the source and holds no
/// secret; a formatted one may, and is not shown.
fn panicked(panic: &(dyn Any + Send)) -> RunError {
    let message = if let Some(OpenPanic(message)) = panic.downcast_ref() {
        message.clone()
    } else if let Some(literal) = panic.downcast_ref::<&'static str>() {
        (*literal).to_owned()
    } else {
        "the agent panicked".to_owned()
    };
    RunError { code: RunErrorCode::AgentPanic, message }
}

impl Executor {
    /// Creates an executor with separate threads and the default limits.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system if the threads cannot be started.
    pub fn threads() -> io::Result<Self> {
        Self::threads_within(AgentLimits::DEFAULT)
    }

    /// Creates an executor with separate threads: as many as the machine has cores, at least 4
    /// and at most `agent_threads_max`.
    ///
    /// # Errors
    ///
    /// As [`Self::threads`].
    pub fn threads_within(limits: AgentLimits) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let threads = cores.clamp(THREADS_MIN, limits.agent_threads_max.max(THREADS_MIN));
        let place = ExecutorKind::Threads(AgentThreads::start(threads, limits.agent_blocking_threads_max)?);
        Ok(Self { limits, place, turns_max: threads })
    }

    /// Creates an executor on the caller's runtime.
    pub fn shared() -> Self {
        Self::shared_within(AgentLimits::DEFAULT)
    }

    /// Creates an executor on the caller's runtime, with these limits.
    pub fn shared_within(limits: AgentLimits) -> Self {
        Self { limits, place: ExecutorKind::Shared(Tasks::default()), turns_max: THREADS_MIN }
    }

    /// Calls `work` within the runtime of the agents, so that it can start tasks there.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.place {
            ExecutorKind::Threads(threads) => threads.enter(work),
            ExecutorKind::Shared(_) => work(),
        }
    }

    /// Returns the limits of the agents.
    pub fn limits(&self) -> &AgentLimits {
        &self.limits
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.place {
            ExecutorKind::Threads(threads) => threads.spawn(work),
            ExecutorKind::Shared(tasks) => {
                tasks.spawn(work);
            }
        }
    }
}

/// Least number of threads, so that an agent that never yields does not block the others.
const THREADS_MIN: usize = 4;
