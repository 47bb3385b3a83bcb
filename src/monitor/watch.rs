//! What all monitors of a process share: the outputs, and the rules that they report.

use quintet_audit::BrokenRule;
use quintet_kernel::ids::UserId;

use super::{names::Names, record::Record, trace::Trace};

#[derive(Debug)]
pub(super) struct Watch {
    /// True if conformance is checked.
    pub monitor: bool,
    /// The trace, if one is recorded.
    pub trace: Option<Trace>,
    pub names: Names,
}

/// The ids of the monitored rules: the values of the label `rule` of `quintet_monitor_violations_total`. `ENTRY`
/// is the form of an entry or a frame.
pub const RULES: [&str; 17] = [
    "RUN-1", "RUN-2", "RUN-3", "RUN-4", "RUN-5", "RUN-7", "RUN-8", "RUN-11", "DEL-1", "DEL-2", "DEL-3",
    "DEL-5", "DEL-6", "ISO-1", "CONN-2", "CONN-3", "ENTRY",
];

impl Watch {
    /// Writes a record if there is a trace.
    pub(super) fn write(&self, record: impl FnOnce(&Names) -> Record) {
        if let Some(trace) = &self.trace {
            trace.write(record(&self.names));
        }
    }

    /// Reports a rule that an entry of a log breaks.
    pub(super) fn log_violation(&self, user_id: &UserId, violation: &BrokenRule) {
        // The description of an unparsable entry might quote its content, which must not be logged (AUTH-6).
        let what = violation.run_id.as_ref().map_or("not an entry of this log", |_| &*violation.what);
        let (rule, offset, run_id) = (&*violation.rule, violation.offset, violation.run_id.as_deref());
        counted(rule);
        tracing::error!(rule, %user_id, offset, run_id, what, "monitor: a durable entry violates a rule");
    }
}

/// Counts a violation under its rule; unknown labels are counted as `ENTRY` to bound their number.
pub(super) fn counted(rule: &str) {
    let rule = RULES.iter().copied().find(|known| *known == rule).unwrap_or("ENTRY");
    metrics::counter!("quintet_monitor_violations_total", "rule" => rule).increment(1);
}
