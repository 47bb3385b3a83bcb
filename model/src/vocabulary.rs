//! Small numbers for the kernel's names: run 1, message 2, call 1. What the rules do not look at is
//! held fixed: one agent, one tool, one text, time that stands still. Tickets go by time, and have a clock
//! of their own ([`crate::models::ticket`]).

use std::sync::LazyLock;

use quintet::kernel::{
    entry::{
        Body, Call, CallOwner, CallResult, CallStatus, Entry, Event, RunError, RunErrorCode, RunStatus,
        Thought, ThoughtKind,
    },
    ids::{AgentName, CallId, MessageId, RunId, ThreadId, Timestamp, ToolName},
    json::Json,
    run::EarlyEnd,
};
use uuid::Uuid;

/// The only moment there is: of what runs and users' machines decide, nothing depends on time.
pub const AT: Timestamp = Timestamp(0);

const NAMES_MAX: u8 = 10;

macro_rules! names {
    ($name:ident, $of:ident, $kind:ident, $prefix:literal) => {
        pub fn $name(number: u8) -> $kind {
            static NAMES: LazyLock<Vec<$kind>> = LazyLock::new(|| {
                let parse =
                    |n| $kind::parse(&format!(concat!($prefix, "{}"), n)).expect("a short name is valid");
                (0..NAMES_MAX).map(parse).collect()
            });
            NAMES[usize::from(number)].clone()
        }

        pub fn $of(name: &$kind) -> u8 {
            name.as_str()[1..].parse().expect("a name of this vocabulary")
        }
    };
}

names!(thread, thread_number, ThreadId, "t");
names!(message, message_number, MessageId, "m");
names!(call, call_number, CallId, "c");

pub fn run(number: u8) -> RunId {
    RunId(Uuid::from_u128(number.into()))
}

pub fn run_number(run_id: RunId) -> u8 {
    run_id.0.as_u128() as u8
}

pub fn agent() -> AgentName {
    static AGENT: LazyLock<AgentName> =
        LazyLock::new(|| AgentName::parse("agent").expect("a short name is valid"));
    AGENT.clone()
}

pub fn tool() -> ToolName {
    static TOOL: LazyLock<ToolName> =
        LazyLock::new(|| ToolName::parse("tool").expect("a short name is valid"));
    TOOL.clone()
}

fn null() -> Json {
    static NULL: LazyLock<Json> = LazyLock::new(Json::null);
    NULL.clone()
}

pub fn thought() -> Thought {
    Thought { kind: ThoughtKind::Reasoning, delta: String::new(), reset: false }
}

pub fn a_call(number: u8, by: CallOwner) -> Call {
    Call { call_id: call(number), tool_name: tool(), parameters: null(), by }
}

pub fn ok() -> CallResult {
    CallResult::ok(null())
}

/// An entry without the text that explains the end of a call or a run. The kernel does not read it, and with
/// it two states with equal behaviour would differ.
pub fn without_words(mut entry: Entry) -> Entry {
    match entry.run_mut().map(|entry| &mut entry.body) {
        Some(Body::Event { event: Event::ToolCompleted { result, .. }, .. }) => result.error = None,
        Some(Body::Event { event: Event::Completed(completion), .. }) => {
            if let Some(error) = &mut completion.error {
                error.message.clear();
            }
        }
        _ => {}
    }
    entry
}

/// A result of nothing but a status.
pub fn cut_result(status: CallStatus) -> CallResult {
    CallResult { status, results: null(), error: None }
}

fn error(code: RunErrorCode) -> RunError {
    RunError { code, message: String::new() }
}

pub fn failed() -> EarlyEnd {
    EarlyEnd::Failed(error(RunErrorCode::AgentError))
}

pub fn timed_out() -> EarlyEnd {
    EarlyEnd::TimedOut(error(RunErrorCode::RunTimeout))
}

pub fn interrupted() -> EarlyEnd {
    EarlyEnd::Interrupted(error(RunErrorCode::NodeLost))
}

/// A log entry in a word or two, as counterexamples print it.
pub fn brief(entry: &Entry) -> String {
    let entry = match entry {
        Entry::Run(entry) => entry,
        Entry::Thread(entry) => return format!("{:?} of {}", entry.change, entry.thread_id),
        Entry::LogErased(entry) => return format!("log erased through {}", entry.through),
        Entry::Erased(_) => return "erased".to_owned(),
    };
    let run = run_number(entry.run_id);
    match &entry.body {
        Body::UserMessage { message_id, .. } => format!("{message_id} on {} as r{run}", entry.thread_id),
        Body::Event { seq, event } => format!("r{run}.{} {}", seq.0, brief_event(event)),
    }
}

pub fn brief_event(event: &Event) -> String {
    match event {
        Event::Started { .. } => "agent_started".into(),
        Event::Thinking(_) => "agent_thinking".into(),
        Event::ToolExecuting(call) => format!("tool_executing {} by {}", call.call_id, by_name(call.by)),
        Event::ToolCompleted { call_id, result, .. } => {
            format!("tool_completed {call_id} {}", call_status_name(result.status))
        }
        Event::Completed(completion) => format!("agent_completed {}", run_status_name(completion.status)),
    }
}

pub fn by_name(by: CallOwner) -> &'static str {
    match by {
        CallOwner::Agent => "agent",
        CallOwner::Client => "client",
    }
}

pub fn call_status_name(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok => "ok",
        CallStatus::Error => "error",
        CallStatus::Declined => "declined",
        CallStatus::TimedOut => "timed_out",
        CallStatus::Cancelled => "cancelled",
        CallStatus::Unknown => "unknown",
    }
}

pub fn run_status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::TimedOut => "timed_out",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Merged => "merged",
    }
}

/// The status of a run's end, with its error code where the status alone is ambiguous.
pub fn ending_name(status: RunStatus, error: Option<&RunError>) -> &'static str {
    match (status, error.map(|error| error.code)) {
        (RunStatus::Failed, Some(RunErrorCode::Violation)) => "violation",
        (RunStatus::Failed, Some(RunErrorCode::LimitReached)) => "limit_reached",
        (RunStatus::Failed, Some(RunErrorCode::ResumeLimit)) => "resume_limit",
        _ => run_status_name(status),
    }
}
