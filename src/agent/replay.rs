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
//! Pure: the log comes in as events, steps go out as values. Of the texts it holds only what it was given
//! to compare next ([`Replay::lacks`], [`Replay::more`]), however long they are.

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
    bytes: u64,
    /// How many of them the agent has said again.
    repeated: u64,
    /// Text that the log holds; what follows the repeated part begins at `at`.
    ahead: String,
    at: usize,
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

/// What comes of a thought of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// The log says it already.
    Said,
    /// This is said.
    More(Thought),
    /// The log says something else: all of this kind is withdrawn and said anew, the first `kept` bytes of
    /// it as the log has them, then `delta`.
    Anew { kind: ThoughtKind, kept: u64, delta: String },
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
    /// Kinds of which something was not said again: all of it is withdrawn but the first so many bytes.
    pub withdrawn: Vec<(ThoughtKind, u64)>,
    /// Calls of the agent that are open: to be closed as given up.
    pub given_up: Vec<CallId>,
    /// Calls of the client that are open: only the client, a cancel or a deadline closes them (RUN-11).
    pub awaited: Vec<CallId>,
}

impl Replay {
    /// Takes how many bytes of each kind a run has said since it last withdrew them, and its other events
    /// so far, in order.
    pub fn of<'a>(said: impl Fn(ThoughtKind) -> u64, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut replay = Replay::default();
        for kind in KINDS {
            replay.told(kind).bytes = said(kind);
        }
        for event in events {
            match event {
                Event::ToolExecuting(call) => {
                    let past = PastCall { call: call.clone(), result: None, place: Place::Ahead };
                    replay.calls.insert(call.call_id.clone(), past);
                }
                Event::ToolCompleted { call_id, result, .. } => {
                    if let Some(past) = replay.calls.get_mut(call_id) {
                        past.result = Some(result.clone());
                    }
                }
                Event::Started { .. } | Event::Thinking(_) | Event::Completed(_) => {}
            }
        }
        replay
    }

    /// Whether the agent has repeated all that the log holds: from here on every step is a new one.
    pub fn is_over(&self) -> bool {
        let told = |told: &Told| told.rest() == 0;
        let done = |past: &PastCall| match past.place {
            Place::Ahead => false,
            Place::Repeated => true,
            Place::PassedBy => past.result.is_some(),
        };
        told(&self.reasoning) && told(&self.answer) && told(&self.progress) && self.calls.values().all(done)
    }

    /// Whether it needs to be given [`Self::more`] of what the log holds before it can tell what comes of
    /// `delta`.
    pub fn lacks(&self, kind: ThoughtKind, delta: &str) -> bool {
        let told = self.told_of(kind);
        (told.ahead().len() as u64) < told.rest().min(delta.len() as u64)
    }

    /// Takes the next text of this kind that the log holds.
    pub fn more(&mut self, kind: ThoughtKind, text: &str) {
        let told = self.told(kind);
        told.ahead.drain(..told.at);
        told.at = 0;
        told.ahead.push_str(text);
    }

    /// What has to be said so that the log says `delta` next.
    pub fn think(&mut self, kind: ThoughtKind, delta: &str) -> Saying {
        let told = self.told(kind);
        let (rest, bytes) = (told.rest(), delta.len() as u64);
        if rest > 0 && bytes <= rest && told.ahead().starts_with(delta) {
            told.repeated += bytes;
            told.at += delta.len();
            return Saying::Said;
        }
        if bytes >= rest
            && let Some(new) = delta.strip_prefix(told.ahead())
        {
            (told.repeated, told.at) = (told.bytes, told.ahead.len());
            return Saying::More(Thought { kind, delta: new.to_owned(), reset: false });
        }
        Saying::Anew { kind, kept: told.withdraw(), delta: delta.to_owned() }
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
        for kind in KINDS {
            let told = self.told(kind);
            if told.rest() > 0 {
                remains.withdrawn.push((kind, told.withdraw()));
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

    fn told_of(&self, kind: ThoughtKind) -> &Told {
        match kind {
            ThoughtKind::Reasoning => &self.reasoning,
            ThoughtKind::Answer => &self.answer,
            ThoughtKind::Progress => &self.progress,
        }
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
    /// How many bytes the agent has not said again.
    fn rest(&self) -> u64 {
        self.bytes - self.repeated
    }

    fn ahead(&self) -> &str {
        &self.ahead[self.at..]
    }

    /// From here on the log holds nothing more of this kind; how much of it the agent has said again.
    fn withdraw(&mut self) -> u64 {
        std::mem::take(self).repeated
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

const CALL_ID_BYTES_MAX: usize = 128;

const KINDS: [ThoughtKind; 3] = [ThoughtKind::Reasoning, ThoughtKind::Answer, ThoughtKind::Progress];

#[cfg(test)]
mod tests;
