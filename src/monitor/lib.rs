//! The runtime monitor: observes the service at its journal and its sockets, without influence on it.
//!
//! ```text
//!   hub ──▶ [MonitoredLog] ──▶ journal        conformance: checked at once     ──▶ metric, log
//!   cursor ──▶ connection ──▶ [frames] ──▶ socket    trace: recorded           ──▶ file, for `accept`
//! ```
//!
//! # Guarantees
//!
//! - The service knows only the traits of [`quintet_observer`], which [`Monitor`] implements; switched off, no code of
//!   this package runs.
//! - Memory is bounded by the open runs, the latest messages and the connections; the queue of the trace by
//!   [`trace::TRACE_QUEUE_RECORDS_MAX`].
//! - An observation never waits for the trace file. Neither a finding nor a failure of the monitor affects the
//!   service.
//! - The rules are checked by code that is written independently of the kernel; shared with it are ids and data types.
//! - No text, result, parameter, token or ticket is logged or recorded (AUTH-6).
//!
//! # What it contains
//!
//! - [`Monitor`]: the monitor of one process; [`RULES`]: the rules that it reports
//! - [`record`]: the records of a trace; [`trace`]: its file
//!
//! The private modules: `log` observes every append and its outcome, `link` every step and frame of a connection.
//! `frames` has the rules that frames alone can break, independent of the connection's machine;
//! [`quintet_audit::live`] has those of entries. `names` makes the pseudonyms of a trace, and `watch` has the parts
//! that all monitors of a process share.
//!
//! # Examples
//!
//! Record a trace:
//!
//! ```
//! use quintet_kernel::{connection::ConnectionLimits, ids::Epoch, limits::Limits};
//! use quintet_monitor::{Monitor, record::{Record, TraceLine}, trace::Trace};
//! use quintet_observer::Observer;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("trace.jsonl");
//! let epoch = Epoch::parse("018f3c2e-7b1a-7c3d-8e4f-000000000001")?;
//! let trace = Trace::to_file(&path)?;
//! let monitor = Monitor::new(true, Some(trace), epoch, &Limits::DEFAULT, ConnectionLimits::DEFAULT);
//! monitor.stopped();
//! drop(monitor);
//!
//! let text = std::fs::read_to_string(&path)?;
//! let lines: Vec<TraceLine> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
//! assert!(matches!(lines[0].record, Record::Start(_)));
//! assert_eq!(lines[1], TraceLine { n: 2, record: Record::Stop });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod frames;
mod link;
mod log;
mod names;
mod process;
pub mod record;
pub mod trace;
mod watch;

pub use self::{process::Monitor, watch::RULES};
