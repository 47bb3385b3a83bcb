//! A run whose steps come from the responses of a remote agent.
//!
//! Guarantees: text reaches the log in the order in which it came, ahead of the calls and results that follow it. A
//! response that is read again from its start repeats nothing: text that the log holds is skipped, and replaced where the
//! agent has changed it; a call keeps its place.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quintet_agent::{
    AgentError, Answer, CallResult, Completed, Json, OpenCall, Pacer, Run, RunEnded, Started, ThoughtKind,
    replay::{Replay, ThoughtOutcome},
};
use tokio::time::Instant;

use crate::{
    calls::RemoteCall,
    event::ToolContent,
    limits::RemoteLimits,
    question::{Question, parameters},
    stage::Stage,
    texts::Text,
};

/// A run, and the calls that its agent has made.
pub(crate) struct Session {
    stage: Stage,
    pacer: Pacer,
    calls: BTreeMap<String, MadeCall>,
    /// The texts so far, for an agent that is resumable.
    emitted: Option<Emitted>,
}

/// A call of the remote agent.
struct MadeCall {
    call: RemoteCall,
    /// The open call in the log; `None` for calls of the client, and once it is closed.
    opened: Option<OpenCall>,
}

/// The text of each kind of a run.
#[derive(Default)]
struct Emitted {
    texts: [String; 3],
    /// The lengths of the texts at the start of the current response.
    begin: [usize; 3],
    /// The text that a repeated response has yet to repeat.
    replay: Option<Replay>,
}

impl Session {
    pub(crate) fn new(run: Run<Started>, limits: &RemoteLimits, resumable: bool) -> Self {
        Self {
            stage: Stage::Started(run),
            pacer: Pacer::new(Duration::from_millis(limits.delta_pause_ms)),
            calls: BTreeMap::new(),
            emitted: resumable.then(Emitted::default),
        }
    }

    /// Returns the time at which [`Self::flush`] has to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pacer.due(Instant::now())
    }

    /// Adds text.
    pub(crate) async fn text(mut self, text: Text) -> Result<Self, RunEnded> {
        let joined = format!("{}{}", text.separator, text.delta);
        let Some(new) = self
            .emitted
            .as_mut()
            .map_or(Some(Change::Add(joined.clone())), |emitted| emitted.take(text.kind, joined))
        else {
            return Ok(self);
        };
        match new {
            Change::Add(delta) => {
                self.pacer.push(text.kind, &delta);
                Ok(self)
            }
            Change::Replace(all) => {
                let mut session = self.flush().await?;
                session.stage = session.stage.replace(text.kind, all).await?;
                Ok(session)
            }
        }
    }

    /// Emits the text that waits.
    pub(crate) async fn flush(mut self) -> Result<Self, RunEnded> {
        for (kind, pending) in self.pacer.take(Instant::now()) {
            self.stage = self.stage.think(kind, pending).await?;
        }
        Ok(self)
    }

    /// Adds a call whose arguments are complete. It is opened, unless the client executes it.
    pub(crate) async fn call(self, call: RemoteCall) -> Result<Self, AgentError> {
        let mut session = self.flush().await?;
        if let Some(made) = session.calls.get(&call.id) {
            // A repeated response.
            return if made.call.name == call.name && made.call.arguments == call.arguments {
                Ok(session)
            } else {
                Err(other_course())
            };
        }
        let mut opened = None;
        if !call.by_client {
            let (stage, open) = session.stage.open(&call.name, parameters(&call.arguments)).await?;
            (session.stage, opened) = (stage, Some(open));
        }
        session.calls.insert(call.id.clone(), MadeCall { call, opened });
        Ok(session)
    }

    /// Closes a call with the result that the remote agent reports.
    pub(crate) async fn result(self, call_id: &str, content: &ToolContent) -> Result<Self, RunEnded> {
        let results = match content {
            ToolContent::Text(text) => {
                Json::parse(text).unwrap_or_else(|_| Json::from(&serde_json::Value::from(&**text)))
            }
            ToolContent::Parts(parts) => Json::from(&serde_json::Value::from(parts.clone())),
        };
        self.flush().await?.close(call_id, CallResult::ok(results)).await
    }

    /// Closes a call, if it is open in the log.
    pub(crate) async fn close(mut self, call_id: &str, result: CallResult) -> Result<Self, RunEnded> {
        if let Some(opened) = self.calls.get_mut(call_id).and_then(|made| made.opened.take()) {
            self.stage = self.stage.close(opened.executed(result)).await?;
        }
        Ok(self)
    }

    /// Returns a call of the remote agent.
    pub(crate) fn made(&self, call_id: &str) -> Option<&RemoteCall> {
        self.calls.get(call_id).map(|made| &made.call)
    }

    /// Asks the client all questions at once (RUN-11). The answers are in the order of the questions.
    pub(crate) async fn ask(mut self, questions: &[Question]) -> Result<(Self, Vec<Answer>), RunEnded> {
        let mut waits = FuturesUnordered::new();
        for (place, question) in questions.iter().enumerate() {
            let (stage, asked) = self.stage.ask(question.tool_name(), question.parameters()).await?;
            self.stage = stage;
            waits.push(async move { (place, asked.answered().await) });
        }
        let mut answers = BTreeMap::new();
        while let Some((place, answered)) = waits.next().await {
            let (stage, answer) = self.stage.close_answered(answered?).await?;
            self.stage = stage;
            answers.insert(place, answer);
        }
        Ok((self, answers.into_values().collect()))
    }

    /// Begins a response.
    pub(crate) fn begin_response(&mut self) {
        if let Some(emitted) = &mut self.emitted {
            emitted.begin = [0, 1, 2].map(|kind| emitted.texts[kind].len());
            emitted.replay = None;
        }
    }

    /// Begins the current response again.
    pub(crate) fn repeat_response(&mut self) {
        if let Some(emitted) = &mut self.emitted {
            emitted.repeat();
        }
    }

    /// Ends a complete response: withdraws text that a repeated response has left out.
    pub(crate) async fn finish_response(self, waiting: &[String]) -> Result<Self, AgentError> {
        let mut session = self.flush().await?;
        let mut left = session.calls.iter().filter(|(_, made)| made.opened.is_some());
        if left.any(|(id, _)| !waiting.contains(id)) {
            return Err(other_course());
        }
        if let Some(emitted) = &mut session.emitted {
            for (kind, kept) in emitted.finish() {
                session.stage = session.stage.replace(kind, kept).await?;
            }
        }
        Ok(session)
    }

    /// Ends the run as `succeeded`.
    pub(crate) async fn complete(self) -> Result<Run<Completed>, AgentError> {
        let run = self.flush().await?.stage.without_calls().await?.ok_or_else(other_course)?;
        Ok(run.complete().await?)
    }
}

