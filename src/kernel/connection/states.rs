//! The states of a connection and their transitions. An input without an arm falls through to `root`, which
//! rejects it.

use statig::prelude::*;

use super::{
    effect::{Cause, Effect, Fault, ServerFrame, Timer, Turn},
    input::{Asked, Input, Unattached, Unverified},
    resume::Resumption,
    session::{Backlog, Flow, Peer, Phase, Ping, Session},
    shared::Machine,
};
use crate::{ids::Offset, ticket::Identity};

#[state_machine(
    initial = "State::handshaking(Peer::Unknown)",
    state(derive(Clone, Debug, PartialEq, Eq, Hash)),
    superstate(derive(Debug)),
    visibility = "pub(super)",
    context_identifier = "turn",
    event_identifier = "input"
)]
impl Machine {
    #[action]
    fn greet(peer: &Peer, turn: &mut Turn<'_>) {
        turn.order(Effect::Arm(Timer::Hello));
        if let Peer::Known(identity) = peer {
            turn.order(Effect::ExpireAt(identity.expires_at));
        }
    }

    #[state(superstate = "setting_up", entry_action = "greet")]
    fn handshaking(&mut self, peer: &mut Peer, turn: &mut Turn<'_>, input: &Input) -> Outcome<State> {
        match (input, &*peer) {
            (Input::Hello { cursor, credential: true }, _) => {
                turn.order(Effect::Disarm(Timer::Hello));
                turn.order(Effect::Arm(Timer::SetUp));
                turn.order(Effect::Verify);
                Transition(State::verifying(peer.clone(), *cursor))
            }
            (Input::Hello { cursor, credential: false }, Peer::Known(identity)) => {
                turn.order(Effect::Disarm(Timer::Hello));
                turn.order(Effect::Arm(Timer::SetUp));
                turn.order(Effect::Attach(identity.clone()));
                Transition(State::attaching(identity.clone(), *cursor))
            }
            (Input::Hello { credential: false, .. }, Peer::Unknown) => {
                self.refuse(Fault::Unauthenticated, Cause::Unauthenticated, turn)
            }
            (Input::Elapsed(Timer::Hello), _) => close(Cause::NoHello, turn),
            _ => Super,
        }
    }

