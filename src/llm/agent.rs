//! The agent [`ModelAgent`]: a language model that answers with the help of tools.
//!
//! ```text
//!   conversation ──▶ request ──▶ response: text is emitted while it arrives
//!        ▲                          │
//!        │                          ├── no calls ──▶ the run succeeds
//!        └── results ◀── calls ◀────┘
//! ```
//!
//! Guarantees: a response that is not complete ends the run as `failed`, code `upstream`, never as
//! `succeeded`. The number of responses is bounded (`model_rounds_max`). A call is executed only if the model
//! has sent all of it, its tool was chosen for the agent, and the client has approved it where the
//! configuration demands that (RUN-11).

use std::{sync::Arc, time::Duration};

use quintet_agent::{
    Agent, AgentError, Completed, Run, Started, Task, ThoughtKind, Tool, ToolPattern, ToolSource, async_trait,
};
use quintet_upstream::HttpClient;

use crate::{
    api::{EndReason, ModelApi, Response, ToolResult, Turn},
    budget::{Account, Ledger},
    calls::{ARGUMENTS_BYTES_MAX, check, execute},
    config::{ConfigError, ModelConfig},
    context::{BYTES_PER_TOKEN, CallIds, Context, Part, is_round, past_parts},
    limits::ModelLimits,
    names::any_name,
    resume,
    round::{Rounds, Stage},
    toolbox::{ToolChoice, Toolbox},
};

/// An agent that answers with a language model. Resumable: after a crash, the calls in the log are not
/// executed again.
pub struct ModelAgent {
    name: String,
    description: String,
    instructions: Option<String>,
    api: Arc<dyn ModelApi>,
    choice: ToolChoice,
    approve: Vec<ToolPattern>,
    limits: ModelLimits,
    ledger: Ledger,
}

impl ModelAgent {
    /// Creates an agent. `tools` and those of `sources` are all tools of the service, of which the
    /// configuration chooses.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the configuration is invalid, or its key cannot be read.
    pub fn new(
        config: ModelConfig,
        tools: Vec<Arc<dyn Tool>>,
        sources: Vec<Arc<dyn ToolSource>>,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        let api = config.model_api(http)?;
        Self::with_api(config, api, tools, sources)
    }

    /// Creates an agent of another model, such as one inside the process. The fields of the configuration that
    /// concern requests are not used.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the configuration is invalid.
    pub fn with_api(
        config: ModelConfig,
        api: Arc<dyn ModelApi>,
        tools: Vec<Arc<dyn Tool>>,
        sources: Vec<Arc<dyn ToolSource>>,
    ) -> Result<Self, ConfigError> {
        config.check(&tools, !sources.is_empty())?;
        let description = config
            .description
            .unwrap_or_else(|| format!("Answers with the language model {}.", config.model));
        Ok(Self {
            name: config.name,
            description,
            instructions: config.instructions,
            api,
            choice: ToolChoice { patterns: config.tools, tools, sources },
            approve: config.approve,
            limits: config.limits,
            ledger: Ledger::default(),
        })
    }

    /// Sets the ledger of the budgets, which agents of one service share.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    async fn context(
        &self,
        run: &Run<Started>,
        task: &Task,
        toolbox: &Toolbox,
        ids: &mut CallIds,
    ) -> Result<Context, AgentError> {
        let tokens = usize::try_from(self.limits.context_tokens_max).unwrap_or(usize::MAX);
        // Results are shortened, so more than the budget is of use.
        let bytes_max = tokens.saturating_mul(2 * BYTES_PER_TOKEN);
        let runs = run.history().conversation(bytes_max).await?;
        Ok(Context {
            instructions: self.instructions.clone(),
            past: past_parts(runs, toolbox, ids),
            message: task.text.clone(),
            steps: Vec::new(),
        })
    }
}

#[async_trait]
impl Agent for ModelAgent {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn resumable(&self) -> bool {
        true
    }

