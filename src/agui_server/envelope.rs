//! Requests to the single endpoint: the method of CopilotKit's runtime in a JSON envelope.

use quintet_kernel::ids::{AgentName, ThreadId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::input::InputError;

/// A request to the single endpoint.
#[derive(Debug)]
pub enum Envelope {
    /// `info`.
    Info,
    /// `agent/run`, with the agent and the body.
    Run(AgentName, String),
    /// `agent/connect`, with the agent and the body.
    Connect(AgentName, String),
    /// `agent/stop`, with the agent, the thread and the body.
    Stop(AgentName, ThreadId, StopScope),
}

/// The body of a stop: the run that is meant, or none for all of the thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopScope {
    /// The `runId` of the request that started the run.
    pub run_id: Option<String>,
}

impl StopScope {
    /// Decodes the body of a stop, which may be empty.
    ///
    /// # Errors
    ///
    /// Returns [`InputError`] if the body is anything but an object with an optional `runId`.
    pub fn decode(body: &str) -> Result<Self, InputError> {
        if body.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(body).map_err(|_| InputError::Field("runId"))
    }
}

impl Envelope {
    /// Decodes an envelope.
    ///
    /// # Errors
    ///
    /// Returns [`InputError`] if the text is no envelope, or its method is none of the four.
    pub fn decode(text: &str) -> Result<Self, InputError> {
        let EnvelopeForm { method, params, body } =
            serde_json::from_str(text).map_err(|_| InputError::Malformed)?;
        let agent = params.agent_id.and_then(|name| AgentName::parse(&name).ok());
        let agent = agent.ok_or(InputError::Field("params.agentId"));
        let run = body.map(RawValue::get);
        let with_body = |body: Option<&str>| body.map(str::to_owned).ok_or(InputError::Field("body"));
        match &*method {
            "info" => Ok(Self::Info),
            "agent/run" => Ok(Self::Run(agent?, with_body(run)?)),
            "agent/connect" => Ok(Self::Connect(agent?, with_body(run)?)),
            "agent/stop" => {
                let thread = params.thread_id.and_then(|id| ThreadId::parse(&id).ok());
                let thread = thread.ok_or(InputError::Field("params.threadId"))?;
                Ok(Self::Stop(agent?, thread, StopScope::decode(run.unwrap_or_default())?))
            }
            _ => Err(InputError::Field("method")),
        }
    }
}

#[derive(Deserialize)]
struct EnvelopeForm<'a> {
    method: String,
    #[serde(default)]
    params: EnvelopeParams,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeParams {
    agent_id: Option<String>,
    thread_id: Option<String>,
}
