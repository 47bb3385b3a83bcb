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
    entry::{Call, CallOwner, CallResult, Thought, ThoughtKind, Usage},
    ids::CallId,
    json::Json,
    run::{self as machine, Breach, EarlyEnd, Ending},
};
use quintet_runtime::clock;
use tokio::sync::{mpsc, oneshot};

use crate::{
    answer::Answer,
    call::{Answered, AskedCall, Executed, OpenCall},
    error::agent_error,
    history::History,
    host::{Assignment, RunEnded, RunHandle},
    phase::{CanOpen, CanThink, Completed, ExecutingTools, Started, Thinking, reopened},
    replay::RecordedCall,
    step_writer::StepWriter,
    token_count::TokenCount,
    tool::{Tool, ToolContext},
    tool_requests::{ToolRequest, ToolRequests},
};

/// A run in the phase `P` ([`crate::phase`]). If a step returns an error, the run has ended for its agent; the error is the
/// reason.
#[must_use = "a run that is dropped before it completed ends as failed"]
pub struct Run<P> {
    machine: machine::Run<P>,
    writer: StepWriter,
}

/// A run after one of its calls closed; others may still be open.
pub enum AfterClose {
    /// No call is open.
    Thinking(Run<Thinking>),
    /// Other calls are open.
    ExecutingTools(Run<ExecutingTools>),
}

impl<P> Run<P> {
    /// Returns the answer so far: the `answer` deltas since the last reset.
    pub fn answered(&self) -> &str {
        self.machine.answer()
    }

    /// Returns true while the log of a resumed run holds steps that the agent has not repeated.
    pub fn is_replaying(&self) -> bool {
        self.writer.is_replaying()
    }

    /// Returns the user's log before this run.
    pub fn history(&self) -> History {
        self.writer.history()
    }

    /// Returns the calls that the log of a resumed run holds, oldest first. It is empty for a new run, and once the agent
    /// has repeated all recorded steps. An agent that makes these calls again in this order, with the same tools and
    /// parameters, gets the recorded results, and no completed call executes twice (RUN-9).
    pub fn recorded_calls(&self) -> Vec<RecordedCall> {
        self.writer.recorded_calls()
    }

    /// Returns the bytes of reasoning and answer that the log of a resumed run holds, as [`Self::recorded_calls`].
    pub fn recorded_text_bytes(&self) -> u64 {
        self.writer.recorded_text_bytes()
    }

    /// Returns the count of the tokens that the run has used, which every end of the run includes.
    pub fn token_count(&self) -> TokenCount {
        self.writer.token_count()
    }

    pub(super) fn writer(&mut self) -> &mut StepWriter {
        &mut self.writer
    }

    /// Returns the handle, for the rehearsal of illegal steps, which have no method here (RUN-10).
    pub(super) fn into_handle(self) -> RunHandle {
        self.writer.into_handle()
    }

    /// Derives a call id from `call_id` that the run's log does not hold.
    pub(super) fn unused(&self, call_id: &CallId) -> CallId {
        self.writer.unused(call_id)
    }
}

impl Run<Started> {
    /// Starts or resumes the run of an assignment.
    pub(super) fn begin(assignment: Assignment) -> Self {
        let (machine, _) = machine::Run::start(assignment.message_id.clone(), clock::now());
        Self { machine, writer: StepWriter::new(assignment) }
    }

    /// Ends the run as `failed`, code `agent_error`, before a first thought. The user sees the message, cut after
    /// 4096 bytes.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or its end is not durable.
    pub async fn fail(self, message: impl Into<String>) -> Result<Run<Completed>, RunEnded> {
        let Self { machine, mut writer } = self;
        let cut = EarlyEnd::Failed(agent_error(message));
        writer.complete(Ending::Cut(cut.clone())).await?;
        Ok(Run { machine: machine.end(cut, clock::now()).0, writer })
    }
}

impl Run<Thinking> {
    /// Ends the run as `succeeded` (RUN-5), with the answer so far and the counted tokens.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, an earlier thought was refused, or the end is not durable.
    pub async fn complete(self) -> Result<Run<Completed>, RunEnded> {
        let usage = self.token_count().get();
        self.end(Ending::Succeeded { usage }).await
    }

