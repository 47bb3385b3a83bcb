//! A run that is taken up again: the agent runs from the start, and what its log already holds is not
//! done a second time (RUN-9).
//!
//! ```text
//!   the agent's step          the log holds                       what happens
//!   ────────────────          ──────────────────────────────      ─────────────────────────────────────
//!   a thought                 text that begins with it            nothing: it has been said
//!                             text that it begins with            the rest of it is said
//!                             other text                          `reset`, with all of this kind so far
//!                             nothing more of this kind           it is said
//!   a call                    the same call, completed            its result, the tool does not run
//!                             the same call, open                 the tool runs, or the client is awaited
//!                             another call of that id             a fresh id; the old call is given up
//!                             no call of that id                  it is opened
//!   the end                   what the agent did not repeat       texts withdrawn, open calls given up
//! ```
//!
//! Guarantee: for an agent that takes the same steps again, the log says in the end what it would
//! have said without the crash, and no tool call that completed runs twice. For one that takes other
//! steps, the log says in the end what the agent said last.
//!
//! Pure: the log comes in as events, steps go out as values.

use std::collections::BTreeMap;

use crate::kernel::{
    entry::{By, Call, CallResult, CallStatus, Event, Thought, ThoughtKind},
    ids::CallId,
};

/// What the log of a run holds and its agent has not repeated yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    reasoning: Told,
    answer: Told,
    progress: Told,
    calls: BTreeMap<CallId, PastCall>,
}

/// The text of one kind of thought since its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    text: String,
    /// How many bytes of it the agent has said again.
    repeated: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PastCall {
    call: Call,
    result: Option<CallResult>,
    place: Place,
}

/// Where the agent is, seen from a call in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ahead,
    Repeated,
    /// Under this id the agent made another call.
    PassedBy,
}

/// What comes of a call that the agent makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The log does not hold it: it is opened under this id, once those `given_up` are closed.
    New { call_id: CallId, given_up: Vec<CallId> },
    /// It is open in the log: it goes on without a second `tool_executing`.
    Open { call_id: CallId },
    /// It has completed: this is its result, and the tool does not run again (RUN-9).
    Closed { call_id: CallId, result: CallResult },
}

/// What the log holds besides what the agent did before its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Withdraw what was not said again.
    pub thoughts: Vec<Thought>,
    /// Calls of the agent that are open: to be closed as given up.
    pub given_up: Vec<CallId>,
    /// Calls of the client that are open: only the client, a cancel or a deadline closes them (RUN-11).
    pub awaited: Vec<CallId>,
}

