//! A run as its agent sees it: the kernel's typestate, connected to the log.
//!
//! Each method is the kernel's transition of the same name and emits its event. So illegal steps do not
//! compile: a result without its call, a completion with an open call, a call or a success before a thought,
//! any step after the end (RUN-3, RUN-4, RUN-5).
//!
//! Guarantees: a tool is invoked only when its `tool_executing` is durable, and its result is returned only
//! when its `tool_completed` is (RUN-9). A run that is dropped before it is complete ends as `failed`
//! (RUN-6). A resumed run repeats no step that its log holds ([`super::replay`]).
//!
//! ```no_run
//! # use quintet_agent::{AgentError, Completed, Json, Run, Started, ThoughtKind, Tool};
//! # async fn example(run: Run<Started>, clock: &dyn Tool, weather: &dyn Tool) -> Result<Run<Completed>, AgentError> {
//! let run = run.think(ThoughtKind::Reasoning, "First I need the time.").await?;
//! let (run, time) = run.call(clock, Json::empty_object()).await?;
//! let (run, both) = run.call_all([(clock, Json::empty_object()), (weather, Json::empty_object())]).await?;
//! let run = run.answer(format!("It is {:?}, and {} more facts are known.", time.results, both.len())).await?;
//! Ok(run.complete().await?)
//! # }
//! ```

use std::future::Future;

use futures_util::{StreamExt, stream::FuturesUnordered};
use quintet_kernel::{
    entry::{By, Call, CallResult, RunError, RunErrorCode, Thought, ThoughtKind, Usage},
    ids::CallId,
    json::Json,
    run::{self as machine, Breach, Cut, Ending},
};
use quintet_runtime::clock;

use crate::{
    answer::Answer,
    call::{Answered, AskedCall, Executed, OpenCall, clipped},
    history::History,
    host::{Assignment, RunPort, Stopped},
    link::Link,
    phase::{CanOpen, CanThink, Completed, ExecutingTools, Started, Thinking},
    roles::{Tool, ToolContext},
};

/// A run in the phase `P` ([`crate::phase`]). If a step returns an error, the run has ended for its agent; the error is the
/// reason.
#[must_use = "a run that is dropped before it completed ends as failed"]
pub struct Run<P> {
    machine: machine::Run<P>,
    link: Link,
}

/// A run after one of its calls closed; others may still be open.
pub enum AfterClose {
    Thinking(Run<Thinking>),
    ExecutingTools(Run<ExecutingTools>),
}

impl<P> Run<P> {
    /// Returns the answer so far: the `answer` deltas since the last reset.
    pub fn answered(&self) -> &str {
        self.machine.answer()
    }

    /// Returns true while the log of a resumed run holds steps that the agent has not repeated. Pure delays
    /// may be skipped meanwhile.
    pub fn is_replaying(&self) -> bool {
        self.link.is_replaying()
    }

    /// Returns the user's log before this run.
    pub fn history(&self) -> History {
        self.link.history()
    }

    /// Returns the port, for the rehearsal of illegal steps, which have no method here (RUN-10).
    pub(super) fn into_port(self) -> RunPort {
        self.link.into_port()
    }

    /// Derives a call id from `call_id` that the run's log does not hold.
    pub(super) fn unused(&self, call_id: &CallId) -> CallId {
        self.link.unused(call_id)
    }
}

impl Run<Started> {
    /// Starts or resumes the run of an assignment.
    pub(super) fn begin(assignment: Assignment) -> Self {
        let (machine, _) = machine::Run::start(assignment.message_id.clone(), clock::now());
        Self { machine, link: Link::new(assignment) }
    }

    /// Ends the run as `failed`, with `agent_error`, before a first thought.
    pub async fn fail(self, message: impl Into<String>) -> Result<Run<Completed>, Stopped> {
        let Self { machine, mut link } = self;
        let cut = Cut::Failed(agent_error(message));
        link.complete(Ending::Cut(cut.clone())).await?;
        Ok(Run { machine: machine.end(cut, clock::now()).0, link })
    }
}

impl Run<Thinking> {
    /// Ends the run as `succeeded`; the final response is the answer so far.
    pub async fn complete(self) -> Result<Run<Completed>, Stopped> {
        self.end(Ending::Succeeded { usage: None }).await
    }

    /// Ends the run as `succeeded`, with its token usage.
    pub async fn complete_with(self, usage: Usage) -> Result<Run<Completed>, Stopped> {
        self.end(Ending::Succeeded { usage: Some(usage) }).await
    }

    /// Ends the run as `failed`, with `agent_error`.
    pub async fn fail(self, message: impl Into<String>) -> Result<Run<Completed>, Stopped> {
        self.end(Ending::Cut(Cut::Failed(agent_error(message)))).await
    }

