//! A connection's machine, checked against the contract by an observer that sees inputs and effects and
//! remembers no more than a client could.

use quintet_kernel::{
    connection::{
        AttachError, Cause, Connection, ConnectionLimits, Effect, Effects, Gap, Input, Phase, ResumeCursor,
        ServerFrame, Timer, VerifyError,
    },
    ids::{Epoch, Offset, Timestamp, UserId},
    ticket::Identity,
};
use uuid::Uuid;

use super::program::Program;

const HERE: Epoch = Epoch(Uuid::from_u128(1));
const ELSEWHERE: Epoch = Epoch(Uuid::from_u128(2));

fn identity(program: &mut Program<'_>) -> Identity {
    let name = ["ada", "bob"][program.below(2)];
    let expires_at = Timestamp(program.number());
    Identity { user_id: UserId::parse(name).expect("a valid id"), expires_at }
}

/// The observer's record of inputs and effects.
#[derive(Default)]
struct ObserverState {
    /// The user that the handshake named.
    known: Option<UserId>,
    asked: Option<ResumeCursor>,
    /// The user that the last valid credential named.
    verified: Option<UserId>,
    attaching: Option<UserId>,
    /// The head that `ready` reported.
    ready: Option<u64>,
    sent: u64,
    caught_up: bool,
    reading: Option<u64>,
    commands: usize,
    unclear: u16,
    flushes: usize,
    closed: Option<Cause>,
}

/// CONN-1 … CONN-4, CONN-6, DEL-2, DEL-3, ISO-1 and AUTH-5 on one connection.
pub fn connection(program: &mut Program<'_>) {
    let limits = ConnectionLimits {
        invalid_frames_max: 1 + program.below(3) as u16,
        invalid_frames_forgiven: program.below(2) as u16,
        throttled_frames_max: 1 + program.below(3) as u16,
        commands_max: 1 + program.below(3) as u16,
        waiting_replies_max: 1 + program.below(3) as u16,
    };
    let known = program.is_odd().then(|| identity(program));
    let mut seen = ObserverState {
        known: known.as_ref().map(|known| known.user_id.clone()),
        ..ObserverState::default()
    };
    let mut effects = Effects::new();
    let mut connection = Connection::accept(known, limits, &mut effects);
    assert!(
        !effects.iter().any(|effect| matches!(effect, Effect::Send(_) | Effect::Attach { .. })),
        "CONN-1"
    );
    while !program.is_over() {
        let input = input(program, &seen);
        let (before, heard) = (connection.clone(), connection.reads_frames());
        let mut effects = Effects::new();
        let taken = connection.step(&input, &mut effects);
        if let Err(rejected) = taken {
            assert_eq!(rejected.input, input.name());
            assert!(effects.is_empty(), "refused, and {effects:?}");
            assert_eq!(connection, before, "a refused input changes nothing");
            continue;
        }
        assert!(seen.closed.is_none(), "CONN-3: {input:?} is accepted after the close");
        assert!(heard || !input.is_client_frame(), "a frame beyond the bounds is accepted");
        seen.input(&input, &limits);
        for effect in &effects {
            seen.effect(&input, effect);
        }
        if matches!(input, Input::Unclear(())) && seen.closed.is_none() {
            assert_eq!(connection.phase(), before.phase(), "CONN-4");
        }
        assert_eq!(
            seen.unclear >= limits.invalid_frames_max,
            seen.closed == Some(Cause::TooManyUnclear),
            "CONN-4"
        );
        if let Some(cause) = seen.closed {
            assert_eq!(connection.phase(), Phase::Closed(cause));
        }
        if let Some(identity) = connection.identity() {
            assert_eq!(Some(&identity.user_id), seen.attaching.as_ref(), "ISO-1: the user never changes");
            assert!(seen.ready.is_some(), "CONN-2");
        }
    }
}

