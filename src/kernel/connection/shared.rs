//! What every state of a connection shares: its bounds, how much of them is used, and what is on its way
//! to the socket.

use super::{
    effect::{Effect, ServerFrame, Timer, Turn},
    session::{Flow, Session},
};
use crate::kernel::ids::Offset;

/// How much one connection may ask for; named in the documentation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Frames that cannot be understood; the last of them closes the connection (CONN-4).
    pub unclear_frames_max: u16,
    /// Frames that cannot be understood and are forgiven at each heartbeat (CONN-4).
    pub unclear_frames_forgiven: u16,
    /// Frames beyond the rate within one heartbeat; the last of them closes the connection.
    pub throttled_frames_max: u16,
    /// Commands that are carried out at once; further ones wait in the socket.
    pub commands_max: u16,
    /// Frames sent in answer to the client while the socket takes no more; further ones wait unread.
    pub waiting_replies_max: u16,
}

impl Limits {
    /// What the service runs with unless it is told otherwise.
    pub const DEFAULT: Limits = Limits {
        unclear_frames_max: 16,
        unclear_frames_forgiven: 1,
        throttled_frames_max: 64,
        commands_max: 16,
        waiting_replies_max: 32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What every state shares: the bounds, and how much of them is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    pub(super) limits: Limits,
    pub(super) unclear: u16,
    pub(super) throttled: u16,
    pub(super) commands: u16,
    writing: Writing,
}

/// Whether the socket still has to take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writing {
    Idle,
    /// A flush is under way; `replies` frames were sent in answer to the client since it began.
    Busy {
        replies: u16,
    },
}

impl Machine {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, unclear: 0, throttled: 0, commands: 0, writing: Writing::Idle }
    }

    /// Whether the client may have one more frame acted on.
    pub(super) fn has_room(&self) -> bool {
        let answered = match self.writing {
            Writing::Idle => true,
            Writing::Busy { replies } => replies < self.limits.waiting_replies_max,
        };
        answered && self.commands < self.limits.commands_max
    }

    /// Starts a new period of the rates that are counted by heartbeat: `unclear` leaks, so that a client is
    /// closed for a burst of such frames and not for their number in a long life (CONN-4).
    pub(super) fn forgive(&mut self) {
        self.throttled = 0;
        self.unclear = self.unclear.saturating_sub(self.limits.unclear_frames_forgiven);
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing != Writing::Idle
    }

    /// Sends something that the service itself has to say.
    pub(super) fn send(&mut self, frame: ServerFrame, turn: &mut Turn<'_>) {
        turn.order(Effect::Send(frame));
        self.flush(turn);
    }

    /// Sends something because of a frame of the client, which may send only so many of them ahead.
    pub(super) fn reply(&mut self, frame: ServerFrame, turn: &mut Turn<'_>) {
        self.send(frame, turn);
        self.replied();
    }

    pub(super) fn replied(&mut self) {
        if let Writing::Busy { replies } = &mut self.writing {
            *replies = replies.saturating_add(1);
        }
    }

    /// One flush takes along whatever is sent until it is done.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>) {
        if self.writing == Writing::Idle {
            self.writing = Writing::Busy { replies: 0 };
            turn.order(Effect::Flush);
            turn.order(Effect::Arm(Timer::Stall));
        }
    }

    pub(super) fn wrote(&mut self, turn: &mut Turn<'_>) {
        self.writing = Writing::Idle;
        turn.order(Effect::Disarm(Timer::Stall));
    }

    pub(super) fn deliver(&mut self, session: &mut Session, last: Offset, turn: &mut Turn<'_>) {
        session.sent = last;
        session.flow = Flow::Sending;
        turn.order(Effect::SendChunk);
        self.flush(turn);
    }

    pub(super) fn flushed(&mut self, session: &mut Session, through: Offset, turn: &mut Turn<'_>) {
        self.wrote(turn);
        if session.flow == Flow::Sending {
            session.flow = Flow::Fetching;
            turn.order(Effect::ReadOn { after: session.sent, through });
        }
    }
}
