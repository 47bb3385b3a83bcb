//! An agent that plays scripts, so that authors of clients, pages and tests can produce any course of a run.
//! The script is the message; `docs/agents.md` lists its steps.
//!
//! Guarantee: a script without `illegal` plays as a legal run. If a tool, a question or the end precedes
//! every thought, the agent first thinks a `progress` (RUN-3). An `illegal` step bypasses the typestate, is
//! sent through the same handle, and is refused by the log (RUN-10).

pub mod script;

use std::time::Duration;

use async_trait::async_trait;
use quintet_kernel::{
    entry::{Call, CallOwner, CallResult, RunErrorCode, ThoughtKind},
    ids::{CallId, ToolName},
    json::Json,
    run::Ending,
    user::AgentStep,
};

use self::script::{Illegal, Script, ScriptStep, ScriptedCall};
use crate::{
    agent::{Agent, Task},
    error::AgentError,
    host::RunEnded,
    phase::{Completed, Started, Thinking},
    run::{OpenedCalls, Run},
    supervisor::OpenPanic,
    tool_requests::ToolRequests,
};

/// The agent that plays scripts. Its tools are not idempotent, like most tools with effects.
pub struct Rehearsal;

#[async_trait]
impl Agent for Rehearsal {
    fn name(&self) -> &str {
        "rehearsal"
    }

    fn description(&self) -> &str {
        "Plays the script in the message, step by step: for those who write clients and tests."
    }

    fn resumable(&self) -> bool {
        true
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let script = Script::parse(&task.text)
            .map_err(|invalid| AgentError::failed(RunErrorCode::InvalidScript, invalid.to_string()))?;
        let mut stage = ScriptedRun::Started(run);
        for step in script.steps {
            stage = match stage.play(step).await? {
                ScriptOutcome::GoesOn(run) => run,
                ScriptOutcome::Over(run) => return Ok(run),
            };
        }
        Ok(stage.thinking().await?.complete().await?)
    }
}

/// The run between two steps of a script.
enum ScriptedRun {
    Started(Run<Started>),
    Thinking(Run<Thinking>),
}

enum ScriptOutcome {
    GoesOn(ScriptedRun),
    Over(Run<Completed>),
}

impl ScriptedRun {
    async fn play(self, step: ScriptStep) -> Result<ScriptOutcome, AgentError> {
        let run = match step {
            ScriptStep::Think { kind, delta, repeat, interval_ms } => {
                let mut stage = self;
                for turn in 0..repeat {
                    if turn > 0 {
                        stage.pause(interval_ms).await;
                    }
                    stage = ScriptedRun::Thinking(stage.think(kind, &delta).await?);
                }
                return Ok(ScriptOutcome::GoesOn(stage));
            }
            ScriptStep::Answer(delta) => self.think(ThoughtKind::Answer, &delta).await?,
            ScriptStep::Tools(calls) => tools(self.thinking().await?, calls).await?,
            ScriptStep::Ask { call_id, tool_name, parameters } => {
                let call = Call { call_id, tool_name, parameters, by: CallOwner::Client };
                let (run, _any_answer) = self.thinking().await?.ask_as(call).await?;
                run
            }
            ScriptStep::Take => return Ok(ScriptOutcome::GoesOn(self.take_messages().await?)),
            ScriptStep::Wait { wait_ms } => {
                self.pause(wait_ms).await;
                return Ok(ScriptOutcome::GoesOn(self));
            }
            ScriptStep::Fail(message) => {
                return Ok(ScriptOutcome::Over(match self {
                    ScriptedRun::Started(run) => run.fail(message).await?,
                    ScriptedRun::Thinking(run) => run.fail(message).await?,
                }));
            }
            // Unwinds like any panic, but without a report on stderr.
            ScriptStep::Panic(message) => std::panic::resume_unwind(Box::new(OpenPanic(message))),
            ScriptStep::Hang => std::future::pending().await,
            ScriptStep::Illegal(illegal) => return Err(self.break_the_rules(illegal).await),
        };
        Ok(ScriptOutcome::GoesOn(ScriptedRun::Thinking(run)))
    }

    async fn think(self, kind: ThoughtKind, delta: &str) -> Result<Run<Thinking>, RunEnded> {
        match self {
            ScriptedRun::Started(run) => run.think(kind, delta).await,
            ScriptedRun::Thinking(run) => run.think(kind, delta).await,
        }
    }

