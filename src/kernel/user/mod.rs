//! The state machine of one user's log, as two pure functions: [`UserState::decide`] returns the entries that a
//! command adds, [`UserState::evolve`] applies one entry to the state. Recovery is a fold of `evolve`.
//!
//! ```text
//!   send_message ─▶ queue of its thread: [ running | waiting, waiting … ]
//!                                            │ agent_completed: the next in the queue starts
//!                                            │ the running one takes those that steer: they are merged
//! ```
//!
//! Guarantees: a thread has at most one active run (RUN-8). Every accepted message is queued until its run
//! completes (RUN-6). A message id stands for one run (DEL-6). A refused command changes nothing.
//!
//! # Examples
//!
//! A caller decides, stores the entries, and applies them once they are durable (DEL-1):
//!
//! ```
//! use quintet_kernel::{
//!     ids::{AgentName, MessageId, Offset, RunId, ThreadId, Timestamp},
//!     limits::Limits,
//!     user::{Command, NewMessage, OnBusy, Refusal, Reply, SendCommand, UserState},
//! };
//!
//! let limits = Limits::default();
//! let run_id = RunId::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ab")?;
//! let mut log = UserState::default();
//!
//! let message = NewMessage {
//!     message_id: MessageId::parse("m1")?,
//!     thread_id: ThreadId::parse("t1")?,
//!     text: "roll the dice".to_owned(),
//!     agent_name: None,
//!     on_busy: OnBusy::Enqueue,
//!     parent: None,
//! };
//! let agent_name = AgentName::parse("croupier")?;
//! let send = SendCommand { message, agent_name, run_id, earlier: None, differs: false, older_parent: None };
//! let decision = log.decide(Command::Send(send), &limits, Timestamp(1_000))?;
//! assert_eq!(decision.entries.len(), 2, "user_message and agent_started");
//! assert!(matches!(decision.reply, Reply::Accepted { duplicate: false, .. }));
//!
//! // … the caller appends the entries to the journal …
//! for entry in &decision.entries {
//!     log.evolve(entry, &limits)?;
//! }
//! assert_eq!(log.head(), Offset(2));
//! assert!(log.open_runs().contains_key(&run_id));
//!
//! // A refused command changes nothing.
//! let unknown = RunId::parse("018f3c2e-7b1a-7c3d-8e4f-ba9876543210")?;
//! let cancel = Command::Cancel { run_id: unknown, ended: false };
//! assert_eq!(log.decide(cancel, &limits, Timestamp(1_001)), Err(Refusal::NotFound));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod command;
mod decide;
mod draft;
mod erasure;
mod state;
mod threads;

pub use command::{
    AgentStep, Command, Decision, NewMessage, OnBusy, PastCall, Refusal, Reply, Resumes, SendCommand,
    TakenMessage, ThreadProperties, ThreadUpdate, UpdateThread,
};
pub use erasure::{EraseScope, Erasure};
pub use state::{
    InvalidEntry, OpenRun, Progress, Receipt, RecentMessage, RecentParent, Recovering, UserState,
};