/// The effect of a piece of text on the log.
enum Change {
    Add(String),
    /// The whole text of the kind.
    Replace(String),
}

impl Emitted {
    /// Takes the next piece of a response. Returns `None` if the log holds it.
    fn take(&mut self, kind: ThoughtKind, piece: String) -> Option<Change> {
        let text = &mut self.texts[kind as usize];
        let outcome = self.replay.as_mut().map(|replay| replay.think(kind, &piece));
        match outcome {
            None => {
                text.push_str(&piece);
                Some(Change::Add(piece))
            }
            Some(ThoughtOutcome::Recorded) => None,
            Some(ThoughtOutcome::New(thought)) => {
                text.push_str(&thought.delta);
                Some(Change::Add(thought.delta))
            }
            Some(ThoughtOutcome::Rewritten { kept, delta, .. }) => {
                text.truncate(self.begin[kind as usize] + usize::try_from(kept).unwrap_or(usize::MAX));
                text.push_str(&delta);
                Some(Change::Replace(text.clone()))
            }
        }
    }

    fn repeat(&mut self) {
        let since = |kind: ThoughtKind| &self.texts[kind as usize][self.begin[kind as usize]..];
        let mut replay = Replay::of(|kind| since(kind).len() as u64, []);
        for kind in KINDS {
            replay.more(kind, since(kind));
        }
        self.replay = Some(replay);
    }

    /// Returns the kinds with text that was not repeated, each with its text without it.
    fn finish(&mut self) -> Vec<(ThoughtKind, String)> {
        let Some(replay) = self.replay.take() else { return Vec::new() };
        let withdrawn = replay.finish().withdrawn.into_iter().map(|(kind, kept)| {
            let text = &mut self.texts[kind as usize];
            text.truncate(self.begin[kind as usize] + usize::try_from(kept).unwrap_or(usize::MAX));
            (kind, text.clone())
        });
        withdrawn.collect()
    }
}

fn other_course() -> AgentError {
    AgentError::upstream("The remote agent took another course when it repeated its response.")
}

const KINDS: [ThoughtKind; 3] = [ThoughtKind::Reasoning, ThoughtKind::Answer, ThoughtKind::Progress];