    async fn end(self, ending: Ending) -> Result<Run<Completed>, Stopped> {
        let Self { machine, mut link } = self;
        link.complete(ending.clone()).await?;
        Ok(Run { machine: machine.complete(ending, clock::now()).0, link })
    }

    /// Calls a tool: opens the call, invokes the tool with its timeout, closes the call.
    pub async fn call(
        self,
        tool: &dyn Tool,
        parameters: impl Into<Json>,
    ) -> Result<(Run<Thinking>, CallResult), Stopped> {
        let (run, mut results) = self.call_all([(tool, parameters)]).await?;
        Ok((run, results.pop().expect("a call has a result")))
    }

    /// Calls tools in parallel. Results are in the order of the calls.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the run has ended, or a call is refused or not durable. What a tool returns is a
    /// result, also if it is an error.
    pub async fn call_all<'a, J: Into<Json>>(
        self,
        calls: impl IntoIterator<Item = (&'a dyn Tool, J)>,
    ) -> Result<(Run<Thinking>, Vec<CallResult>), Stopped> {
        let calls: Vec<(&dyn Tool, Json)> =
            calls.into_iter().map(|(tool, parameters)| (tool, parameters.into())).collect();
        let wanted = calls.iter().map(|(tool, parameters)| (tool.name(), parameters.clone())).collect();
        let (run_id, history) = (self.link.run_id(), self.history());
        let (run, opened) = match self.open_all(wanted).await? {
            Opened::None(run) => return Ok((run, Vec::new())),
            Opened::Calls(run, opened) => (run, opened),
        };
        let work = opened.into_iter().zip(calls).map(|(opened, (tool, parameters))| {
            let context = ToolContext { run_id, call_id: opened.call_id().clone(), history: history.clone() };
            async move {
                let work = async { tool.invoke(&parameters, &context).await };
                opened.execute_within(tool.call_ms_max(), work).await
            }
        });
        run.close_all(work).await
    }

    /// Asks the client a question and waits for its answer (RUN-11). `tool_name` tells the client what is asked
    /// for, such as `approve`.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the run ends first, the name is invalid, or the call is refused or not durable.
    pub async fn ask(
        self,
        tool_name: &str,
        parameters: impl Into<Json>,
    ) -> Result<(Run<Thinking>, Answer), Stopped> {
        let Self { machine, mut link } = self;
        let call = link.call(tool_name, parameters.into(), By::Client)?;
        Run { machine, link }.ask_as(call).await
    }

    /// As [`Self::ask`], with a call id chosen by the agent.
    pub(super) async fn ask_as(self, call: Call) -> Result<(Run<Thinking>, Answer), Stopped> {
        let (run, asked) = self.open_for_client_as(call).await?;
        let (after, answer) = run.close_answered(asked.answered().await?).await?;
        Ok((after.thinking(), answer))
    }

    /// Opens several calls at once, with a single wait for durability.
    async fn open_all(self, calls: Vec<(&str, Json)>) -> Result<Opened, Stopped> {
        let Self { machine, mut link } = self;
        let calls: Result<_, _> = calls
            .into_iter()
            .map(|(tool_name, parameters)| link.call(tool_name, parameters, By::Agent))
            .collect();
        Run { machine, link }.open_all_as(calls?).await
    }

    /// As [`Self::open_all`], with call ids chosen by the agent.
    pub(super) async fn open_all_as(self, calls: Vec<Call>) -> Result<Opened, Stopped> {
        let Self { machine, mut link } = self;
        let mut made = link.open_all(calls).await?.into_iter();
        let Some((call, opened)) = made.next() else { return Ok(Opened::None(Run { machine, link })) };
        let mut all = vec![opened];
        let (mut machine, _) = machine.open(call, clock::now()).map_err(reopened)?;
        for (call, opened) in made {
            (machine, _) = machine.open(call, clock::now()).map_err(reopened)?;
            all.push(opened);
        }
        Ok(Opened::Calls(Run { machine, link }, all))
    }
}

/// A run after any number of calls were opened.
pub(super) enum Opened {
    None(Run<Thinking>),
    Calls(Run<ExecutingTools>, Vec<OpenCall>),
}

impl Run<ExecutingTools> {
    /// Closes a call and returns its result once it is durable (RUN-9).
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the run has ended, or the result is refused or not durable.
    pub async fn close(self, executed: Executed) -> Result<(AfterClose, CallResult), Stopped> {
        let Self { machine, mut link } = self;
        let (call_id, result, recorded) = executed.into_parts();
        if !recorded {
            link.close(call_id.clone(), result.clone()).await?;
        }
        Ok((closed(machine, link, call_id, result.clone())?, result))
    }

