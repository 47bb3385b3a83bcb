//! One connection: every input offered in every state, whatever its caller asked for. An observer who
//! knows the rules and none of the machine's states judges what it orders.

use std::fmt::Debug;

use quintet::kernel::{
    connection::{
        Cause, Connection, Effect, Effects, Fault, Gap, Input, Limits, Phase, Rejected, ResumeCursor,
        ServerFrame, Timer, Unattached, Unverified,
    },
    ids::{Epoch, Offset, Timestamp, UserId},
    ticket::Identity,
};
use stateright::{Model, Property};
use uuid::Uuid;

use crate::{
    checks,
    checks::{Check, Checked},
};

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
    /// How far logs reach.
    pub offset_max: u64,
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched {
    pub connection: Connection,
    pub seen: Seen,
}

/// What an observer of the orders remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whose credential was accepted.
    user: Option<u8>,
    /// When the credential ends that was accepted last, and for when its end is armed.
    ends: Option<Timestamp>,
    armed: Option<Timestamp>,
    hello: bool,
    /// Its cursor, as it said `hello`.
    asked: Option<ResumeCursor>,
    ready: bool,
    caught_up: bool,
    /// The head that `ready` named.
    told_head: u64,
    /// The last entry that went out.
    sent: u64,
    closed: Option<Cause>,
    commands: u16,
    unclear: u16,
    /// Whether a heartbeat has forgiven an unclear frame.
    forgiven: bool,
    pub broken: Option<&'static str>,
}

/// What a user's upgrade request is authenticated with.
pub fn identity(user: u8) -> Identity {
    let user_id = UserId::parse(if user == 1 { "u1" } else { "u2" }).expect("a short name is valid");
    Identity { user_id, expires_at: Timestamp(9) }
}

