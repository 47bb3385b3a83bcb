//! Translates incoming messages into inputs of the connection's machine.
//!
//! Guarantee: text frames, pings, unsolicited pongs and fragments of incomplete messages count against the
//! user or, before the connection is authenticated, against the connection and its peer address. Incomplete
//! messages are bounded in bytes and time (ISO-6).

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    codec::Codec,
    payload::{ClientCommandFrame, ErrorSubject, Reply, WsPayload},
    socket::{Incoming, Socket},
};
use crate::{
    gateway::{
        Gateway,
        admit::{AdmissionError, IncompleteMessage},
        peers::{PeerAddr, PeerLimited},
    },
    kernel::{connection::Input, ids::UserId, ticket::Identity},
    wire::{
        client::{ClientFrame, FrameError},
        codes::ErrorCode,
        legacy::LegacyFrame,
    },
};

/// The incoming direction of one connection: decodes its messages and counts them against their budget.
pub struct FrameReader {
    peer: PeerAddr,
    payer: Payer,
    /// Whether a ping of the service is unanswered.
    ping: PingStatus,
    /// Timeout for the incomplete message.
    message_timeout: Pin<Box<Sleep>>,
}

/// The budget that the client's frames count against (ISO-6).
enum Payer {
    /// The peer address. `frames` is the number of frames on this connection so far.
    Peer { frames: u32 },
    /// The user of the upgrade request, until the connection is attached.
    Known(UserId),
    /// The user of the connection. `unfinished` counts the bytes of the incomplete message.
    User { user_id: UserId, unfinished: IncompleteMessage },
}

/// State of the last ping sent by the service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PingStatus {
    Answered,
    Unanswered,
}

/// A limit on frames is reached; retrying after this many milliseconds may succeed.
struct FrameLimited {
    retry_after_ms: u64,
}

impl FrameReader {
    /// Creates the reader of an accepted socket. `known` is the identity of the upgrade request.
    pub fn new(peer: PeerAddr, known: Option<&Identity>) -> Self {
        let payer = match known {
            Some(identity) => Payer::Known(identity.user_id.clone()),
            None => Payer::Peer { frames: 0 },
        };
        let message_timeout = Box::pin(sleep_until(Instant::now()));
        Self { peer, payer, ping: PingStatus::Answered, message_timeout }
    }

    /// Counts further frames against a user, and applies the limits of authenticated connections.
    pub fn belongs_to(&mut self, user_id: UserId, gateway: &Gateway) {
        let unfinished = gateway.admit.unfinished(&user_id);
        self.payer = Payer::User { user_id, unfinished };
    }

