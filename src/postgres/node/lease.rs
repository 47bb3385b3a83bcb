//! The lease of this node, as a machine without a clock: what it knows of the row that the database has of it.
//!
//! ```text
//!          ┌── Confirmed ──┐
//!          ▼               │
//!   ──▶ Held ─────────── Tick: renew
//!         │ `until` passed        ┌───────── Confirmed, in time ─────────▶ Held
//!         ├──── recoverable ──▶ Lapsed ── Refused ──▶ Ended
//!         └──── final, or Refused ─────────────────▶ Ended
//! ```
//!
//! Guarantee: a lease is proven up to `until`, which is counted from the moment *before* a confirmed renewal was sent, and
//! is earlier than the end that the database stored by the margin at least (NODE-2). An answer that is lost or late
//! proves nothing more, and a lease that has ended stays so.

use std::time::Duration;

/// A point of the monotonic clock of this process: the time since an arbitrary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// The terms of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Time for which a renewal extends the lease, by the clock of the database.
    pub(crate) lease: Duration,
    /// Time before that end at which this node gives its lease up.
    pub(crate) margin: Duration,
    /// Time between two renewals.
    pub(crate) interval: Duration,
    /// Time after a renewal without an answer until the next one.
    pub(crate) retry: Duration,
    pub(crate) lapse: Lapse,
}

/// The consequence of a lease that was not renewed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// It has ended: other nodes may have taken its runs over.
    Final,
    /// It may be renewed: a process that has the database to itself loses it only to one that takes its place.
    Recoverable,
}

/// The lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// It is proven until `until`.
    Held { until: Moment, renewal: Renewal },
    /// It is not proven, and may be again.
    Lapsed { renewal: Renewal },
    /// It has ended, for good.
    Ended(LeaseEnd),
}

/// The next renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It is to be sent at this moment.
    Due(Moment),
    /// It was sent, and has no answer yet.
    Sent,
}

/// The reason for which a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseEnd {
    /// No renewal was confirmed in time.
    Unproven,
    /// The database has the lease no more.
    Refused,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseInput {
    /// Time passed.
    Tick,
    /// The database confirmed the renewal that was sent at `sent`.
    Confirmed { sent: Moment },
    /// The renewal has failed, or its answer did not come in time. The database may have executed it.
    Unanswered,
    /// The database has no lease of this node, or an expired one.
    Refused,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseOrder {
    /// Send a renewal.
    Renew,
    /// Stop everything that is done in the name of this node.
    Fence(LeaseEnd),
}

impl LeaseState {
    /// Returns the lease of a node whose first one the database confirmed, as requested at `sent`.
    pub(crate) fn taken(terms: &Terms, sent: Moment) -> Self {
        Self::Held { until: terms.proven_until(sent), renewal: Renewal::Due(sent.after(terms.interval)) }
    }

    /// Returns true if no other node can have seen the lease as expired by now.
    pub(crate) fn is_proven(&self, now: Moment) -> bool {
        matches!(self, Self::Held { until, .. } if now < *until)
    }

    /// Returns the moment at which the next `Tick` has an effect; `None` if none has, before another input.
    pub(crate) fn next(&self) -> Option<Moment> {
        match self {
            Self::Held { until, renewal: Renewal::Due(at) } => Some(*until.min(at)),
            Self::Held { until, renewal: Renewal::Sent } => Some(*until),
            Self::Lapsed { renewal: Renewal::Due(at) } => Some(*at),
            Self::Lapsed { renewal: Renewal::Sent } | Self::Ended(_) => None,
        }
    }

    /// Returns the moment at which the lease ends for good if nothing else happens; `None` if it does not.
    pub(crate) fn ends(&self, terms: &Terms) -> Option<Moment> {
        match (self, terms.lapse) {
            (Self::Held { until, .. }, Lapse::Final) => Some(*until),
            (Self::Ended(_), _) => Some(Moment(Duration::ZERO)),
            (Self::Held { .. }, Lapse::Recoverable) | (Self::Lapsed { .. }, _) => None,
        }
    }

    /// Takes an input at a moment that is not before those of earlier inputs.
    pub(crate) fn handle(self, terms: &Terms, now: Moment, input: LeaseInput) -> (Self, Option<LeaseOrder>) {
        match (self.passed(terms, now), input) {
            (Self::Ended(end), _) => {
                let ends = !matches!(self, Self::Ended(_));
                (Self::Ended(end), ends.then_some(LeaseOrder::Fence(end)))
            }
            (Self::Held { .. } | Self::Lapsed { .. }, LeaseInput::Refused) => {
                (Self::Ended(LeaseEnd::Refused), Some(LeaseOrder::Fence(LeaseEnd::Refused)))
            }
            (Self::Held { until, renewal: Renewal::Due(at) }, LeaseInput::Tick) if at <= now => {
                (Self::Held { until, renewal: Renewal::Sent }, Some(LeaseOrder::Renew))
            }
            (Self::Lapsed { renewal: Renewal::Due(at) }, LeaseInput::Tick) if at <= now => {
                (Self::Lapsed { renewal: Renewal::Sent }, Some(LeaseOrder::Renew))
            }
            (held @ (Self::Held { .. } | Self::Lapsed { .. }), LeaseInput::Tick) => (held, None),
            (Self::Held { until, renewal: Renewal::Sent }, LeaseInput::Unanswered) => {
                (Self::Held { until, renewal: Renewal::Due(now.after(terms.retry)) }, None)
            }
            (Self::Lapsed { renewal: Renewal::Sent }, LeaseInput::Unanswered) => {
                (Self::Lapsed { renewal: Renewal::Due(now.after(terms.retry)) }, None)
            }
            (waits @ (Self::Held { .. } | Self::Lapsed { .. }), LeaseInput::Unanswered) => (waits, None),
            (Self::Held { until, renewal }, LeaseInput::Confirmed { sent }) => {
                // An answer that was overtaken by a later one proves less.
                let until = until.max(terms.proven_until(sent.min(now)));
                (Self::Held { until, renewal: renewal.confirmed(terms, sent) }, None)
            }
            (Self::Lapsed { renewal }, LeaseInput::Confirmed { sent }) => {
                let (until, renewal) = (terms.proven_until(sent.min(now)), renewal.confirmed(terms, sent));
                let held = now < until;
                (if held { Self::Held { until, renewal } } else { Self::Lapsed { renewal } }, None)
            }
        }
    }

    /// Returns the lease once time has passed. Time comes before the input: an answer that arrives after the end does not
    /// undo it.
    fn passed(self, terms: &Terms, now: Moment) -> Self {
        match (self, terms.lapse) {
            (Self::Held { until, .. }, Lapse::Final) if until <= now => Self::Ended(LeaseEnd::Unproven),
            (Self::Held { until, renewal }, Lapse::Recoverable) if until <= now => Self::Lapsed { renewal },
            (lease, Lapse::Final | Lapse::Recoverable) => lease,
        }
    }
}

impl Renewal {
    fn confirmed(self, terms: &Terms, sent: Moment) -> Self {
        match self {
            Self::Sent => Self::Due(sent.after(terms.interval)),
            Self::Due(at) => Self::Due(at),
        }
    }
}

impl Terms {
    /// Returns the moment up to which a confirmed renewal proves the lease: the database counted from a later one.
    fn proven_until(&self, sent: Moment) -> Moment {
        sent.after(self.lease.saturating_sub(self.margin))
    }
}

#[cfg(test)]
mod tests;