    fn is_idempotent(&self, tool_name: &str) -> bool {
        self.choice.now().by_name(tool_name).is_some_and(|tool| tool.idempotent())
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let mut ids = CallIds::default();
        let account =
            Account::open(&self.ledger, &run.history(), task.run_id, &task.thread_id, self.limits).await?;
        self.choice.prepare(Duration::from_millis(self.limits.tools_wait_ms)).await;
        let toolbox = self.choice.now();
        let mut context = self.context(&run, &task, &toolbox, &mut ids).await?;
        let recorded = run.recorded_calls();
        let (count, text_bytes) = (run.token_count(), run.recorded_text_bytes());
        let mut stage = Stage::Started(run);
        if !recorded.is_empty() {
            let run = stage.think(ThoughtKind::Progress, "Continuing after a restart.\n").await?;
            let (run, steps) = resume::repeat(run, recorded, &toolbox, &mut ids).await?;
            (stage, context.steps) = (Stage::Thinking(run), steps);
        }
        let earlier = context.earlier_tokens(toolbox.specs(), self.limits.context_tokens_max, text_bytes);
        if let Some(earlier) = earlier {
            count.add(earlier);
            account.charge(earlier);
        }
        let mut rounds = Rounds {
            agent: &self.name,
            api: &*self.api,
            limits: &self.limits,
            account: &account,
            count,
            has_reasoned: false,
        };
        let made = context.steps.iter().filter(|part| is_round(part)).count();
        for _ in made..self.limits.model_rounds_max {
            context.steps.extend(stage.take_messages().await?);
            // Tools may have changed since the last response.
            let toolbox = self.choice.now();
            let request = context.request(toolbox.specs(), self.limits.context_tokens_max).map_err(|_| {
                AgentError::limit_reached("The conversation of this run is too long for the model's context.")
            })?;
            let (next, round) = rounds.respond(stage, request, &mut ids).await?;
            stage = next;
            rounds.has_reasoned |= !round.response.reasoning.is_empty();
            match round.end {
                EndReason::Length => {
                    return Err(AgentError::limit_reached(
                        "The model's answer is cut: it reached its greatest length.",
                    ));
                }
                EndReason::Filtered => {
                    return Err(AgentError::upstream("The model's service withheld the answer."));
                }
                EndReason::Stop | EndReason::ToolCalls => {}
            }
            if round.response.calls.is_empty() {
                return finish(stage).await;
            }
            let names = round.response.calls.iter().map(|call| any_name(&call.name));
            let progress = format!("Calling {}.\n", names.collect::<Vec<_>>().join(", "));
            let run = stage.thinking(|| progress).await?;
            let checked =
                round.response.calls.iter().map(|call| check(call, &toolbox, &self.approve)).collect();
            let (run, told) = execute(run, checked, &self.limits).await?;
            context.steps.push(answered(round.response, told));
            stage = Stage::Thinking(run);
        }
        Err(AgentError::limit_reached("The model has called tools too often in one run."))
    }
}

/// Returns the step of a response and of what the model reads of its calls. Names and arguments that no call can have
/// are replaced, because some services refuse a conversation with them, or the next request would be too long.
fn answered(mut response: Response, told: Vec<(String, bool)>) -> Part {
    for call in &mut response.calls {
        let is_object = serde_json::from_str::<serde_json::Map<_, _>>(&call.arguments).is_ok();
        if !is_object || call.arguments.len() > ARGUMENTS_BYTES_MAX {
            call.arguments = "{}".to_owned();
            response.carried.clear();
        }
        let name = any_name(&call.name);
        if name != call.name {
            call.name = name;
            response.carried.clear();
        }
    }
    let results = response.calls.iter().zip(told);
    let results =
        results.map(|(call, (content, is_error))| ToolResult { id: call.id.clone(), content, is_error });
    let results = Turn::Results(results.collect());
    vec![Turn::Assistant(response), results]
}

/// Ends the run, if there is an answer.
async fn finish(stage: Stage) -> Result<Run<Completed>, AgentError> {
    match stage {
        Stage::Thinking(run) if !run.answered().trim().is_empty() => Ok(run.complete().await?),
        Stage::Thinking(_) | Stage::Started(_) => Err(AgentError::upstream("The model gave no answer.")),
    }
}
