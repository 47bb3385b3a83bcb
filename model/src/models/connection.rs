//! One connection: every input in every state, also one that its caller did not request. An observer that knows
//! the rules and none of the machine's states judges the orders.
//!
//! - [`observer`]: what it remembers and how it judges; [`properties`]: the claims

mod observer;
mod properties;

use std::fmt::Debug;

use quintet::kernel::{
    connection::{
        AttachError, Cause, Connection, ConnectionLimits, Effect, Effects, Fault, Input, Phase, Rejected,
        ResumeCursor, ServerFrame, Timer, VerifyError,
    },
    ids::{Epoch, Offset, Timestamp, UserId},
    ticket::Identity,
};
use stateright::{Model, Property};
use uuid::Uuid;

pub use self::observer::{PARTS, Seen};
use crate::checks::Checked;

/// The connection machine as a parameter; the default is the shipped one.
pub trait ConnectionMachine: Debug + Send + Sync {
    fn step(
        &self,
        connection: &mut Connection,
        input: &Input,
        effects: &mut Effects,
    ) -> Result<(), Rejected> {
        connection.step(input, effects)
    }
}

#[derive(Debug)]
pub struct ShippedConnection;

impl ConnectionMachine for ShippedConnection {}

#[derive(Clone, Debug)]
pub struct ConnectionModel {
    pub machine: &'static dyn ConnectionMachine,
    /// Whether the upgrade request was authenticated, as user 1.
    pub known: bool,
    /// The greatest offset of a log.
    pub offset_max: u64,
    pub limits: ConnectionLimits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched {
    pub connection: Connection,
    pub seen: Seen,
}

/// The identity of a user's upgrade request.
pub fn identity(user: u8) -> Identity {
    let user_id = UserId::parse(if user == 1 { "u1" } else { "u2" }).expect("a short name is valid");
    Identity { user_id, expires_at: Timestamp(9) }
}

/// The credential of a user in `hello` or `renew`: it expires at another time than that of the request.
pub fn credential(user: u8) -> Identity {
    Identity { expires_at: Timestamp(12), ..identity(user) }
}

fn user(identity: &Identity) -> u8 {
    if identity.user_id.as_str() == "u1" { 1 } else { 2 }
}

impl ConnectionModel {
    fn inputs(&self) -> Vec<Input> {
        let mut inputs = vec![
            Input::Renew(()),
            Input::Ping(()),
            Input::Command(()),
            Input::Unclear(()),
            Input::Oversized(()),
            Input::Throttled { retry_after_ms: 1, subject: () },
            Input::Pinged,
            Input::Pong,
            Input::Binary,
            Input::NotUtf8,
            Input::TooLong,
            Input::Garbled,
            Input::MessageLate,
            Input::UnfinishedMax,
            Input::Displaced,
            Input::Verified(credential(1)),
            Input::Verified(credential(2)),
            Input::Unverified(VerifyError::Refused),
            Input::Unverified(VerifyError::Unavailable),
            Input::Unverified(VerifyError::Limited { retry_after_ms: 1 }),
            Input::Unattached(AttachError::Unavailable),
            Input::Unattached(AttachError::UserFull),
            Input::Unattached(AttachError::ServiceFull),
            Input::Outrun,
            Input::Unreadable,
            Input::Answered { reply: Some(()) },
            Input::Answered { reply: None },
            Input::Flushed,
            Input::Drain { reconnect_after_ms: 1 },
            Input::PeerClosed,
            Input::Gone,
        ];
        inputs.extend(Timer::ALL.map(Input::Elapsed));
        inputs.extend(
            [None, Some(())].map(|credential| Input::Hello { cursor: ResumeCursor::Head, credential }),
        );
        for after in 0..=self.offset_max + 1 {
            for credential in [None, Some(())] {
                inputs.extend([None, Some(HERE), Some(ELSEWHERE)].map(|epoch| Input::Hello {
                    cursor: ResumeCursor::After { epoch, after: Offset(after) },
                    credential,
                }));
            }
        }
        for head in 0..=self.offset_max {
            inputs.extend((0..=head).map(|trimmed| Input::Attached {
                epoch: HERE,
                trimmed: Offset(trimmed),
                head: Offset(head),
            }));
            inputs.push(Input::Drained { head: Offset(head) });
            inputs.extend((1..=head).map(|first| Input::Chunk {
                first: Offset(first),
                last: Offset(head),
                entries: (),
            }));
        }
        inputs
    }
}

impl Model for ConnectionModel {
    type State = Watched;
    type Action = Input;

