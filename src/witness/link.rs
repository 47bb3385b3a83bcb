//! One connection, watched where its machine is stepped and where its frames meet the socket.
//!
//! Guarantee: one small record a connection, gone with it; frames are judged from their own bytes.

use std::sync::Arc;

use super::{
    frames::{Breach, FrameCheck, Resumed, Sent},
    log::UserWitness,
    record::{self, FrameKind, Record},
    watch::{Watch, counted},
};
use crate::kernel::{
    connection::{Asked, Effect, Input},
    ids::{ConnectionId, Offset, UserId},
    ticket::Identity,
};

/// Who watches one connection, or nobody.
#[derive(Debug)]
pub struct ConnectionWitness(Option<Box<Watching>>);

#[derive(Debug)]
struct Watching {
    watch: Arc<Watch>,
    connection_id: ConnectionId,
    check: FrameCheck,
    user: UserWitness,
    user_id: Option<UserId>,
    /// Entries that have been handed to the socket and not been told of.
    burst: Option<Burst>,
}

/// Consecutive entries of one user.
#[derive(Debug)]
struct Burst {
    user_id: String,
    from: Offset,
    to: Offset,
}

impl ConnectionWitness {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn of(watch: Arc<Watch>, connection_id: ConnectionId) -> Self {
        let (check, user) = (FrameCheck::new(), UserWitness::none());
        Self(Some(Box::new(Watching { watch, connection_id, check, user, user_id: None, burst: None })))
    }

    /// Its socket was accepted; the upgrade request was authenticated as `known`.
    pub fn accepted(&mut self, known: Option<&Identity>, effects: &[Effect]) {
        let Some(watching) = &mut self.0 else { return };
        if let Some(identity) = known {
            watching.authenticated(&identity.user_id);
        }
        let connection = watching.connection_id;
        watching.watch.write(|names| Record::Accepted {
            connection,
            identity: known.map(|identity| record::identity(identity, names)),
            effects: effects.iter().map(|effect| record::effect(effect, names)).collect(),
        });
    }

    /// Its machine has taken an input.
    pub fn stepped(&mut self, input: &Input, effects: &[Effect], rejected: bool) {
        let Some(watching) = &mut self.0 else { return };
        match input {
            Input::Hello { cursor, .. } => watching.check.asked(*cursor),
            Input::Attached { epoch, .. } if !rejected => watching.check.attached(*epoch),
            Input::Verified(identity) if !rejected => watching.authenticated(&identity.user_id),
            _ => {}
        }
        let connection = watching.connection_id;
        watching.watch.write(|names| Record::Step {
            connection,
            input: record::input(input, names),
            rejected,
            effects: effects.iter().map(|effect| record::effect(effect, names)).collect(),
        });
    }

    /// The machines behind it are these.
    pub fn belongs_to(&mut self, user: &UserWitness) {
        if let Some(watching) = &mut self.0 {
            watching.user = user.clone();
        }
    }

    /// A frame is about to be handed to the socket.
    pub fn sends(&mut self, text: &str) {
        if let Some(watching) = &mut self.0 {
            watching.sends(text);
        }
    }

    /// All entries of a chunk have been.
    pub fn sent_chunk(&mut self) {
        if let Some(watching) = &mut self.0 {
            watching.tell_burst();
        }
    }

    /// The close frame is about to be.
    pub fn closes(&mut self, code: u16) {
        let Some(watching) = &mut self.0 else { return };
        watching.tell_burst();
        let Watching { watch, connection_id, check, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.closes(code, &mut |breach| violation(*connection_id, user_id.as_ref(), breach));
        }
        watch.write(|_| Record::Closed { connection: *connection_id, code });
    }

    /// An event stream, which has no `ready`, begins here.
    pub fn resumes(&mut self, user_id: &UserId, asked: Asked, told: Resumed) {
        let Some(watching) = &mut self.0 else { return };
        watching.authenticated(user_id);
        let Watching { watch, connection_id, check, user, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.asked(asked);
            let breach = &mut |breach| violation(*connection_id, user_id.as_ref(), breach);
            check.resumed(told, user.durable(), breach);
        }
    }

    /// An event stream passes over what is no longer kept.
    pub fn passes_over(&mut self, from: Offset, to: Offset) {
        let Some(watching) = &mut self.0 else { return };
        let Watching { watch, connection_id, check, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.passed_over(from, to, &mut |breach| violation(*connection_id, user_id.as_ref(), breach));
        }
    }

    /// An event stream sends an entry: it is judged, and not traced.
    pub fn streams(&mut self, line: &[u8]) {
        let Some(watching) = &mut self.0 else { return };
        if watching.watch.conformance {
            watching.judge(&String::from_utf8_lossy(line));
        }
    }
}

impl Watching {
    fn authenticated(&mut self, user_id: &UserId) {
        self.check.authenticated(user_id);
        self.user_id.get_or_insert_with(|| user_id.clone());
    }

    fn sends(&mut self, text: &str) {
        let sent = self.judge(text);
        if self.watch.trace.is_none() {
            return;
        }
        let frame = match sent {
            Sent::Entry { offset, user_id } => {
                match &mut self.burst {
                    Some(burst) if burst.to.next() == offset && burst.user_id == user_id => burst.to = offset,
                    _ => {
                        self.tell_burst();
                        self.burst = Some(Burst { user_id, from: offset, to: offset });
                    }
                }
                return;
            }
            Sent::Accepted { run_id, offset } => FrameKind::Accepted { run: run_id, offset },
            Sent::Other => FrameKind::Other(kind_of(text).to_owned()),
        };
        self.tell_burst();
        let connection = self.connection_id;
        self.watch.write(|_| Record::Sent { connection, frame });
    }

    fn judge(&mut self, text: &str) -> Sent {
        let Self { watch, connection_id, check, user, user_id, .. } = self;
        let loud = watch.conformance;
        let breach = &mut |breach| {
            if loud {
                violation(*connection_id, user_id.as_ref(), breach);
            }
        };
        check.frame(text, user.durable(), breach)
    }

    fn tell_burst(&mut self) {
        let Some(Burst { user_id, from, to }) = self.burst.take() else { return };
        let connection = self.connection_id;
        self.watch.write(|names| {
            let user = names.user_text(&user_id);
            Record::Sent { connection, frame: FrameKind::Entries { user, from, to } }
        });
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tell_burst();
    }
}

fn violation(connection_id: ConnectionId, user_id: Option<&UserId>, (rule, offset, what): Breach) {
    counted(rule);
    let user_id = user_id.map(UserId::as_str);
    let offset = offset.map(|offset| offset.0);
    tracing::error!(rule, %connection_id, user_id, offset, what, "conformance: a frame violates a rule");
}

/// The type of a frame, which every frame of ours begins with.
fn kind_of(text: &str) -> &str {
    let rest = text.strip_prefix("{\"type\":\"").unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
