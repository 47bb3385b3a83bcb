//! The monitor of one connection: observes the inputs of its machine and the frames at its socket.
//!
//! Guarantee: one small record per connection, dropped with it. Frames are checked by their own bytes.

use std::sync::Arc;

use super::{
    frames::{Breach, FrameCheck, Resumed, Sent},
    log::UserWitness,
    record::{self, FrameKind, Record},
    watch::{Watch, counted},
};
use crate::kernel::{
    connection::{Effect, Input, ResumeCursor},
    ids::{ConnectionId, Offset, UserId},
    ticket::Identity,
};

/// The monitor of one connection, or a no-op.
#[derive(Debug)]
pub struct ConnectionWitness(Option<Box<Watching>>);

#[derive(Debug)]
struct Watching {
    watch: Arc<Watch>,
    connection_id: ConnectionId,
    check: FrameCheck,
    user: UserWitness,
    user_id: Option<UserId>,
    /// Entries that have been handed to the socket and not yet recorded.
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

    /// Observes an accepted socket. `known` is the identity of an authenticated upgrade request.
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

    /// Observes a step of the connection's machine.
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

    /// Sets the monitor of the user's machines.
    pub fn belongs_to(&mut self, user: &UserWitness) {
        if let Some(watching) = &mut self.0 {
            watching.user = user.clone();
        }
    }

    /// Observes a frame that is about to be handed to the socket.
    pub fn sends(&mut self, text: &str) {
        if let Some(watching) = &mut self.0 {
            watching.sends(text);
        }
    }

    /// Observes the end of a chunk of entries.
    pub fn sent_chunk(&mut self) {
        if let Some(watching) = &mut self.0 {
            watching.tell_burst();
        }
    }

    /// Observes the close frame.
    pub fn closes(&mut self, code: u16) {
        let Some(watching) = &mut self.0 else { return };
        watching.tell_burst();
        let Watching { watch, connection_id, check, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.closes(code, &mut |breach| violation(*connection_id, user_id.as_ref(), breach));
        }
        watch.write(|_| Record::Closed { connection: *connection_id, code });
    }

    /// Observes the start of an event stream, which has no `ready`.
    pub fn resumes(&mut self, user_id: &UserId, asked: ResumeCursor, told: Resumed) {
        let Some(watching) = &mut self.0 else { return };
        watching.authenticated(user_id);
        let Watching { watch, connection_id, check, user, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.asked(asked);
            let breach = &mut |breach| violation(*connection_id, user_id.as_ref(), breach);
            check.resumed(told, user.durable(), breach);
        }
    }

    /// Observes the gap of an event stream.
    pub fn passes_over(&mut self, from: Offset, to: Offset) {
        let Some(watching) = &mut self.0 else { return };
        let Watching { watch, connection_id, check, user_id, .. } = &mut **watching;
        if watch.conformance {
            check.passed_over(from, to, &mut |breach| violation(*connection_id, user_id.as_ref(), breach));
        }
    }

    /// Checks an entry of an event stream, without a trace record.
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

/// Returns the `type` of a frame, which is the first key of every frame of the service.
fn kind_of(text: &str) -> &str {
    let rest = text.strip_prefix("{\"type\":\"").unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
