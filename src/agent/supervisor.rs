//! Runs agents: each as a task of its own, on threads of their own.
//!
//! Guarantee: however an agent stops, its run ends (RUN-6): a panic as `agent_panic`, an error as
//! `agent_error`; and when its run ends otherwise, the agent is dropped. An agent that never yields
//! holds one of the agents' threads and none of the service's. Agents take turns by user ([`super::gate`]), so
//! that one user's agents hold at most `agent_user_turns_max` of the threads (ISO-6).
//!
//! ```text
//!   launch ──▶ task ── the run has ended ──────▶ the agent is dropped
//!                  ├── the agent completed ────▶ nothing is left to do
//!                  ├── it gave up ─────────────▶ cut: failed, agent_error
//!                  └── it panicked ────────────▶ cut: failed, agent_panic
//! ```

use std::{
    any::Any, collections::BTreeMap, future::Future, io, panic::AssertUnwindSafe, pin::pin, sync::Arc,
};

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tracing::Instrument;

use super::{
    assistant::Assistant,
    call::clipped,
    gate::Gate,
    limits::AgentLimits,
    rehearsal::Rehearsal,
    roles::{Agent, Task, Unfinished},
    run::{MESSAGE_BYTES_MAX, Run},
};
use crate::{
    kernel::{
        entry::{RunError, RunErrorCode},
        ids::{AgentName, ToolName},
        run::Cut,
    },
    runtime::tasks::Tasks,
    user::agents::{Agents, Assignment, Treatment},
};

/// The agents of a service, by name, and where they run.
pub struct Directory {
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
    default_agent: AgentName,
    floor: Floor,
    gate: Gate,
}

/// Where agents run, and how much of it.
pub struct Floor {
    limits: AgentLimits,
    place: Place,
    /// Agents that are polled at the same time.
    turns_max: usize,
}

enum Place {
    /// On threads of their own, which end with the directory.
    Threads(AgentThreads),
    /// On the caller's runtime: for tests and simulations that own the time.
    Shared(Tasks),
}

/// The agents' own runtime. Dropping it stops every agent at its next pause, in the background.
struct AgentThreads(Option<Runtime>);

/// A panic whose message is meant for the user. The message of any other formatted panic stays
/// inside: it may hold anything.
pub struct OpenPanic(pub String);

impl Directory {
    /// A directory with one agent, which is the default.
    pub fn new(default_agent: impl Agent, floor: Floor) -> Self {
        let name = default_agent.name();
        let agents = BTreeMap::from([(name.clone(), Arc::new(default_agent) as Arc<dyn Agent>)]);
        // At least one thread is left to others, whatever one user's agents do.
        let user_turns_max = floor.limits.agent_user_turns_max.min(floor.turns_max - 1);
        let gate = Gate::new(floor.turns_max, user_turns_max);
        Self { agents, default_agent: name, floor, gate }
    }

    /// The agents that come with the service: `assistant`, and `rehearsal` where it is wanted.
    pub fn built_in(rehearsal: bool, floor: Floor) -> Self {
        let directory = Self::new(Assistant::within(&floor.limits), floor);
        if rehearsal { directory.with(Rehearsal) } else { directory }
    }

    /// The same directory with a further agent, in place of one of the same name.
    pub fn with(mut self, agent: impl Agent) -> Self {
        self.agents.insert(agent.name(), Arc::new(agent));
        self
    }

    /// The agents that a message may name, in order of their names.
    pub fn agents(&self) -> impl Iterator<Item = &dyn Agent> {
        self.agents.values().map(|agent| &**agent)
    }
}

impl Agents for Directory {
    fn default_agent(&self) -> AgentName {
        self.default_agent.clone()
    }

    fn find(&self, agent_name: &AgentName) -> Option<Treatment> {
        self.agents.get(agent_name).map(|agent| Treatment { resumable: agent.resumable() })
    }

