//! The state machine of one agent run, as a typestate API and as a transition table.
//!
//! ```text
//!                think                    open                      think, open, close (others open)
//!   Started ────────────────▶ Thinking ────────────▶ ExecutingTools ───┐
//!      │                       │   ▲ │                  │        ▲─────┘
//!      │ end (not succeeded),  │   │ └ think            │ close (the last open call)
//!      │ merge                 │   │                    │
//!      ▼                       │   └────────────────────┘
//!   Completed ◀────────────────┘ complete, end
//! ```
//!
//! [`Run`], the typestate API, has in each phase only the methods that are legal there, so an illegal step
//! does not compile. [`AnyRun::step`], the dynamic API, is one `match` over the same methods; a step without
//! an arm is a [`Violation`]. Both produce the same events (RUN-1 … RUN-5, RUN-7, RUN-10).
//!
//! Guarantee: the sequence of events that a run produces satisfies RUN-1 … RUN-5.
//!
//! # Examples
//!
//! A run as typestate. Each method takes the run and returns the run in its next phase, with the event:
//!
//! ```
//! use quintet_kernel::{
//!     entry::{CallOwner, Call, CallResult, Event, Thought, ThoughtKind},
//!     ids::{CallId, MessageId, Timestamp, ToolName},
//!     json::Json,
//!     run::{AfterClose, Ending, Run},
//! };
//!
//! let at = Timestamp(1_000);
//! let call = Call {
//!     call_id: CallId::parse("c1")?,
//!     tool_name: ToolName::parse("dice")?,
//!     parameters: Json::parse(r#"{"sides": 6}"#)?,
//!     by: CallOwner::Agent,
//! };
//! let answer = Thought { kind: ThoughtKind::Answer, delta: "a four".to_owned(), reset: false };
//! let plan = Thought { kind: ThoughtKind::Reasoning, delta: "roll the dice".to_owned(), reset: false };
//!
//! let (run, _agent_started) = Run::start(MessageId::parse("m1")?, at);
//! let (run, _agent_thinking) = run.think(plan);
//! let (run, _tool_executing) = run.open(call, at).expect("the call id is new");
//! let closed = run.close(CallId::parse("c1")?, CallResult::ok(Json::parse("4")?), at);
//! let Ok((AfterClose::Thinking(run), _tool_completed)) = closed else { panic!("no other call is open") };
//! let (run, _agent_thinking) = run.think(answer);
//! let (run, last) = run.complete(Ending::Succeeded { usage: None }, at);
//!
//! assert_eq!(run.seq().0, 6);
//! let Event::Completed(completion) = last else { panic!("agent_completed is the last event") };
//! assert_eq!(completion.final_response.as_deref(), Some("a four"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A run has to think before it may succeed (RUN-3), so this does not compile:
//!
//! ```compile_fail,E0599
//! # use quintet_kernel::{ids::{MessageId, Timestamp}, run::{Ending, Run}};
//! let (run, _) = Run::start(MessageId::parse("m1").unwrap(), Timestamp(0));
//! run.complete(Ending::Succeeded { usage: None }, Timestamp(0));
//! ```
//!
//! The dynamic API returns the same refusal as a value, with the unchanged run:
//!
//! ```
//! use quintet_kernel::{ids::{MessageId, Timestamp}, run::{AnyRun, Breach, Ending, Run, Step}};
//!
//! let (run, _) = Run::start(MessageId::parse("m1")?, Timestamp(0));
//! let violation = AnyRun::Started(run.clone())
//!     .step(Step::Complete(Ending::Succeeded { usage: None }), Timestamp(0))
//!     .unwrap_err();
//! assert_eq!(violation.breach, Breach::NothingThought);
//! assert_eq!(*violation.run, AnyRun::Started(run));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod phases;
mod table;
mod violation;

pub use phases::{
    AfterClose, CallReopened, Completed, EarlyEnd, Ending, ExecutingTools, OpenCall, Run, Started, Thinking,
};
pub use table::{AnyRun, Closer, Step, Violation};
pub use violation::{Breach, PhaseName, StepName};