    /// Returns true if neither the upgrade request nor `hello` was authenticated.
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self.payer, Payer::Peer { .. })
    }

    /// Expects a pong, which does not count as a frame.
    pub fn ping_sent(&mut self) {
        self.ping = PingStatus::Unanswered;
    }

    /// Returns the input for the next message, or for a violation of the limits on an incomplete one.
    pub fn poll_input(
        &mut self,
        socket: &mut Socket,
        codec: &mut Codec,
        gateway: &Gateway,
        cx: &mut Context<'_>,
    ) -> Poll<Input<WsPayload>> {
        match socket.poll_incoming(cx) {
            Poll::Ready(incoming) => {
                let input = self.input(incoming, codec, gateway);
                if let Payer::User { unfinished, .. } = &mut self.payer {
                    unfinished.clear();
                }
                Poll::Ready(input)
            }
            Poll::Pending => self.poll_unfinished(socket, gateway, cx),
        }
    }

    fn input(&mut self, incoming: Incoming, codec: &mut Codec, gateway: &Gateway) -> Input<WsPayload> {
        match incoming {
            Incoming::Text(text) => match self.count(gateway) {
                Ok(()) => match codec {
                    Codec::Current => decode(&text),
                    Codec::Legacy(client) => legacy(client.decode(&text)),
                },
                Err(FrameLimited { retry_after_ms }) => {
                    let subject = match self.payer {
                        Payer::Peer { .. } => ErrorSubject::default(),
                        // The error refers to the ids in the frame.
                        Payer::Known(_) | Payer::User { .. } => subject(codec, &text),
                    };
                    Input::Throttled { retry_after_ms, subject }
                }
            },
            Incoming::Ping => self.counted(Input::Pinged, gateway),
            // The pong for a ping of the service is solicited and not counted.
            Incoming::Pong
                if mem::replace(&mut self.ping, PingStatus::Answered) == PingStatus::Unanswered =>
            {
                Input::Pong
            }
            Incoming::Pong => self.counted(Input::Pong, gateway),
            // The others end the connection.
            Incoming::Binary(_) => Input::Binary,
            Incoming::Close => Input::PeerClosed,
            Incoming::NotUtf8 => Input::NotUtf8,
            Incoming::TooLong => Input::TooLong,
            Incoming::Garbled => Input::Garbled,
            Incoming::Gone => Input::Gone,
        }
    }

    /// Counts a frame without text. Returns `input`, or `Throttled` at the limit.
    fn counted(&mut self, input: Input<WsPayload>, gateway: &Gateway) -> Input<WsPayload> {
        match self.count(gateway) {
            Ok(()) => input,
            Err(FrameLimited { retry_after_ms }) => {
                Input::Throttled { retry_after_ms, subject: ErrorSubject::default() }
            }
        }
    }

    /// Checks the incomplete message: counts its fragments as frames and applies the limits on its length and
    /// duration (ISO-6).
    fn poll_unfinished(
        &mut self,
        socket: &mut Socket,
        gateway: &Gateway,
        cx: &mut Context<'_>,
    ) -> Poll<Input<WsPayload>> {
        while socket.frames().take_fragment() {
            if let Err(FrameLimited { retry_after_ms }) = self.count(gateway) {
                return Poll::Ready(Input::Throttled { retry_after_ms, subject: ErrorSubject::default() });
            }
        }
        let frames = socket.frames();
        let (bytes, since) = (frames.unfinished_bytes(), frames.unfinished_since());
        if bytes > self.message_bytes_max(gateway) {
            return Poll::Ready(Input::TooLong);
        }
        if let Payer::User { unfinished, .. } = &mut self.payer
            && unfinished.set(bytes).is_err()
        {
            return Poll::Ready(Input::UnfinishedMax);
        }
        let Some(since) = since else { return Poll::Pending };
        let deadline = since + Duration::from_millis(gateway.limits.message_timeout_ms);
        // The deadline moves only when another message begins.
        if self.message_timeout.deadline() != deadline {
            self.message_timeout.as_mut().reset(deadline);
        }
        self.message_timeout.as_mut().poll(cx).map(|()| Input::MessageLate)
    }

    fn message_bytes_max(&self, gateway: &Gateway) -> u64 {
        match self.payer {
            Payer::Peer { .. } | Payer::Known(_) => gateway.limits.unready_message_bytes_max as u64,
            Payer::User { .. } => gateway.limits.frame_bytes_max as u64,
        }
    }

    /// Counts one frame.
    fn count(&mut self, gateway: &Gateway) -> Result<(), FrameLimited> {
        match &mut self.payer {
            Payer::Known(user_id) | Payer::User { user_id, .. } => match gateway.admit.frame(user_id) {
                Err(
                    AdmissionError::RateLimited { retry_after_ms }
                    | AdmissionError::RateUsersMax { retry_after_ms },
                ) => Err(FrameLimited { retry_after_ms }),
                Err(
                    AdmissionError::ConnectionsMax
                    | AdmissionError::UserConnectionsMax
                    | AdmissionError::UserPagesMax { .. }
                    | AdmissionError::UserExportsMax { .. },
                )
                | Ok(()) => Ok(()),
            },
            Payer::Peer { frames } => {
                *frames += 1;
                let own = *frames <= gateway.limits.unready_frames_max;
                if !own {
                    gateway.admit.unready_frames_max_reached();
                }
                match gateway.peers.frame(self.peer) {
                    Ok(()) if own => Ok(()),
                    Ok(()) => Err(FrameLimited { retry_after_ms: gateway.limits.reconnect_after_ms }),
                    Err(PeerLimited { retry_after_ms }) => Err(FrameLimited { retry_after_ms }),
                }
            }
        }
    }
}

/// Decodes the text of one message.
fn decode(text: &str) -> Input<WsPayload> {
    let command = |command| Input::Command(Arc::new(command));
    match ClientFrame::decode(text) {
        Ok(ClientFrame::SendMessage(send)) => command(ClientCommandFrame::SendMessage(send)),
        Ok(ClientFrame::CancelRun(cancel)) => command(ClientCommandFrame::CancelRun(cancel)),
        Ok(ClientFrame::CompleteCall(call)) => command(ClientCommandFrame::CompleteCall(call)),
        Ok(ClientFrame::UpdateThread(update)) => command(ClientCommandFrame::UpdateThread(update)),
        Ok(ClientFrame::EraseThread(erase)) => command(ClientCommandFrame::EraseThread(erase)),
        Ok(ClientFrame::Hello(hello)) => {
            Input::Hello { cursor: hello.cursor, credential: hello.credential.map(Arc::new) }
        }
        Ok(ClientFrame::Renew(renew)) => Input::Renew(Arc::new(renew.credential)),
        Ok(ClientFrame::Ping(ping)) => Input::Ping(ping.nonce.map(Reply::Nonce)),
        Err(error) if error.code == ErrorCode::TooLarge => Input::Oversized(error),
        Err(error) => Input::Unclear(error),
    }
}

/// Returns the input for a frame of a legacy client.
fn legacy(decoded: Result<LegacyFrame, FrameError>) -> Input<WsPayload> {
    match decoded {
        Ok(LegacyFrame::Message(message)) => {
            Input::Command(Arc::new(ClientCommandFrame::SendMessage(message)))
        }
        Ok(LegacyFrame::Cancel(cancel)) => Input::Command(Arc::new(ClientCommandFrame::CancelRun(cancel))),
        Ok(LegacyFrame::Ack(ack)) => Input::Ping(Some(Reply::Ack(ack))),
        Err(unread) if unread.code == ErrorCode::TooLarge => Input::Oversized(unread),
        Err(unread) => Input::Unclear(unread),
    }
}

/// Returns the ids in the text of a frame that is over the rate.
fn subject(codec: &mut Codec, text: &str) -> ErrorSubject {
    match codec {
        Codec::Current => ErrorSubject::of(ClientFrame::decode(text)),
        Codec::Legacy(client) => ErrorSubject::of_legacy(client.decode(text)),
    }
}
