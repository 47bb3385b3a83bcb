//! A tool of a server.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use quintet_agent::{Answer, Tool, ToolContext, ToolError, host::Owner};
use quintet_kernel::json::Json;
use quintet_upstream::Redactor;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use crate::{
    call::{CallCommand, CallError},
    catalog::{ToolSpec, full_name},
    config::ServerConfig,
    counts,
    open_calls::{Ask, CallLine},
    questions::ELICIT,
    state::ServerState,
};

/// The way of a tool to its server.
#[derive(Debug)]
pub(crate) struct ServerLink {
    pub(crate) config: Arc<ServerConfig>,
    /// Removes the credentials of the server from its texts (AUTH-6).
    pub(crate) redactor: Redactor,
    pub(crate) commands: mpsc::Sender<CallCommand>,
    pub(crate) state: watch::Receiver<ServerState>,
}

/// A tool of a server.
pub(crate) struct McpTool {
    name: Arc<str>,
    question: Arc<str>,
    spec: ToolSpec,
    link: Arc<ServerLink>,
}

/// The run that makes a call.
#[async_trait]
pub(crate) trait CallHost: Send + Sync {
    /// Returns the user of the run.
    fn owner(&self) -> Owner;
    async fn progress(&self, text: String);
    async fn ask(&self, name: &str, parameters: Json) -> Result<Answer, ToolError>;
}

#[async_trait]
impl CallHost for ToolContext {
    fn owner(&self) -> Owner {
        self.history.owner()
    }

    async fn progress(&self, text: String) {
        ToolContext::progress(self, text).await;
    }

    async fn ask(&self, name: &str, parameters: Json) -> Result<Answer, ToolError> {
        ToolContext::ask(self, name, parameters).await
    }
}

impl McpTool {
    pub(crate) fn new(spec: ToolSpec, link: Arc<ServerLink>) -> Self {
        let name = full_name(&link.config, &spec.name).into();
        let question = full_name(&link.config, ELICIT).into();
        Self { name, question, spec, link }
    }

    /// Makes a call. Dropping the future cancels the call at the server.
    pub(crate) async fn call(&self, parameters: &Json, host: &dyn CallHost) -> Result<Json, ToolError> {
        let Value::Object(arguments) = parameters.to_value() else {
            return Err(ToolError::user_facing("the parameters are not an object"));
        };
        let state = *self.link.state.borrow();
        if state != ServerState::Ready {
            return Err(self.unreachable(state));
        }
        let (asks, asked) = mpsc::channel(1);
        let (progress, seen) = watch::channel(None);
        let (reply, result) = oneshot::channel();
        let line = CallLine { tool: self.name.clone(), owner: host.owner(), asks, progress };
        let command = CallCommand { tool: self.spec.name.clone(), arguments, line, reply };
        match self.link.commands.try_send(command) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(self.failed(&CallError::Busy(self.link.config.limits.calls_max)));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.unreachable(ServerState::Stopped)),
        }
        self.follow(host, asked, seen, result).await
    }

    /// Passes progress and questions to the run until the call has a result.
    async fn follow(
        &self,
        host: &dyn CallHost,
        mut asked: mpsc::Receiver<Ask>,
        mut seen: watch::Receiver<Option<String>>,
        mut result: oneshot::Receiver<Result<Value, CallError>>,
    ) -> Result<Json, ToolError> {
        let (limits, redactor) = (&self.link.config.limits, &self.link.redactor);
        let pause = Duration::from_millis(limits.progress_pause_ms);
        let mut next_progress = Instant::now();
        let mut progress_left = limits.progress_max;
        let mut reported = None;
        loop {
            let progress = async {
                sleep_until(next_progress).await;
                seen.changed().await
            };
            tokio::select! {
                biased;
                result = &mut result => {
                    // What was reported before the result comes before it.
                    self.report(host, &mut seen, &mut reported, &mut progress_left).await;
                    return match result {
                        Ok(Ok(value)) => Ok(Json::parse(&redactor.hide(&value.to_string())).map_err(|_| {
                            ToolError::user_facing("the result is nested too deeply, or has a number out of range")
                        })?),
                        Ok(Err(error)) => Err(ToolError::user_facing(redactor.hide(&error.to_string()))),
                        Err(_closed) => Err(self.unreachable(ServerState::Stopped)),
                    };
                }
                Some(Ask { parameters, reply }) = asked.recv() => {
                    // What was reported before the question comes before it.
                    if self.report(host, &mut seen, &mut reported, &mut progress_left).await {
                        next_progress = Instant::now() + pause;
                    }
                    let parameters = Json::parse(&redactor.hide(parameters.as_str()))?;
                    let answer = host.ask(&self.question, parameters).await?;
                    // Without a receiver the server no longer waits for the answer.
                    let _ = reply.send(answer);
                }
                Ok(()) = progress, if progress_left > 0 => {
                    self.report(host, &mut seen, &mut reported, &mut progress_left).await;
                    next_progress = Instant::now() + pause;
                }
            }
        }
    }

    /// Passes the latest progress to the run, if it is new. Returns true if it was passed.
    async fn report(
        &self,
        host: &dyn CallHost,
        seen: &mut watch::Receiver<Option<String>>,
        reported: &mut Option<String>,
        progress_left: &mut usize,
    ) -> bool {
        let latest = seen.borrow_and_update().clone();
        if *progress_left == 0 || latest == *reported {
            return false;
        }
        let text = self.link.redactor.hide(latest.as_deref().unwrap_or_default());
        *reported = latest;
        host.progress(text).await;
        *progress_left -= 1;
        true
    }

    fn unreachable(&self, state: ServerState) -> ToolError {
        let server = self.link.config.name.clone();
        self.failed(&CallError::Unreachable { server, state: state.description() })
    }

    fn failed(&self, error: &CallError) -> ToolError {
        counts::call(&self.link.config.name, error.outcome());
        ToolError::user_facing(error.to_string())
    }
}

#[async_trait]
impl Tool for McpTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.spec.description
    }

    fn parameters_schema(&self) -> Value {
        self.spec.schema.clone()
    }

    fn idempotent(&self) -> bool {
        self.spec.is_idempotent
    }

    fn call_timeout_ms(&self) -> u64 {
        self.link.config.limits.call_timeout_ms
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        self.call(parameters, context).await
    }
}
