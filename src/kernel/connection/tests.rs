//! Tests: a snapshot of the whole transition table, and an observer that checks the rules from outside.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt::Write,
};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    ids::{Epoch, Offset, Timestamp, UserId},
    ticket::Identity,
};

const EPOCH: Epoch = Epoch(Uuid::from_u128(7));

fn identity(user_id: &str, expires_at: u64) -> Identity {
    Identity { user_id: UserId::parse(user_id).unwrap(), expires_at: Timestamp(expires_at) }
}

fn hello(after: u64, credential: bool) -> Input {
    let cursor = ResumeCursor::After { epoch: None, after: Offset(after) };
    Input::Hello { cursor, credential: credential.then_some(()) }
}

fn attached(trimmed: u64, head: u64) -> Input {
    Input::Attached { epoch: EPOCH, trimmed: Offset(trimmed), head: Offset(head) }
}

fn chunk(first: u64, last: u64) -> Input {
    Input::Chunk { first: Offset(first), last: Offset(last), entries: () }
}

fn drained(head: u64) -> Input {
    Input::Drained { head: Offset(head) }
}

const AT_HEAD: Input = Input::Hello { cursor: ResumeCursor::Head, credential: None };

const DRAIN: Input = Input::Drain { reconnect_after_ms: 500 };

/// Returns one of each input, with the variants that some state distinguishes. Cursors are at 2 of 4.
fn alphabet() -> Vec<(String, Input)> {
    let mut inputs: Vec<(String, Input)> = [
        ("hello", hello(2, false)),
        ("hello with credential", hello(2, true)),
        ("hello at the head", AT_HEAD),
        ("renew", Input::Renew(())),
        ("ping", Input::Ping(())),
        ("command", Input::Command(())),
        ("unclear", Input::Unclear(())),
        ("oversized", Input::Oversized(())),
        ("throttled", Input::Throttled { retry_after_ms: 10, subject: () }),
        ("pinged", Input::Pinged),
        ("pong", Input::Pong),
        ("binary", Input::Binary),
        ("not utf-8", Input::NotUtf8),
        ("too long", Input::TooLong),
        ("garbled", Input::Garbled),
        ("message late", Input::MessageLate),
        ("unfinished max", Input::UnfinishedMax),
        ("displaced", Input::Displaced),
        ("verified anna", Input::Verified(identity("anna", 2000))),
        ("verified ben", Input::Verified(identity("ben", 2000))),
        ("unverified", Input::Unverified(VerifyError::Refused)),
        ("unverifiable", Input::Unverified(VerifyError::Unavailable)),
        ("not verified", Input::Unverified(VerifyError::Limited { retry_after_ms: 10 })),
        ("attached 1..4", attached(0, 4)),
        ("attached 1..2", attached(0, 2)),
        ("attached 4..4", attached(3, 4)),
        ("unattached", Input::Unattached(AttachError::Unavailable)),
        ("user full", Input::Unattached(AttachError::UserFull)),
        ("service full", Input::Unattached(AttachError::ServiceFull)),
        ("chunk 3..3", chunk(3, 3)),
        ("chunk 3..4", chunk(3, 4)),
        ("chunk 3..5", chunk(3, 5)),
        ("chunk 4..4", chunk(4, 4)),
        ("chunk 5..5", chunk(5, 5)),
        ("chunk 1..2", chunk(1, 2)),
        ("outrun", Input::Outrun),
        ("unreadable", Input::Unreadable),
        ("answered", Input::Answered { reply: Some(()) }),
        ("done", Input::Answered { reply: None }),
        ("flushed", Input::Flushed),
        ("drain", DRAIN),
        ("drained at 2", drained(2)),
        ("drained at 5", drained(5)),
        ("peer closed", Input::PeerClosed),
        ("gone", Input::Gone),
    ]
    .map(|(name, input)| (name.to_owned(), input))
    .into();
    inputs.extend(Timer::ALL.map(|timer| (format!("{timer:?} elapsed"), Input::Elapsed(timer))));
    inputs
}