    fn init_states(&self) -> Vec<Watched> {
        let mut effects = Effects::new();
        let connection = Connection::accept(self.known.then(|| identity(1)), self.limits, &mut effects);
        let ends = self.known.then(|| identity(1).expires_at);
        let mut seen = Seen { user: self.known.then_some(1), ends, ..Seen::default() };
        for effect in &effects {
            seen.see(&Input::Flushed, effect, &self.limits);
        }
        vec![Watched { connection, seen }]
    }

    fn actions(&self, _: &Watched, actions: &mut Vec<Input>) {
        actions.extend(self.inputs());
    }

    fn next_state(&self, state: &Watched, input: Input) -> Option<Watched> {
        if state.seen.broken.is_some() {
            return None;
        }
        let mut next = state.clone();
        let mut effects = Effects::new();
        match self.machine.step(&mut next.connection, &input, &mut effects) {
            Err(_) => {
                let unchanged = next.connection == state.connection && effects.is_empty();
                next.seen.expect("UNCHANGED", unchanged);
                // These two may come at any time: an open connection has to accept them.
                next.seen.expect("CONN-4", input != Input::Unclear(()) || !state.connection.reads_frames());
                let is_over = input == Input::Elapsed(Timer::Expiry) && state.seen.armed.is_some();
                next.seen.expect("AUTH-3", !is_over || state.seen.closed.is_some());
            }
            Ok(()) => {
                let seen = &mut next.seen;
                if state.connection.phase() == Phase::Handshaking && matches!(input, Input::Hello { .. }) {
                    seen.hello = true;
                    seen.asked = if let Input::Hello { cursor, .. } = input { Some(cursor) } else { None };
                }
                if let (Phase::Verifying, Input::Verified(identity)) = (state.connection.phase(), &input) {
                    // AUTH-5: of two credentials both have to be of the same user.
                    let same = seen.user.is_none_or(|known| known == user(identity));
                    seen.user = if same { Some(user(identity)) } else { None };
                    seen.ends = if same { Some(identity.expires_at) } else { None };
                }
                let reject_invalid = [Fault::Unclear(()), Fault::BeforeHello(()), Fault::SecondHello];
                let counts = |fault| {
                    reject_invalid.contains(fault) || (*fault == Fault::Oversized(()) && !state.seen.ready)
                };
                for effect in &effects {
                    if matches!(effect, Effect::Send(ServerFrame::Error { fault, .. })
                        if counts(fault))
                    {
                        seen.unclear += 1;
                        seen.expect("CONN-4", seen.unclear <= self.limits.invalid_frames_max);
                    }
                    seen.see(&input, effect, &self.limits);
                }
                if input == Input::Elapsed(Timer::Heartbeat) {
                    seen.forgiven |= seen.unclear > 0;
                    seen.unclear = seen.unclear.saturating_sub(self.limits.invalid_frames_forgiven);
                }
                if matches!(input, Input::Answered { .. } | Input::Verified(_) | Input::Unverified(_)) {
                    seen.commands = seen.commands.saturating_sub(1);
                }
                if input == Input::Unclear(()) && seen.unclear < self.limits.invalid_frames_max {
                    // CONN-4: it is answered, changes nothing else, and the connection lives.
                    let answered = matches!(effects.first(), Some(Effect::Send(ServerFrame::Error { .. })));
                    seen.expect("CONN-4", answered && next.connection.phase() == state.connection.phase());
                }
                if input == Input::Oversized(()) && seen.ready {
                    // CONN-4: it was understood; it is answered, and counts for nothing.
                    let answered = matches!(effects.first(), Some(Effect::Send(ServerFrame::Error { .. })));
                    let lives = next.connection.phase() == state.connection.phase();
                    seen.expect("CONN-4", answered && lives);
                }
                if input == Input::Elapsed(Timer::Expiry) {
                    seen.expect("AUTH-3", seen.closed == Some(Cause::Expired));
                }
                // AUTH-3: an open connection has its end armed, and for when the credential ends.
                let armed = seen.armed.is_some() && seen.armed == seen.ends;
                seen.expect("AUTH-3", !seen.ready || seen.closed.is_some() || armed);
                let whose = next.connection.identity().map(user);
                seen.expect("ISO-1", whose.is_none() || whose == seen.user);
                let closed = matches!(next.connection.phase(), Phase::Closed(_));
                seen.expect("CONN-3", closed == seen.closed.is_some());
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

pub const LIMITS: ConnectionLimits = ConnectionLimits {
    invalid_frames_max: 2,
    invalid_frames_forgiven: 1,
    throttled_frames_max: 2,
    commands_max: 1,
    waiting_replies_max: 2,
};

const HERE: Epoch = Epoch(Uuid::from_u128(1));
const ELSEWHERE: Epoch = Epoch(Uuid::from_u128(2));
