//! A run in any phase, for an agent whose next step comes from the network.

use quintet_agent::{
    AfterClose, Answer, Answered, AskedCall, Executed, ExecutingTools, Json, OpenCall, Run, RunEnded,
    Started, Thinking, ThoughtKind,
};

/// A run in the phase in which it is.
pub(crate) enum Stage {
    Started(Run<Started>),
    Thinking(Run<Thinking>),
    Executing(Run<ExecutingTools>),
}

impl Stage {
    /// Emits a thought.
    pub(crate) async fn think(self, kind: ThoughtKind, delta: String) -> Result<Self, RunEnded> {
        Ok(match self {
            Stage::Started(run) => Stage::Thinking(run.think(kind, delta).await?),
            Stage::Thinking(run) => Stage::Thinking(run.think(kind, delta).await?),
            Stage::Executing(run) => Stage::Executing(run.think(kind, delta).await?),
        })
    }

    /// Withdraws the text of a kind and emits another in its place.
    pub(crate) async fn replace(self, kind: ThoughtKind, text: String) -> Result<Self, RunEnded> {
        Ok(match self {
            Stage::Started(run) => Stage::Thinking(run.replace(kind, text).await?),
            Stage::Thinking(run) => Stage::Thinking(run.replace(kind, text).await?),
            Stage::Executing(run) => Stage::Executing(run.replace(kind, text).await?),
        })
    }

    /// Opens a call that the remote agent executes.
    pub(crate) async fn open(self, name: &str, parameters: Json) -> Result<(Self, OpenCall), RunEnded> {
        let (run, opened) = match self.has_thought().await? {
            HasThought::Thinking(run) => run.open(name, parameters).await?,
            HasThought::Executing(run) => run.open(name, parameters).await?,
        };
        Ok((Stage::Executing(run), opened))
    }

    /// Opens a call that the client completes (RUN-11).
    pub(crate) async fn ask(self, name: &str, parameters: Json) -> Result<(Self, AskedCall), RunEnded> {
        let (run, asked) = match self.has_thought().await? {
            HasThought::Thinking(run) => run.open_for_client(name, parameters).await?,
            HasThought::Executing(run) => run.open_for_client(name, parameters).await?,
        };
        Ok((Stage::Executing(run), asked))
    }

    /// Closes a call.
    pub(crate) async fn close(self, executed: Executed) -> Result<Self, RunEnded> {
        match self {
            Stage::Executing(run) => Ok(run.close(executed).await?.0.into()),
            Stage::Started(_) | Stage::Thinking(_) => unreachable!("a call is open"),
        }
    }

    /// Closes a call of the client.
    pub(crate) async fn close_answered(self, answered: Answered) -> Result<(Self, Answer), RunEnded> {
        match self {
            Stage::Executing(run) => {
                let (after, answer) = run.close_answered(answered).await?;
                Ok((after.into(), answer))
            }
            Stage::Started(_) | Stage::Thinking(_) => unreachable!("a call is open"),
        }
    }

    /// Returns the run if no call is open.
    pub(crate) async fn without_calls(self) -> Result<Option<Run<Thinking>>, RunEnded> {
        Ok(match self.has_thought().await? {
            HasThought::Thinking(run) => Some(run),
            HasThought::Executing(_) => None,
        })
    }

    /// Returns the run after a first thought, which precedes a call and a success (RUN-3).
    async fn has_thought(self) -> Result<HasThought, RunEnded> {
        Ok(match self {
            Stage::Started(run) => {
                HasThought::Thinking(run.think(ThoughtKind::Progress, FIRST_THOUGHT).await?)
            }
            Stage::Thinking(run) => HasThought::Thinking(run),
            Stage::Executing(run) => HasThought::Executing(run),
        })
    }
}

enum HasThought {
    Thinking(Run<Thinking>),
    Executing(Run<ExecutingTools>),
}

impl From<AfterClose> for Stage {
    fn from(after: AfterClose) -> Self {
        match after {
            AfterClose::Thinking(run) => Stage::Thinking(run),
            AfterClose::ExecutingTools(run) => Stage::Executing(run),
        }
    }
}

/// The progress of an agent whose first step is no text.
const FIRST_THOUGHT: &str = "The remote agent is at work.";
