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
    entry::{Call, CallOwner, CallResult, CallStatus, Event, Thought, ThoughtKind},
    ids::CallId,
};

use crate::call_ids::{asked_by, derived};

/// The recorded steps of a run that its agent has not repeated yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    reasoning: ReplayText,
    answer: ReplayText,
    progress: ReplayText,
    calls: BTreeMap<CallId, ReplayCall>,
}

/// The recorded text of one kind of thought since its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ReplayText {
    bytes: u64,
    /// The number of bytes that the agent has repeated.
    repeated: u64,
    /// A part of the recorded text; the part that is not repeated begins at `at`.
    ahead: String,
    at: usize,
}

/// A call that the log of a resumed run holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// The call, as it was opened.
    pub call: Call,
    /// The result; `None` if the call is open.
    pub result: Option<CallResult>,
    /// The number of the group of calls that were open side by side: 0, 1, 2 …
    pub round: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ReplayCall {
    recorded: RecordedCall,
    /// The place of the call among the calls of the run.
    place: usize,
    position: CallPosition,
}

/// The position of the agent relative to a recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallPosition {
    Ahead,
    Repeated,
    /// The agent has made another call under this id.
    PassedBy,
}

/// The outcome of a thought of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThoughtOutcome {
    /// The log already holds it.
    Recorded,
    /// This has to be emitted.
    New(Thought),
    /// The log holds other text: the kind is reset and emitted again, its first `kept` bytes as in the log,
    /// then `delta`.
    Rewritten {
        /// The kind that is reset.
        kind: ThoughtKind,
        /// The length of the recorded text that stays, in bytes of UTF-8.
        kept: u64,
        /// The agent's text after them.
        delta: String,
    },
}

/// The outcome of a call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The log does not hold the call: it is opened under this id, after those in `given_up` are closed.
    New {
        /// The id under which the call is opened.
        call_id: CallId,
        /// Recorded open calls of the agent, each closed with [`gave_up`].
        given_up: Vec<CallId>,
    },
    /// The call is open in the log: it continues without a second `tool_executing`.
    Open {
        /// The recorded id of the call.
        call_id: CallId,
    },
    /// The call has completed with this result, and the tool does not run again (RUN-9).
    Closed {
        /// The recorded id of the call.
        call_id: CallId,
        /// The recorded result.
        result: CallResult,
    },
}