    /// Closes a question, and returns the client's answer, which is durable already.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the call belongs to another run.
    pub async fn close_answered(self, answered: Answered) -> Result<(AfterClose, Answer), Stopped> {
        let Self { machine, link } = self;
        let (call_id, result) = answered.into_parts();
        Ok((closed(machine, link, call_id, result.clone())?, Answer::from(result)))
    }

    /// Does the work of all open calls in parallel and closes each when it is done. Results are in the order of
    /// the work.
    pub(super) async fn close_all<W>(
        self,
        work: impl IntoIterator<Item = W>,
    ) -> Result<(Run<Thinking>, Vec<CallResult>), Stopped>
    where
        W: Future<Output = Executed>,
    {
        let work = work.into_iter().enumerate().map(|(place, work)| async move { (place, work.await) });
        let mut work: FuturesUnordered<_> = work.collect();
        let mut results = vec![None; work.len()];
        let mut executing = self;
        loop {
            let (place, executed) = work.next().await.expect("there is work for every call that is open");
            let (after, result) = executing.close(executed).await?;
            results[place] = Some(result);
            match after {
                AfterClose::ExecutingTools(run) => executing = run,
                AfterClose::Thinking(run) => return Ok((run, results.into_iter().flatten().collect())),
            }
        }
    }
}

impl<P: CanThink> Run<P> {
    /// Emits a thought, without waiting until it is durable.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the run has ended, or an earlier thought was refused.
    pub async fn think(self, kind: ThoughtKind, delta: impl Into<String>) -> Result<Run<P::Next>, Stopped> {
        let Self { machine, mut link } = self;
        let thought = Thought { kind, delta: delta.into(), reset: false };
        link.think(&thought).await?;
        Ok(Run { machine: P::think(machine, thought), link })
    }

    /// Emits a piece of the answer; concatenated, the pieces are the final response.
    ///
    /// # Errors
    ///
    /// As [`Self::think`].
    pub async fn answer(self, delta: impl Into<String>) -> Result<Run<P::Next>, Stopped> {
        self.think(ThoughtKind::Answer, delta).await
    }
}

impl<P: CanOpen> Run<P> {
    /// Opens a call. On return `tool_executing` is durable and the tool may be invoked (RUN-9).
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if the run has ended, the name is invalid, or the call is refused or not durable.
    pub async fn open(
        self,
        tool_name: &str,
        parameters: impl Into<Json>,
    ) -> Result<(Run<ExecutingTools>, OpenCall), Stopped> {
        let Self { machine, mut link } = self;
        let call = link.call(tool_name, parameters.into(), By::Agent)?;
        let (call, opened) = link.open(call).await?;
        let machine = P::open(machine, call)?;
        Ok((Run { machine, link }, opened))
    }

    /// Opens a call that the client completes (RUN-11).
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn open_for_client(
        self,
        tool_name: &str,
        parameters: impl Into<Json>,
    ) -> Result<(Run<ExecutingTools>, AskedCall), Stopped> {
        let Self { machine, mut link } = self;
        let call = link.call(tool_name, parameters.into(), By::Client)?;
        Run { machine, link }.open_for_client_as(call).await
    }

    /// As [`Self::open_for_client`], with a call id chosen by the agent.
    async fn open_for_client_as(self, call: Call) -> Result<(Run<ExecutingTools>, AskedCall), Stopped> {
        let Self { machine, mut link } = self;
        let (call, asked) = link.open_for_client(call).await?;
        let machine = P::open(machine, call)?;
        Ok((Run { machine, link }, asked))
    }
}

impl AfterClose {
    /// Returns the run if the closed call was the only open one.
    fn thinking(self) -> Run<Thinking> {
        match self {
            AfterClose::Thinking(run) => run,
            AfterClose::ExecutingTools(_) => unreachable!("one call was opened, and it closed"),
        }
    }
}

/// Applies the close of a call to the machine.
fn closed(
    machine: machine::Run<ExecutingTools>,
    link: Link,
    call_id: CallId,
    result: CallResult,
) -> Result<AfterClose, Stopped> {
    let (after, _) =
        machine.close(call_id, result, clock::now()).map_err(|_| Stopped::Violated(Breach::CallNotOpen))?;
    Ok(match after {
        machine::AfterClose::Thinking(machine) => AfterClose::Thinking(Run { machine, link }),
        machine::AfterClose::ExecutingTools(machine) => AfterClose::ExecutingTools(Run { machine, link }),
    })
}

/// Maps a reused call id; the log has refused it earlier.
pub(super) fn reopened<P>(_: machine::CallReopened<P>) -> Stopped {
    Stopped::Violated(Breach::CallReopened)
}

fn agent_error(message: impl Into<String>) -> RunError {
    let message = clipped(message.into(), MESSAGE_BYTES_MAX);
    RunError { code: RunErrorCode::AgentError, message }
}

/// Longest message of a failed run, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;
