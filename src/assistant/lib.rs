//! The built-in agent of Quintet, which needs no language model and no network.
//!
//! It parses the message by fixed rules, one clause at a time; calls its tools, in parallel if there are several; and
//! answers in sentences. It serves new installations and tests of clients, and is an example of a resumable agent.
//!
//! # Guarantees
//!
//! - The steps are a function of the message and the results of the tools, so a run continues after a crash where
//!   it stopped (RUN-9).
//! - A clause that is not understood completely is declined by name, not guessed.
//! - Arithmetic is exact, or its result is marked as rounded; its memory and work are bounded ([`tools::number`]).
//! - A search reads only the log of the run's user, from before the run (ISO-1); its reads are bounded by
//!   [`AgentLimits`] (ISO-6).
//!
//! # The parts
//!
//! - [`Assistant`]: the agent
//! - [`intent`]: the parser of messages; [`arithmetic`] and [`times`]: its calculations and questions about time
//! - [`tools`]: the tools `calculate`, `current_time` and `search_history`, which other agents can use too
//!
//! # Examples
//!
//! ```
//! use quintet_agent::{Agent, AgentRegistry, Executor};
//! use quintet_assistant::{
//!     Assistant,
//!     intent::{Intent, Understood, understand},
//!     tools::calculate::evaluate,
//! };
//!
//! let Understood::Requests { intents, .. } = understand("What is three times (3+4)?") else {
//!     panic!("it is a request")
//! };
//! let [Intent::Calculate(sum)] = &intents[..] else { panic!("it is a calculation") };
//! assert_eq!(sum.expression, "3 * (3 + 4)");
//! assert_eq!(evaluate(&sum.expression)?.decimal(), ("21".to_owned(), true));
//!
//! let agents = AgentRegistry::new(Assistant::new(), Executor::threads()?)?;
//! assert!(agents.agents().all(|(_, agent)| agent.resumable()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod arithmetic;
mod fillers;
pub mod intent;
mod language;
mod lexer;
mod reply;
pub mod times;
pub mod tools;
mod units;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use quintet_agent::{
    Agent, AgentError, AgentLimits, Completed, Run, RunEnded, Started, Task, Thinking, Tool,
};
use quintet_kernel::{
    entry::{CallResult, ThoughtKind},
    json::Json,
};
use serde_json::json;

use self::tools::{calculate::Calculate, current_time::CurrentTime, search_history::SearchHistory};
use self::{
    intent::{Intent, Understood},
    times::Time,
};

/// The assistant with its three tools.
pub struct Assistant {
    tools: [Arc<dyn Tool>; 3],
}

impl Assistant {
    /// Creates the assistant with the default limits.
    pub fn new() -> Self {
        Self::within(&AgentLimits::DEFAULT)
    }

    /// Creates the assistant with the limits for its reads.
    pub fn within(limits: &AgentLimits) -> Self {
        let search_history = SearchHistory::new(limits);
        Self { tools: [Arc::new(Calculate), Arc::new(CurrentTime), Arc::new(search_history)] }
    }

    fn call(&self, intent: &Intent) -> (&dyn Tool, Json) {
        let [calculate, current_time, search_history] = &self.tools;
        match intent {
            Intent::Calculate(sum) => (&**calculate, Json::from(&json!({"expression": sum.expression}))),
            Intent::Time(time) => (&**current_time, Json::from(&time.parameters())),
            Intent::Search { query, own_words_only } => {
                let from = if *own_words_only { "user" } else { "anyone" };
                (&**search_history, Json::from(&json!({"query": query, "from": from})))
            }
        }
    }

    async fn fulfil(
        &self,
        run: Run<Thinking>,
        intents: &[Intent],
    ) -> Result<(Run<Thinking>, Vec<CallResult>), RunEnded> {
        run.call_all(intents.iter().map(|intent| self.call(intent))).await
    }
}

impl Default for Assistant {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Agent for Assistant {
    fn name(&self) -> &str {
        "assistant"
    }

    fn description(&self) -> &str {
        "Calculates exactly, tells the time anywhere, and finds what was said before."
    }

    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let understood = intent::understand(&task.text);
        let intents = match &understood {
            Understood::Requests { intents, .. } => intents.clone(),
            // A greeting is answered with the time of day, any other text with a search for its keywords.
            Understood::Greeting => vec![Intent::Time(Time::default())],
            Understood::Thanks | Understood::Help | Understood::Foreign => vec![],
            Understood::Other { keywords } => keywords
                .iter()
                .map(|keyword| Intent::Search { query: keyword.clone(), own_words_only: false })
                .collect(),
        };
        let mut run = run.think(ThoughtKind::Reasoning, reply::reading(&understood)).await?;
        for intent in reply::intents(&intents) {
            run = run.think(ThoughtKind::Reasoning, intent).await?;
        }
        let (mut run, results) = self.fulfil(run, &intents).await?;
        if !intents.is_empty() {
            run = run.think(ThoughtKind::Reasoning, reply::found(&results)).await?;
        }
        for delta in reply::answer(&understood, &intents, &results) {
            run = run.answer(delta).await?;
        }
        Ok(run.complete().await?)
    }
}

/// Shortens a user's words for repetition in a reply.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(REPEATED_CHARS_MAX).collect();
    if start.len() < text.len() { start + "…" } else { start }
}

/// Characters of the user's words that a reply repeats.
const REPEATED_CHARS_MAX: usize = 120;
