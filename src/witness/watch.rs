//! The witness of one process: what it watches for, and where it says what it saw.

use std::sync::Arc;

use super::{
    link::ConnectionWitness,
    log::{UserWitness, WatchedLog},
    names::Names,
    record::{DrainStage, FORMAT, Record, Start, TicketDid, TracedLimits},
    trace::Trace,
};
use crate::{
    audit::Violation,
    journal::Log,
    kernel::{
        connection,
        ids::{ConnectionId, Epoch, Timestamp, UserId},
        limits::Limits,
        ticket::{Identity, Unredeemable},
    },
};

/// The witness of one process, or none. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Witness(Option<Arc<Watch>>);

#[derive(Debug)]
pub(super) struct Watch {
    pub conformance: bool,
    pub trace: Option<Trace>,
    pub names: Names,
}

/// The rules that are watched for, as the metric labels them. `ENTRY`: the form of an entry or a frame.
pub const RULES: [&str; 17] = [
    "RUN-1", "RUN-2", "RUN-3", "RUN-4", "RUN-5", "RUN-7", "RUN-8", "RUN-11", "DEL-1", "DEL-2", "DEL-3",
    "DEL-5", "DEL-6", "ISO-1", "CONN-2", "CONN-3", "ENTRY",
];

impl Witness {
    /// Nobody watches.
    pub fn off() -> Self {
        Self(None)
    }

    /// Watches for violations, writes a trace, both, or neither.
    pub fn new(
        conformance: bool,
        trace: Option<Trace>,
        epoch: Epoch,
        limits: &Limits,
        connection: connection::Limits,
    ) -> Self {
        if !conformance && trace.is_none() {
            return Self::off();
        }
        if conformance {
            for rule in RULES {
                // A rule that is kept shows as 0, not as nothing.
                metrics::counter!("quintet_conformance_violations_total", "rule" => rule).increment(0);
            }
        }
        let witness = Watch { conformance, trace, names: Names::new(epoch) };
        witness.write(|_| {
            Record::Start(Start {
                format: FORMAT,
                epoch,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                limits: TracedLimits::of(limits),
                connection,
            })
        });
        Self(Some(Arc::new(witness)))
    }

    /// The log as its user's machines are to use it, and who watches them.
    pub fn log(&self, user_id: &UserId, log: Arc<dyn Log>) -> (Arc<dyn Log>, UserWitness) {
        match &self.0 {
            None => (log, UserWitness::none()),
            Some(watch) => {
                let user = UserWitness::of(watch.clone(), user_id.clone());
                (Arc::new(WatchedLog::new(log, user.clone())), user)
            }
        }
    }

    pub fn connection(&self, connection_id: ConnectionId) -> ConnectionWitness {
        self.0
            .as_ref()
            .map_or_else(ConnectionWitness::none, |watch| ConnectionWitness::of(watch.clone(), connection_id))
    }

    pub fn issued(&self, ticket: &str, issuer: &Identity, expires_at: Timestamp, at: Timestamp) {
        self.ticket(ticket, at, |names| TicketDid::Issued {
            user: names.user(&issuer.user_id),
            expires_at,
            credential_expires_at: issuer.expires_at,
        });
    }

    pub fn redeemed(&self, ticket: &str, redeemed: &Result<Identity, Unredeemable>, at: Timestamp) {
        self.ticket(ticket, at, |names| match redeemed {
            Ok(identity) => TicketDid::Redeemed { user: names.user(&identity.user_id) },
            Err(Unredeemable::Unknown) => TicketDid::RefusedUnknown,
            Err(Unredeemable::Expired) => TicketDid::RefusedExpired,
        });
    }

    /// Outstanding tickets are forgotten.
    pub fn tickets_void(&self) {
        if let Some(watch) = &self.0 {
            watch.write(|_| Record::TicketsVoid);
        }
    }

    fn ticket(&self, ticket: &str, at: Timestamp, what: impl FnOnce(&Names) -> TicketDid) {
        if let Some(watch) = &self.0 {
            watch.write(|names| Record::Ticket { ticket: names.ticket(ticket), at, what: what(names) });
        }
    }

    pub fn drains(&self, stage: DrainStage) {
        if let Some(watch) = &self.0 {
            watch.write(|_| Record::Drain { stage });
        }
    }

    /// The process ends in order. The record is in the file once the last of its watchers is gone.
    pub fn stops(&self) {
        if let Some(watch) = &self.0 {
            watch.write(|_| Record::Stop);
        }
    }

    /// Resolves when every record so far is in the file of the trace, or never will be.
    pub async fn flushed(&self) {
        let trace = self.0.as_ref().and_then(|watch| watch.trace.as_ref());
        if let Some(flushed) = trace.and_then(Trace::flushed) {
            // A writer that is gone has nothing left to write.
            let _ = flushed.await;
        }
    }
}

impl Watch {
    /// Writes a record, if there is a trace.
    pub fn write(&self, record: impl FnOnce(&Names) -> Record) {
        if let Some(trace) = &self.trace {
            trace.write(record(&self.names));
        }
    }

    /// Tells of a rule that an entry in a log does not keep.
    pub fn log_violation(&self, user_id: &UserId, violation: &Violation) {
        // What does not even parse might say anything.
        let what = violation.run_id.as_ref().map_or("not an entry of this log", |_| &*violation.what);
        let (rule, offset, run_id) = (&*violation.rule, violation.offset, violation.run_id.as_deref());
        counted(rule);
        tracing::error!(rule, %user_id, offset, run_id, what, "conformance: a durable entry violates a rule");
    }
}

/// Counts a violation under the rule's own name, of which there are only so many.
pub(super) fn counted(rule: &str) {
    let rule = RULES.iter().copied().find(|known| *known == rule).unwrap_or("ENTRY");
    metrics::counter!("quintet_conformance_violations_total", "rule" => rule).increment(1);
}
