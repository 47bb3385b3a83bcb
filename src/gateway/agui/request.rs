//! What an AG-UI request does before its stream.

use std::{collections::BTreeSet, time::Duration};

use axum::extract::Request;
use quintet_agui_server::{
    CallRef, Dialect, Encoder, EncoderSetup, Event, InputLimits, RunInput, info::DEFAULT_AGENT,
    input::UserMessage,
};

use super::{
    names::RequestNames,
    prefix, refused,
    stop::OPEN_RUNS_MAX,
    stream::{self, RunStream},
};
use crate::{
    gateway::{
        Gateway,
        admit::Admission,
        http::{
            extract::{Caller, HttpResult, JsonText},
            failure::HttpError,
        },
        peers::SocketSlot,
    },
    journal::RunRecord,
    kernel::{
        entry::CallResult,
        ids::{AgentName, Offset, RunId},
        ticket::Identity,
        user::{NewMessage, Refusal},
    },
    runtime::drain::ShutdownStage,
    user::handle::{RequestError, User},
    wire::codes::ErrorCode,
};

/// The user of a request, with everything that its stream holds.
pub struct Requester {
    gateway: Gateway,
    identity: Identity,
    user: User,
    slot: SocketSlot,
    names: RequestNames,
    admission: Admission,
    /// The slot of the body and the snapshot, which are in memory until the first bytes are sent.
    beginning: Admission,
}

/// The run that a request streams.
struct Target {
    run_id: RunId,
    /// The offset of its message.
    accepted: Offset,
    /// True if the front end may have seen entries of the run, so that they are sent as a snapshot.
    is_known: bool,
    /// True if the stream goes on with the next open run of the thread.
    follows: bool,
}

impl Requester {
    /// Admits a stream, which counts as a connection of its user, and up to its first bytes also as a page (ISO-6).
    ///
    /// # Errors
    /// When the service is draining, or a limit on connections or pages is reached.
    pub fn new(
        gateway: Gateway,
        caller: Caller,
        slot: SocketSlot,
        names: RequestNames,
    ) -> Result<Self, HttpError> {
        if gateway.drain.stage() >= ShutdownStage::Draining {
            let failure = HttpError::new(ErrorCode::Draining, "the service is draining");
            return Err(failure.retry_after(gateway.limits.reconnect_after_ms));
        }
        let Caller { identity, user } = caller;
        let admission = gateway.admit.connection(&identity.user_id)?;
        let beginning = gateway.admit.page(&identity.user_id)?;
        Ok(Self { gateway, identity, user, slot, names, admission, beginning })
    }

    /// Returns the user, without a stream.
    pub fn into_user(self) -> User {
        self.user
    }

    /// Reads the body, of at most `agui_body_bytes_max` bytes.
    ///
    /// # Errors
    /// When the body is too long, late or not JSON.
    pub async fn body(&self, request: Request) -> Result<JsonText, HttpError> {
        JsonText::of(request, &self.gateway, self.gateway.limits.agui_body_bytes_max).await
    }

    /// Answers the calls that the request answers, sends its message, and streams the run.
    ///
    /// # Errors
    /// When the request is invalid, a call or an agent is unknown, the message is refused, or the outcome of the
    /// request is unknown (DEL-7).
    pub async fn run(self, agent_name: AgentName, body: &str) -> HttpResult {
        let mut input = self.decode(body)?;
        let open = self.user.open_runs(&input.thread_id, OPEN_RUNS_MAX).await?;
        let open: BTreeSet<RunId> = open.into_iter().map(|run| run.run_id).collect();
        let asked = input.resume.first().map(|(call, _)| call.run_id);
        for (call, result) in std::mem::take(&mut input.resume) {
            self.require_run(&input, call.run_id).await?;
            self.answer(&open, call, result).await?;
        }
        for (call, result) in std::mem::take(&mut input.tool_results) {
            self.answer(&open, call, result).await?;
        }
        let target = match (input.message.take(), asked) {
            (Some(message), _) => self.send(&input, self.agent(agent_name), message).await?,
            (None, Some(run_id)) => {
                let RunRecord { accepted, .. } = self.require_run(&input, run_id).await?;
                Target { run_id, accepted, is_known: true, follows: false }
            }
            (None, None) => {
                let detail = "the request has neither a message of the user nor an answer";
                return Err(HttpError::new(ErrorCode::InvalidField, detail));
            }
        };
        self.stream(input, target).await
    }

    /// Streams the conversation and its active run, or the end of its latest one. An unknown thread has no messages
    /// (ISO-3).
    ///
    /// # Errors
    /// When the request is invalid, or the journal cannot be read.
    pub async fn connect(self, body: &str) -> HttpResult {
        let mut input = self.decode(body)?;
        let open = self.user.open_runs(&input.thread_id, 1).await?;
        let message = open.first().map(|run| run.accepted);
        let limit = self.gateway.limits.agui_history();
        let path = self.user.path(&input.thread_id, message, limit.runs_max + 1).await?;
        let Some((latest, earlier)) = path.split_first() else { return Ok(self.empty(&input)) };
        input.before = prefix::history(&self.user, earlier, limit).await?;
        let (run_id, accepted) = (latest.run_id, latest.accepted);
        let target = Target { run_id, accepted, is_known: true, follows: true };
        self.stream(input, target).await
    }

    fn decode(&self, body: &str) -> Result<RunInput, HttpError> {
        let limits = InputLimits { messages_max: self.gateway.limits.agui_messages_max };
        RunInput::decode(body, limits).map_err(refused)
    }

