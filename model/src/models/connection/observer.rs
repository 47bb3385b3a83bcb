//! The observer of one connection: it knows the rules and the orders, and none of the machine's states.

use quintet::kernel::{
    connection::{Cause, ConnectionLimits, Effect, Fault, Gap, Input, ResumeCursor, ServerFrame, Timer},
    ids::Timestamp,
};

use super::{ELSEWHERE, Watched, user};

/// The memory of an observer of the effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Whose credential was accepted.
    pub(super) user: Option<u8>,
    /// When the credential ends that was accepted last, and for when its end is armed.
    pub(super) ends: Option<Timestamp>,
    pub(super) armed: Option<Timestamp>,
    pub(super) hello: bool,
    /// The cursor of its `hello`.
    pub(super) asked: Option<ResumeCursor>,
    pub(super) ready: bool,
    pub(super) caught_up: bool,
    /// The head that `ready` named.
    pub(super) told_head: u64,
    /// The last entry that went out.
    pub(super) sent: u64,
    pub(super) closed: Option<Cause>,
    pub(super) commands: u16,
    pub(super) unclear: u16,
    /// Set once a heartbeat has forgiven a malformed frame.
    pub(super) forgiven: bool,
    pub broken: Option<&'static str>,
}

impl Seen {
    pub(super) fn breaks(&mut self, rule: &'static str) {
        self.broken = self.broken.or(Some(rule));
    }

    /// The order in which things come is the observer's whole knowledge.
    pub(super) fn see(&mut self, input: &Input, effect: &Effect, limits: &ConnectionLimits) {
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

    /// DEL-3: it continues right after the cursor, or reports a gap.
    fn expect_resumption(&mut self, input: &Input, resumed_after: u64, gap: Option<Gap>) {
        let (Some(asked), Input::Attached { trimmed, head, .. }) = (self.asked, input) else {
            return self.breaks("CONN-1");
        };
        let holds = match (asked, gap) {
            (ResumeCursor::Head, gap) => resumed_after == head.0 && gap.is_none(),
            (ResumeCursor::After { epoch, after }, None) => {
                resumed_after == after.0 && epoch != Some(ELSEWHERE)
            }
            (ResumeCursor::After { epoch: Some(ELSEWHERE), .. }, Some(gap)) => {
                resumed_after == trimmed.0 && gap.to == *trimmed
            }
            (ResumeCursor::After { after, .. }, Some(gap)) if after < *trimmed => {
                resumed_after == trimmed.0 && gap.from == after.next() && gap.to == *trimmed
            }
            (ResumeCursor::After { after, .. }, Some(gap)) => {
                after > *head && resumed_after == head.0 && gap.from == head.next() && gap.to == after
            }
        };
        self.expect("DEL-3", holds && (trimmed.0..=head.0).contains(&resumed_after));
    }

    pub(super) fn expect(&mut self, rule: &'static str, holds: bool) {
        if !holds {
            self.breaks(rule);
        }
    }
}

/// A part of a state: its name, and a function that removes it.
pub type Part = (&'static str, fn(&mut Watched));

/// The parts of a state of the model beside the machine. The documents show the number of states that each part adds.
pub const PARTS: &[Part] = &[
    ("the observer: the cursor of `hello`", |s| s.seen.asked = None),
    ("the observer: what was sent, and the head named in `ready`", |s| {
        (s.seen.sent, s.seen.told_head) = (0, 0)
    }),
    ("the observer: `ready`, `caught_up` and `hello` came", |s| {
        (s.seen.ready, s.seen.caught_up, s.seen.hello) = (false, false, false);
    }),
    ("the observer: malformed frames, and whether some were forgiven", |s| {
        (s.seen.unclear, s.seen.forgiven) = (0, false);
    }),
    ("the observer: commands under way", |s| s.seen.commands = 0),
    ("the observer: the accepted user, its credential's end, and the timer for it", |s| {
        (s.seen.user, s.seen.ends, s.seen.armed) = (None, None, None);
    }),
    ("the observer as a whole", |s| s.seen = Seen::default()),
];