impl ObserverState {
    fn open(&self) -> bool {
        self.ready.is_some()
    }

    fn input(&mut self, input: &Input, limits: &ConnectionLimits) {
        match input {
            Input::Hello { cursor, .. } if !self.open() => self.asked = Some(*cursor),
            Input::Hello { .. } | Input::Unclear(()) => self.unclear += 1,
            Input::Oversized(()) if !self.open() => self.unclear += 1,
            Input::Elapsed(Timer::Heartbeat) => {
                self.unclear = self.unclear.saturating_sub(limits.invalid_frames_forgiven);
            }
            Input::Renew(()) | Input::Ping(()) | Input::Command(()) if !self.open() => self.unclear += 1,
            Input::Renew(()) | Input::Command(()) => {
                self.commands += 1;
                assert!(self.commands <= usize::from(limits.commands_max), "more commands than may be");
            }
            Input::Verified(identity) => {
                if self.open() {
                    self.commands -= 1;
                }
                self.verified = Some(identity.user_id.clone());
            }
            Input::Unverified(_) if self.open() => self.commands -= 1,
            Input::Answered { .. } => self.commands -= 1,
            Input::Flushed => {
                assert!(self.flushes > 0, "a flush that was not ordered");
                self.flushes -= 1;
            }
            Input::Chunk { .. } | Input::Outrun | Input::Unreadable => {
                assert!(self.reading.is_some(), "{input:?} is accepted though no read was ordered");
            }
            _ => {}
        }
    }

    fn effect(&mut self, input: &Input, effect: &Effect) {
        assert!(self.closed.is_none(), "CONN-3: {effect:?} after the close");
        match effect {
            Effect::Verify(()) => {
                let renews = matches!(input, Input::Renew(())) && self.open();
                assert!(renews || matches!(input, Input::Hello { credential: Some(()), .. }), "{input:?}");
            }
            Effect::Attach { identity, .. } => {
                assert!(self.attaching.is_none() && !self.open(), "CONN-1: attached once");
                let who = self.verified.as_ref().or(self.known.as_ref());
                assert_eq!(Some(&identity.user_id), who, "ISO-1");
                // AUTH-5: of two credentials both are of the same user.
                assert!(self.known.as_ref().is_none_or(|known| *known == identity.user_id), "AUTH-5");
                self.attaching = Some(identity.user_id.clone());
            }
            Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) => {
                assert!(!self.open(), "CONN-2: one ready");
                let Input::Attached { epoch, trimmed, head: is } = input else { panic!("{input:?}") };
                assert_eq!(head, is);
                self.resumed(*epoch, trimmed.0, head.0, resumed_after.0, *gap);
                (self.ready, self.sent) = (Some(head.0), resumed_after.0);
            }
            Effect::Send(ServerFrame::Error { .. }) => {}
            Effect::Send(frame) => {
                assert!(self.open(), "CONN-2: {frame:?} before ready");
                if let ServerFrame::CaughtUp { offset } = frame {
                    assert!(!self.caught_up, "caught up once");
                    assert_eq!(Some(offset.0), self.ready, "at the head that ready reported");
                    assert!(self.sent >= offset.0, "and not before");
                    self.caught_up = true;
                }
            }
            Effect::SendChunk(()) => {
                let Input::Chunk { first, last, .. } = input else { panic!("{input:?}") };
                assert_eq!(first.0, self.sent + 1, "DEL-2: the next one");
                assert!(last >= first && last.0 <= self.reading.expect("a read was ordered"));
                (self.sent, self.reading) = (last.0, None);
            }
            Effect::Execute(()) => assert!(self.open() && matches!(input, Input::Command(())), "CONN-1"),
            Effect::ReadOn { after, through } => {
                assert!(self.open() && self.reading.is_none(), "DEL-4: one chunk at a time");
                assert_eq!(after.0, self.sent, "DEL-2");
                self.reading = Some(through.0);
            }
            Effect::Flush => self.flushes += 1,
            Effect::Close(cause) => self.closed = Some(*cause),
            Effect::PingPeer | Effect::Arm(_) | Effect::Disarm(_) | Effect::ExpireAt(_) => {}
        }
    }

    /// DEL-3 as the contract words it.
    fn resumed(&self, epoch: Epoch, trimmed: u64, head: u64, resumed_after: u64, gap: Option<Gap>) {
        let gap = gap.map(|gap| (gap.from.0, gap.to.0));
        let ResumeCursor::After { epoch: theirs, after: Offset(after) } =
            self.asked.expect("hello comes first")
        else {
            assert_eq!((resumed_after, gap), (head, None), "DEL-3");
            return;
        };
        let expected = if theirs.is_some_and(|theirs| theirs != epoch) {
            (trimmed, Some((trimmed.min(1), trimmed)))
        } else if after < trimmed {
            (trimmed, Some((after + 1, trimmed)))
        } else if after > head {
            (head, Some((head + 1, after)))
        } else {
            (after, None)
        };
        assert_eq!((resumed_after, gap), expected, "DEL-3");
    }
}

