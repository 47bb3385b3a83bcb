//! One call of a tool, on the thread of its server.

use std::{pin::pin, sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, InputRequest, InputRequiredResult,
        InputResponses, JsonObject, ServerResult,
    },
    service::{PeerRequestOptions, RequestHandle, ServiceError},
};
use serde_json::Value;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::failure,
    config::McpLimits,
    counts, elicitation,
    log::ServerLog,
    open_calls::{CallLine, CallPlace, OpenCalls},
    questions::{self, Question, QuestionRefused},
    results::{self, ResultError, clipped},
};

/// A call on its way to the server.
pub(crate) struct CallCommand {
    /// The name of the tool at the server.
    pub(crate) tool: String,
    pub(crate) arguments: JsonObject,
    pub(crate) line: CallLine,
    /// Receives the result. The call is cancelled if its receiver is dropped.
    pub(crate) reply: oneshot::Sender<Result<Value, CallError>>,
}

/// The reason for which a call has no result. Its message is for the agent and the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The server is down.
    #[error("the MCP server {server} is not reachable: it is {state}")]
    Unreachable {
        /// The server.
        server: String,
        /// Its state.
        state: &'static str,
    },
    /// The server has as many calls as it may have, or as many of the user.
    #[error("the MCP server is busy with {0} calls")]
    Busy(usize),
    /// The connection ended during the call.
    #[error("the MCP server stopped during the call")]
    Lost,
    /// The server answered with an error.
    #[error("the MCP server refused the call: {0}")]
    Refused(String),
    /// The request failed.
    #[error("the call of the MCP server failed: {}", failure(.0))]
    Failed(ServiceError),
    /// The tool reported an error.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The server wants input that agents do not give.
    #[error("the MCP server asked for input during the call: {0}")]
    Question(#[from] QuestionRefused),
    /// The server wants input other than an answer of the user.
    #[error("the MCP server asked for a language model or a folder, which it does not get")]
    UnsupportedInput,
    /// The server did not complete the call in the allowed number of rounds.
    #[error("the MCP server did not complete the call in {ROUNDS_MAX} rounds")]
    TooManyRounds,
    /// The server returned a task in the place of a result.
    #[error("the MCP server returned a task in place of a result, which is not supported")]
    Task,
}

impl CallError {
    /// Returns the label of the error in metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            CallError::Unreachable { .. } | CallError::Busy(_) => "unavailable",
            CallError::Lost => "lost",
            CallError::Result(ResultError::Reported(_)) => "tool_error",
            CallError::Result(ResultError::TooLong { .. } | ResultError::Malformed)
            | CallError::Refused(_)
            | CallError::Failed(_)
            | CallError::Question(_)
            | CallError::UnsupportedInput
            | CallError::TooManyRounds
            | CallError::Task => "error",
        }
    }
}

/// The connection of a call.
pub(crate) struct CallRoute {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) calls: Arc<OpenCalls>,
    pub(crate) lost: CancellationToken,
    /// Notified when a request failed, so that the supervisor looks whether the server still answers.
    pub(crate) suspect: Arc<Notify>,
    pub(crate) limits: McpLimits,
    pub(crate) log: ServerLog,
}

impl CallRoute {
    /// Makes a call and sends its result, or cancels it when the result is no longer wanted.
    pub(crate) async fn run(self, command: CallCommand, mut place: CallPlace) {
        let CallCommand { tool, arguments, line, mut reply } = command;
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.rounds(params, &line, &mut reply, &mut place).await;
        let Some(result) = result else {
            counts::call(&self.log.server, "cancelled");
            return;
        };
        counts::call(&self.log.server, result.as_ref().map_or_else(CallError::outcome, |_| "ok"));
        // Without a receiver the run has ended.
        let _ = reply.send(result);
    }