/// The recorded steps that the agent has not repeated before its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
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
    pub fn of<'a>(emitted: impl Fn(ThoughtKind) -> u64, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut replay = Replay::default();
        for kind in KINDS {
            replay.recorded(kind).bytes = emitted(kind);
        }
        let (mut open, mut rounds) = (0_usize, 0_usize);
        for event in events {
            match event {
                Event::ToolExecuting(call) => {
                    rounds += usize::from(open == 0);
                    open += 1;
                    let recorded = RecordedCall { call: call.clone(), result: None, round: rounds - 1 };
                    let place = replay.calls.len();
                    let past = ReplayCall { recorded, place, position: CallPosition::Ahead };
                    replay.calls.insert(call.call_id.clone(), past);
                }
                Event::ToolCompleted { call_id, result, .. } => {
                    if let Some(past) = replay.calls.get_mut(call_id) {
                        open = open.saturating_sub(1);
                        past.recorded.result = Some(result.clone());
                    }
                }
                Event::Started { .. } | Event::Thinking(_) | Event::Completed(_) => {}
            }
        }
        replay
    }

    /// Returns the recorded calls, in their order. Questions of tools are not among them: they are asked by the tools.
    pub fn calls(&self) -> Vec<RecordedCall> {
        let mut calls: Vec<&ReplayCall> = self.calls.values().collect();
        calls.sort_unstable_by_key(|past| past.place);
        let calls = calls.into_iter().map(|past| past.recorded.clone());
        calls.filter(|recorded| !self.is_question(&recorded.call)).collect()
    }

    /// Returns true if the agent has repeated all recorded steps, so that every further step is new.
    pub fn is_over(&self) -> bool {
        let recorded = |recorded: &ReplayText| recorded.rest() == 0;
        let done = |past: &ReplayCall| match past.position {
            CallPosition::Ahead => false,
            CallPosition::Repeated => true,
            CallPosition::PassedBy => past.recorded.result.is_some(),
        };
        recorded(&self.reasoning)
            && recorded(&self.answer)
            && recorded(&self.progress)
            && self.calls.values().all(done)
    }

    /// Returns true if the agent has made the first `calls` recorded calls, or passed them by. Questions of tools do not
    /// count: the tools ask them.
    pub fn has_made(&self, calls: usize) -> bool {
        let is_ahead = |past: &ReplayCall| {
            past.position == CallPosition::Ahead && !self.is_question(&past.recorded.call)
        };
        !self.calls.values().any(|past| past.place < calls && is_ahead(past))
    }

    fn is_question(&self, call: &Call) -> bool {
        asked_by(call).is_some_and(|parent| self.calls.keys().any(|call_id| call_id.as_str() == parent))
    }

    /// Returns true if more recorded text has to be supplied with [`Self::more`] before the outcome of
    /// `delta` is known.
    pub fn lacks(&self, kind: ThoughtKind, delta: &str) -> bool {
        let recorded = self.recorded_of(kind);
        (recorded.ahead().len() as u64) < recorded.rest().min(delta.len() as u64)
    }

    /// Supplies the next recorded text of this kind.
    pub fn more(&mut self, kind: ThoughtKind, text: &str) {
        let recorded = self.recorded(kind);
        recorded.ahead.drain(..recorded.at);
        recorded.at = 0;
        recorded.ahead.push_str(text);
    }

    /// Forgets the recorded text of this kind, which the agent replaces.
    pub fn replace(&mut self, kind: ThoughtKind) {
        self.recorded(kind).withdraw();
    }

    /// Returns the outcome of a thought.
    pub fn think(&mut self, kind: ThoughtKind, delta: &str) -> ThoughtOutcome {
        let recorded = self.recorded(kind);
        let (rest, bytes) = (recorded.rest(), delta.len() as u64);
        if rest > 0 && bytes <= rest && recorded.ahead().starts_with(delta) {
            recorded.repeated += bytes;
            recorded.at += delta.len();
            return ThoughtOutcome::Recorded;
        }
        if bytes >= rest
            && let Some(new) = delta.strip_prefix(recorded.ahead())
        {
            (recorded.repeated, recorded.at) = (recorded.bytes, recorded.ahead.len());
            return ThoughtOutcome::New(Thought { kind, delta: new.to_owned(), reset: false });
        }
        ThoughtOutcome::Rewritten { kind, kept: recorded.withdraw(), delta: delta.to_owned() }
    }

    /// Returns the outcome of a call. An id that the agent itself has used before is left for the run to refuse
    /// (RUN-4).
    pub fn open(&mut self, call: &Call) -> Opening {
        let mut given_up = Vec::new();
        let mut call_id = call.call_id.clone();
        let mut attempt = 1u32;
        while let Some(past) = self.calls.get_mut(&call_id) {
            match past.position {
                CallPosition::Ahead if past.is(call) => {
                    past.position = CallPosition::Repeated;
                    return match &past.recorded.result {
                        Some(result) => Opening::Closed { call_id, result: result.clone() },
                        None => Opening::Open { call_id },
                    };
                }
                CallPosition::Ahead => {
                    past.position = CallPosition::PassedBy;
                    let recorded = &mut past.recorded;
                    if recorded.result.is_none() && recorded.call.by == CallOwner::Agent {
                        recorded.result = Some(gave_up());
                        given_up.push(call_id);
                    }
                }
                CallPosition::Repeated | CallPosition::PassedBy if attempt == 1 => break,
                CallPosition::Repeated | CallPosition::PassedBy => {}
            }
            attempt += 1;
            call_id = derived(&call.call_id, &format!("-{attempt}"));
        }
        Opening::New { call_id, given_up }
    }

    /// Derives an id from `call_id` that the log does not hold.
    pub fn unused(&self, call_id: &CallId) -> CallId {
        let mut unused = call_id.clone();
        let mut attempt = 1u32;
        while self.calls.contains_key(&unused) {
            attempt += 1;
            unused = derived(call_id, &format!("-{attempt}"));
        }
        unused
    }

    /// Ends the replay and returns the recorded steps to be withdrawn.
    pub fn finish(mut self) -> Leftovers {
        let mut remains = Leftovers::default();
        for kind in KINDS {
            let recorded = self.recorded(kind);
            if recorded.rest() > 0 {
                remains.withdrawn.push((kind, recorded.withdraw()));
            }
        }
        for (call_id, past) in self.calls {
            match (past.position, past.recorded.result, past.recorded.call.by) {
                (CallPosition::Repeated, _, _) | (_, Some(_), _) => {}
                (CallPosition::Ahead | CallPosition::PassedBy, None, CallOwner::Agent) => {
                    remains.given_up.push(call_id)
                }
                (CallPosition::Ahead | CallPosition::PassedBy, None, CallOwner::Client) => {
                    remains.awaited.push(call_id)
                }
            }
        }
        remains
    }

    fn recorded_of(&self, kind: ThoughtKind) -> &ReplayText {
        match kind {
            ThoughtKind::Reasoning => &self.reasoning,
            ThoughtKind::Answer => &self.answer,
            ThoughtKind::Progress => &self.progress,
        }
    }

    fn recorded(&mut self, kind: ThoughtKind) -> &mut ReplayText {
        match kind {
            ThoughtKind::Reasoning => &mut self.reasoning,
            ThoughtKind::Answer => &mut self.answer,
            ThoughtKind::Progress => &mut self.progress,
        }
    }
}

impl ReplayText {
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

impl ReplayCall {
    fn is(&self, call: &Call) -> bool {
        let recorded = &self.recorded.call;
        recorded.tool_name == call.tool_name
            && recorded.by == call.by
            && (recorded.parameters == call.parameters
                || recorded.parameters.to_value() == call.parameters.to_value())
    }
}

/// Returns the result of a recorded open call that its resumed agent does not make.
pub fn gave_up() -> CallResult {
    CallResult::cut_short(CallStatus::Unknown, "the agent took another course after a restart")
}

const KINDS: [ThoughtKind; 3] = [ThoughtKind::Reasoning, ThoughtKind::Answer, ThoughtKind::Progress];

#[cfg(test)]
mod tests;