    /// Returns the agent of a message; `None` for the default agent.
    fn agent(&self, name: AgentName) -> Option<AgentName> {
        let is_alias = name.as_str() == DEFAULT_AGENT
            && !self.gateway.agents.iter().any(|agent| agent.agent_name == name);
        (!is_alias).then_some(name)
    }

    /// Returns the record of a run of the request's thread.
    ///
    /// # Errors
    /// 404 if the thread of this user has no such run (ISO-3).
    async fn require_run(&self, input: &RunInput, run_id: RunId) -> Result<RunRecord, HttpError> {
        let run = self.user.run(run_id).await?;
        run.filter(|run| run.thread_id == input.thread_id).ok_or_else(HttpError::not_found)
    }

    /// Completes a call of an open run. A call that is closed stays as it is (RUN-11): the request may be a retry.
    async fn answer(
        &self,
        open: &BTreeSet<RunId>,
        call: CallRef,
        result: CallResult,
    ) -> Result<(), HttpError> {
        if !open.contains(&call.run_id) {
            return Ok(());
        }
        match self.user.answer(call.run_id, call.call_id, result).await {
            Ok(())
            | Err(RequestError::Refused(Refusal::CallClosed | Refusal::RunEnded | Refusal::NotFound)) => {
                Ok(())
            }
            Err(why) => Err(HttpError::request_error(why, self.gateway.limits.reconnect_after_ms)),
        }
    }

    /// Sends the message under its id, so that a repeated request is no second message (DEL-6). It follows the user's
    /// message before it in the request, which makes an edited conversation a branch.
    async fn send(
        &self,
        input: &RunInput,
        agent_name: Option<AgentName>,
        message: UserMessage,
    ) -> Result<Target, HttpError> {
        let is_new = self.user.message(&message.id).await?.is_none();
        let parent = match message.previous {
            Some(previous) if is_new => self.offset_in_thread(input, &previous).await?,
            _ => None,
        };
        let message = NewMessage {
            message_id: message.id,
            thread_id: input.thread_id.clone(),
            text: message.text,
            agent_name,
            on_busy: input.on_busy,
            parent,
        };
        let accepted = self.user.send(message).await;
        let accepted =
            accepted.map_err(|why| HttpError::request_error(why, self.gateway.limits.reconnect_after_ms))?;
        let receipt = accepted.receipt;
        let is_known = accepted.duplicate;
        Ok(Target { run_id: receipt.run_id, accepted: receipt.offset, is_known, follows: false })
    }

    /// Returns the offset of a message if it belongs to the thread.
    async fn offset_in_thread(
        &self,
        input: &RunInput,
        message_id: &crate::kernel::ids::MessageId,
    ) -> Result<Option<Offset>, HttpError> {
        let Some(receipt) = self.user.message(message_id).await? else { return Ok(None) };
        let run = self.user.run(receipt.run_id).await?;
        Ok(run.filter(|run| run.thread_id == input.thread_id).map(|run| run.accepted))
    }

    async fn stream(self, input: RunInput, target: Target) -> HttpResult {
        let Target { run_id, accepted, is_known, follows } = target;
        let named = self.names.name(self.user.user_id(), &input.thread_id, &input.request_id, run_id);
        let mut encoder = Encoder::new(setup(&input), run_id);
        let mut cursor = self.user.cursor(Offset(accepted.0.saturating_sub(1))).await?;
        if is_known {
            prefix::absorb(&self.user, &mut cursor, &mut encoder, self.gateway.limits.chunk()).await?;
        }
        if is_known && !encoder.has_ended() {
            // The end of the run may be trimmed or erased (DEL-8), and will not come.
            let run = self.user.run(run_id).await?.ok_or_else(HttpError::not_found)?;
            if let Some((_, status)) = run.completed.filter(|(completed, _)| *completed <= cursor.after()) {
                encoder.end_as(status);
            }
        }
        self.slot.is_member();
        let limits = &self.gateway.limits;
        let begin = stream::Begin { before: input.before, ignored: input.ignored, slot: self.beginning };
        let stream = RunStream::new(
            cursor,
            encoder,
            begin,
            stream::StreamSetup {
                accepted,
                thread_id: input.thread_id,
                history: limits.agui_history(),
                follows,
                admit: self.gateway.admit.clone(),
                epoch: self.gateway.factory.epoch(),
                heartbeat: Duration::from_millis(limits.agui_heartbeat_interval_ms),
                settle: Duration::from_millis(limits.agui_settle_ms),
                drain: self.gateway.drain.clone(),
                identity: self.identity,
                user: self.user,
                held: (self.admission, self.slot, named),
            },
            limits,
        );
        Ok(stream.into_response())
    }

    /// Returns the stream of a thread without messages.
    fn empty(&self, input: &RunInput) -> axum::response::Response {
        let (thread_id, run_id) = (input.thread_id.clone(), input.request_id.clone());
        let protocol_version = match input.dialect {
            Dialect::V0 => None,
            Dialect::V1 => Some(quintet_agui_server::event::PROTOCOL_VERSION),
        };
        let begin =
            Event::RunStarted { thread_id: thread_id.clone(), run_id: run_id.clone(), protocol_version };
        let end = Event::RunFinished { thread_id, run_id, outcome: None, usage: None };
        stream::complete(&[begin, end])
    }
}

fn setup(input: &RunInput) -> EncoderSetup {
    EncoderSetup {
        dialect: input.dialect,
        thread_id: input.thread_id.clone(),
        request_id: input.request_id.clone(),
        front_end_tools: input.front_end_tools.clone(),
    }
}
