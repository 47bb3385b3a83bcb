//! One response of the model within a run: the request, its retries, and the text that is emitted while it
//! arrives.
//!
//! Guarantees: a request is repeated only if the model had not begun to answer. Text is emitted in the order
//! in which it arrives, all of it, also before a failure. The request ends when the future is dropped.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use quintet_agent::{AgentError, Pacer, Run, RunEnded, Started, Thinking, ThoughtKind, TokenCount};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    api::{EndReason, ModelApi, ModelError, ModelRequest, Response},
    budget::Account,
    context::{CallIds, Part, parts_of, request_tokens},
    gathering::{Gathered, Gathering},
    limits::ModelLimits,
    metering::Meter,
};

/// A run before or after its first thought.
pub(crate) enum Stage {
    Started(Run<Started>),
    Thinking(Run<Thinking>),
}

impl Stage {
    /// Emits a thought.
    pub(crate) async fn think(
        self,
        kind: ThoughtKind,
        text: impl Into<String>,
    ) -> Result<Run<Thinking>, RunEnded> {
        match self {
            Stage::Started(run) => run.think(kind, text).await,
            Stage::Thinking(run) => run.think(kind, text).await,
        }
    }

    /// Returns the run, after a `progress` thought if it had none (RUN-3).
    pub(crate) async fn thinking(self, progress: impl FnOnce() -> String) -> Result<Run<Thinking>, RunEnded> {
        match self {
            Stage::Started(run) => run.think(ThoughtKind::Progress, progress()).await,
            Stage::Thinking(run) => Ok(run),
        }
    }

    /// Takes the messages that wait for the run, as parts of its conversation (RUN-12).
    pub(crate) async fn take_messages(&mut self) -> Result<Vec<Part>, RunEnded> {
        let messages = match self {
            Stage::Started(run) => run.take_messages().await?,
            Stage::Thinking(run) => run.take_messages().await?,
        };
        Ok(parts_of(messages))
    }

    fn answered(&self) -> &str {
        match self {
            Stage::Started(run) => run.answered(),
            Stage::Thinking(run) => run.answered(),
        }
    }
}

/// A complete response.
pub(crate) struct Round {
    pub(crate) response: Response,
    pub(crate) end: EndReason,
}

/// What a response needs besides its request.
pub(crate) struct Rounds<'a> {
    pub(crate) agent: &'a str,
    pub(crate) api: &'a dyn ModelApi,
    pub(crate) limits: &'a ModelLimits,
    pub(crate) account: &'a Account,
    /// The count of the run.
    pub(crate) count: TokenCount,
    /// True if an earlier response of the run had reasoning.
    pub(crate) has_reasoned: bool,
}

/// An attempt that failed.
struct Failed {
    error: ModelError,
    /// True if the model had begun to answer.
    has_begun: bool,
}