    /// Ends the run as `succeeded`, with this token usage in place of the counted one.
    ///
    /// # Errors
    ///
    /// As [`Self::complete`].
    pub async fn complete_with(self, usage: Usage) -> Result<Run<Completed>, RunEnded> {
        self.end(Ending::Succeeded { usage: Some(usage) }).await
    }

    /// Ends the run as `failed`, code `agent_error`. The user sees the message, cut after 4096 bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::complete`].
    pub async fn fail(self, message: impl Into<String>) -> Result<Run<Completed>, RunEnded> {
        self.end(Ending::Cut(EarlyEnd::Failed(agent_error(message)))).await
    }

    async fn end(self, ending: Ending) -> Result<Run<Completed>, RunEnded> {
        let Self { machine, mut writer } = self;
        writer.complete(ending.clone()).await?;
        Ok(Run { machine: machine.complete(ending, clock::now()).0, writer })
    }

    /// Calls a tool: opens the call, invokes the tool with its timeout, closes the call (RUN-9).
    ///
    /// # Errors
    ///
    /// As [`Self::call_all`].
    pub async fn call(
        self,
        tool: &dyn Tool,
        parameters: impl Into<Json>,
    ) -> Result<(Run<Thinking>, CallResult), RunEnded> {
        let (run, mut results) = self.call_all([(tool, parameters)]).await?;
        Ok((run, results.pop().expect("a call has a result")))
    }

    /// Calls tools in parallel. Results are in the order of the calls.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or a call is refused or not durable. What a tool returns is a
    /// result, also if it is an error.
    pub async fn call_all<'a, J: Into<Json>>(
        self,
        calls: impl IntoIterator<Item = (&'a dyn Tool, J)>,
    ) -> Result<(Run<Thinking>, Vec<CallResult>), RunEnded> {
        let calls: Vec<(&dyn Tool, Json)> =
            calls.into_iter().map(|(tool, parameters)| (tool, parameters.into())).collect();
        let wanted = calls.iter().map(|(tool, parameters)| (tool.name(), parameters.clone())).collect();
        let (run_id, history) = (self.writer.run_id(), self.history());
        let (run, opened) = match self.open_all(wanted).await? {
            OpenedCalls::None(run) => return Ok((run, Vec::new())),
            OpenedCalls::Calls(run, opened) => (run, opened),
        };
        let (requests, asked) = ToolRequests::channel();
        let work: Vec<_> = opened
            .into_iter()
            .zip(calls)
            .map(|(opened, (tool, parameters))| {
                let requests = requests.of_another_call();
                let (call_id, history) = (opened.call_id().clone(), history.clone());
                let context = ToolContext { run_id, call_id, history, requests };
                async move {
                    let work = async { tool.invoke(&parameters, &context).await };
                    opened.execute_asking(tool.call_timeout_ms(), context.requests.asked(), work).await
                }
            })
            .collect();
        run.close_all(work, asked).await
    }

    /// Asks the client a question and waits for its answer (RUN-11). `tool_name` names the kind of
    /// question, such as `approve`.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run ends first, the name is invalid, or the call is refused or not durable.
    pub async fn ask(
        self,
        tool_name: &str,
        parameters: impl Into<Json>,
    ) -> Result<(Run<Thinking>, Answer), RunEnded> {
        let Self { machine, mut writer } = self;
        let call = writer.call(tool_name, parameters.into(), CallOwner::Client)?;
        Run { machine, writer }.ask_as(call).await
    }

    /// Asks the client several questions at once and waits for all answers (RUN-11), which are in the order of the
    /// questions.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn ask_all<'a, J: Into<Json>>(
        self,
        questions: impl IntoIterator<Item = (&'a str, J)>,
    ) -> Result<(Run<Thinking>, Vec<Answer>), RunEnded> {
        let mut questions = questions.into_iter();
        let Some((tool_name, parameters)) = questions.next() else { return Ok((self, Vec::new())) };
        let (mut run, first) = self.open_for_client(tool_name, parameters).await?;
        let mut asked = vec![first];
        for (tool_name, parameters) in questions {
            let (next, question) = run.open_for_client(tool_name, parameters).await?;
            run = next;
            asked.push(question);
        }
        let mut answers = Vec::new();
        let mut asked = asked.into_iter();
        loop {
            let question = asked.next().expect("there is a question for every open call");
            let (after, answer) = run.close_answered(question.answered().await?).await?;
            answers.push(answer);
            match after {
                AfterClose::ExecutingTools(next) => run = next,
                AfterClose::Thinking(run) => return Ok((run, answers)),
            }
        }
    }

