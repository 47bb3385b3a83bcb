//! Writes a run's steps to its log, except those that the log already holds.
//!
//! Guarantee: steps reach the hub in the order in which the agent takes them, and the end of a run follows
//! the withdrawal of everything left over from before a crash.

use futures_util::future::try_join_all;
use quintet_journal::ReadLimit;
use quintet_kernel::{
    entry::{Body, Call, CallOwner, CallResult, Thought, ThoughtKind},
    ids::{CallId, Offset, RunId, ToolName},
    json::Json,
    run::Ending,
    user::AgentStep,
};
use quintet_wire as wire;

use super::{
    call::{AskedCall, Lease, OpenCall, bounded},
    emitted_text::EmittedTextReader,
    history::History,
    redact::UserTexts,
    replay::{Opening, RecordedCall, Replay, ThoughtOutcome, gave_up},
    taken::TakenQueue,
    token_count::TokenCount,
};
use crate::host::{Assignment, EmittedText, Message, Owner, RunEnded, RunHandle, TextSpan};

/// A run's handle, and the content of its log at the start of the agent.
pub(super) struct StepWriter {
    handle: RunHandle,
    owner: Owner,
    run_id: RunId,
    /// `None` once the agent has repeated all recorded steps.
    replay: Option<Box<Replayed>>,
    /// Number of calls that the agent has made, from which call ids are derived, equally after a restart.
    calls: u64,
    /// The offset of the run's first entry.
    begin: Offset,
    /// The offset of the run's message.
    message: Offset,
    texts: UserTexts,
    /// The messages that the run had taken before it was resumed.
    taken: TakenQueue,
}

/// The recorded steps, and the agent's position in them.
struct Replayed {
    replay: Replay,
    emitted: EmittedText,
    /// Readers of the recorded text of each kind, opened when it has to be compared.
    readers: [Option<EmittedTextReader>; 3],
}

impl StepWriter {
    pub(super) fn new(assignment: Assignment) -> Self {
        let Assignment { owner, run_id, past, emitted, taken, handle, accepted, .. } = assignment;
        let begin = past.first().map_or(Offset::ZERO, |entry| entry.offset);
        let events = past.iter().filter_map(|entry| match &entry.body {
            Body::Event { event, .. } => Some(event),
            Body::UserMessage { .. } => None,
        });
        let replay = Replay::of(|kind| emitted.of(kind).bytes, events);
        let replayed = Box::new(Replayed { replay, emitted, readers: [const { None }; 3] });
        let texts = UserTexts::new(handle.clone(), accepted);
        handle.note_taken(taken.iter().map(|taken| taken.offset));
        let (replay, message, taken) = (Some(replayed), accepted, TakenQueue::new(taken));
        Self { handle, owner, run_id, replay, calls: 0, begin, message, texts, taken }.without_what_is_over()
    }

    pub(super) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    pub(super) fn recorded_calls(&self) -> Vec<RecordedCall> {
        self.replay.as_ref().map_or_else(Vec::new, |past| past.replay.calls())
    }

    /// Returns the length of the reasoning and the answer that the log holds at the start of the agent.
    pub(super) fn recorded_text_bytes(&self) -> u64 {
        self.replay.as_ref().map_or(0, |past| {
            [ThoughtKind::Reasoning, ThoughtKind::Answer].map(|kind| past.emitted.of(kind).bytes).iter().sum()
        })
    }

    pub(super) fn token_count(&self) -> TokenCount {
        self.handle.token_count()
    }

    pub(super) fn run_id(&self) -> RunId {
        self.run_id
    }

    pub(super) fn history(&self) -> History {
        History::new(self.handle.clone(), self.owner, self.begin, self.message)
    }

    pub(super) fn into_handle(self) -> RunHandle {
        self.handle
    }

    pub(super) fn unused(&self, call_id: &CallId) -> CallId {
        self.replay.as_ref().map_or_else(|| call_id.clone(), |past| past.replay.unused(call_id))
    }

    /// Creates the agent's next call, with an id that is the same after a restart of the run.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded::InvalidName`] if the tool has no valid name.
    pub(super) fn call(
        &mut self,
        tool_name: &str,
        parameters: Json,
        by: CallOwner,
    ) -> Result<Call, RunEnded> {
        let tool_name = ToolName::parse(tool_name).map_err(RunEnded::InvalidName)?;
        self.calls += 1;
        let call_id = CallId::parse(&format!("c{}", self.calls)).expect("a letter and digits");
        Ok(Call { call_id, tool_name, parameters, by })
    }

