//! The monitor of one connection: observes the inputs of its machine and the frames at its socket.
//!
//! Guarantee: one small record per connection, dropped with it. Frames are checked by their own bytes.

use std::sync::Arc;

use quintet_journal::Lines;
use quintet_kernel::{
    connection::{Effect, Gap, Input},
    ids::{ConnectionId, Offset, UserId},
    ticket::Identity,
};
use quintet_observer::{ConnectionObserver, StreamResumed, UserObserver};

use super::{
    frames::{Finding, FrameCheck, ResumePosition, Sent},
    record::{self, FrameKind, Record},
    watch::{Watch, counted},
};

/// The monitor of one connection.
#[derive(Debug)]
pub(super) struct ConnectionMonitor {
    watch: Arc<Watch>,
    connection_id: ConnectionId,
    check: FrameCheck,
    /// The monitor of the user's machines, once the connection is attached to them.
    user: Option<Arc<dyn UserObserver>>,
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

impl ConnectionObserver for ConnectionMonitor {
    fn accepted(&mut self, known: Option<&Identity>, effects: &[Effect]) {
        if let Some(identity) = known {
            self.authenticated(&identity.user_id);
        }
        let connection = self.connection_id;
        self.watch.write(|names| Record::Accepted {
            connection,
            identity: known.map(|identity| record::identity(identity, names)),
            effects: effects.iter().map(|effect| record::effect(effect, names)).collect(),
        });
    }

    fn stepped(&mut self, input: &Input, effects: &[Effect], rejected: bool) {
        match input {
            Input::Hello { cursor, .. } => self.check.asked(*cursor),
            Input::Attached { epoch, .. } if !rejected => self.check.attached(*epoch),
            Input::Verified(identity) if !rejected => self.authenticated(&identity.user_id),
            _ => {}
        }
        let connection = self.connection_id;
        self.watch.write(|names| Record::Step {
            connection,
            input: record::input(input, names),
            rejected,
            effects: effects.iter().map(|effect| record::effect(effect, names)).collect(),
        });
    }

    fn attached(&mut self, user: &Arc<dyn UserObserver>) {
        self.user = Some(user.clone());
    }

    fn sending(&mut self, text: &str) {
        self.sends(text);
    }

    fn chunk_sent(&mut self) {
        self.tell_burst();
    }

    fn closing(&mut self, code: u16) {
        self.tell_burst();
        let Self { watch, connection_id, check, user_id, .. } = self;
        if watch.monitor {
            check.closes(code, &mut |breach| violation(*connection_id, user_id.as_ref(), breach));
        }
        watch.write(|_| Record::Closed { connection: *connection_id, code });
    }

    /// Checks the start of an event stream, which has no `ready`.
    fn stream_resumed(&mut self, user_id: &UserId, resumed: StreamResumed) {
        self.authenticated(user_id);
        let durable = self.durable();
        let Self { watch, connection_id, check, user_id, .. } = self;
        if watch.monitor {
            let StreamResumed { asked, epoch, head, resumption } = resumed;
            check.asked(asked);
            let breach = &mut |breach| violation(*connection_id, user_id.as_ref(), breach);
            let resumed = ResumePosition::new(epoch, resumption.resumed_after, head, resumption.gap);
            check.resumed(resumed, durable, breach);
        }
    }

    fn stream_gap(&mut self, gap: Gap) {
        let Self { watch, connection_id, check, user_id, .. } = self;
        if watch.monitor {
            let breach = &mut |breach| violation(*connection_id, user_id.as_ref(), breach);
            check.passed_over(gap.from, gap.to, breach);
        }
    }

    /// Checks the entries of an event stream, without a trace record.
    fn streaming(&mut self, lines: &Lines) {
        if self.watch.monitor {
            for (_, line) in lines.iter() {
                self.judge(&String::from_utf8_lossy(&line));
            }
        }
    }
}

impl ConnectionMonitor {
    pub(super) fn new(watch: Arc<Watch>, connection_id: ConnectionId) -> Self {
        Self { watch, connection_id, check: FrameCheck::new(), user: None, user_id: None, burst: None }
    }

    fn durable(&self) -> Offset {
        self.user.as_ref().map_or(Offset::ZERO, |user| user.durable())
    }

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
        let durable = self.durable();
        let Self { watch, connection_id, check, user_id, .. } = self;
        let loud = watch.monitor;
        let breach = &mut |breach| {
            if loud {
                violation(*connection_id, user_id.as_ref(), breach);
            }
        };
        check.frame(text, durable, breach)
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

impl Drop for ConnectionMonitor {
    fn drop(&mut self) {
        self.tell_burst();
    }
}

fn violation(connection_id: ConnectionId, user_id: Option<&UserId>, (rule, offset, what): Finding) {
    counted(rule);
    let user_id = user_id.map(UserId::as_str);
    let offset = offset.map(|offset| offset.0);
    tracing::error!(rule, %connection_id, user_id, offset, what, "monitor: a frame violates a rule");
}

/// Returns the `type` of a frame, which is the first key of every frame of the service.
fn kind_of(text: &str) -> &str {
    let rest = text.strip_prefix("{\"type\":\"").unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
