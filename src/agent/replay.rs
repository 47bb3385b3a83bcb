//! The replay of a resumed run: the agent runs again from the start, and steps that its log already holds are
//! not repeated (RUN-9).
//!
//! ```text
//!   the agent's step          the log holds                       what happens
//!   ────────────────          ──────────────────────────────      ─────────────────────────────────────
//!   a thought                 text that begins with it            nothing: it is already recorded
//!                             text that it begins with            the rest of it is emitted
//!                             other text                          `reset`, with all of this kind so far
//!                             nothing more of this kind           it is emitted
//!   a call                    the same call, completed            its result, the tool does not run
//!                             the same call, open                 the tool runs, or the client is awaited
//!                             another call of that id             a fresh id; the old call is closed
//!                             no call of that id                  it is opened
//!   the end                   steps that were not repeated        texts are withdrawn, open calls closed
//! ```
//!
//! Guarantee: if the agent takes the same steps again, the final log equals that of a run without a crash, and
//! no completed tool call runs twice. If it takes other steps, the final log has the agent's last steps.
//!
//! Pure: events of the log in, steps out as values. Of the texts it holds only the part that is to be compared
//! next ([`Replay::lacks`], [`Replay::more`]), independent of their length.

use std::collections::BTreeMap;

use quintet_kernel::{
    entry::{By, Call, CallResult, CallStatus, Event, Thought, ThoughtKind},
    ids::CallId,
};

/// The recorded steps of a run that its agent has not repeated yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    reasoning: Told,
    answer: Told,
    progress: Told,
    calls: BTreeMap<CallId, PastCall>,
}

/// The recorded text of one kind of thought since its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    bytes: u64,
    /// The number of bytes that the agent has repeated.
    repeated: u64,
    /// A part of the recorded text; the part that is not repeated begins at `at`.
    ahead: String,
    at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PastCall {
    call: Call,
    result: Option<CallResult>,
    place: Place,
}

/// The position of the agent relative to a recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ahead,
    Repeated,
    /// The agent has made another call under this id.
    PassedBy,
}

/// The outcome of a thought of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// The log already holds it.
    Said,
    /// This has to be emitted.
    More(Thought),
    /// The log holds other text: the kind is reset and emitted again, its first `kept` bytes as in the log,
    /// then `delta`.
    Anew { kind: ThoughtKind, kept: u64, delta: String },
}

/// The outcome of a call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The log does not hold the call: it is opened under this id, after those in `given_up` are closed.
    New { call_id: CallId, given_up: Vec<CallId> },
    /// The call is open in the log: it continues without a second `tool_executing`.
    Open { call_id: CallId },
    /// The call has completed with this result, and the tool does not run again (RUN-9).
    Closed { call_id: CallId, result: CallResult },
}

/// The recorded steps that the agent has not repeated before its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Kinds with text that was not repeated: they are reset to their first bytes, of this number.
    pub withdrawn: Vec<(ThoughtKind, u64)>,
    /// Open calls of the agent, which have to be closed as given up.
    pub given_up: Vec<CallId>,
    /// Open calls of the client, which only the client, a cancel or a timeout closes (RUN-11).
    pub awaited: Vec<CallId>,
}

impl Replay {
    /// Creates a replay from the number of bytes of each kind that the run has emitted since its last reset,
    /// and its other events so far, in order.
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

    /// Returns true if the agent has repeated all recorded steps, so that every further step is new.
    pub fn is_over(&self) -> bool {
        let told = |told: &Told| told.rest() == 0;
        let done = |past: &PastCall| match past.place {
            Place::Ahead => false,
            Place::Repeated => true,
            Place::PassedBy => past.result.is_some(),
        };
        told(&self.reasoning) && told(&self.answer) && told(&self.progress) && self.calls.values().all(done)
    }

    /// Returns true if more recorded text has to be supplied with [`Self::more`] before the outcome of
    /// `delta` is known.
    pub fn lacks(&self, kind: ThoughtKind, delta: &str) -> bool {
        let told = self.told_of(kind);
        (told.ahead().len() as u64) < told.rest().min(delta.len() as u64)
    }

    /// Supplies the next recorded text of this kind.
    pub fn more(&mut self, kind: ThoughtKind, text: &str) {
        let told = self.told(kind);
        told.ahead.drain(..told.at);
        told.at = 0;
        told.ahead.push_str(text);
    }

    /// Returns the outcome of a thought.
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

    /// Returns the outcome of a call. An id that the agent itself has used before is left for the run to refuse
    /// (RUN-4).
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

    /// Derives an id from `call_id` that the log does not hold.
    pub fn unused(&self, call_id: &CallId) -> CallId {
        let mut unused = call_id.clone();
        let mut attempt = 1u32;
        while self.calls.contains_key(&unused) {
            attempt += 1;
            unused = derived(call_id, attempt);
        }
        unused
    }

    /// Ends the replay and returns the recorded steps to be withdrawn.
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
    /// Returns the number of bytes that the agent has not repeated.
    fn rest(&self) -> u64 {
        self.bytes - self.repeated
    }

    fn ahead(&self) -> &str {
        &self.ahead[self.at..]
    }

    /// Drops the recorded text and returns the number of repeated bytes.
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

/// Returns the result of a recorded open call that its resumed agent does not make.
pub fn gave_up() -> CallResult {
    CallResult::cut_short(CallStatus::Unknown, "the agent took another course after a restart")
}

/// Derives an id for a call whose own id the log has for another call.
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
