//! The states of a connection and their transitions. A state names every input: an input that it leaves to its
//! superstate goes up, at last to `root`, which rejects it.

#![deny(clippy::wildcard_enum_match_arm)]

use statig::prelude::*;

use super::{
    cause::Cause,
    effect::{Effect, Fault, ServerFrame, StepOutput},
    groups::{fetched, frame, rest, setup, socket, verdict},
    input::{AttachError, Input, VerifyError},
    payload::Payload,
    resume::{ResumeCursor, Resumption},
    session::{Backlog, Flow, Peer, PingState, Session},
    shared::Machine,
    timer::Timer,
};
use crate::{ids::Offset, ticket::Identity};

#[state_machine(
    initial = "State::handshaking(Peer::Unknown)",
    state(derive(Clone, Debug, PartialEq, Eq, Hash)),
    superstate(derive(Debug)),
    visibility = "pub(super)",
    context_identifier = "out",
    event_identifier = "input"
)]
impl<P: Payload> Machine<P> {
    #[action]
    fn greet(peer: &Peer, out: &mut StepOutput<'_, P>) {
        out.push(Effect::Arm(Timer::Hello));
        if let Peer::Known(identity) = peer {
            out.push(Effect::ExpireAt(identity.expires_at));
        }
    }

    #[state(superstate = "setting_up", entry_action = "greet")]
    fn handshaking(
        &mut self,
        peer: &mut Peer,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Hello { cursor, credential } => match (credential, &*peer) {
                (Some(credential), _) => {
                    out.push(Effect::Disarm(Timer::Hello));
                    out.push(Effect::Arm(Timer::SetUp));
                    out.push(Effect::Verify(credential.clone()));
                    Transition(State::verifying(peer.clone(), *cursor))
                }
                (None, Peer::Known(identity)) => {
                    out.push(Effect::Disarm(Timer::Hello));
                    out.push(Effect::Arm(Timer::SetUp));
                    out.push(Effect::Attach { identity: identity.clone(), cursor: *cursor });
                    Transition(State::attaching(identity.clone(), *cursor))
                }
                (None, Peer::Unknown) => self.refuse(Fault::Unauthenticated, Cause::Unauthenticated, out),
            },
            Input::Elapsed(Timer::Hello) => close(Cause::NoHello, out),
            frame!() | socket!() | setup!() | verdict!() | fetched!() | rest!() => Super,
        }
    }

    #[state(superstate = "setting_up")]
    fn verifying(
        &mut self,
        peer: &Peer,
        cursor: &ResumeCursor,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            // If there are two credentials, both have to be valid and of the same user (AUTH-5).
            Input::Verified(identity) if peer.may_be(identity) => {
                out.push(Effect::ExpireAt(identity.expires_at));
                out.push(Effect::Attach { identity: identity.clone(), cursor: *cursor });
                Transition(State::attaching(identity.clone(), *cursor))
            }
            Input::Verified(_) | Input::Unverified(VerifyError::Refused) => {
                self.refuse(Fault::Unauthenticated, Cause::Unauthenticated, out)
            }
            Input::Unverified(VerifyError::Unavailable) => {
                self.refuse(Fault::Unavailable, Cause::Unavailable, out)
            }
            Input::Unverified(VerifyError::Limited { retry_after_ms }) => {
                let subject = P::Subject::default();
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms, subject };
                self.refuse(fault, Cause::Flooding, out)
            }
            Input::Hello { .. } | frame!() | socket!() | setup!() | fetched!() | rest!() => Super,
        }
    }

    #[state(superstate = "setting_up")]
    fn attaching(
        &mut self,
        identity: &Identity,
        cursor: &ResumeCursor,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Attached { epoch, trimmed, head } => {
                let Resumption { resumed_after, gap } = Resumption::of(*cursor, *epoch, *trimmed, *head);
                out.push(Effect::Disarm(Timer::SetUp));
                out.push(Effect::Arm(Timer::Heartbeat));
                // Before any entry, answer or `caught_up` (CONN-2).
                self.send(ServerFrame::Ready { resumed_after, head: *head, gap }, out);
                let session = Session {
                    identity: identity.clone(),
                    sent: resumed_after,
                    flow: Flow::Fetching,
                    ping: PingState::None,
                };
                if resumed_after < *head {
                    out.push(Effect::ReadOn { after: resumed_after, through: *head });
                    Transition(State::replaying(session, *head))
                } else {
                    self.send(ServerFrame::CaughtUp { offset: *head }, out);
                    out.push(Effect::ReadOn { after: resumed_after, through: UNBOUNDED });
                    Transition(State::live(session))
                }
            }
            // Only an error about a frame before `hello` may precede `ready` (CONN-2), so the close code alone
            // reports the reason.
            Input::Unattached(AttachError::Unavailable) => close(Cause::Unavailable, out),
            Input::Unattached(AttachError::UserFull) => close(Cause::UserFull, out),
            Input::Unattached(AttachError::ServiceFull) => close(Cause::ServiceFull, out),
            Input::Hello { .. } | Input::Displaced => Super,
            frame!() | socket!() | verdict!() | fetched!() | rest!() => Super,
        }
    }

    #[superstate(superstate = "connected")]
    fn setting_up(&mut self, out: &mut StepOutput<'_, P>, input: &Input<P>) -> Outcome<State> {
        match input {
            // CONN-1: no effect before `ready`.
            Input::Command(command) => self.reject_invalid(Fault::BeforeHello(P::subject(command)), out),
            Input::Renew(_) | Input::Ping(_) => {
                self.reject_invalid(Fault::BeforeHello(P::Subject::default()), out)
            }
            Input::Oversized(frame) => self.reject_invalid(Fault::Oversized(frame.clone()), out),
            // An unauthenticated peer is closed at the first frame above the rate; it may reconnect.
            Input::Throttled { retry_after_ms, subject } => {
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms, subject: subject.clone() };
                self.refuse(fault, Cause::Flooding, out)
            }
            Input::Displaced => close(Cause::Displaced, out),
            Input::Elapsed(Timer::SetUp) => close(Cause::Unavailable, out),
            Input::Drain { .. } => close(Cause::Draining, out),
            Input::Hello { .. } | Input::Unclear(_) | Input::Pinged | Input::Attached { .. } => Super,
            Input::Unattached(_) | Input::Answered { .. } | Input::Flushed | Input::Drained { .. } => Super,
            Input::Elapsed(_) | socket!() | verdict!() | fetched!() => Super,
        }
    }

    #[state(superstate = "open")]
    fn replaying(
        &mut self,
        session: &mut Session,
        head: &Offset,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last, entries } if session.expects(*first, *last) => {
                if last > head {
                    return close(Cause::Discontinuous, out);
                }
                self.deliver(session, *last, entries, out);
                if last < head {
                    return Handled;
                }
                self.send(ServerFrame::CaughtUp { offset: *head }, out);
                Transition(State::live(session.clone()))
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, *head, out);
                Handled
            }
            Input::Drain { reconnect_after_ms } => {
                self.send(ServerFrame::Draining { reconnect_after_ms: *reconnect_after_ms }, out);
                Transition(State::draining(session.clone(), Backlog::Until(*head)))
            }
            Input::Hello { .. } | Input::Answered { .. } | Input::Elapsed(_) | Input::Drained { .. } => Super,
            Input::Flushed | frame!() | socket!() | setup!() | verdict!() | fetched!() => Super,
        }
    }

    #[state(superstate = "open")]
    fn live(
        &mut self,
        session: &mut Session,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last, entries } if session.expects(*first, *last) => {
                self.deliver(session, *last, entries, out);
                Handled
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, UNBOUNDED, out);
                Handled
            }
            Input::Drain { reconnect_after_ms } => {
                self.send(ServerFrame::Draining { reconnect_after_ms: *reconnect_after_ms }, out);
                Transition(State::draining(session.clone(), Backlog::None))
            }
            Input::Hello { .. } | Input::Answered { .. } | Input::Elapsed(_) | Input::Drained { .. } => Super,
            Input::Flushed | frame!() | socket!() | setup!() | verdict!() | fetched!() => Super,
        }
    }

    #[state(superstate = "open")]
    fn draining(
        &mut self,
        session: &mut Session,
        backlog: &mut Backlog,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last, entries } if session.expects(*first, *last) => {
                if matches!(backlog, Backlog::Until(head) if last > head) {
                    return close(Cause::Discontinuous, out);
                }
                self.deliver(session, *last, entries, out);
                if *backlog == Backlog::Until(*last) {
                    self.send(ServerFrame::CaughtUp { offset: *last }, out);
                    *backlog = Backlog::None;
                }
                Handled
            }
            Input::Flushed if self.is_writing() => {
                let through = match backlog {
                    Backlog::Until(head) => *head,
                    Backlog::None => UNBOUNDED,
                };
                self.flushed(session, through, out);
                Handled
            }
            Input::Drained { head } => match backlog {
                // A connection that is still replaying resumes on its next connection.
                Backlog::Until(_) => close(Cause::Draining, out),
                Backlog::None if *head <= session.sent => close(Cause::Draining, out),
                Backlog::None => {
                    out.push(Effect::Arm(Timer::Leave));
                    Transition(State::leaving(session.clone(), *head))
                }
            },
            Input::Hello { .. } | Input::Answered { .. } | Input::Elapsed(_) | Input::Drain { .. } => Super,
            Input::Flushed | frame!() | socket!() | setup!() | verdict!() | fetched!() => Super,
        }
    }

    #[state(superstate = "open")]
    fn leaving(
        &mut self,
        session: &mut Session,
        head: &Offset,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Chunk { first, last, entries } if session.expects(*first, *last) => {
                self.deliver(session, *last, entries, out);
                if last < head { Handled } else { close(Cause::Draining, out) }
            }
            Input::Flushed if self.is_writing() => {
                self.flushed(session, UNBOUNDED, out);
                Handled
            }
            Input::Elapsed(Timer::Leave) => close(Cause::Draining, out),
            Input::Hello { .. } | frame!() | socket!() | setup!() | verdict!() | fetched!() | rest!() => {
                Super
            }
        }
    }

    #[superstate(superstate = "connected")]
    fn open(
        &mut self,
        session: &mut Session,
        out: &mut StepOutput<'_, P>,
        input: &Input<P>,
    ) -> Outcome<State> {
        match input {
            Input::Hello { .. } => self.reject_invalid(Fault::SecondHello, out),
            // The frame is well-formed, so it does not count as malformed (CONN-4).
            Input::Oversized(frame) => {
                let fault = Fault::Oversized(frame.clone());
                self.reply(ServerFrame::Error { fault, fatal: false }, out);
                Handled
            }
            Input::Ping(nonce) => {
                self.reply(ServerFrame::Pong(nonce.clone()), out);
                Handled
            }
            Input::Command(command) => {
                self.commands += 1;
                out.push(Effect::Execute(command.clone()));
                Handled
            }
            Input::Renew(credential) => {
                self.commands += 1;
                out.push(Effect::Verify(credential.clone()));
                Handled
            }
            Input::Answered { reply } if self.commands > 0 => {
                self.commands -= 1;
                if let Some(answer) = reply {
                    self.reply(ServerFrame::Answer(answer.clone()), out);
                }
                Handled
            }
            Input::Verified(identity) if self.commands > 0 => {
                self.commands -= 1;
                if session.identity.user_id == identity.user_id {
                    session.identity = identity.clone();
                    let expires_at = identity.expires_at;
                    out.push(Effect::ExpireAt(expires_at));
                    self.reply(ServerFrame::Renewed { expires_at }, out);
                } else {
                    // Another user's credential is treated like an invalid one (ISO-3).
                    self.reply(ServerFrame::Error { fault: Fault::Unauthenticated, fatal: false }, out);
                }
                Handled
            }
            Input::Unverified(why) if self.commands > 0 => {
                self.commands -= 1;
                let fault = match why {
                    VerifyError::Refused => Fault::Unauthenticated,
                    VerifyError::Unavailable => Fault::Unavailable,
                    VerifyError::Limited { retry_after_ms } => {
                        Fault::RateLimited { retry_after_ms: *retry_after_ms, subject: P::Subject::default() }
                    }
                };
                self.reply(ServerFrame::Error { fault, fatal: false }, out);
                Handled
            }

            Input::Chunk { .. } if session.flow == Flow::Fetching => close(Cause::Discontinuous, out),
            Input::Outrun if session.flow == Flow::Fetching => close(Cause::Outrun, out),
            Input::Unreadable if session.flow == Flow::Fetching => close(Cause::Unavailable, out),

            Input::Elapsed(Timer::Heartbeat) => {
                self.forgive();
                out.push(Effect::Arm(Timer::Heartbeat));
                if session.ping == PingState::None {
                    session.ping = PingState::Unanswered;
                    out.push(Effect::PingPeer);
                    out.push(Effect::Arm(Timer::Pong));
                    self.flush(out);
                }
                Handled
            }
            Input::Pong if session.ping == PingState::Unanswered => {
                session.ping = PingState::None;
                out.push(Effect::Disarm(Timer::Pong));
                Handled
            }
            Input::Elapsed(Timer::Pong) if session.ping == PingState::Unanswered => {
                if self.has_room() {
                    return close(Cause::NoPong, out);
                }
                // The pong may be queued behind frames that are unread for lack of room: not the peer's fault.
                out.push(Effect::Arm(Timer::Pong));
                Handled
            }
            Input::Unclear(_) | Input::Throttled { .. } | Input::Pinged => Super,
            socket!() | setup!() | verdict!() | fetched!() | rest!() => Super,
        }
    }

    #[superstate(superstate = "root")]
    fn connected(&mut self, out: &mut StepOutput<'_, P>, input: &Input<P>) -> Outcome<State> {
        match input {
            Input::Unclear(frame) => self.reject_invalid(Fault::Unclear(frame.clone()), out),
            Input::Throttled { retry_after_ms, subject } => {
                self.throttled += 1;
                let fatal = self.throttled >= self.limits.throttled_frames_max;
                let fault = Fault::RateLimited { retry_after_ms: *retry_after_ms, subject: subject.clone() };
                self.reply(ServerFrame::Error { fault, fatal }, out);
                if fatal { close(Cause::Flooding, out) } else { Handled }
            }
            Input::Flushed if self.is_writing() => {
                self.wrote(out);
                Handled
            }
            Input::Elapsed(Timer::Stall) if self.is_writing() => close(Cause::Stalled, out),
            // AUTH-3, in every state.
            Input::Elapsed(Timer::Expiry) => close(Cause::Expired, out),
            Input::Pinged => {
                self.flush(out);
                self.replied();
                Handled
            }
            // An unsolicited pong, which RFC 6455, section 5.5.3, allows.
            Input::Pong => Handled,
            Input::Binary => close(Cause::Binary, out),
            Input::NotUtf8 => close(Cause::NotUtf8, out),
            Input::TooLong => close(Cause::TooLong, out),
            Input::Garbled => close(Cause::Garbled, out),
            Input::MessageLate => close(Cause::MessageLate, out),
            Input::UnfinishedMax => close(Cause::UnfinishedMax, out),
            Input::PeerClosed => close(Cause::PeerClosed, out),
            Input::Gone => close(Cause::Gone, out),
            Input::Hello { .. } | Input::Renew(_) | Input::Ping(_) | Input::Command(_) => Super,
            Input::Oversized(_) | setup!() | verdict!() | fetched!() | rest!() => Super,
        }
    }

    #[state(superstate = "root")]
    fn closed(cause: &Cause) -> Outcome<State> {
        // Nothing is sent after the close frame (CONN-3): every input is rejected.
        let _ = cause;
        Super
    }

    #[superstate]
    fn root(out: &mut StepOutput<'_, P>) -> Outcome<State> {
        out.rejected = true;
        Handled
    }
}

impl<P: Payload> Machine<P> {
    /// Replies to a frame that has no effect, and closes the connection at the limit of such frames (CONN-4).
    fn reject_invalid(&mut self, fault: Fault<P>, out: &mut StepOutput<'_, P>) -> Outcome<State> {
        self.unclear += 1;
        let fatal = self.unclear >= self.limits.invalid_frames_max;
        self.reply(ServerFrame::Error { fault, fatal }, out);
        if fatal { close(Cause::TooManyUnclear, out) } else { Handled }
    }

    /// Sends a fatal `error` and closes. For unauthenticated peers only: after authentication no frame may
    /// precede `ready` (CONN-2).
    fn refuse(&mut self, fault: Fault<P>, cause: Cause, out: &mut StepOutput<'_, P>) -> Outcome<State> {
        self.send(ServerFrame::Error { fault, fatal: true }, out);
        close(cause, out)
    }
}

fn close<P: Payload>(cause: Cause, out: &mut StepOutput<'_, P>) -> Outcome<State> {
    out.push(Effect::Close(cause));
    Transition(State::closed(cause))
}

/// The end of an unbounded read.
const UNBOUNDED: Offset = Offset(u64::MAX);
