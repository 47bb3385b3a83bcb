//! [`RemoteAgent`]: an agent of another service as one of ours.
//!
//! ```text
//!   request ──▶ events ──▶ steps ── RUN_FINISHED ──▶ nothing to ask ──▶ the run is complete
//!      ▲                                   └───────▶ questions to the client
//!      └──── the answers, in a new request of the thread ◀────┘
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use quintet_agent::{
    Agent, AgentError, CallResult, CallStatus, Completed, History, Run, Started, Task, ThoughtKind, Usage,
};
use quintet_upstream::HttpClient;
use serde_json::Map;
use tokio::time::sleep_until;

use crate::{
    config::{Checked, ConfigError, Protocol, RemoteConfig},
    input::{Message, RunAgentInput, Tool},
    langgraph,
    mapper::{EventMapper, Finish, MapperSettings, Step},
    response::{self, Budget, Events, Failure},
    round::{self, Progress, Questions},
    session::Session,
    transcript::{self, Transcript},
    violation::MapError,
};

/// An agent of another service, to which runs are posted.
///
/// # Examples
///
/// ```
/// use quintet_agui::{RemoteAgent, RemoteConfig};
/// use quintet_upstream::{HttpClient, HttpOptions};
///
/// let config: RemoteConfig = serde_json::from_value(serde_json::json!({
///     "name": "weather",
///     "url": "http://127.0.0.1:8000/",
/// }))?;
/// let agent = RemoteAgent::new(config, HttpClient::new(&HttpOptions::default())?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RemoteAgent {
    remote: Arc<Checked>,
    client: HttpClient,
}

/// The end of the reading of a response.
enum Read {
    Finished(Finish),
    Failed(Failure),
}

impl RemoteAgent {
    /// Creates an agent.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if a setting is not usable, or a key cannot be read.
    pub fn new(config: RemoteConfig, client: HttpClient) -> Result<Self, ConfigError> {
        Ok(Self { remote: Arc::new(config.check()?), client })
    }

    /// Returns the messages before those of the run: the earlier runs of the thread, and the user's message.
    async fn conversation(&self, history: &History, task: &Task) -> Result<Vec<Message>, AgentError> {
        let bytes_max = self.remote.limits.conversation_bytes_max;
        let mut messages = Vec::new();
        if bytes_max > 0 {
            let past = history.conversation(bytes_max).await?;
            messages = transcript::of_runs(&past, &self.remote.client_tools);
        }
        let (id, content) = (task.message_id.to_string(), task.text.clone());
        messages.push(Message::User { id, content });
        Ok(messages)
    }

    /// Posts a request and takes the steps of its response. A response that breaks is requested again, if the agent is
    /// resumable.
    async fn respond(
        &self,
        mut session: Session,
        progress: &mut Progress,
        task: &Task,
        body: &[u8],
        budget: &mut Budget,
    ) -> Result<(Session, Finish), AgentError> {
        let remote = &*self.remote;
        let before = remote.options.resumable.then(|| progress.clone());
        session.begin_response();
        let mut reconnects = 0;
        loop {
            let failure = match response::post(remote, &self.client, &task.user_id, body).await {
                Err(failure) => failure,
                Ok(events) => {
                    let read;
                    (session, read) = self.read(session, progress, events, budget).await?;
                    match read {
                        Read::Finished(finish) => {
                            self.count("complete");
                            return Ok((session.finish_response(&finish.waiting).await?, finish));
                        }
                        Read::Failed(failure) => failure,
                    }
                }
            };
            self.count(failure.name());
            tracing::warn!(agent = %remote.options.name, %failure, "a response of a remote agent failed");
            session = session.flush().await?;
            match &before {
                Some(before) if failure.is_broken() && reconnects < remote.limits.reconnects_max => {
                    reconnects += 1;
                    tokio::time::sleep(Duration::from_millis(remote.limits.retry_pause_ms)).await;
                    progress.clone_from(before);
                    session.repeat_response();
                }
                Some(_) | None => return Err(failure.into_agent_error()),
            }
        }
    }

    /// Takes the steps of a response.
    async fn read(
        &self,
        mut session: Session,
        progress: &mut Progress,
        mut events: Events,
        budget: &mut Budget,
    ) -> Result<(Session, Read), AgentError> {
        loop {
            let due = session.due();
            let event = tokio::select! {
                // Text that is due goes before the next event, so that a fast stream does not hold it back.
                biased;
                () = async { sleep_until(due.expect("text waits")).await }, if due.is_some() => {
                    session = session.flush().await?;
                    continue;
                }
                event = events.next(budget) => event,
            };
            let event = match event {
                Ok(event) => event,
                Err(failure) => return Ok((session, Read::Failed(failure))),
            };
            let steps = match progress.mapper.apply(event) {
                Ok(steps) => steps,
                Err(error) => {
                    session.flush().await?;
                    return Err(self.refuse(error));
                }
            };
            for step in steps {
                match step {
                    Step::Text(text) => {
                        if text.kind == ThoughtKind::Answer {
                            progress.transcript.text(&text);
                        }
                        session = session.text(text).await?;
                    }
                    Step::Call(call) => {
                        progress.transcript.call(&call);
                        session = session.call(call).await?;
                    }
                    Step::Result { call_id, message_id, content } => {
                        progress.transcript.result(&call_id, message_id.as_deref(), &content);
                        session = session.result(&call_id, &content).await?;
                    }
                    Step::Finish(finish) => return Ok((session, Read::Finished(finish))),
                    Step::Fail { message, code } => {
                        session.flush().await?;
                        self.count("failed");
                        let (agent, redactor) = (&self.remote.options.name, &self.remote.redactor);
                        let code = code.map(|code| redactor.line(&code, CODE_CHARS_MAX));
                        tracing::warn!(%agent, code, "a remote agent failed its run");
                        return Err(AgentError::user_facing(shortened(&redactor.hide(&message))));
                    }
                }
            }
        }
    }