fn connection(identity: Option<Identity>, limits: ConnectionLimits, inputs: &[Input]) -> Connection {
    let mut effects = Effects::new();
    let mut connection = Connection::accept(identity, limits, &mut effects);
    for input in inputs {
        connection.step(input, &mut effects).unwrap();
    }
    connection
}

/// Returns a connection in each phase, idle and busy where that makes a difference.
fn phases() -> Vec<(&'static str, Connection)> {
    let known = || Some(identity("anna", 1000));
    let at = |inputs: &[Input]| connection(known(), ConnectionLimits::DEFAULT, inputs);
    let open = |rest: &[Input]| at(&[&[hello(2, false)], rest].concat());
    vec![
        ("handshaking, nobody known", connection(None, ConnectionLimits::DEFAULT, &[])),
        ("handshaking, anna known", at(&[])),
        ("verifying, nobody known", connection(None, ConnectionLimits::DEFAULT, &[hello(2, true)])),
        ("verifying, anna known", at(&[hello(2, true)])),
        ("attaching", at(&[hello(2, false)])),
        ("attaching at the head", at(&[AT_HEAD])),
        ("replaying, ready under way", open(&[attached(0, 4)])),
        ("replaying, idle", open(&[attached(0, 4), Input::Flushed])),
        ("replaying, chunk under way", open(&[attached(0, 4), Input::Flushed, chunk(3, 3)])),
        ("live, idle", open(&[attached(0, 2), Input::Flushed])),
        ("live, a command and a ping out", {
            open(&[attached(0, 2), Input::Flushed, Input::Command(()), Input::Elapsed(Timer::Heartbeat)])
        }),
        ("draining, behind", open(&[attached(0, 4), Input::Flushed, DRAIN, Input::Flushed])),
        ("draining, idle", open(&[attached(0, 2), Input::Flushed, DRAIN, Input::Flushed])),
        ("leaving", open(&[attached(0, 2), Input::Flushed, DRAIN, drained(5), Input::Flushed])),
        ("closed", open(&[attached(0, 2), Input::PeerClosed])),
    ]
}

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for (name, connection) in phases() {
        writeln!(table, "{name}").unwrap();
        // Inputs with the same outcome share a row.
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut rejected = Vec::new();
        for (name, input) in alphabet() {
            let (mut after, mut effects) = (connection.clone(), Effects::new());
            if after.step(&input, &mut effects).is_err() {
                rejected.push(name);
                continue;
            }
            let effects: Vec<_> = effects.iter().map(|effect| format!("{effect:?}")).collect();
            let outcome = format!("{:?}: {}", after.phase(), effects.join(", "));
            let outcome = outcome.replace("(())", "").replace(", subject: ()", "");
            match rows.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, names)) => names.push(name),
                None => rows.push((outcome, vec![name])),
            }
        }
        for (outcome, names) in rows {
            writeln!(table, "    {}\n        -> {outcome}", names.join(" | ")).unwrap();
        }
        writeln!(table, "    rejected: {}\n", rejected.join(" | ")).unwrap();
    }
    insta::assert_snapshot!(table);
}

/// Checks the guarantees to client and shell, independently of the implementation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Observer {
    closed: bool,
    attaching: bool,
    ready: Option<Offset>,
    caught_up: bool,
    sent: Offset,
    fetching: Option<Offset>,
    flushing: bool,
    stall_armed: bool,
    commands: u16,
    replies: u16,
}

