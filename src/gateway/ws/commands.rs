//! Executes client commands and verifies credentials for WebSocket connections.

use crate::{
    gateway::{
        auth::{Auth, AuthError},
        peers::{PeerAddr, PeerLimited, Peers},
    },
    kernel::{
        connection::Unverified,
        ids::{MessageId, RunId},
        ticket::Identity,
    },
    user::handle::User,
    wire::{
        client::{ClientFrame, Credential},
        codes::ErrorCode,
        server::{Accepted, Error, ServerFrame},
    },
};

/// The ids that an `error` frame refers to, so that the client can match it to its request.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub message_id: Option<MessageId>,
    pub run_id: Option<RunId>,
}

impl Subject {
    /// Returns the ids in a client frame.
    pub fn of(frame: &ClientFrame) -> Self {
        match frame {
            ClientFrame::SendMessage(send) => {
                Self { message_id: Some(send.message_id.clone()), ..Self::default() }
            }
            ClientFrame::CancelRun(cancel) => Self { run_id: Some(cancel.run_id), ..Self::default() },
            ClientFrame::CompleteCall(call) => Self { run_id: Some(call.run_id), ..Self::default() },
            ClientFrame::Hello(_) | ClientFrame::Renew(_) | ClientFrame::Ping(_) => Self::default(),
        }
    }

    /// Creates an error that refers to these ids.
    pub fn error(self, code: ErrorCode, message: impl Into<String>) -> Error {
        Error { message_id: self.message_id, run_id: self.run_id, ..Error::new(code, message) }
    }
}

/// Executes a command. Returns the reply, or `None` if the command's entry in the log is the reply.
pub async fn execute(user: User, frame: ClientFrame, retry_after_ms: u64) -> Option<ServerFrame> {
    let subject = Subject::of(&frame);
    let done = match frame {
        ClientFrame::SendMessage(message) => {
            let message_id = message.message_id.clone();
            user.send(message).await.map(|accepted| {
                // `send` returns only after the append is durable (DEL-5).
                Some(ServerFrame::Accepted(Accepted {
                    message_id,
                    run_id: accepted.receipt.run_id,
                    message_offset: accepted.receipt.offset,
                    duplicate: accepted.duplicate,
                }))
            })
        }
        ClientFrame::CancelRun(cancel) => user.cancel(cancel.run_id).await.map(|()| None),
        ClientFrame::CompleteCall(call) => {
            user.answer(call.run_id, call.call_id, call.result).await.map(|()| None)
        }
        ClientFrame::Hello(_) | ClientFrame::Renew(_) | ClientFrame::Ping(_) => Ok(None),
    };
    done.unwrap_or_else(|unaccepted| {
        let error = Error {
            retry_after_ms: unaccepted.retry_after_ms(retry_after_ms),
            ..subject.error(ErrorCode::from(&unaccepted), unaccepted.to_string())
        };
        Some(ServerFrame::Error(error))
    })
}

/// Verifies the credential of a peer. A ticket is consumed (AUTH-1). Above
/// `peer_auth_failures_per_minute_max`, the credential is not verified.
pub async fn verify(
    auth: Auth,
    peers: Peers,
    peer: PeerAddr,
    credential: Option<Credential>,
) -> Result<Identity, Unverified> {
    if let Err(PeerLimited { retry_after_ms }) = peers.may_try(peer) {
        return Err(Unverified::Limited { retry_after_ms });
    }
    let verified = match &credential {
        Some(Credential::Token(token)) => auth.bearer(token).await,
        Some(Credential::Ticket(ticket)) => auth.ticket(ticket).await,
        None => Err(AuthError::Missing),
    };
    verified.map_err(|error| match error {
        AuthError::Unavailable | AuthError::Busy => Unverified::Unavailable,
        AuthError::Missing | AuthError::Token(_) | AuthError::Ticket(_) => {
            peers.failed(peer);
            Unverified::Refused
        }
    })
}
