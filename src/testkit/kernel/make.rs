//! Short names for the kernel's vocabulary.

use quintet_kernel::{
    entry::{Call, CallOwner, CallResult, RunError, RunErrorCode, Thought, ThoughtKind},
    ids::{AgentName, CallId, MessageId, RunId, ThreadId, Timestamp, ToolName},
    json::Json,
    run::{Closer, EarlyEnd, Ending, Step},
};
use uuid::Uuid;

pub const AT: Timestamp = Timestamp(1_700_000_000_000);

pub fn call_id(id: u8) -> CallId {
    CallId::parse(&format!("c{id}")).unwrap()
}

pub fn message_id(id: u8) -> MessageId {
    MessageId::parse(&format!("m{id}")).unwrap()
}

pub fn thread_id(id: u8) -> ThreadId {
    ThreadId::parse(&format!("t{id}")).unwrap()
}

pub fn run_id(id: usize) -> RunId {
    RunId(Uuid::from_u128(id as u128 + 1))
}

pub fn agent_name() -> AgentName {
    AgentName::parse("assistant").unwrap()
}

pub fn answer(delta: &str) -> Thought {
    Thought { kind: ThoughtKind::Answer, delta: delta.into(), reset: false }
}

pub fn call(id: u8, by: CallOwner) -> Call {
    Call {
        call_id: call_id(id),
        tool_name: ToolName::parse("tool").unwrap(),
        parameters: Json::empty_object(),
        by,
    }
}

pub fn close(id: u8, closer: Closer) -> Step {
    Step::Close { call_id: call_id(id), result: CallResult::ok(Json::null()), closer }
}

pub fn succeed() -> Ending {
    Ending::Succeeded { usage: None }
}

pub fn error(code: RunErrorCode) -> RunError {
    RunError { code, message: "because".into() }
}

pub fn failed() -> EarlyEnd {
    EarlyEnd::Failed(error(RunErrorCode::AgentError))
}