    #[state(superstate = "setting_up")]
    fn verifying(
        &mut self,
        peer: &Peer,
        cursor: &Asked,
        turn: &mut Turn<'_>,
        input: &Input,
    ) -> Outcome<State> {
        match input {
            // If there are two credentials, both have to be valid and of the same user (AUTH-5).
            Input::Verified(identity) if peer.may_be(identity) => {
                turn.order(Effect::ExpireAt(identity.expires_at));
                turn.order(Effect::Attach(identity.clone()));
                Transition(State::attaching(identity.clone(), *cursor))
            }
            Input::Verified(_) | Input::Unverified(Unverified::Refused) => {
                self.refuse(Fault::Unauthenticated, Cause::Unauthenticated, turn)
            }
            Input::Unverified(Unverified::Unavailable) => {
                self.refuse(Fault::Unavailable, Cause::Unavailable, turn)
            }
            Input::Unverified(Unverified::Limited { retry_after_ms }) => {
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms };
                self.refuse(fault, Cause::Flooding, turn)
            }
            _ => Super,
        }
    }

    #[state(superstate = "setting_up")]
    fn attaching(
        &mut self,
        identity: &Identity,
        cursor: &Asked,
        turn: &mut Turn<'_>,
        input: &Input,
    ) -> Outcome<State> {
        match input {
            Input::Attached { epoch, trimmed, head } => {
                let Resumption { resumed_after, gap } = Resumption::of(*cursor, *epoch, *trimmed, *head);
                turn.order(Effect::Disarm(Timer::SetUp));
                turn.order(Effect::Arm(Timer::Heartbeat));
                // The first frame of an opened connection (CONN-2).
                self.send(ServerFrame::Ready { resumed_after, head: *head, gap }, turn);
                let session = Session {
                    identity: identity.clone(),
                    sent: resumed_after,
                    flow: Flow::Fetching,
                    ping: Ping::None,
                };
                if resumed_after < *head {
                    turn.order(Effect::ReadOn { after: resumed_after, through: *head });
                    Transition(State::replaying(session, *head))
                } else {
                    self.send(ServerFrame::CaughtUp { offset: *head }, turn);
                    turn.order(Effect::ReadOn { after: resumed_after, through: WHATEVER_COMES });
                    Transition(State::live(session))
                }
            }
            // No frame may precede `ready` (CONN-2), so the close code alone reports the reason.
            Input::Unattached(Unattached::Unavailable) => close(Cause::Unavailable, turn),
            Input::Unattached(Unattached::UserFull) => close(Cause::UserFull, turn),
            Input::Unattached(Unattached::ServiceFull) => close(Cause::ServiceFull, turn),
            _ => Super,
        }
    }

    #[superstate(superstate = "connected")]
    fn setting_up(&mut self, turn: &mut Turn<'_>, input: &Input) -> Outcome<State> {
        match input {
            // CONN-1: no effect before `ready`.
            Input::Renew | Input::Ping | Input::Command => self.misunderstood(Fault::BeforeHello, turn),
            Input::Oversized => self.misunderstood(Fault::Oversized, turn),
            // An unauthenticated peer is closed at the first frame above the rate; it may reconnect.
            Input::Throttled { retry_after_ms } => {
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms };
                self.refuse(fault, Cause::Flooding, turn)
            }
            Input::Displaced => close(Cause::Displaced, turn),
            Input::Elapsed(Timer::SetUp) => close(Cause::Unavailable, turn),
            Input::Drain { .. } => close(Cause::Draining, turn),
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn replaying(
        &mut self,
        session: &mut Session,
        head: &Offset,
        turn: &mut Turn<'_>,
        input: &Input,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last } if session.expects(*first, *last) => {
                if last > head {
                    return close(Cause::Discontinuous, turn);
                }
                self.deliver(session, *last, turn);
                if last < head {
                    return Handled;
                }
                self.send(ServerFrame::CaughtUp { offset: *head }, turn);
                Transition(State::live(session.clone()))
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, *head, turn);
                Handled
            }
            Input::Drain { reconnect_after_ms } => {
                self.send(ServerFrame::Draining { reconnect_after_ms: *reconnect_after_ms }, turn);
                Transition(State::draining(session.clone(), Backlog::Until(*head)))
            }
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn live(&mut self, session: &mut Session, turn: &mut Turn<'_>, input: &Input) -> Outcome<State> {
        match input {
            Input::Chunk { first, last } if session.expects(*first, *last) => {
                self.deliver(session, *last, turn);
                Handled
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, WHATEVER_COMES, turn);
                Handled
            }
            Input::Drain { reconnect_after_ms } => {
                self.send(ServerFrame::Draining { reconnect_after_ms: *reconnect_after_ms }, turn);
                Transition(State::draining(session.clone(), Backlog::None))
            }
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn draining(
        &mut self,
        session: &mut Session,
        backlog: &mut Backlog,
        turn: &mut Turn<'_>,
        input: &Input,
    ) -> Outcome<State> {
        match (input, *backlog) {
            (Input::Chunk { first, last }, Backlog::Until(head)) if session.expects(*first, *last) => {
                if *last > head {
                    return close(Cause::Discontinuous, turn);
                }
                self.deliver(session, *last, turn);
                if *last == head {
                    self.send(ServerFrame::CaughtUp { offset: head }, turn);
                    *backlog = Backlog::None;
                }
                Handled
            }
            (Input::Chunk { first, last }, Backlog::None) if session.expects(*first, *last) => {
                self.deliver(session, *last, turn);
                Handled
            }
            (Input::Flushed, backlog) if self.is_writing() => {
                let through = match backlog {
                    Backlog::Until(head) => head,
                    Backlog::None => WHATEVER_COMES,
                };
                self.flushed(session, through, turn);
                Handled
            }
            // A connection that is still replaying resumes on its next connection.
            (Input::Drained { .. }, Backlog::Until(_)) => close(Cause::Draining, turn),
            (Input::Drained { head }, Backlog::None) if *head <= session.sent => close(Cause::Draining, turn),
            (Input::Drained { head }, Backlog::None) => {
                turn.order(Effect::Arm(Timer::Leave));
                Transition(State::leaving(session.clone(), *head))
            }
            _ => Super,
        }
    }

    #[state(superstate = "open")]
    fn leaving(
        &mut self,
        session: &mut Session,
        head: &Offset,
        turn: &mut Turn<'_>,
        input: &Input,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last } if session.expects(*first, *last) => {
                self.deliver(session, *last, turn);
                if last < head { Handled } else { close(Cause::Draining, turn) }
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, WHATEVER_COMES, turn);
                Handled
            }
            Input::Elapsed(Timer::Leave) => close(Cause::Draining, turn),
            _ => Super,
        }
    }

    #[superstate(superstate = "connected")]
    fn open(&mut self, session: &mut Session, turn: &mut Turn<'_>, input: &Input) -> Outcome<State> {
        match input {
            Input::Hello { .. } => self.misunderstood(Fault::SecondHello, turn),
            // The frame is well-formed, so it does not count as malformed (CONN-4).
            Input::Oversized => {
                self.reply(ServerFrame::Error { fault: Fault::Oversized, fatal: false }, turn);
                Handled
            }
            Input::Ping => {
                self.reply(ServerFrame::Pong, turn);
                Handled
            }
            Input::Command => {
                self.commands += 1;
                turn.order(Effect::Execute);
                Handled
            }
            Input::Renew => {
                self.commands += 1;
                turn.order(Effect::Verify);
                Handled
            }
            Input::Answered { reply } if self.commands > 0 => {
                self.commands -= 1;
                if *reply {
                    self.reply(ServerFrame::Answer, turn);
                }
                Handled
            }
            Input::Verified(identity) if self.commands > 0 => {
                self.commands -= 1;
                if session.identity.user_id == identity.user_id {
                    session.identity = identity.clone();
                    let expires_at = identity.expires_at;
                    turn.order(Effect::ExpireAt(expires_at));
                    self.reply(ServerFrame::Renewed { expires_at }, turn);
                } else {
                    // Another user's credential is treated like an invalid one (ISO-3).
                    self.reply(ServerFrame::Error { fault: Fault::Unauthenticated, fatal: false }, turn);
                }
                Handled
            }
            Input::Unverified(why) if self.commands > 0 => {
                self.commands -= 1;
                let fault = match why {
                    Unverified::Refused => Fault::Unauthenticated,
                    Unverified::Unavailable => Fault::Unavailable,
                    Unverified::Limited { retry_after_ms } => {
                        Fault::RateLimited { retry_after_ms: *retry_after_ms }
                    }
                };
                self.reply(ServerFrame::Error { fault, fatal: false }, turn);
                Handled
            }

            Input::Chunk { .. } if session.flow == Flow::Fetching => close(Cause::Discontinuous, turn),
            Input::Outrun if session.flow == Flow::Fetching => close(Cause::Outrun, turn),
            Input::Unreadable if session.flow == Flow::Fetching => close(Cause::Unavailable, turn),

            Input::Elapsed(Timer::Heartbeat) => {
                self.forgive();
                turn.order(Effect::Arm(Timer::Heartbeat));
                if session.ping == Ping::None {
                    session.ping = Ping::Unanswered;
                    turn.order(Effect::PingPeer);
                    turn.order(Effect::Arm(Timer::Pong));
                    self.flush(turn);
                }
                Handled
            }
            Input::Pong if session.ping == Ping::Unanswered => {
                session.ping = Ping::None;
                turn.order(Effect::Disarm(Timer::Pong));
                Handled
            }
            Input::Elapsed(Timer::Pong) if session.ping == Ping::Unanswered => {
                if self.has_room() {
                    return close(Cause::NoPong, turn);
                }
                // The pong may be queued behind frames that are unread for lack of room: not the peer's fault.
                turn.order(Effect::Arm(Timer::Pong));
                Handled
            }
            _ => Super,
        }
    }

    #[superstate(superstate = "root")]
    fn connected(&mut self, turn: &mut Turn<'_>, input: &Input) -> Outcome<State> {
        match input {
            Input::Unclear => self.misunderstood(Fault::Unclear, turn),
            Input::Throttled { retry_after_ms } => {
                self.throttled += 1;
                let fatal = self.throttled >= self.limits.throttled_frames_max;
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms };
                self.reply(ServerFrame::Error { fault, fatal }, turn);
                if fatal { close(Cause::Flooding, turn) } else { Handled }
            }
            Input::Flushed if self.is_writing() => {
                self.wrote(turn);
                Handled
            }
            Input::Elapsed(Timer::Stall) if self.is_writing() => close(Cause::Stalled, turn),
            // AUTH-3, in every state.
            Input::Elapsed(Timer::Expiry) => close(Cause::Expired, turn),
            Input::Pinged => {
                self.flush(turn);
                self.replied();
                Handled
            }
            // An unsolicited pong, which RFC 6455, section 5.5.3, allows.
            Input::Pong => Handled,
            Input::Binary => close(Cause::Binary, turn),
            Input::NotUtf8 => close(Cause::NotUtf8, turn),
            Input::TooLong => close(Cause::TooLong, turn),
            Input::Garbled => close(Cause::Garbled, turn),
            Input::MessageLate => close(Cause::MessageLate, turn),
            Input::UnfinishedMax => close(Cause::UnfinishedMax, turn),
            Input::PeerClosed => close(Cause::PeerClosed, turn),
            Input::Gone => close(Cause::Gone, turn),
            _ => Super,
        }
    }

    #[state(superstate = "root")]
    fn closed(cause: &Cause) -> Outcome<State> {
        // Nothing is sent after the close frame (CONN-3): every input is rejected.
        let _ = cause;
        Super
    }

    #[superstate]
    fn root(turn: &mut Turn<'_>) -> Outcome<State> {
        turn.rejected = true;
        Handled
    }
}