    /// Repeats the request until it has a result; `None` if that is no longer wanted.
    async fn rounds(
        &self,
        mut params: CallToolRequestParams,
        line: &CallLine,
        reply: &mut oneshot::Sender<Result<Value, CallError>>,
        place: &mut CallPlace,
    ) -> Option<Result<Value, CallError>> {
        let mut questions = 0;
        for _ in 0..ROUNDS_MAX {
            let request = ClientRequest::CallToolRequest(CallToolRequest::new(params.clone()));
            let sent = self.peer.send_request_with_option(request, PeerRequestOptions::no_options()).await;
            let mut handle = match sent {
                Ok(handle) => handle,
                Err(error) => return Some(Err(self.failed(error))),
            };
            // Registered before the server can answer: both run on this thread.
            let registered =
                self.calls.register(handle.id.clone(), handle.progress_token.clone(), line.clone());
            let response = tokio::select! {
                biased;
                response = &mut handle.rx => response,
                () = self.lost.cancelled() => return Some(Err(CallError::Lost)),
                () = reply.closed() => {
                    registered.abandon();
                    place.cancelling();
                    self.cancel(handle).await;
                    return None;
                }
            };
            drop(registered);
            let input = match response {
                Ok(Ok(ServerResult::InputRequiredResult(input))) => input,
                Ok(Ok(ServerResult::CreateTaskResult(_) | ServerResult::GetTaskResult(_))) => {
                    return Some(Err(CallError::Task));
                }
                Ok(Ok(result)) => return Some(self.mapped(result)),
                Ok(Err(error)) => return Some(Err(self.failed(error))),
                Err(_closed) => return Some(Err(self.failed(ServiceError::TransportClosed))),
            };
            let InputRequiredResult { input_requests, request_state, .. } = input;
            let asked = self.ask(input_requests.unwrap_or_default(), line, &mut questions);
            let answers = tokio::select! {
                answers = asked => answers,
                () = reply.closed() => return None,
            };
            match answers {
                Ok(answers) => params.input_responses = Some(answers),
                Err(error) => return Some(Err(error)),
            }
            params.request_state = request_state;
        }
        Some(Err(CallError::TooManyRounds))
    }

    /// Asks the questions that a result in place of the final one has.
    async fn ask(
        &self,
        requests: impl IntoIterator<Item = (String, InputRequest)>,
        line: &CallLine,
        questions: &mut usize,
    ) -> Result<InputResponses, CallError> {
        let mut answers = InputResponses::new();
        for (key, request) in requests {
            let InputRequest::Elicitation(request) = request else { return Err(CallError::UnsupportedInput) };
            *questions += 1;
            if *questions > self.limits.questions_max {
                counts::question(&self.log.server, "refused");
                return Err(QuestionRefused::TooMany.into());
            }
            let question = Question::new(&request.params, &line.tool, &self.limits)?;
            let result = elicitation::ask(&line.asks, question).await;
            counts::question(&self.log.server, questions::outcome(&result));
            let result = serde_json::to_value(result).map_err(|_| CallError::UnsupportedInput)?;
            answers.insert(key, result);
        }
        Ok(answers)
    }

    fn mapped(&self, result: ServerResult) -> Result<Value, CallError> {
        let result = serde_json::to_value(result).unwrap_or_default();
        Ok(results::mapped(result, &self.limits)?)
    }

    fn failed(&self, error: ServiceError) -> CallError {
        match error {
            ServiceError::McpError(error) => CallError::Refused(clipped(&error.message, ERROR_BYTES_MAX)),
            error => {
                self.suspect.notify_one();
                match error {
                    ServiceError::TransportClosed => CallError::Lost,
                    error => CallError::Failed(error),
                }
            }
        }
    }

    /// Sends the cancellation of a call, and waits until the server has taken it. A server that takes longer than
    /// [`CANCEL_TIMEOUT`] is looked at.
    async fn cancel(&self, handle: RequestHandle<RoleClient>) {
        let mut sent = pin!(handle.cancel(Some(CANCEL_REASON.to_owned())));
        let sent = match timeout(CANCEL_TIMEOUT, sent.as_mut()).await {
            Ok(sent) => sent,
            Err(_elapsed) => {
                self.suspect.notify_one();
                tokio::select! {
                    sent = sent => sent,
                    () = self.lost.cancelled() => return,
                }
            }
        };
        if let Err(error) = sent {
            let error = failure(&error);
            self.log
                .write(|server| tracing::debug!(server, error, "a call was not cancelled at its MCP server"));
            self.suspect.notify_one();
        }
    }
}

/// Greatest number of requests of one call.
pub(crate) const ROUNDS_MAX: usize = 16;

/// The reason that a cancellation gives.
const CANCEL_REASON: &str = "the call is no longer wanted";

/// Time for a cancellation to be taken by the server.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest message of a server's error, in bytes; a longer one is cut.
const ERROR_BYTES_MAX: usize = 2_000;