/// What a user brings along in `hello` or `renew`: it ends at another time than that of the request.
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
            Input::Unverified(Unverified::Refused),
            Input::Unverified(Unverified::Unavailable),
            Input::Unverified(Unverified::Limited { retry_after_ms: 1 }),
            Input::Unattached(Unattached::Unavailable),
            Input::Unattached(Unattached::UserFull),
            Input::Unattached(Unattached::ServiceFull),
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
        for after in 0..=self.offset_max + 1 {
            for credential in [None, Some(())] {
                inputs.extend([None, Some(HERE), Some(ELSEWHERE)].map(|epoch| Input::Hello {
                    cursor: ResumeCursor { epoch, after: Offset(after) },
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

impl Seen {
    fn breaks(&mut self, rule: &'static str) {
        self.broken = self.broken.or(Some(rule));
    }

    /// The order in which things come is the observer's whole knowledge.
    fn see(&mut self, input: &Input, effect: &Effect, limits: &Limits) {
        if self.closed.is_some() {
            self.breaks("CONN-3");
        }
        match effect {
            Effect::Attach { identity, .. } => {
                self.expect("CONN-1", self.hello);
                // ISO-1: the machines that are attached are those of the credential that was accepted.
                let vouched = matches!(input, Input::Verified(_) | Input::Hello { credential: None, .. });
                self.expect("ISO-1", vouched && self.user == Some(user(identity)));
            }
            Effect::Execute(()) => {
                self.commands += 1;
                self.expect("CONN-1", self.ready && *input == Input::Command(()));
                self.expect("DEL-4", self.commands <= limits.commands_max);
            }
            Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) => {
                self.expect("CONN-2", !self.ready);
                self.ready = true;
                self.sent = resumed_after.0;
                self.told_head = head.0;
                self.expect_resumption(input, resumed_after.0, *gap);
            }
            Effect::Send(ServerFrame::CaughtUp { offset }) => {
                self.expect("DEL-2", self.ready && !self.caught_up && offset.0 == self.sent);
                self.expect("DEL-2", offset.0 == self.told_head);
                self.caught_up = true;
            }
            Effect::Send(ServerFrame::Error { fault, fatal }) => {
                // Before `ready`: about a frame that came before `hello`, or the last word before a close.
                self.expect("CONN-2", self.ready || !self.hello || *fatal);
                self.expect("CONN-2", self.ready || *fault != Fault::SecondHello);
            }
            Effect::Send(ServerFrame::Answer(())) => {
                self.expect("DEL-7", *input == (Input::Answered { reply: Some(()) }))
            }
            Effect::Send(ServerFrame::Renewed { expires_at }) => {
                let own = matches!(input, Input::Verified(identity) if self.user == Some(user(identity)));
                self.expect("ISO-1", self.ready && own);
                let says = matches!(input, Input::Verified(identity) if identity.expires_at == *expires_at);
                self.expect("AUTH-3", says);
                self.ends = Some(*expires_at);
            }
            Effect::Send(_) => self.expect("CONN-2", self.ready),
            Effect::SendChunk(()) => {
                let Input::Chunk { first, last, .. } = input else { return self.breaks("DEL-2") };
                self.expect("CONN-2", self.ready);
                self.expect("DEL-2", first.0 == self.sent + 1 && last >= first);
                self.sent = last.0;
            }
            Effect::ReadOn { after, .. } => self.expect("DEL-2", after.0 == self.sent),
            Effect::Close(cause) => self.closed = Some(*cause),
            Effect::ExpireAt(moment) => self.armed = Some(*moment),
            Effect::Arm(Timer::Expiry) | Effect::Disarm(Timer::Expiry) => self.armed = None,
            Effect::Verify(()) | Effect::Flush | Effect::PingPeer | Effect::Arm(_) | Effect::Disarm(_) => {}
        }
    }

    /// DEL-3: it goes on right behind the cursor, or says what is missing.
    fn expect_resumption(&mut self, input: &Input, resumed_after: u64, gap: Option<Gap>) {
        let (Some(asked), Input::Attached { trimmed, head, .. }) = (self.asked, input) else {
            return self.breaks("CONN-1");
        };
        let holds = match gap {
            None => resumed_after == asked.after.0 && asked.epoch != Some(ELSEWHERE),
            Some(gap) if asked.epoch == Some(ELSEWHERE) => resumed_after == trimmed.0 && gap.to == *trimmed,
            Some(gap) if asked.after < *trimmed => {
                resumed_after == trimmed.0 && gap.from == asked.after.next() && gap.to == *trimmed
            }
            Some(gap) => {
                asked.after > *head
                    && resumed_after == head.0
                    && gap.from == head.next()
                    && gap.to == asked.after
            }
        };
        self.expect("DEL-3", holds && (trimmed.0..=head.0).contains(&resumed_after));
    }

    fn expect(&mut self, rule: &'static str, holds: bool) {
        if !holds {
            self.breaks(rule);
        }
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
                // These two may come at any time: whoever listens has to listen to them.
                next.seen.expect("CONN-4", input != Input::Unclear(()) || !state.connection.hears());
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
                let misunderstood = [Fault::Unclear(()), Fault::BeforeHello(()), Fault::SecondHello];
                let counts = |fault| {
                    misunderstood.contains(fault) || (*fault == Fault::Oversized(()) && !state.seen.ready)
                };
                for effect in &effects {
                    if matches!(effect, Effect::Send(ServerFrame::Error { fault, .. })
                        if counts(fault))
                    {
                        seen.unclear += 1;
                        seen.expect("CONN-4", seen.unclear <= self.limits.unclear_frames_max);
                    }
                    seen.see(&input, effect, &self.limits);
                }
                if input == Input::Elapsed(Timer::Heartbeat) {
                    seen.forgiven |= seen.unclear > 0;
                    seen.unclear = seen.unclear.saturating_sub(self.limits.unclear_frames_forgiven);
                }
                if matches!(input, Input::Answered { .. } | Input::Verified(_) | Input::Unverified(_)) {
                    seen.commands = seen.commands.saturating_sub(1);
                }
                if input == Input::Unclear(()) && seen.unclear < self.limits.unclear_frames_max {
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

impl Checked for ConnectionModel {
    const NAME: &str = "connection";

    fn checks() -> Vec<Check<Self>> {
        fn kept(s: &Watched, rule: &str) -> bool {
            s.seen.broken != Some(rule)
        }
        fn closed(s: &Watched, cause: Cause) -> bool {
            s.seen.closed == Some(cause)
        }
        checks![ConnectionModel;
            always ["CONN-1"] "nothing has an effect before hello is accepted"
                case "it heard what it did not act on before hello" => |_, s| kept(s, "CONN-1");
            always ["CONN-2"] "ready is the first frame of an open connection, once"
                case "it is live" => |_, s| kept(s, "CONN-2");
            always ["CONN-3"] "nothing follows the close, and there is one"
                case "an input comes after the close, and is rejected" => |_, s| kept(s, "CONN-3");
            always ["CONN-4"] "what is not understood is answered and changes nothing, up to the limit"
                case "it is closed for what nobody understands" => |_, s| kept(s, "CONN-4");
            always ["DEL-2"] "entries are contiguous, caught_up comes once"
                case "it is closed for a hole" => |_, s| kept(s, "DEL-2");
            always ["DEL-3"] "it goes on behind the cursor, or says what is missing"
                case "it catches up after a gap" => |_, s| kept(s, "DEL-3");
            always ["DEL-4"] "what is outstanding is bounded"
                case "a command is under way" => |_, s| kept(s, "DEL-4");
            always ["DEL-7"] "an answer answers something"
                case "a command is under way" => |_, s| kept(s, "DEL-7");
            always ["ISO-1", "AUTH-5"] "it is of the user whose credential was accepted"
                case "it is closed for want of a credential" => |_, s| kept(s, "ISO-1");
            always ["AUTH-3"] "it does not outlive its credential"
                case "it expires after it was renewed or opened by another credential" =>
                    |_, s| kept(s, "AUTH-3");
            always ["UNCHANGED"] "a rejected input changes nothing and orders nothing"
                case "an input comes after the close, and is rejected" => |_, s| kept(s, "UNCHANGED");
            sometimes ["CONN-2"] "it is live" => |_, s| s.connection.phase() == Phase::Live;
            sometimes ["CONN-1"] "it heard what it did not act on before hello" => |_, s| {
                s.connection.phase() == Phase::Handshaking && s.seen.unclear > 0
            };
            sometimes ["DEL-2"] "it leaves, with entries still to come" => |_, s| {
                s.connection.phase() == Phase::Leaving
            };
            sometimes ["DEL-3"] "it catches up after a gap" => |_, s| {
                s.seen.caught_up && s.seen.asked.is_some_and(|a| a.after.0 > s.seen.sent)
            };
            sometimes ["DEL-4", "DEL-7"] "a command is under way" => |_, s| s.seen.commands > 0;
            sometimes ["DEL-4"] "it does not read" => |_, s| closed(s, Cause::Stalled);
            sometimes ["AUTH-3"] "it expires after it was renewed or opened by another credential" => |_, s| {
                closed(s, Cause::Expired) && s.seen.ready && s.seen.armed == Some(credential(1).expires_at)
            };
            sometimes ["ISO-1", "AUTH-5"] "it is closed for want of a credential" =>
                |_, s| closed(s, Cause::Unauthenticated);
            sometimes ["CONN-4"] "it is closed for what nobody understands" =>
                |_, s| closed(s, Cause::TooManyUnclear);
            sometimes ["CONN-4"] "unclear frames are forgiven at a heartbeat, and it is closed for later ones" =>
                |_, s| closed(s, Cause::TooManyUnclear) && s.seen.forgiven;
            sometimes ["DEL-2"] "it is closed for a hole" => |_, s| closed(s, Cause::Discontinuous);
            sometimes ["CONN-3", "UNCHANGED"] "an input comes after the close, and is rejected" => |m, s| {
                s.seen.closed.is_some()
                    && m.machine.step(&mut s.connection.clone(), &Input::Ping(()), &mut Effects::new()).is_err()
            };
        ]
    }
}

pub const LIMITS: Limits = Limits {
    unclear_frames_max: 2,
    unclear_frames_forgiven: 1,
    throttled_frames_max: 2,
    commands_max: 1,
    waiting_replies_max: 2,
};

const HERE: Epoch = Epoch(Uuid::from_u128(1));
const ELSEWHERE: Epoch = Epoch(Uuid::from_u128(2));