    /// Returns the error of a run whose agent broke the order of events (RUN-10), or a limit.
    fn refuse(&self, error: MapError) -> AgentError {
        let agent = &self.remote.options.name;
        tracing::warn!(%agent, %error, "an event of a remote agent was refused");
        match error {
            MapError::Violation(violation) => {
                self.count("violation");
                AgentError::violation(format!("The remote agent broke the order of events: {violation}."))
            }
            MapError::Limit(name) => {
                self.count("limit");
                AgentError::limit_reached(format!("The remote agent exceeded a limit: {name}."))
            }
        }
    }

    fn count_tokens(&self, usage: Usage) {
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            let agent = self.remote.options.name.clone();
            metrics::counter!("quintet_agui_tokens_total", "agent" => agent, "direction" => direction)
                .increment(tokens);
        }
    }

    fn count(&self, outcome: &'static str) {
        let agent = self.remote.options.name.clone();
        metrics::counter!("quintet_agui_responses_total", "agent" => agent, "outcome" => outcome)
            .increment(1);
    }
}

#[async_trait]
impl Agent for RemoteAgent {
    fn name(&self) -> &str {
        &self.remote.options.name
    }

    fn description(&self) -> &str {
        &self.remote.options.description
    }

    fn resumable(&self) -> bool {
        self.remote.options.resumable
    }

    /// The calls of a resumable agent continue: it has promised not to execute them twice (RUN-9).
    fn is_idempotent(&self, _: &str) -> bool {
        self.remote.options.resumable
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let remote = &*self.remote;
        let conversation = self.conversation(&run.history(), &task).await?;
        let thread_id = round::thread_id(&task);
        let settings = MapperSettings {
            limits: remote.limits,
            thread_id: remote.options.check_ids.then(|| thread_id.clone()),
            client_tools: remote.client_tools.clone(),
        };
        let mut run_id = task.run_id.to_string();
        let mut progress = Progress {
            mapper: EventMapper::new(settings, &*run_id),
            transcript: Transcript::default(),
            custom_answers: Vec::new(),
        };
        let count = run.token_count();
        let mut session = Session::new(run, &remote.limits, remote.options.resumable);
        let mut budget = Budget { events: remote.limits.run_events_max, bytes: remote.limits.run_bytes_max };
        let tools: Vec<Tool<'_>> = remote.options.client_tools.iter().map(Tool::from).collect();
        let mut resume = Vec::new();
        let mut asked = BTreeSet::new();
        for request in 1..=remote.limits.requests_max {
            let answers = std::mem::take(&mut progress.custom_answers);
            let declined = remote.options.declined_resume.as_ref();
            let forwarded_props = match &answers[..] {
                [] => remote.options.forwarded_props.clone(),
                answers => langgraph::resumed(&remote.options.forwarded_props, answers, declined)?,
            };
            let messages = [&conversation, progress.transcript.messages()].concat();
            let input = RunAgentInput {
                thread_id: &thread_id,
                run_id: &run_id,
                protocol_version: (remote.options.protocol == Protocol::V1).then_some("1.0"),
                state: Map::new(),
                messages: &messages,
                tools: &tools,
                context: [],
                forwarded_props: &forwarded_props,
                resume: &resume,
            };
            let body = serde_json::to_vec(&input)?;
            let finish;
            (session, finish) = self.respond(session, &mut progress, &task, &body, &mut budget).await?;
            if let Some(usage) = finish.usage {
                count.add(usage);
                self.count_tokens(usage);
            }
            let Questions { questions, dropped } = round::questions(&session, &finish, &mut asked)?;
            for call_id in dropped {
                let result =
                    CallResult::cut_short(CallStatus::Unknown, "the remote agent reported no result");
                session = session.close(&call_id, result).await?;
                progress.mapper.answer(&call_id);
            }
            if questions.is_empty() {
                return session.complete().await;
            }
            let answers;
            (session, answers) = session.ask(&questions).await?;
            resume.clear();
            for (question, answer) in questions.iter().zip(&answers) {
                session = round::take(session, &mut progress, &mut resume, question, answer).await?;
            }
            run_id = format!("{}-{}", task.run_id, request + 1);
            progress.mapper.next_response(&*run_id);
        }
        Err(AgentError::limit_reached("The remote agent asked too many times: requests_max."))
    }
}

/// Returns an agent's message on one line of limited length.
fn shortened(message: &str) -> String {
    let line: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX + 1).collect();
    let line = line.trim();
    if line.is_empty() {
        return "The remote agent failed.".to_owned();
    }
    if line.chars().count() <= MESSAGE_CHARS_MAX {
        return line.to_owned();
    }
    line.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect()
}

/// Longest message of a failed run, in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Longest code of a failed run in the log, in characters.
const CODE_CHARS_MAX: usize = 100;