    /// As [`Self::ask`], with a call id chosen by the agent.
    pub(super) async fn ask_as(self, call: Call) -> Result<(Run<Thinking>, Answer), RunEnded> {
        let (run, asked) = self.open_for_client_as(call).await?;
        let (after, answer) = run.close_answered(asked.answered().await?).await?;
        Ok((after.thinking(), answer))
    }

    /// Opens several calls at once, with a single wait for durability.
    async fn open_all(self, calls: Vec<(&str, Json)>) -> Result<OpenedCalls, RunEnded> {
        let Self { machine, mut writer } = self;
        let calls: Result<_, _> = calls
            .into_iter()
            .map(|(tool_name, parameters)| writer.call(tool_name, parameters, CallOwner::Agent))
            .collect();
        Run { machine, writer }.open_all_as(calls?).await
    }

    /// As [`Self::open_all`], with call ids chosen by the agent.
    pub(super) async fn open_all_as(self, calls: Vec<Call>) -> Result<OpenedCalls, RunEnded> {
        let Self { machine, mut writer } = self;
        let mut made = writer.open_all(calls).await?.into_iter();
        let Some((call, opened)) = made.next() else { return Ok(OpenedCalls::None(Run { machine, writer })) };
        let mut all = vec![opened];
        let (mut machine, _) = machine.open(call, clock::now()).map_err(reopened)?;
        for (call, opened) in made {
            (machine, _) = machine.open(call, clock::now()).map_err(reopened)?;
            all.push(opened);
        }
        Ok(OpenedCalls::Calls(Run { machine, writer }, all))
    }
}

/// A run after any number of calls were opened.
pub(super) enum OpenedCalls {
    None(Run<Thinking>),
    Calls(Run<ExecutingTools>, Vec<OpenCall>),
}

impl Run<ExecutingTools> {
    /// Closes a call and returns its result once it is durable (RUN-9).
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or the result is refused or not durable.
    pub async fn close(self, executed: Executed) -> Result<(AfterClose, CallResult), RunEnded> {
        let Self { machine, mut writer } = self;
        let (call_id, result, recorded) = executed.into_parts();
        if !recorded {
            writer.close(call_id.clone(), result.clone()).await?;
        }
        Ok((closed(machine, writer, call_id, result.clone())?, result))
    }

    /// Closes a question, and returns the client's answer, which is durable already.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the call belongs to another run.
    pub async fn close_answered(self, answered: Answered) -> Result<(AfterClose, Answer), RunEnded> {
        let Self { machine, writer } = self;
        let (call_id, result) = answered.into_parts();
        Ok((closed(machine, writer, call_id, result.clone())?, Answer::from(result)))
    }

    /// Does the work of all open calls in parallel and closes each when it is done. Results are in the order of
    /// the work. Takes up the requests of the tools meanwhile.
    pub(super) async fn close_all<W>(
        self,
        work: impl IntoIterator<Item = W>,
        mut requests: mpsc::Receiver<ToolRequest>,
    ) -> Result<(Run<Thinking>, Vec<CallResult>), RunEnded>
    where
        W: Future<Output = Executed>,
    {
        let work = work.into_iter().enumerate().map(|(place, work)| async move { (place, work.await) });
        let mut work: FuturesUnordered<_> = work.collect();
        let mut questions = FuturesUnordered::new();
        let mut results = vec![None; work.len()];
        let mut executing = self;
        loop {
            let after = tokio::select! {
                Some(request) = requests.recv() => {
                    let (run, question) = executing.take_up(request).await?;
                    executing = run;
                    questions.extend(question);
                    continue;
                }
                Some((answered, reply)) = questions.next() => {
                    let (after, answer) = executing.close_answered(answered?).await?;
                    if reply.send(answer).is_err() {
                        tracing::debug!("a tool ended before its question was answered");
                    }
                    after
                }
                Some((place, executed)) = work.next() => {
                    // What a tool has requested comes before its end.
                    while let Ok(request) = requests.try_recv() {
                        let (run, question) = executing.take_up(request).await?;
                        executing = run;
                        questions.extend(question);
                    }
                    let (after, result) = executing.close(executed).await?;
                    results[place] = Some(result);
                    after
                }
            };
            match after {
                AfterClose::ExecutingTools(run) => executing = run,
                AfterClose::Thinking(run) => return Ok((run, results.into_iter().flatten().collect())),
            }
        }
    }
}

