//! The default agent, which needs no language model and no network.
//!
//! It parses the message by fixed rules ([`intent`]), one clause at a time: searches, conversions of [`units`],
//! [`times`], [`arithmetic`]. It calls its tools, in parallel if there are several, and answers in sentences
//! ([`reply`]). A clause that is not understood completely is declined by name.
//!
//! Guarantee: the steps are a function of the message and the results of the tools, so a run continues after a
//! crash where it stopped.

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