    /// Returns the run in `Thinking`, with a first thought if there was none (RUN-3).
    async fn thinking(self) -> Result<Run<Thinking>, RunEnded> {
        match self {
            ScriptedRun::Started(run) => run.think(ThoughtKind::Progress, FIRST_THOUGHT).await,
            ScriptedRun::Thinking(run) => Ok(run),
        }
    }

    /// Takes the messages that wait for the run (RUN-12); each is a line of the answer. Does nothing if none waits.
    async fn take_messages(mut self) -> Result<Self, RunEnded> {
        let taken = match &mut self {
            ScriptedRun::Started(run) => run.take_messages().await?,
            ScriptedRun::Thinking(run) => run.take_messages().await?,
        };
        for message in taken {
            self =
                ScriptedRun::Thinking(self.think(ThoughtKind::Answer, &format!("{}\n", message.text)).await?);
        }
        Ok(self)
    }

    /// Waits, which is not a step of the run. Skipped if the run already waited here before a crash.
    async fn pause(&self, wait_ms: u64) {
        let replaying = match self {
            ScriptedRun::Started(run) => run.is_replaying(),
            ScriptedRun::Thinking(run) => run.is_replaying(),
        };
        if wait_ms > 0 && !replaying {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// Takes a step that is illegal in the run's phase, bypassing the typestate (RUN-10).
    async fn break_the_rules(self, illegal: Illegal) -> AgentError {
        match self.try_illegal(illegal).await {
            Err(stopped) => stopped.into(),
            Ok(()) => AgentError::user_facing("an illegal step was not refused"),
        }
    }

    async fn try_illegal(self, illegal: Illegal) -> Result<(), RunEnded> {
        let name = CallId::parse("illegal").expect("a valid name");
        let (handle, call_id) = match (self, illegal) {
            (ScriptedRun::Started(run), Illegal::ToolBeforeThinking | Illegal::CompleteUnopenedCall) => {
                let unused = run.unused(&name);
                (run.into_handle(), unused)
            }
            (stage, _) => {
                let run = stage.thinking().await?;
                let unused = run.unused(&name);
                (run.into_handle(), unused)
            }
        };
        let tool_name = ToolName::parse("illegal").expect("a valid name");
        let open = || {
            let call = Call {
                call_id: call_id.clone(),
                tool_name: tool_name.clone(),
                parameters: Json::empty_object(),
                by: CallOwner::Agent,
            };
            AgentStep::Open(call)
        };
        match illegal {
            Illegal::ToolBeforeThinking => handle.take(open()).await,
            Illegal::CompleteUnopenedCall => {
                handle.take(AgentStep::Close { call_id, result: CallResult::ok(Json::null()) }).await
            }
            Illegal::CompleteWithOpenCall => {
                handle.take(open()).await?;
                handle.take(AgentStep::Complete(Ending::Succeeded { usage: None })).await
            }
            Illegal::ReopenCall => {
                handle.take(open()).await?;
                handle.take(open()).await
            }
        }
    }
}

/// Opens all calls, then closes each after its time.
async fn tools(run: Run<Thinking>, calls: Vec<ScriptedCall>) -> Result<Run<Thinking>, RunEnded> {
    let wanted = calls.iter().map(ScriptedCall::call).collect();
    let (run, opened) = match run.open_all_as(wanted).await? {
        OpenedCalls::None(run) => return Ok(run),
        OpenedCalls::Calls(run, opened) => (run, opened),
    };
    let work = opened.into_iter().zip(calls).map(|(opened, call)| async move {
        if call.takes_ms > 0 && !opened.is_recorded() {
            tokio::time::sleep(Duration::from_millis(call.takes_ms)).await;
        }
        opened.executed(call.result)
    });
    let (_, no_requests) = ToolRequests::channel();
    Ok(run.close_all(work, no_requests).await?.0)
}

impl ScriptedCall {
    fn call(&self) -> Call {
        Call {
            call_id: self.call_id.clone(),
            tool_name: self.tool_name.clone(),
            parameters: self.parameters.clone(),
            by: CallOwner::Agent,
        }
    }
}

/// The thought that is added if a script has none in time.
const FIRST_THOUGHT: &str = "The rehearsal begins.";