impl Run<ExecutingTools> {
    /// Takes up a request of a tool. Returns the future of its answer, if it is a question.
    async fn take_up(
        self,
        request: ToolRequest,
    ) -> Result<
        (Self, Option<impl Future<Output = (Result<Answered, RunEnded>, oneshot::Sender<Answer>)> + use<>>),
        RunEnded,
    > {
        Ok(match request {
            ToolRequest::Progress(text) => (self.think(ThoughtKind::Progress, text).await?, None),
            // The tool has ended without waiting.
            ToolRequest::Ask { reply, .. } if reply.is_closed() => (self, None),
            ToolRequest::Ask { call, reply } => {
                let (run, question) = self.open_for_client_as(call).await?;
                (run, Some(async move { (question.answered().await, reply) }))
            }
        })
    }
}

impl<P: CanThink> Run<P> {
    /// Emits a thought, without waiting until it is durable.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or an earlier thought was refused.
    pub async fn think(self, kind: ThoughtKind, delta: impl Into<String>) -> Result<Run<P::Next>, RunEnded> {
        let Self { machine, mut writer } = self;
        let thought = Thought { kind, delta: delta.into(), reset: false };
        writer.think(&thought).await?;
        Ok(Run { machine: P::think(machine, thought), writer })
    }

    /// Withdraws the text of a kind so far and emits `text` in its place.
    ///
    /// # Errors
    ///
    /// As [`Self::think`].
    pub async fn replace(self, kind: ThoughtKind, text: impl Into<String>) -> Result<Run<P::Next>, RunEnded> {
        let Self { machine, mut writer } = self;
        let thought = Thought { kind, delta: text.into(), reset: true };
        writer.replace(kind, thought.delta.clone()).await?;
        Ok(Run { machine: P::think(machine, thought), writer })
    }

    /// Emits a piece of the answer; concatenated, the pieces are the final response.
    ///
    /// # Errors
    ///
    /// As [`Self::think`].
    pub async fn answer(self, delta: impl Into<String>) -> Result<Run<P::Next>, RunEnded> {
        self.think(ThoughtKind::Answer, delta).await
    }
}

impl<P: CanOpen> Run<P> {
    /// Opens a call. On return `tool_executing` is durable and the tool may be invoked (RUN-9).
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, the name is invalid, or the call is refused or not durable.
    pub async fn open(
        self,
        tool_name: &str,
        parameters: impl Into<Json>,
    ) -> Result<(Run<ExecutingTools>, OpenCall), RunEnded> {
        let Self { machine, mut writer } = self;
        let call = writer.call(tool_name, parameters.into(), CallOwner::Agent)?;
        let (call, opened) = writer.open(call).await?;
        let machine = P::open(machine, call)?;
        Ok((Run { machine, writer }, opened))
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
    ) -> Result<(Run<ExecutingTools>, AskedCall), RunEnded> {
        let Self { machine, mut writer } = self;
        let call = writer.call(tool_name, parameters.into(), CallOwner::Client)?;
        Run { machine, writer }.open_for_client_as(call).await
    }

    /// As [`Self::open_for_client`], with a call id chosen by the agent.
    async fn open_for_client_as(self, call: Call) -> Result<(Run<ExecutingTools>, AskedCall), RunEnded> {
        let Self { machine, mut writer } = self;
        let (call, asked) = writer.open_for_client(call).await?;
        let machine = P::open(machine, call)?;
        Ok((Run { machine, writer }, asked))
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
    writer: StepWriter,
    call_id: CallId,
    result: CallResult,
) -> Result<AfterClose, RunEnded> {
    let (after, _) =
        machine.close(call_id, result, clock::now()).map_err(|_| RunEnded::Violated(Breach::CallNotOpen))?;
    Ok(match after {
        machine::AfterClose::Thinking(machine) => AfterClose::Thinking(Run { machine, writer }),
        machine::AfterClose::ExecutingTools(machine) => AfterClose::ExecutingTools(Run { machine, writer }),
    })
}
