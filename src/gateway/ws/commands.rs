//! Executes client commands and verifies credentials for WebSocket connections.

use std::sync::Arc;

use super::payload::ClientCommandFrame;
use crate::{
    gateway::{
        auth::{Auth, AuthError},
        peers::{PeerAddr, PeerLimited, Peers},
    },
    kernel::{connection::VerifyError, ticket::Identity, user::EraseScope},
    user::handle::User,
    wire::{
        client::{Credential, EraseThread, UpdateThread},
        codes::ErrorCode,
        server::{Accepted, Error, ServerFrame},
    },
};

/// Executes a command. Returns the reply, or `None` if the command's entry in the log is the reply.
pub async fn execute(
    user: User,
    command: Arc<ClientCommandFrame>,
    retry_after_ms: u64,
) -> Option<Arc<ServerFrame>> {
    let subject = command.subject();
    // No copy: the effect held the only reference.
    let done = match Arc::unwrap_or_clone(command) {
        ClientCommandFrame::SendMessage(message) => {
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
        ClientCommandFrame::CancelRun(cancel) => user.cancel(cancel.run_id).await.map(|()| None),
        ClientCommandFrame::CompleteCall(call) => {
            user.answer(call.run_id, call.call_id, call.result).await.map(|()| None)
        }
        ClientCommandFrame::UpdateThread(UpdateThread { thread_id, update }) => {
            user.update_thread(thread_id, update).await.map(|()| None)
        }
        // The reply is the `thread_erased` entry, which follows once the erasure is complete (DEL-8).
        ClientCommandFrame::EraseThread(EraseThread { thread_id }) => {
            user.erase(EraseScope::Thread(thread_id)).await.map(|_| None)
        }
    };
    let reply = done.unwrap_or_else(|request_error| {
        let error = Error {
            retry_after_ms: request_error.retry_after_ms(retry_after_ms),
            ..subject.error(ErrorCode::from(&request_error), request_error.to_string())
        };
        Some(ServerFrame::Error(error))
    });
    reply.map(Arc::new)
}

/// Verifies the credential of a peer. A ticket is consumed (AUTH-1). Above
/// `peer_auth_failures_per_minute_max`, the credential is not verified.
///
/// # Errors
/// When the credential is refused, cannot be verified, or was not verified.
pub async fn verify(
    auth: Auth,
    peers: Peers,
    peer: PeerAddr,
    credential: Arc<Credential>,
) -> Result<Identity, VerifyError> {
    if let Err(PeerLimited { retry_after_ms }) = peers.may_try(peer) {
        return Err(VerifyError::Limited { retry_after_ms });
    }
    let verified = match &*credential {
        Credential::Token(token) => auth.bearer(token).await,
        Credential::Ticket(ticket) => auth.ticket(ticket).await,
    };
    verified.map_err(|error| match error {
        AuthError::Unavailable | AuthError::Busy => VerifyError::Unavailable,
        AuthError::Missing | AuthError::Token(_) | AuthError::Ticket(_) => {
            peers.failed(peer);
            VerifyError::Refused
        }
    })
}
