//! What is asked of a log, and what is answered.

use crate::kernel::{
    entry::{Call, CallResult, CallStatus, Entry, Thought},
    ids::{AgentName, CallId, MessageId, RunId, ThreadId},
    limits::Limits,
    run::{Breach, Closer, Cut, Ending, Step},
    user::Receipt,
};

/// Something that is asked of the log. Time, new ids and facts about the past come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Send(Send),
    /// The user ends a run. `ended`: the journal knows the run, and that it is over.
    Cancel {
        run_id: RunId,
        ended: bool,
    },
    /// The user answers a call that waits for the client (RUN-11). `past`: what the journal knows of
    /// the call if its run is over.
    Answer {
        run_id: RunId,
        call_id: CallId,
        result: CallResult,
        past: Option<PastCall>,
    },
    /// An agent moves its run on.
    Step {
        run_id: RunId,
        step: AgentStep,
    },
    /// The service ends a run: panic, deadline, loss of the agent (RUN-6, RUN-7).
    Cut {
        run_id: RunId,
        cut: Cut,
    },
    /// The service closes one call, as at a deadline of its own.
    CloseCall {
        run_id: RunId,
        call_id: CallId,
        status: CallStatus,
    },
    /// Resumes a run that lost its agent. Open calls of the agent close as `unknown`, except those in
    /// `keep` (idempotent tools, RUN-9); calls of the client stay open. A run whose resumes have reached a
    /// limit ends as `failed`, code `resume_limit`, instead (RUN-6).
    Resume {
        run_id: RunId,
        keep: Vec<CallId>,
        resumes: Resumes,
    },
}

/// How often a run was resumed by a process that then died (RUN-6): a fact from outside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Resumes {
    /// Since the last durable step of its agent.
    pub without_step: u32,
    /// Since the run began.
    pub total: u32,
}

impl Resumes {
    /// The name of the limit that forbids a further resume.
    pub fn limit_reached(self, limits: &Limits) -> Option<&'static str> {
        if self.without_step >= limits.run_resumes_max {
            Some("run_resumes_max")
        } else if self.total >= limits.run_resumes_total_max {
            Some("run_resumes_total_max")
        } else {
            None
        }
    }
}

/// A message to accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    pub message_id: MessageId,
    pub thread_id: ThreadId,
    pub text: String,
    pub agent_name: AgentName,
    pub on_busy: OnBusy,
    /// A fresh id for its run, used only if the message is new.
    pub run_id: RunId,
    /// What the journal knows of this `message_id`, if it is not among the recent ones.
    pub earlier: Option<Receipt>,
    /// Whether the message that was accepted under this `message_id` has other content (DEL-6). Without an
    /// earlier message it has no meaning.
    pub differs: bool,
}

/// What a message to a busy thread does (RUN-8).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// It waits; messages of a thread run one after another, in order of acceptance.
    #[default]
    Enqueue,
    /// It is refused with `thread_busy`.
    Reject,
    /// The active run and whatever waits end as `cancelled`; then it runs.
    Interrupt,
}

/// What the journal knows of a call whose run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PastCall {
    OfClient,
    /// Unknown, or executed by the agent.
    NotOfClient,
}

/// The steps that are an agent's to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentStep {
    Think(Thought),
    Open(Call),
    Close { call_id: CallId, result: CallResult },
    Complete(Ending),
}

impl AgentStep {
    pub(super) fn into_step(self) -> Step {
        match self {
            AgentStep::Think(thought) => Step::Think(thought),
            AgentStep::Open(call) => Step::Open(call),
            AgentStep::Close { call_id, result } => Step::Close { call_id, result, closer: Closer::Agent },
            AgentStep::Complete(ending) => Step::Complete(ending),
        }
    }
}

/// The entries that a command adds, and what its author is told once they are durable (DEL-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub entries: Vec<Entry>,
    pub reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is accepted: a promise once the entries are durable (DEL-5).
    Accepted { receipt: Receipt, duplicate: bool },
    /// Done as asked, or there was nothing left to do.
    Done,
    /// The agent's step was illegal, and its run has failed (RUN-10).
    Violated(Breach),
    /// The agent's step was over a limit, and its run has failed.
    LimitReached(&'static str),
    /// The run was resumed as often as this limit allows, and has failed (RUN-6).
    ResumeLimit(&'static str),
}

/// Why a command adds nothing. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the thread has an active run")]
    ThreadBusy,
    /// The id names an accepted message with other content (DEL-6).
    #[error("the message_id was used for a message with other content")]
    MessageIdReused,
    #[error("{0} is reached")]
    LimitReached(&'static str),
    #[error("no such run or call")]
    NotFound,
    #[error("the run has ended")]
    RunEnded,
    #[error("the call is closed")]
    CallClosed,
    #[error("{what} is longer than {bytes_max} bytes")]
    TooLarge { what: &'static str, bytes_max: usize },
}
