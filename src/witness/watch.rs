//! The monitor of one process: its configuration and its outputs.

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

/// The monitor of one process, or a no-op. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Witness(Option<Arc<Watch>>);

#[derive(Debug)]
pub(super) struct Watch {
    pub conformance: bool,
    pub trace: Option<Trace>,
    pub names: Names,
}

/// The monitored rules, as labels of the metric. `ENTRY` is the form of an entry or a frame.
pub const RULES: [&str; 17] = [
    "RUN-1", "RUN-2", "RUN-3", "RUN-4", "RUN-5", "RUN-7", "RUN-8", "RUN-11", "DEL-1", "DEL-2", "DEL-3",
    "DEL-5", "DEL-6", "ISO-1", "CONN-2", "CONN-3", "ENTRY",
];

impl Witness {
    /// Creates a no-op monitor.
    pub fn off() -> Self {
        Self(None)
    }

    /// Creates a monitor that checks conformance, writes a trace, both, or neither.
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
                // An unbroken rule is exported as 0 instead of being absent.
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

    /// Wraps a log for its user's machines and returns their monitor.
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

    /// Records that outstanding tickets are void.
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

    /// Records a clean shutdown. The record is in the file once the last clone of the monitor is dropped.
    pub fn stops(&self) {
        if let Some(watch) = &self.0 {
            watch.write(|_| Record::Stop);
        }
    }

    /// Waits until all records so far are written to the trace file, or are lost.
    pub async fn flushed(&self) {
        let trace = self.0.as_ref().and_then(|watch| watch.trace.as_ref());
        if let Some(flushed) = trace.and_then(Trace::flushed) {
            // A writer that has ended has nothing left to write.
            let _ = flushed.await;
        }
    }
}

impl Watch {
    /// Writes a record if there is a trace.
    pub fn write(&self, record: impl FnOnce(&Names) -> Record) {
        if let Some(trace) = &self.trace {
            trace.write(record(&self.names));
        }
    }

    /// Reports a rule that an entry of a log breaks.
    pub fn log_violation(&self, user_id: &UserId, violation: &Violation) {
        // The description of an unparsable entry might quote its content, which must not be logged (AUTH-6).
        let what = violation.run_id.as_ref().map_or("not an entry of this log", |_| &*violation.what);
        let (rule, offset, run_id) = (&*violation.rule, violation.offset, violation.run_id.as_deref());
        counted(rule);
        tracing::error!(rule, %user_id, offset, run_id, what, "conformance: a durable entry violates a rule");
    }
}

/// Counts a violation under its rule; unknown labels are counted as `ENTRY` to bound their number.
pub(super) fn counted(rule: &str) {
    let rule = RULES.iter().copied().find(|known| *known == rule).unwrap_or("ENTRY");
    metrics::counter!("quintet_conformance_violations_total", "rule" => rule).increment(1);
}