impl Machine {
    /// Replies to a frame that has no effect, and closes the connection at the limit of such frames (CONN-4).
    fn misunderstood(&mut self, fault: Fault, turn: &mut Turn<'_>) -> Outcome<State> {
        self.unclear += 1;
        let fatal = self.unclear >= self.limits.unclear_frames_max;
        self.reply(ServerFrame::Error { fault, fatal }, turn);
        if fatal { close(Cause::TooManyUnclear, turn) } else { Handled }
    }

    /// Sends a fatal `error` and closes. For unauthenticated peers only: after authentication no frame may
    /// precede `ready` (CONN-2).
    fn refuse(&mut self, fault: Fault, cause: Cause, turn: &mut Turn<'_>) -> Outcome<State> {
        self.send(ServerFrame::Error { fault, fatal: true }, turn);
        close(cause, turn)
    }
}

fn close(cause: Cause, turn: &mut Turn<'_>) -> Outcome<State> {
    turn.order(Effect::Close(cause));
    Transition(State::closed(cause))
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            State::Handshaking { .. } => Phase::Handshaking,
            State::Verifying { .. } => Phase::Verifying,
            State::Attaching { .. } => Phase::Attaching,
            State::Replaying { .. } => Phase::Replaying,
            State::Live { .. } => Phase::Live,
            State::Draining { .. } => Phase::Draining,
            State::Leaving { .. } => Phase::Leaving,
            State::Closed { cause } => Phase::Closed(*cause),
        }
    }

    /// Returns true in states that handle or refuse a client frame at once.
    pub(super) fn listens(&self) -> bool {
        match self {
            State::Handshaking { .. }
            | State::Replaying { .. }
            | State::Live { .. }
            | State::Draining { .. }
            | State::Leaving { .. } => true,
            State::Verifying { .. } | State::Attaching { .. } | State::Closed { .. } => false,
        }
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            State::Replaying { session, .. }
            | State::Live { session }
            | State::Draining { session, .. }
            | State::Leaving { session, .. } => Some(&session.identity),
            State::Handshaking { .. }
            | State::Verifying { .. }
            | State::Attaching { .. }
            | State::Closed { .. } => None,
        }
    }
}

/// The end of an unbounded read.
const WHATEVER_COMES: Offset = Offset(u64::MAX);