impl Rounds<'_> {
    /// Sends a request until the model begins to answer, and emits its response.
    ///
    /// # Errors
    ///
    /// Returns an error of code `upstream` if the response is not complete, or `limit_reached` if the request does not fit
    /// into a budget.
    pub(crate) async fn respond(
        &self,
        mut stage: Stage,
        mut request: ModelRequest,
        ids: &mut CallIds,
    ) -> Result<(Stage, Round), AgentError> {
        let input_tokens = request_tokens(&request);
        let retries = self.limits.retries();
        let mut retry = 0;
        loop {
            request.output_tokens_max = self.account.admit(input_tokens)?;
            let (next, outcome) = self.attempt(stage, &request, ids).await?;
            stage = next;
            let error = match outcome {
                Ok(round) => return Ok((stage, round)),
                Err(Failed { error, has_begun: false }) if error.is_temporary() => error,
                Err(Failed { error, .. }) => return Err(AgentError::upstream(error.to_string())),
            };
            retry += 1;
            let Some(pause) = retries.pause(retry, error.retry_after(), rand::random()) else {
                return Err(AgentError::upstream(error.to_string()));
            };
            tracing::info!(
                agent = self.agent,
                retry,
                outcome = error.outcome(),
                "a request to a model is repeated"
            );
            let text = format!(
                "The model's service failed; attempt {} of {}.\n",
                retry + 1,
                retries.retries_max + 1
            );
            stage = Stage::Thinking(stage.think(ThoughtKind::Progress, text).await?);
            (stage, ()) = self.waited(stage, sleep(pause)).await?;
        }
    }

    async fn attempt(
        &self,
        mut stage: Stage,
        request: &ModelRequest,
        ids: &mut CallIds,
    ) -> Result<(Stage, Result<Round, Failed>), RunEnded> {
        let mut meter = Meter::new(self.agent, self.account, self.count.clone(), request);
        let sent = Instant::now();
        let (waited, events) = self.waited(stage, self.api.stream(request)).await?;
        stage = waited;
        let mut events = match events {
            Ok(events) => events,
            Err(error) => {
                meter.end(Err(&error));
                return Ok((stage, Err(Failed { error, has_begun: false })));
            }
        };
        let mut gathering = Gathering::default();
        let mut pacer = Pacer::new(Duration::from_millis(self.limits.delta_pause_ms));
        let mut notice = Instant::now() + self.notice_pause();
        let mut separators = Separators::after(stage.answered(), self.has_reasoned);
        let end = loop {
            let now = Instant::now();
            let due = pacer.due(now);
            if due.is_some_and(|due| due <= now) {
                stage = emit(stage, pacer.take(now)).await?;
                notice = now + self.notice_pause();
            }
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                () = sleep_until(due.unwrap_or(now)), if due.is_some_and(|due| due > now) => continue,
                // As while the arguments of a call arrive.
                () = sleep_until(notice) => {
                    stage = Stage::Thinking(stage.think(ThoughtKind::Progress, WAITING).await?);
                    notice = Instant::now() + self.notice_pause();
                    continue;
                }
            };
            let had_begun = gathering.has_begun();
            let gathered = match event {
                None => break Err(ModelError::Truncated),
                Some(Err(error)) => break Err(error),
                Some(Ok(event)) => gathering.take(event),
            };
            if !had_begun && gathering.has_begun() {
                meter.first_token(sent.elapsed());
            }
            meter.advance(gathering.bytes(), gathering.usage());
            match gathered {
                Gathered::Nothing => {}
                Gathered::Text(kind, text) => {
                    pacer.push(kind, separators.before(kind, &text));
                    pacer.push(kind, &text);
                }
                Gathered::End(reason) => break Ok(reason),
            }
        };
        drop(events);
        meter.end(end.as_ref().map(|_| ()));
        stage = emit(stage, pacer.take(Instant::now())).await?;
        let has_begun = gathering.has_begun();
        let outcome = match end {
            Ok(end) => Ok(Round { response: gathering.finish(ids), end }),
            Err(error) => Err(Failed { error, has_begun }),
        };
        Ok((stage, outcome))
    }
}

impl Rounds<'_> {
    fn notice_pause(&self) -> Duration {
        Duration::from_millis(self.limits.wait_notice_ms)
    }

    /// Waits for a future, and reports every `wait_notice_ms` that the run waits for its model. So the timeouts of the
    /// model apply, and not the one of a step.
    async fn waited<F: Future>(&self, mut stage: Stage, future: F) -> Result<(Stage, F::Output), RunEnded> {
        let mut future = pin!(future);
        loop {
            if let Ok(output) = timeout(self.notice_pause(), future.as_mut()).await {
                return Ok((stage, output));
            }
            stage = Stage::Thinking(stage.think(ThoughtKind::Progress, WAITING).await?);
        }
    }
}

/// The report of a run that waits for its model.
const WAITING: &str = "Waiting for the model.\n";

async fn emit(mut stage: Stage, pieces: Vec<(ThoughtKind, String)>) -> Result<Stage, RunEnded> {
    for (kind, text) in pieces {
        stage = Stage::Thinking(stage.think(kind, text).await?);
    }
    Ok(stage)
}

/// Separates the text of a response from that of the responses before it.
struct Separators {
    answer: &'static str,
    reasoning: &'static str,
}

impl Separators {
    fn after(answered: &str, has_reasoned: bool) -> Self {
        let is_separate = answered.is_empty() || answered.ends_with("\n\n");
        let separator = |is_needed: bool| if is_needed { "\n\n" } else { "" };
        Self { answer: separator(!is_separate), reasoning: separator(has_reasoned) }
    }

    /// Returns what comes before this text.
    fn before(&mut self, kind: ThoughtKind, text: &str) -> &'static str {
        match kind {
            _ if text.is_empty() => "",
            ThoughtKind::Answer => std::mem::take(&mut self.answer),
            ThoughtKind::Reasoning => std::mem::take(&mut self.reasoning),
            ThoughtKind::Progress => "",
        }
    }
}
