//! The data that all states share: the limits, their use, and the state of the socket's output.

use std::marker::PhantomData;

use super::{
    effect::{Effect, ServerFrame, StepOutput},
    payload::Payload,
    session::{Flow, Session},
    timer::Timer,
};
use crate::ids::Offset;

/// The limits of one connection, documented in `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ConnectionLimits {
    /// Malformed frames; the last of them closes the connection (CONN-4).
    pub invalid_frames_max: u16,
    /// Malformed frames that are forgotten at each heartbeat (CONN-4).
    pub invalid_frames_forgiven: u16,
    /// Frames above the rate within one heartbeat; the last of them closes the connection.
    pub throttled_frames_max: u16,
    /// Concurrent commands; further frames are not read until one finishes.
    pub commands_max: u16,
    /// Replies queued while a flush is in progress; at the limit no further frame is read.
    pub waiting_replies_max: u16,
}

impl ConnectionLimits {
    /// The default limits.
    pub const DEFAULT: ConnectionLimits = ConnectionLimits {
        invalid_frames_max: 16,
        invalid_frames_forgiven: 1,
        throttled_frames_max: 64,
        commands_max: 16,
        waiting_replies_max: 32,
    };
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The data that all states share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine<P> {
    pub(super) limits: ConnectionLimits,
    pub(super) unclear: u16,
    pub(super) throttled: u16,
    pub(super) commands: u16,
    writing: Writing,
    /// The content passes through; no state keeps any.
    payload: PhantomData<P>,
}

/// The state of the socket's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writing {
    Idle,
    /// A flush is in progress; `replies` counts the replies sent since it began.
    Busy {
        replies: u16,
    },
}

impl<P: Payload> Machine<P> {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, unclear: 0, throttled: 0, commands: 0, writing: Writing::Idle, payload: PhantomData }
    }

    /// Returns true if one more client frame may be handled.
    pub(super) fn has_room(&self) -> bool {
        let answered = match self.writing {
            Writing::Idle => true,
            Writing::Busy { replies } => replies < self.limits.waiting_replies_max,
        };
        answered && self.commands < self.limits.commands_max
    }

    /// Starts a new heartbeat period. The count of malformed frames leaks, so that a burst closes the
    /// connection, but not the sum over its lifetime (CONN-4).
    pub(super) fn forgive(&mut self) {
        self.throttled = 0;
        self.unclear = self.unclear.saturating_sub(self.limits.invalid_frames_forgiven);
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing != Writing::Idle
    }

    /// Sends a frame that is not a reply.
    pub(super) fn send(&mut self, frame: ServerFrame<P>, out: &mut StepOutput<'_, P>) {
        out.push(Effect::Send(frame));
        self.flush(out);
    }

    /// Sends a reply to a client frame, counted against `waiting_replies_max`.
    pub(super) fn reply(&mut self, frame: ServerFrame<P>, out: &mut StepOutput<'_, P>) {
        self.send(frame, out);
        self.replied();
    }

    /// Counts a reply if it waits for a flush.
    pub(super) fn replied(&mut self) {
        if let Writing::Busy { replies } = &mut self.writing {
            *replies = replies.saturating_add(1);
        }
    }

    /// Starts a flush unless one is in progress, which also covers output that is appended until it completes.
    pub(super) fn flush(&mut self, out: &mut StepOutput<'_, P>) {
        if self.writing == Writing::Idle {
            self.writing = Writing::Busy { replies: 0 };
            out.push(Effect::Flush);
            out.push(Effect::Arm(Timer::Stall));
        }
    }

    /// Ends a flush.
    pub(super) fn wrote(&mut self, out: &mut StepOutput<'_, P>) {
        self.writing = Writing::Idle;
        out.push(Effect::Disarm(Timer::Stall));
    }

    /// Sends a chunk, which ends at `last`.
    pub(super) fn deliver(
        &mut self,
        session: &mut Session,
        last: Offset,
        entries: &P::Entries,
        out: &mut StepOutput<'_, P>,
    ) {
        session.sent = last;
        session.flow = Flow::Sending;
        out.push(Effect::SendChunk(entries.clone()));
        self.flush(out);
    }

    /// Ends a flush and, if it included a chunk, requests the next one (DEL-4).
    pub(super) fn flushed(&mut self, session: &mut Session, through: Offset, out: &mut StepOutput<'_, P>) {
        self.wrote(out);
        if session.flow == Flow::Sending {
            session.flow = Flow::Fetching;
            out.push(Effect::ReadOn { after: session.sent, through });
        }
    }
}
