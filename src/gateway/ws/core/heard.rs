//! Translates incoming messages into inputs of the state machine.
//!
//! Guarantee: text frames, pings, unsolicited pongs and fragments of incomplete messages count against the
//! user or, before `ready`, against the connection and its peer address. Incomplete messages are bounded in
//! bytes and time (ISO-6).

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use super::{Core, Frame, Payer, Pinged};
use crate::{
    gateway::{admit::Turned, peers::PeerLimited, ws::socket::Heard},
    kernel::connection::{Asked, Input},
    wire::{client::ClientFrame, codes::ErrorCode},
};

impl Core {
    /// Returns the input for the next message, or for a violation of the limits on an incomplete one.
    pub(super) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if !self.machine.hears() {
            return Poll::Pending;
        }
        match self.socket.poll_heard(cx) {
            Poll::Ready(heard) => {
                let input = self.understand(heard);
                if let Some(unfinished) = &mut self.unfinished {
                    unfinished.clear();
                }
                Poll::Ready(input)
            }
            Poll::Pending => self.poll_unfinished(cx),
        }
    }

    /// Checks the incomplete message: counts its fragments as frames and applies the limits on its length and
    /// duration (ISO-6).
    fn poll_unfinished(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        while self.socket.frames().take_fragment() {
            if let Err(retry_after_ms) = self.count() {
                return Poll::Ready(Input::Throttled { retry_after_ms });
            }
        }
        let frames = self.socket.frames();
        let (bytes, since) = (frames.unfinished_bytes(), frames.unfinished_since());
        if bytes > self.message_bytes_max {
            return Poll::Ready(Input::TooLong);
        }
        if self.unfinished.as_mut().is_some_and(|unfinished| unfinished.set(bytes).is_err()) {
            return Poll::Ready(Input::UnfinishedMax);
        }
        let Some(since) = since else { return Poll::Pending };
        let deadline = since + Duration::from_millis(self.gateway.limits.message_timeout_ms);
        // The deadline moves only when another message begins.
        if self.message_timeout.deadline() != deadline {
            self.message_timeout.as_mut().reset(deadline);
        }
        self.message_timeout.as_mut().poll(cx).map(|()| Input::MessageLate)
    }

    /// Counts one frame. At the limit, returns the retry delay in milliseconds.
    fn count(&mut self) -> Result<(), u64> {
        match &mut self.payer {
            Payer::User(user_id) => match self.gateway.admit.frame(user_id) {
                Err(Turned::RateLimited { retry_after_ms } | Turned::RateUsersMax { retry_after_ms }) => {
                    Err(retry_after_ms)
                }
                Err(Turned::ConnectionsMax | Turned::UserConnectionsMax | Turned::UserPagesMax { .. })
                | Ok(()) => Ok(()),
            },
            Payer::Peer { frames } => {
                *frames += 1;
                let own = *frames <= self.gateway.limits.unready_frames_max;
                if !own {
                    self.gateway.admit.unready_frames_max_reached();
                }
                let of_peer = self.gateway.peers.frame(self.origin.peer);
                match of_peer {
                    Ok(()) if own => Ok(()),
                    Ok(()) => Err(self.gateway.limits.reconnect_after_ms),
                    Err(PeerLimited { retry_after_ms }) => Err(retry_after_ms),
                }
            }
        }
    }

    fn understand(&mut self, heard: Heard) -> Input {
        // The pong for a ping of the service is solicited and not counted.
        let asked_for = matches!(heard, Heard::Pong)
            && std::mem::replace(&mut self.pinged, Pinged::Answered) == Pinged::Waiting;
        let counted = match &heard {
            Heard::Text(_) | Heard::Ping => self.count(),
            Heard::Pong if !asked_for => self.count(),
            // All others end the connection.
            _ => Ok(()),
        };
        match heard {
            Heard::Text(text) => match (counted, &self.payer) {
                (Ok(()), _) => self.read(&text),
                (Err(retry_after_ms), Payer::User(_)) => {
                    // Decode it anyway: the error refers to the ids in the frame.
                    self.read(&text);
                    Input::Throttled { retry_after_ms }
                }
                (Err(retry_after_ms), Payer::Peer { .. }) => Input::Throttled { retry_after_ms },
            },
            Heard::Ping | Heard::Pong if counted.is_err() => {
                Input::Throttled { retry_after_ms: counted.err().unwrap_or_default() }
            }
            Heard::Ping => Input::Pinged,
            Heard::Pong => Input::Pong,
            Heard::Binary(_) => Input::Binary,
            Heard::Close => Input::PeerClosed,
            Heard::NotUtf8 => Input::NotUtf8,
            Heard::TooLong => Input::TooLong,
            Heard::Garbled => Input::Garbled,
            Heard::Gone => Input::Gone,
        }
    }

    fn read(&mut self, text: &str) -> Input {
        let (frame, input) = match ClientFrame::decode(text) {
            Ok(frame) => {
                let input = match &frame {
                    ClientFrame::Hello(hello) => Input::Hello {
                        cursor: Asked { epoch: hello.epoch, after: hello.after },
                        credential: hello.credential.is_some(),
                    },
                    ClientFrame::Renew(_) => Input::Renew,
                    ClientFrame::Ping(_) => Input::Ping,
                    ClientFrame::SendMessage(_)
                    | ClientFrame::CancelRun(_)
                    | ClientFrame::CompleteCall(_) => Input::Command,
                };
                (Frame::Well(frame), input)
            }
            Err(error) if error.code == ErrorCode::TooLarge => (Frame::Ill(error), Input::Oversized),
            Err(error) => (Frame::Ill(error), Input::Unclear),
        };
        self.frame = frame;
        input
    }
}