    /// Emits a thought, or the part of it that the log does not hold.
    pub(super) async fn think(&mut self, thought: &Thought) -> Result<(), RunEnded> {
        for piece in pieces(thought.clone(), self.piece_bytes_max()) {
            let Some(past) = &mut self.replay else {
                self.handle.post(AgentStep::Think(piece)).await?;
                continue;
            };
            let (kind, delta) = (piece.kind, &piece.delta);
            let span = past.emitted.of(kind);
            while past.replay.lacks(kind, delta) {
                let reader = past.readers[kind as usize].get_or_insert_with(|| {
                    EmittedTextReader::new(self.handle.clone(), self.run_id, kind, span)
                });
                // Recovery counted these bytes, so the log holds them.
                let Some(more) = reader.next().await else { return Err(RunEnded::Unavailable) };
                past.replay.more(kind, &more);
            }
            let saying = past.replay.think(kind, delta);
            self.forget_what_is_over();
            if saying != ThoughtOutcome::Recorded {
                self.taken.deviate();
            }
            match saying {
                ThoughtOutcome::Recorded => {}
                ThoughtOutcome::New(thought) => self.post(thought).await?,
                ThoughtOutcome::Rewritten { kind, kept, delta } => {
                    self.rewrite(kind, span, kept, delta).await?
                }
            }
        }
        Ok(())
    }

    /// Resets the text of a kind and emits `text` in its place.
    pub(super) async fn replace(&mut self, kind: ThoughtKind, text: String) -> Result<(), RunEnded> {
        if let Some(past) = &mut self.replay {
            past.replay.replace(kind);
        }
        self.forget_what_is_over();
        self.post(Thought { kind, delta: text, reset: true }).await
    }

    /// Resets the text of a kind and emits its first `kept` bytes again, then `delta`.
    async fn rewrite(
        &self,
        kind: ThoughtKind,
        span: TextSpan,
        kept: u64,
        delta: String,
    ) -> Result<(), RunEnded> {
        let mut reader = EmittedTextReader::new(self.handle.clone(), self.run_id, kind, span);
        let mut thought = Thought { kind, delta: String::new(), reset: true };
        let mut left = kept;
        while left > 0 {
            let Some(mut text) = reader.next().await else { return Err(RunEnded::Unavailable) };
            text.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= text.len() as u64;
            thought.delta.push_str(&text);
            if thought.delta.len() >= PIECE_BYTES_MAX {
                let next = Thought { kind, delta: String::new(), reset: false };
                self.post(std::mem::replace(&mut thought, next)).await?;
            }
        }
        thought.delta.push_str(&delta);
        if thought.reset || !thought.delta.is_empty() { self.post(thought).await } else { Ok(()) }
    }

    pub(super) async fn open(&mut self, call: Call) -> Result<(Call, OpenCall), RunEnded> {
        let mut made = self.open_all(vec![call]).await?;
        Ok(made.pop().expect("a call was made"))
    }

    /// Opens calls in their order and waits until all of them are durable.
    pub(super) async fn open_all(&mut self, calls: Vec<Call>) -> Result<Vec<(Call, OpenCall)>, RunEnded> {
        let mut steps = Vec::new();
        let mut made = Vec::new();
        for call in calls {
            let (call, recorded) = self.admit(call, &mut steps);
            let results_bytes_max = self.handle.limits().results_bytes_max;
            let line = self.handle.line().clone();
            let texts = self.texts.and(call.parameters.clone());
            let lease = Lease(Some(self.handle.log().clone()));
            let opened =
                OpenCall::new(call.call_id.clone(), recorded, results_bytes_max, line, Some(texts), lease);
            made.push((call, opened));
        }
        self.take_all(steps).await?;
        Ok(made)
    }

    pub(super) async fn open_for_client(&mut self, call: Call) -> Result<(Call, AskedCall), RunEnded> {
        let mut steps = Vec::new();
        let (call, recorded) = self.admit(call, &mut steps);
        self.take_all(steps).await?;
        let asked = AskedCall::new(call.call_id.clone(), recorded, self.handle.clone());
        Ok((call, asked))
    }

    /// Takes the messages that wait for the run; first those that it had taken before it was resumed (RUN-12).
    pub(super) async fn take_messages(&mut self) -> Result<Vec<Message>, RunEnded> {
        let replay = self.replay.as_ref().map(|past| &past.replay);
        let has_made = |calls| replay.is_none_or(|replay| replay.has_made(calls));
        let due = self.taken.due(has_made);
        if due.is_empty() && self.taken.is_over(has_made) {
            return self.handle.take_messages().await;
        }
        let mut messages = Vec::new();
        for offset in due {
            // Recovery has read this entry, so the log holds it.
            messages.push(recorded_message(&self.handle, offset).await.ok_or(RunEnded::Unavailable)?);
        }
        Ok(messages)
    }

    pub(super) async fn close(&mut self, call_id: CallId, result: CallResult) -> Result<(), RunEnded> {
        self.handle.take(AgentStep::Close { call_id, result }).await
    }

