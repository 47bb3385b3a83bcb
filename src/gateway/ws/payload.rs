//! The content that the connection machine passes from its inputs to its effects on a WebSocket.

use std::sync::Arc;

use crate::{
    gateway::Gateway,
    journal::Lines,
    kernel::{
        connection::{Fault, Gap, Payload},
        ids::{ConnectionId, MessageId, Offset, RunId, UserId},
        user::NewMessage,
    },
    wire::{
        client::{
            CancelRun, ClientFrame, CompleteCall, Credential, EraseThread, FrameError, Nonce, UpdateThread,
        },
        codes::ErrorCode,
        legacy::{Ack, LegacyFrame},
        server::{ClientLimits, Error, PROTOCOL, Ready, ServerFrame},
    },
};

/// The payload of a WebSocket connection. Clones share the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WsPayload;

impl Payload for WsPayload {
    type Credential = Arc<Credential>;
    type Command = Arc<ClientCommandFrame>;
    type Nonce = Option<Reply>;
    type Malformed = FrameError;
    type Subject = ErrorSubject;
    type Entries = Arc<Lines>;
    type Answer = Arc<ServerFrame>;

    fn subject(command: &Arc<ClientCommandFrame>) -> ErrorSubject {
        command.subject()
    }
}

/// The content of the reply to a frame without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `pong`, with the nonce of its `ping`.
    Nonce(Nonce),
    /// The acknowledgement that a legacy client expects.
    Ack(Ack),
}

/// A client frame that is a command to the user's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommandFrame {
    SendMessage(NewMessage),
    CancelRun(CancelRun),
    CompleteCall(CompleteCall),
    UpdateThread(UpdateThread),
    EraseThread(EraseThread),
}

impl ClientCommandFrame {
    /// Returns the ids that an error about the command refers to.
    pub fn subject(&self) -> ErrorSubject {
        match self {
            ClientCommandFrame::SendMessage(send) => ErrorSubject::message(send.message_id.clone()),
            ClientCommandFrame::CancelRun(cancel) => ErrorSubject::run(cancel.run_id),
            ClientCommandFrame::CompleteCall(call) => ErrorSubject::run(call.run_id),
            ClientCommandFrame::UpdateThread(_) | ClientCommandFrame::EraseThread(_) => {
                ErrorSubject::default()
            }
        }
    }
}

/// The ids that an `error` frame refers to, so that the client can match it to its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorSubject {
    pub message_id: Option<MessageId>,
    pub run_id: Option<RunId>,
}

impl ErrorSubject {
    /// Returns the ids in the text of a frame, malformed or not.
    pub fn of(decoded: Result<ClientFrame, FrameError>) -> Self {
        match decoded {
            Ok(ClientFrame::SendMessage(send)) => Self::message(send.message_id),
            Ok(ClientFrame::CancelRun(cancel)) => Self::run(cancel.run_id),
            Ok(ClientFrame::CompleteCall(call)) => Self::run(call.run_id),
            Ok(
                ClientFrame::UpdateThread(_)
                | ClientFrame::EraseThread(_)
                | ClientFrame::Hello(_)
                | ClientFrame::Renew(_)
                | ClientFrame::Ping(_),
            ) => Self::default(),
            Err(FrameError { message_id, run_id, .. }) => Self { message_id, run_id },
        }
    }

    /// Returns the ids in a frame of a legacy client, malformed or not.
    pub fn of_legacy(decoded: Result<LegacyFrame, FrameError>) -> Self {
        match decoded {
            Ok(LegacyFrame::Message(send)) => Self::message(send.message_id),
            Ok(LegacyFrame::Cancel(cancel)) => Self::run(cancel.run_id),
            Ok(LegacyFrame::Ack(_)) => Self::default(),
            Err(FrameError { message_id, run_id, .. }) => Self { message_id, run_id },
        }
    }

    /// Refers to a message.
    pub fn message(message_id: MessageId) -> Self {
        Self { message_id: Some(message_id), run_id: None }
    }

    /// Refers to a run.
    pub fn run(run_id: RunId) -> Self {
        Self { message_id: None, run_id: Some(run_id) }
    }

    /// Creates an error that refers to these ids.
    pub fn error(self, code: ErrorCode, message: impl Into<String>) -> Error {
        Error { message_id: self.message_id, run_id: self.run_id, ..Error::new(code, message) }
    }
}

/// Returns the `ready` frame of a connection.
pub fn ready(
    gateway: &Gateway,
    connection_id: ConnectionId,
    user_id: UserId,
    resumed_after: Offset,
    head: Offset,
    gap: Option<Gap>,
) -> Ready {
    let Gateway { factory, limits, .. } = gateway;
    Ready {
        protocol: PROTOCOL,
        connection_id,
        user_id,
        epoch: factory.epoch(),
        resumed_after,
        head,
        gap,
        heartbeat_ms: limits.heartbeat_interval_ms,
        limits: ClientLimits::new(&factory.limits().kernel, &limits.connection(), limits.socket()),
    }
}

/// Returns the `error` frame for a fault that the machine found, except `fatal`.
pub fn error(fault: Fault<WsPayload>, reconnect_after_ms: u64) -> Error {
    let code = ErrorCode::from(&fault);
    match fault {
        Fault::Unclear(error) | Fault::Oversized(error) => error.into(),
        Fault::BeforeHello(subject) => subject.error(code, "hello must be the first frame"),
        Fault::SecondHello => Error::new(code, "hello must be sent only once"),
        Fault::Unauthenticated => Error::new(code, "no valid credential for this user"),
        Fault::Unavailable => {
            let error = Error::new(code, "credentials cannot be checked at the moment");
            Error { retry_after_ms: Some(reconnect_after_ms), ..error }
        }
        Fault::RateLimited { retry_after_ms, subject } => {
            let error = subject.error(code, "the frame rate limit is exceeded");
            Error { retry_after_ms: Some(retry_after_ms), ..error }
        }
    }
}