fn input(program: &mut Program<'_>, seen: &ObserverState) -> Input {
    match program.below(27) {
        0 => {
            let epoch = [Some(None), Some(Some(HERE)), Some(Some(ELSEWHERE)), None][program.below(4)];
            let after = Offset(program.number());
            let cursor = epoch.map_or(ResumeCursor::Head, |epoch| ResumeCursor::After { epoch, after });
            Input::Hello { cursor, credential: program.is_odd().then_some(()) }
        }
        1 => Input::Renew(()),
        2 => Input::Ping(()),
        3 | 4 => Input::Command(()),
        5 => Input::Unclear(()),
        6 => Input::Throttled { retry_after_ms: 1, subject: () },
        7 => Input::Pinged,
        8 => Input::Pong,
        9 => [
            Input::Binary,
            Input::NotUtf8,
            Input::TooLong,
            Input::Garbled,
            Input::Oversized(()),
            Input::MessageLate,
            Input::UnfinishedMax,
            Input::Displaced,
        ][program.below(8)]
        .clone(),
        10 | 11 => Input::Verified(identity(program)),
        12 => Input::Unverified(
            [VerifyError::Refused, VerifyError::Unavailable, VerifyError::Limited { retry_after_ms: 1 }]
                [program.below(3)],
        ),
        13 | 14 => {
            let trimmed = u64::from(program.byte());
            let head = Offset(trimmed + u64::from(program.byte()));
            Input::Attached { epoch: HERE, trimmed: Offset(trimmed), head }
        }
        15 => {
            use AttachError as U;
            Input::Unattached([U::Unavailable, U::UserFull, U::ServiceFull][program.below(3)])
        }
        16..=18 => {
            // Mostly the ordered range, sometimes another.
            let first = match program.byte() {
                0 => seen.sent,
                1 => seen.sent.saturating_add(2),
                2 => program.number(),
                _ => seen.sent.saturating_add(1),
            };
            let last = match program.byte() {
                0 => first.saturating_sub(1),
                more => first.saturating_add(u64::from(more % 8)),
            };
            Input::Chunk { first: Offset(first), last: Offset(last), entries: () }
        }
        19 => [Input::Outrun, Input::Unreadable][program.below(2)].clone(),
        20 => Input::Answered { reply: program.is_odd().then_some(()) },
        21 | 22 => Input::Flushed,
        23 => Input::Elapsed(Timer::ALL[program.below(Timer::ALL.len())]),
        24 => Input::Drain { reconnect_after_ms: 1 },
        25 => Input::Drained { head: Offset(seen.sent.saturating_add(u64::from(program.byte() % 4))) },
        _ => [Input::PeerClosed, Input::Gone][program.below(2)].clone(),
    }
}