impl Observer {
    fn see(&mut self, input: Option<&Input>, effects: &[Effect], limits: &ConnectionLimits) {
        match input {
            Some(Input::Flushed) => (self.flushing, self.replies) = (false, 0),
            Some(Input::Chunk { .. } | Input::Outrun | Input::Unreadable) => self.fetching = None,
            Some(Input::Answered { .. } | Input::Verified(_) | Input::Unverified(_))
                if self.ready.is_some() =>
            {
                self.commands -= 1;
            }
            Some(Input::Pinged) => self.replies += u16::from(self.flushing),
            _ => {}
        }
        for effect in effects {
            // CONN-3: nothing follows the close.
            assert!(!self.closed, "{effect:?} after the close");
            match effect {
                // CONN-1: before the connection is open no frame has an effect.
                Effect::Execute(()) => {
                    assert!(self.ready.is_some(), "a command is carried out before ready");
                    self.commands += 1;
                }
                Effect::Verify(()) => self.commands += u16::from(self.ready.is_some()),
                Effect::Attach { .. } => {
                    assert!(!self.attaching);
                    self.attaching = true;
                }
                Effect::Send(frame) => self.see_frame(frame),
                Effect::SendChunk(()) => {
                    let Some(Input::Chunk { first, last, .. }) = input else { panic!("no chunk at hand") };
                    // DEL-2: in order, each once, without a gap.
                    assert_eq!(*first, self.sent.next());
                    let head = self.ready.expect("entries only after ready");
                    // DEL-3: `caught_up` precedes entries beyond the head named in `ready`.
                    assert!(self.caught_up || *last <= head);
                    self.sent = *last;
                }
                Effect::ReadOn { after, through } => {
                    assert_eq!(*after, self.sent);
                    assert!(through > after);
                    assert_eq!(self.fetching.replace(*through), None, "two reads at once");
                }
                Effect::Flush => {
                    assert!(!self.flushing, "two flushes at once");
                    self.flushing = true;
                }
                Effect::Arm(Timer::Stall) => self.stall_armed = true,
                Effect::Disarm(Timer::Stall) => self.stall_armed = false,
                Effect::Close(_) => self.closed = true,
                Effect::Arm(_) | Effect::Disarm(_) | Effect::ExpireAt(_) | Effect::PingPeer => {}
            }
        }
        // DEL-4, CONN-5: unsent output is bounded, and the stall timer watches it.
        if !self.closed {
            assert_eq!(self.flushing, self.stall_armed);
        }
        assert!(self.commands <= limits.commands_max);
        assert!(self.replies <= limits.waiting_replies_max + limits.commands_max + 1, "{self:?}");
    }

    fn see_frame(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Ready { resumed_after, head, .. } => {
                assert!(self.attaching && self.ready.is_none());
                (self.ready, self.sent) = (Some(*head), *resumed_after);
            }
            // CONN-2: between authentication and `ready` nothing is sent.
            frame if self.ready.is_none() => {
                assert!(!self.attaching, "{frame:?} before ready");
                assert!(matches!(frame, ServerFrame::Error { .. }), "{frame:?} before authentication");
            }
            ServerFrame::CaughtUp { offset } => {
                // DEL-2, DEL-3: once, and at the right offset.
                assert!(!self.caught_up, "caught_up twice");
                assert_eq!(Some(*offset), self.ready);
                assert_eq!(self.sent, *offset);
                self.caught_up = true;
            }
            ServerFrame::Answer(())
            | ServerFrame::Pong(())
            | ServerFrame::Renewed { .. }
            | ServerFrame::Error { .. } => {
                self.replies += u16::from(self.flushing);
            }
            ServerFrame::Draining { .. } => {}
        }
    }
}

/// A connection with its observer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Watched {
    connection: Connection,
    observer: Observer,
}

impl Watched {
    fn accept(identity: Option<Identity>, limits: ConnectionLimits) -> Self {
        let mut effects = Effects::new();
        let connection = Connection::accept(identity, limits, &mut effects);
        let mut observer = Observer::default();
        observer.see(None, &effects, &limits);
        Self { connection, observer }
    }

    fn step(&mut self, input: &Input, limits: &ConnectionLimits) -> Result<(), Rejected> {
        let (before, mut effects) = (self.connection.clone(), Effects::new());
        let outcome = self.connection.step(input, &mut effects);
        match outcome {
            Ok(()) => {
                self.observer.see(Some(input), &effects, limits);
                assert_eq!(self.observer.closed, matches!(self.connection.phase(), Phase::Closed(_)));
            }
            Err(_) => {
                assert_eq!(
                    (&self.connection, effects.as_slice()),
                    (&before, &[][..]),
                    "rejected, yet changed"
                );
            }
        }
        outcome
    }
}

const TIGHT: ConnectionLimits = ConnectionLimits {
    invalid_frames_max: 2,
    invalid_frames_forgiven: 1,
    throttled_frames_max: 2,
    commands_max: 1,
    waiting_replies_max: 1,
};

