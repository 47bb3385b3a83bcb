//! The monitor of one process: its configuration and its outputs.

use std::sync::Arc;

use quintet_journal::Log;
use quintet_kernel::{
    connection,
    ids::{ConnectionId, Epoch, Timestamp, UserId},
    limits::Limits,
    ticket::{Identity, Unredeemable},
};
use quintet_observer::{ConnectionObserver, ObservedLog, Observer};

use super::{
    link::ConnectionMonitor,
    log::{MonitoredLog, UserMonitor},
    names::Names,
    record::{DrainStage, FORMAT, Record, Start, TicketDid, TracedLimits},
    trace::Trace,
    watch::{RULES, Watch},
};

/// The monitor of one process. Clones share it.
#[derive(Clone, Debug)]
pub struct Monitor(Arc<Watch>);

impl Monitor {
    /// Creates a monitor that checks conformance if `monitor` is true, and records a trace if there is one.
    ///
    /// `epoch` is the id of the journal; `limits` and `connection` are recorded at the start of the trace.
    pub fn new(
        monitor: bool,
        trace: Option<Trace>,
        epoch: Epoch,
        limits: &Limits,
        connection: connection::ConnectionLimits,
    ) -> Self {
        if monitor {
            for rule in RULES {
                // An unbroken rule is exported as 0 instead of being absent.
                metrics::counter!("quintet_monitor_violations_total", "rule" => rule).increment(0);
            }
        }
        let watch = Watch { monitor, trace, names: Names::new(epoch) };
        watch.write(|_| {
            Record::Start(Start {
                format: FORMAT,
                epoch,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                limits: TracedLimits::of(limits),
                connection,
            })
        });
        Self(Arc::new(watch))
    }

    /// Waits until all records so far are written to the trace file, or are lost.
    pub async fn flushed(&self) {
        if let Some(flushed) = self.0.trace.as_ref().and_then(Trace::flushed) {
            // A writer that has ended has nothing left to write.
            let _ = flushed.await;
        }
    }

    fn ticket(&self, ticket: &str, at: Timestamp, what: impl FnOnce(&Names) -> TicketDid) {
        self.0.write(|names| Record::Ticket { ticket: names.ticket(ticket), at, what: what(names) });
    }
}

impl Observer for Monitor {
    fn user(&self, user_id: &UserId, log: Arc<dyn Log>) -> ObservedLog {
        let observer = Arc::new(UserMonitor::new(self.0.clone(), user_id.clone()));
        ObservedLog { log: Arc::new(MonitoredLog::new(log, observer.clone())), observer }
    }

    fn connection(&self, connection_id: ConnectionId) -> Box<dyn ConnectionObserver> {
        Box::new(ConnectionMonitor::new(self.0.clone(), connection_id))
    }

    fn ticket_issued(&self, ticket: &str, issuer: &Identity, expires_at: Timestamp, at: Timestamp) {
        self.ticket(ticket, at, |names| TicketDid::Issued {
            user: names.user(&issuer.user_id),
            expires_at,
            credential_expires_at: issuer.expires_at,
        });
    }

    fn ticket_presented(&self, ticket: &str, redeemed: &Result<Identity, Unredeemable>, at: Timestamp) {
        self.ticket(ticket, at, |names| match redeemed {
            Ok(identity) => TicketDid::Redeemed { user: names.user(&identity.user_id) },
            Err(Unredeemable::Unknown) => TicketDid::RefusedUnknown,
            Err(Unredeemable::Expired) => TicketDid::RefusedExpired,
        });
    }

    fn tickets_voided(&self) {
        self.0.write(|_| Record::TicketsVoid);
    }

    fn draining(&self) {
        self.0.write(|_| Record::Drain { stage: DrainStage::Draining });
    }

    fn drained(&self) {
        self.0.write(|_| Record::Drain { stage: DrainStage::Rest });
    }

    /// Records a clean shutdown. The record is in the file once the last clone of the monitor is dropped.
    fn stopped(&self) {
        self.0.write(|_| Record::Stop);
    }
}