    fn is_idempotent(&self, agent_name: &AgentName, tool_name: &ToolName) -> bool {
        let tools = self.agents.get(agent_name).map_or(&[][..], |agent| agent.tools());
        tools.iter().any(|tool| tool.name() == *tool_name && tool.idempotent())
    }

    fn launch(&self, assignment: Assignment) {
        let span =
            tracing::info_span!("run", run_id = %assignment.run_id, agent_name = %assignment.agent_name);
        let agent = self.agents.get(&assignment.agent_name).cloned();
        self.floor.spawn(supervise(agent, assignment, self.gate.clone()).instrument(span));
    }
}

/// Carries out one run, to its end or the agent's (RUN-6).
async fn supervise(agent: Option<Arc<dyn Agent>>, assignment: Assignment, gate: Gate) {
    let (port, owner) = (assignment.port.clone(), assignment.owner);
    let work = pin!(AssertUnwindSafe(carry_out(agent, assignment)).catch_unwind());
    // The end of the run is looked at without a turn: what is in line is dropped at once, and work that
    // yields ends at its next yield.
    let work = gate.pass(owner, port.line().clone(), work);
    let failed = tokio::select! {
        biased;
        () = port.ended() => return,
        outcome = work => match outcome {
            Ok(Ok(())) | Ok(Err(Unfinished::Stopped(_))) => return,
            Ok(Err(Unfinished::Failed(error))) => error,
            Err(panic) => panicked(&*panic),
        },
    };
    let reason = match failed.code {
        RunErrorCode::AgentPanic => "panic",
        _ => "error",
    };
    metrics::counter!("quintet_agent_failures_total", "reason" => reason).increment(1);
    tracing::warn!(reason, "an agent did not complete its run");
    let message = clipped(failed.message, MESSAGE_BYTES_MAX);
    port.cut(Cut::Failed(RunError { message, ..failed })).await;
}

async fn carry_out(agent: Option<Arc<dyn Agent>>, mut assignment: Assignment) -> Result<(), Unfinished> {
    let agent = agent.ok_or_else(|| Unfinished::because("the agent of this run is no longer here"))?;
    let task = Task {
        run_id: assignment.run_id,
        thread_id: assignment.thread_id.clone(),
        message_id: assignment.message_id.clone(),
        agent_name: assignment.agent_name.clone(),
        // The one copy of the text in the process.
        text: std::mem::take(&mut assignment.text),
    };
    agent.run(Run::begin(assignment), task).await.map(|_completed| ())
}

/// What a user is told of a panic. A literal was written for readers of the source and holds no
/// secret; a formatted message may.
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

impl Floor {
    /// Threads of the agents' own, with the default limits.
    pub fn threads() -> io::Result<Self> {
        Self::threads_within(AgentLimits::DEFAULT)
    }

    /// Threads of the agents' own: as many as the machine has cores, at least [`THREADS_MIN`] and at most
    /// `agent_threads_max`.
    pub fn threads_within(limits: AgentLimits) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let threads = cores.clamp(THREADS_MIN, limits.agent_threads_max.max(THREADS_MIN));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(limits.agent_blocking_threads_max)
            .thread_name("agent")
            .enable_all()
            .build()?;
        Ok(Self { limits, place: Place::Threads(AgentThreads(Some(runtime))), turns_max: threads })
    }

    /// The caller's runtime.
    pub fn shared() -> Self {
        Self::shared_within(AgentLimits::DEFAULT)
    }

    /// The caller's runtime, with these limits.
    pub fn shared_within(limits: AgentLimits) -> Self {
        Self { limits, place: Place::Shared(Tasks::default()), turns_max: THREADS_MIN }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.place {
            Place::Threads(AgentThreads(runtime)) => {
                runtime.as_ref().expect("it is there until the drop").spawn(work);
            }
            Place::Shared(tasks) => {
                tasks.spawn(work);
            }
        }
    }
}

impl Drop for AgentThreads {
    fn drop(&mut self) {
        // Waiting here would hang on an agent that never yields.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads of the agents at least, so that one agent that never yields does not stop the others.
const THREADS_MIN: usize = 4;