/// Explores every state that is reachable under tight limits, with every input in each.
#[test]
fn every_reachable_state_keeps_the_rules() {
    let alphabet = alphabet();
    let starts = [None, Some(identity("anna", 1000))].map(|identity| Watched::accept(identity, TIGHT));
    let mut seen: HashSet<Watched> = starts.iter().cloned().collect();
    let mut queue: VecDeque<Watched> = starts.into();
    let mut phases: BTreeMap<Phase, usize> = BTreeMap::new();
    while let Some(watched) = queue.pop_front() {
        *phases.entry(watched.connection.phase()).or_default() += 1;
        for (_, input) in &alphabet {
            let mut next = watched.clone();
            if next.step(input, &TIGHT).is_ok() && seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    insta::assert_debug_snapshot!(phases);
}

fn any_input() -> impl Strategy<Value = Input> {
    let offset = 0u64..6;
    prop_oneof![
        10 => prop::sample::select(alphabet()).prop_map(|(_, input)| input),
        1 => (offset.clone(), any::<bool>()).prop_map(|(after, credential)| hello(after, credential)),
        1 => (offset.clone(), offset.clone()).prop_map(|(trimmed, kept)| attached(trimmed, trimmed + kept)),
        1 => (offset.clone(), offset.clone()).prop_map(|(first, more)| chunk(first, first + more)),
        1 => offset.prop_map(drained),
    ]
}

/// Any input, or the next entries as a correct journal would return them.
#[derive(Clone, Debug)]
enum Move {
    Any(Input),
    Next { entries: u64 },
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => any_input().prop_map(Move::Any),
        1 => (1u64..4).prop_map(|entries| Move::Next { entries }),
        1 => Just(Move::Any(Input::Flushed)),
    ]
}

fn opening() -> impl Strategy<Value = Vec<Move>> {
    let open = (0u64..6, 0u64..6, 0u64..6).prop_map(|(after, trimmed, kept)| {
        vec![Move::Any(hello(after, false)), Move::Any(attached(trimmed, trimmed + kept))]
    });
    prop_oneof![1 => Just(vec![]), 3 => open]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_sequence_of_inputs_breaks_a_rule(
        known: bool,
        tight: bool,
        opening in opening(),
        moves in prop::collection::vec(any_move(), 0..60),
    ) {
        let limits = if tight { TIGHT } else { ConnectionLimits::DEFAULT };
        let mut watched = Watched::accept(known.then(|| identity("anna", 1000)), limits);
        for step in opening.into_iter().chain(moves) {
            let input = match step {
                Move::Any(input) => input,
                Move::Next { entries } => match watched.observer.fetching {
                    Some(through) => {
                        let after = watched.observer.sent.0;
                        chunk(after + 1, (after + entries).min(through.0))
                    }
                    None => continue,
                },
            };
            let _ = watched.step(&input, &limits);
        }
    }
}

#[test]
fn conn_4_the_last_unclear_frame_closes() {
    let mut watched = Watched::accept(None, ConnectionLimits::DEFAULT);
    let limits = ConnectionLimits::DEFAULT;
    for _ in 1..limits.invalid_frames_max {
        watched.step(&Input::Unclear(()), &limits).unwrap();
        watched.step(&Input::Flushed, &limits).unwrap();
        assert_eq!(watched.connection.phase(), Phase::Handshaking);
    }
    watched.step(&Input::Command(()), &limits).unwrap();
    assert_eq!(watched.connection.phase(), Phase::Closed(Cause::TooManyUnclear));
}

/// CONN-4: the count of malformed frames leaks with each heartbeat, and well-formed frames add nothing.
#[test]
fn conn_4_unclear_frames_leak() {
    let limits =
        ConnectionLimits { invalid_frames_max: 3, invalid_frames_forgiven: 2, ..ConnectionLimits::DEFAULT };
    let opening = [hello(0, false), attached(0, 0), Input::Flushed];
    let mut connection = connection(Some(identity("anna", 1000)), limits, &opening);
    let mut effects = Effects::new();
    let mut step = |connection: &mut Connection, input: Input| connection.step(&input, &mut effects).unwrap();
    for _ in 0..10 {
        for input in [
            Input::Unclear(()),
            Input::Oversized(()),
            Input::Unclear(()),
            Input::Oversized(()),
            Input::Flushed,
        ] {
            step(&mut connection, input);
        }
        step(&mut connection, Input::Elapsed(Timer::Heartbeat));
        step(&mut connection, Input::Pong);
    }
    assert_eq!(connection.phase(), Phase::Live);
    for _ in 0..3 {
        step(&mut connection, Input::Unclear(()));
    }
    assert_eq!(connection.phase(), Phase::Closed(Cause::TooManyUnclear));
}

#[test]
fn commands_beyond_the_limit_are_left_unread() {
    let mut connection = connection(
        Some(identity("anna", 1000)),
        TIGHT,
        &[hello(0, false), attached(0, 0), Input::Flushed, Input::Command(())],
    );
    assert!(!connection.reads_frames());
    let mut effects = Effects::new();
    assert!(connection.step(&Input::Command(()), &mut effects).is_err());
    // CONN-5: a peer whose pong may be queued behind unread frames is not closed.
    connection.step(&Input::Elapsed(Timer::Heartbeat), &mut effects).unwrap();
    connection.step(&Input::Elapsed(Timer::Pong), &mut effects).unwrap();
    assert_eq!(effects.last(), Some(&Effect::Arm(Timer::Pong)));
    connection.step(&Input::Answered { reply: Some(()) }, &mut effects).unwrap();
    connection.step(&Input::Flushed, &mut effects).unwrap();
    assert!(connection.reads_frames());
    connection.step(&Input::Elapsed(Timer::Pong), &mut effects).unwrap();
    assert_eq!(connection.phase(), Phase::Closed(Cause::NoPong));
}

#[test]
fn auth_3_only_the_same_user_renews() {
    let at = |input: Input| {
        let mut connection = connection(
            Some(identity("anna", 1000)),
            ConnectionLimits::DEFAULT,
            &[hello(0, false), attached(0, 0), Input::Flushed, Input::Renew(())],
        );
        let mut effects = Effects::new();
        connection.step(&input, &mut effects).unwrap();
        (connection.identity().unwrap().clone(), effects)
    };
    let (anna, effects) = at(Input::Verified(identity("anna", 2000)));
    assert_eq!(anna.expires_at, Timestamp(2000));
    assert_eq!(effects[0], Effect::ExpireAt(Timestamp(2000)));
    let refused = at(Input::Unverified(VerifyError::Refused));
    assert_eq!(at(Input::Verified(identity("ben", 2000))), refused, "another user's looks like none (ISO-3)");
    assert_eq!(refused.0.expires_at, Timestamp(1000));
}

/// Equality, hash and `Debug` distinguish states, as the model (`model/`) requires.
#[test]
fn connections_in_different_states_are_not_equal() {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    let mut effects = Effects::new();
    let known = Connection::accept(Some(identity("anna", 2000)), ConnectionLimits::DEFAULT, &mut effects);
    let unknown = Connection::accept(None, ConnectionLimits::DEFAULT, &mut effects);
    let hash = |connection: &Connection| BuildHasherDefault::<DefaultHasher>::default().hash_one(connection);
    assert_ne!(hash(&known), hash(&unknown));
    assert_eq!(hash(&known), hash(&known.clone()));
    assert!(format!("{known:?}").contains("Handshaking"), "{known:?}");
}

/// A silent peer is closed (CONN-5), at the latest when the credential of its upgrade expires (AUTH-3).
#[test]
fn auth_3_accepted_socket_arms_its_hello_and_expiry_timers() {
    let mut effects: Effects = Effects::new();
    Connection::accept(None, ConnectionLimits::DEFAULT, &mut effects);
    assert_eq!(std::mem::take(&mut effects), [Effect::Arm(Timer::Hello)]);
    Connection::accept(Some(identity("anna", 2000)), ConnectionLimits::DEFAULT, &mut effects);
    assert_eq!(std::mem::take(&mut effects), [Effect::Arm(Timer::Hello), Effect::ExpireAt(Timestamp(2000))]);
}
