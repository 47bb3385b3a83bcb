//! Legal runs, as sequences of entries.

use proptest::prelude::*;
use quintet_kernel::{
    entry::{
        Body, Call, CallOwner, CallResult, CallStatus, Completion, Event, RunError, RunErrorCode, RunStatus,
        Thought, ThoughtKind, Usage,
    },
    ids::{AgentName, CallId, MessageId, RunId, Seq, ToolName},
    json::Json,
};
use uuid::Uuid;

pub(super) const RUN: RunId = RunId(Uuid::from_u128(7));

pub(super) fn agent() -> AgentName {
    AgentName::parse("assistant").unwrap()
}

/// A step of an agent, or of its client.
#[derive(Clone, Debug)]
pub(super) enum Play {
    Think {
        kind: ThoughtKind,
        delta: &'static str,
        reset: bool,
    },
    Open {
        by: CallOwner,
        tool: &'static str,
    },
    /// Closes one of the open calls.
    Close {
        which: usize,
        status: CallStatus,
    },
}

fn play() -> impl Strategy<Value = Play> {
    let kind =
        prop_oneof![Just(ThoughtKind::Answer), Just(ThoughtKind::Reasoning), Just(ThoughtKind::Progress)];
    let delta = prop_oneof![Just("one "), Just("two\n\n"), Just("\u{1f980}\"\\"), Just("")];
    let status = prop_oneof![
        3 => Just(CallStatus::Ok), 1 => Just(CallStatus::Error), 1 => Just(CallStatus::Declined),
        1 => Just(CallStatus::Unknown),
    ];
    let by = prop_oneof![Just(CallOwner::Agent), Just(CallOwner::Client)];
    let tool = prop_oneof![Just("look_up"), Just("approve"), Just("choose")];
    prop_oneof![
        4 => (kind, delta, prop::bool::weighted(0.15))
            .prop_map(|(kind, delta, reset)| Play::Think { kind, delta, reset }),
        2 => (by, tool).prop_map(|(by, tool)| Play::Open { by, tool }),
        2 => (0..8usize, status).prop_map(|(which, status)| Play::Close { which, status }),
    ]
}

/// Returns the bodies of a legal run: message, start, steps, end.
pub(super) fn run() -> impl Strategy<Value = Vec<Body>> {
    let status = prop::sample::select(RunStatus::ALL.to_vec());
    (prop::collection::vec(play(), 0..14), status).prop_map(|(plays, status)| legal(plays, status))
}

pub(super) fn legal(plays: Vec<Play>, status: RunStatus) -> Vec<Body> {
    let message_id = MessageId::parse("m-1").unwrap();
    let text = "hello".to_owned();
    let message = Body::UserMessage { message_id: message_id.clone(), text, parent: None, steers: false };
    let mut word = Word { bodies: vec![message], seq: 0, open: Vec::new(), opened: 0, has_thought: false };
    word.push(Event::Started { message_id });
    for play in plays {
        word.play(play);
    }
    word.finish(status);
    word.bodies
}

struct Word {
    bodies: Vec<Body>,
    seq: u64,
    open: Vec<Call>,
    opened: u32,
    has_thought: bool,
}

impl Word {
    fn push(&mut self, event: Event) {
        self.seq += 1;
        self.bodies.push(Body::Event { seq: Seq(self.seq), event });
    }

    fn play(&mut self, play: Play) {
        match play {
            Play::Think { kind, delta, reset } => {
                self.has_thought = true;
                self.push(Event::Thinking(Thought { kind, delta: delta.to_owned(), reset }));
            }
            // RUN-3.
            Play::Open { .. } if !self.has_thought => {}
            Play::Open { by, tool } => {
                self.opened += 1;
                let call = Call {
                    call_id: CallId::parse(&format!("c{}", self.opened)).unwrap(),
                    tool_name: ToolName::parse(tool).unwrap(),
                    parameters: Json::parse(r#"{"tool_name":"x","message":"sure?"}"#).unwrap(),
                    by,
                };
                self.open.push(call.clone());
                self.push(Event::ToolExecuting(call));
            }
            Play::Close { which, status } if !self.open.is_empty() => {
                let call = self.open.remove(which % self.open.len());
                self.close(call, status);
            }
            Play::Close { .. } => {}
        }
    }

    fn close(&mut self, call: Call, status: CallStatus) {
        let result = match status {
            CallStatus::Ok => CallResult::ok(Json::parse(r#"{"a":[1,"x\ny"]}"#).unwrap()),
            status => CallResult { status, results: Json::null(), error: Some("because".to_owned()) },
        };
        let Call { call_id, tool_name, .. } = call;
        self.push(Event::ToolCompleted { call_id, tool_name, result, duration_ms: 1 });
    }

    fn finish(&mut self, status: RunStatus) {
        if status == RunStatus::Succeeded && !self.has_thought {
            self.play(Play::Think { kind: ThoughtKind::Progress, delta: "hm", reset: false });
        }
        for call in std::mem::take(&mut self.open) {
            self.close(call, CallStatus::Cancelled);
        }
        let error = RunError { code: RunErrorCode::AgentError, message: "no model today".to_owned() };
        let fails = matches!(status, RunStatus::Failed | RunStatus::TimedOut);
        self.push(Event::Completed(Completion {
            status,
            final_response: None,
            error: fails.then_some(error),
            duration_ms: 1,
            usage: (status == RunStatus::Succeeded)
                .then_some(Usage { input_tokens: u64::MAX, output_tokens: 2 }),
            merged_into: (status == RunStatus::Merged).then_some(RunId(Uuid::from_u128(8))),
        }));
    }
}
