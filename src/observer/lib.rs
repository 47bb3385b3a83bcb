//! The traits through which checkers observe a running service: its logs, its connections and its tickets.
//!
//! ```text
//!   Observer ─┬─ user ────────▶ UserObserver         commands, decisions; may wrap the user's log
//!             ├─ connection ──▶ ConnectionObserver   inputs and effects of the machine, frames
//!             └─ tickets, shutdown
//! ```
//!
//! The product knows these traits and no implementation of them; `quintet-monitor` is one. Every method has a
//! default body that does nothing, and [`NoObserver`] overrides none. An observer must not block, and its own
//! errors must not reach the service.
//!
//! # Examples
//!
//! Count the drains of a process:
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use quintet_observer::Observer;
//!
//! #[derive(Debug, Default)]
//! struct CountDrains(AtomicU64);
//!
//! impl Observer for CountDrains {
//!     fn draining(&self) {
//!         self.0.fetch_add(1, Ordering::Relaxed);
//!     }
//! }
//!
//! let counter = CountDrains::default();
//! counter.draining();
//! assert_eq!(counter.0.into_inner(), 1);
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

use std::{fmt::Debug, sync::Arc};

use quintet_journal::{Lines, Log};
use quintet_kernel::{
    connection::{Effect, Gap, Input, ResumeCursor, Resumption},
    ids::{ConnectionId, Epoch, Offset, Timestamp, UserId},
    ticket::{Identity, Unredeemable},
    user::{Command, Decision, Refusal},
};

/// Observes one process.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Creates the observer of one user's machines, and returns it with the log that these machines use: `log`
    /// itself, or a wrapper that observes each call.
    fn user(&self, user_id: &UserId, log: Arc<dyn Log>) -> ObservedLog {
        let _ = user_id;
        ObservedLog { log, observer: Arc::new(NoObserver) }
    }

    /// Creates the observer of one connection, a WebSocket or an event stream.
    fn connection(&self, connection_id: ConnectionId) -> Box<dyn ConnectionObserver> {
        let _ = connection_id;
        Box::new(NoObserver)
    }

    /// A ticket was issued for the identity `issuer`.
    fn ticket_issued(&self, ticket: &str, issuer: &Identity, expires_at: Timestamp, at: Timestamp) {
        let _ = (ticket, issuer, expires_at, at);
    }

    /// A client has presented a ticket, with this result.
    fn ticket_presented(&self, ticket: &str, redeemed: &Result<Identity, Unredeemable>, at: Timestamp) {
        let _ = (ticket, redeemed, at);
    }

    /// All outstanding tickets are void.
    fn tickets_voided(&self) {}

    /// The process accepts no more messages.
    fn draining(&self) {}

    /// All runs are quiesced, or the drain timed out.
    fn drained(&self) {}

    /// The process has shut down cleanly.
    fn stopped(&self) {}
}

/// A user's log, possibly wrapped, and the observer of the machines that use it.
#[derive(Clone)]
pub struct ObservedLog {
    /// The log for the user's machines.
    pub log: Arc<dyn Log>,
    /// The observer of these machines.
    pub observer: Arc<dyn UserObserver>,
}

/// Observes the machines of one user. Only the user's hub decides, so its calls are sequential.
pub trait UserObserver: Debug + Send + Sync {
    /// Returns the offset up to which the observer knows the log to be durable.
    fn durable(&self) -> Offset {
        Offset::ZERO
    }

    /// The hub is about to decide `command`. The next call is [`Self::decided`].
    fn deciding(&self, command: &Command) {
        let _ = command;
    }

    /// The hub has decided the command of the last [`Self::deciding`].
    fn decided(&self, decision: &Result<Decision, Refusal>) {
        let _ = decision;
    }

    /// The decisions since the last append have added no entry to the log, whose last entry is at `head`.
    fn unchanged(&self, head: Offset) {
        let _ = head;
    }

    /// The hub has dropped its decisions since the last append, at `head`.
    fn dropped(&self, head: Offset) {
        let _ = head;
    }
}

/// Observes one connection.
pub trait ConnectionObserver: Debug + Send {
    /// Returns false if every other method does nothing, so that the caller need not prepare their arguments.
    fn is_enabled(&self) -> bool {
        true
    }

    /// The socket was accepted. `known` is the identity of an authenticated upgrade request.
    fn accepted(&mut self, known: Option<&Identity>, effects: &[Effect]) {
        let _ = (known, effects);
    }

    /// The machine of the connection has taken, or rejected, an input.
    fn stepped(&mut self, input: &Input, effects: &[Effect], rejected: bool) {
        let _ = (input, effects, rejected);
    }

    /// The connection is attached to the machines that `user` observes.
    fn attached(&mut self, user: &Arc<dyn UserObserver>) {
        let _ = user;
    }

    /// A frame is about to be handed to the socket.
    fn sending(&mut self, text: &str) {
        let _ = text;
    }

    /// The last frame of a chunk of entries was handed to the socket.
    fn chunk_sent(&mut self) {}

    /// A close frame is about to be handed to the socket.
    fn closing(&mut self, code: u16) {
        let _ = code;
    }

    /// An event stream begins.
    fn stream_resumed(&mut self, user_id: &UserId, resumed: StreamResumed) {
        let _ = (user_id, resumed);
    }

    /// An event stream is about to report a gap after its beginning.
    fn stream_gap(&mut self, gap: Gap) {
        let _ = gap;
    }

    /// An event stream is about to send these entries.
    fn streaming(&mut self, lines: &Lines) {
        let _ = lines;
    }
}

/// The beginning of an event stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamResumed {
    /// The cursor of the client.
    pub asked: ResumeCursor,
    /// The epoch with which the cursor was compared.
    pub epoch: Epoch,
    /// The offset of the last entry of the log.
    pub head: Offset,
    /// The position that the client is sent.
    pub resumption: Resumption,
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
impl UserObserver for NoObserver {}

impl ConnectionObserver for NoObserver {
    fn is_enabled(&self) -> bool {
        false
    }
}