impl Replay {
    /// Takes the events of a run so far, in order.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut replay = Replay::default();
        for event in events {
            match event {
                Event::Thinking(thought) => {
                    let told = replay.told(thought.kind);
                    if thought.reset {
                        told.text.clear();
                    }
                    told.text.push_str(&thought.delta);
                }
                Event::ToolExecuting(call) => {
                    let past = PastCall { call: call.clone(), result: None, place: Place::Ahead };
                    replay.calls.insert(call.call_id.clone(), past);
                }
                Event::ToolCompleted { call_id, result, .. } => {
                    if let Some(past) = replay.calls.get_mut(call_id) {
                        past.result = Some(result.clone());
                    }
                }
                Event::Started { .. } | Event::Completed(_) => {}
            }
        }
        replay
    }

    /// Whether the agent has repeated all that the log holds: from here on every step is a new one.
    pub fn is_over(&self) -> bool {
        let told = |told: &Told| told.rest().is_empty();
        let done = |past: &PastCall| match past.place {
            Place::Ahead => false,
            Place::Repeated => true,
            Place::PassedBy => past.result.is_some(),
        };
        told(&self.reasoning) && told(&self.answer) && told(&self.progress) && self.calls.values().all(done)
    }

    /// What has to be said so that the log says `delta` next; nothing if it does already.
    pub fn think(&mut self, kind: ThoughtKind, delta: &str) -> Option<Thought> {
        let told = self.told(kind);
        let rest = told.rest();
        if !rest.is_empty() && rest.starts_with(delta) {
            told.repeated += delta.len();
            return None;
        }
        if let Some(new) = delta.strip_prefix(rest) {
            told.repeated = told.text.len();
            return Some(Thought { kind, delta: new.to_owned(), reset: false });
        }
        Some(told.withdraw(kind, delta))
    }

    /// What comes of a call that the agent makes. An id that the agent itself has used before is left
    /// to the run to refuse (RUN-4).
    pub fn open(&mut self, call: &Call) -> Opening {
        let mut given_up = Vec::new();
        let mut call_id = call.call_id.clone();
        let mut attempt = 1u32;
        while let Some(past) = self.calls.get_mut(&call_id) {
            match past.place {
                Place::Ahead if past.is(call) => {
                    past.place = Place::Repeated;
                    return match &past.result {
                        Some(result) => Opening::Closed { call_id, result: result.clone() },
                        None => Opening::Open { call_id },
                    };
                }
                Place::Ahead => {
                    past.place = Place::PassedBy;
                    if past.result.is_none() && past.call.by == By::Agent {
                        past.result = Some(gave_up());
                        given_up.push(call_id);
                    }
                }
                Place::Repeated | Place::PassedBy if attempt == 1 => break,
                Place::Repeated | Place::PassedBy => {}
            }
            attempt += 1;
            call_id = derived(&call.call_id, attempt);
        }
        Opening::New { call_id, given_up }
    }

    /// An id like `call_id` that the log does not hold.
    pub fn unused(&self, call_id: &CallId) -> CallId {
        let mut unused = call_id.clone();
        let mut attempt = 1u32;
        while self.calls.contains_key(&unused) {
            attempt += 1;
            unused = derived(call_id, attempt);
        }
        unused
    }

    /// The agent is done: what the log holds besides is withdrawn.
    pub fn finish(mut self) -> Remains {
        let mut remains = Remains::default();
        for kind in [ThoughtKind::Reasoning, ThoughtKind::Answer, ThoughtKind::Progress] {
            let told = self.told(kind);
            if !told.rest().is_empty() {
                remains.thoughts.push(told.withdraw(kind, ""));
            }
        }
        for (call_id, past) in self.calls {
            match (past.place, past.result, past.call.by) {
                (Place::Repeated, _, _) | (_, Some(_), _) => {}
                (Place::Ahead | Place::PassedBy, None, By::Agent) => remains.given_up.push(call_id),
                (Place::Ahead | Place::PassedBy, None, By::Client) => remains.awaited.push(call_id),
            }
        }
        remains
    }

    fn told(&mut self, kind: ThoughtKind) -> &mut Told {
        match kind {
            ThoughtKind::Reasoning => &mut self.reasoning,
            ThoughtKind::Answer => &mut self.answer,
            ThoughtKind::Progress => &mut self.progress,
        }
    }
}

impl Told {
    fn rest(&self) -> &str {
        &self.text[self.repeated..]
    }

    /// Takes back what is in the log and says instead what the agent has said so far, and `delta`.
    fn withdraw(&mut self, kind: ThoughtKind, delta: &str) -> Thought {
        let mut said = std::mem::take(&mut self.text);
        said.truncate(std::mem::take(&mut self.repeated));
        said.push_str(delta);
        Thought { kind, delta: said, reset: true }
    }
}

impl PastCall {
    fn is(&self, call: &Call) -> bool {
        self.call.tool_name == call.tool_name
            && self.call.by == call.by
            && (self.call.parameters == call.parameters
                || self.call.parameters.to_value() == call.parameters.to_value())
    }
}

/// How a call closes that is open in the log and that its agent, taken up again, does not make.
pub fn gave_up() -> CallResult {
    CallResult::cut_short(CallStatus::Unknown, "the agent took another course after a restart")
}

/// The id of a call whose own one the log holds for another call.
fn derived(call_id: &CallId, attempt: u32) -> CallId {
    let suffix = format!("-{attempt}");
    let kept = call_id.as_str().len().min(CALL_ID_BYTES_MAX - suffix.len());
    CallId::parse(&format!("{}{suffix}", &call_id.as_str()[..kept]))
        .expect("made of a call id's own alphabet")
}

const CALL_ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