    /// Ends the run, after withdrawing what is left over from before a crash.
    pub(super) async fn complete(&mut self, ending: Ending) -> Result<(), RunEnded> {
        if let Some(past) = self.replay.take() {
            let remains = past.replay.finish();
            for (kind, kept) in remains.withdrawn {
                self.rewrite(kind, past.emitted.of(kind), kept, String::new()).await?;
            }
            for call_id in remains.awaited {
                self.handle.closed(&call_id).await?;
            }
            self.take_all(remains.given_up.into_iter().map(|call_id| self.give_up(call_id)).collect())
                .await?;
        }
        self.handle.take(AgentStep::Complete(ending)).await
    }

    /// Returns the call under its id in the log, and its result if the log has one. Steps that have to come
    /// first are added to `steps`.
    fn admit(&mut self, mut call: Call, steps: &mut Vec<AgentStep>) -> (Call, Option<CallResult>) {
        let opening = match &mut self.replay {
            None => Opening::New { call_id: call.call_id.clone(), given_up: Vec::new() },
            Some(past) => past.replay.open(&call),
        };
        self.forget_what_is_over();
        match opening {
            Opening::New { call_id, given_up } => {
                call.call_id = call_id;
                steps.extend(given_up.into_iter().map(|call_id| self.give_up(call_id)));
                steps.push(AgentStep::Open(call.clone()));
                (call, None)
            }
            Opening::Open { call_id } => (Call { call_id, ..call }, None),
            Opening::Closed { call_id, result } => (Call { call_id, ..call }, Some(result)),
        }
    }

    fn forget_what_is_over(&mut self) {
        self.replay = self.replay.take().filter(|past| !past.replay.is_over());
    }

    fn without_what_is_over(mut self) -> Self {
        self.forget_what_is_over();
        self
    }

    fn piece_bytes_max(&self) -> usize {
        self.handle.limits().delta_bytes_max.min(PIECE_BYTES_MAX)
    }

    /// Emits a thought in pieces within the limit of a delta.
    async fn post(&self, thought: Thought) -> Result<(), RunEnded> {
        for piece in pieces(thought, self.piece_bytes_max()) {
            self.handle.post(AgentStep::Think(piece)).await?;
        }
        Ok(())
    }

    fn give_up(&self, call_id: CallId) -> AgentStep {
        AgentStep::Close { call_id, result: bounded(gave_up(), self.handle.limits().results_bytes_max) }
    }

    async fn take_all(&self, steps: Vec<AgentStep>) -> Result<(), RunEnded> {
        try_join_all(steps.into_iter().map(|step| self.handle.take(step))).await?;
        Ok(())
    }
}

/// Reads a message from the log.
async fn recorded_message(handle: &RunHandle, offset: Offset) -> Option<Message> {
    let one = ReadLimit { entries_max: 1, bytes_max: 1 };
    let lines = handle.read(Offset(offset.0 - 1), one).await.ok()?;
    let (_, line) = lines.iter().next().filter(|(found, _)| *found == offset)?;
    match wire::entry::decode(&line).ok()?.1.into_run()?.body {
        Body::UserMessage { message_id, text, .. } => Some(Message { message_id, text, offset }),
        Body::Event { .. } => None,
    }
}

/// Splits a thought into thoughts of at most `bytes_max` bytes but at least one character; the first keeps
/// `reset`.
fn pieces(thought: Thought, bytes_max: usize) -> impl Iterator<Item = Thought> {
    let Thought { kind, delta, reset } = thought;
    let mut rest = Some(delta);
    let mut first = true;
    std::iter::from_fn(move || {
        let mut piece = rest.take()?;
        if piece.len() > bytes_max {
            let one = piece.chars().next().map_or(0, char::len_utf8);
            let more = piece.split_off(piece.floor_char_boundary(bytes_max).max(one));
            rest = Some(more).filter(|more| !more.is_empty());
        }
        let reset = reset && std::mem::replace(&mut first, false);
        Some(Thought { kind, delta: piece, reset })
    })
}

/// Greatest size of one emitted delta, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_thought_is_split_and_resets_once() {
        let text = "é".repeat(PIECE_BYTES_MAX) + "x";
        let thought = Thought { kind: ThoughtKind::Reasoning, delta: text.clone(), reset: true };
        let pieces: Vec<_> = pieces(thought, PIECE_BYTES_MAX).collect();
        assert!(pieces.iter().all(|piece| piece.delta.len() <= PIECE_BYTES_MAX));
        assert_eq!(pieces.iter().map(|piece| piece.reset).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(pieces.iter().map(|piece| piece.delta.as_str()).collect::<String>(), text);
    }

    #[test]
    fn an_empty_thought_is_one_piece() {
        let thought = Thought { kind: ThoughtKind::Progress, delta: String::new(), reset: false };
        assert_eq!(pieces(thought.clone(), PIECE_BYTES_MAX).collect::<Vec<_>>(), [thought]);
    }
}
