//! An agent that a model drives: in each round the model chooses tools, in parallel if it likes, until it answers.
//!
//! The model here is a function, so that the example needs no network; a language model takes its place.
//! `cargo run --example tool_loop`, then send `count the words of: the quick brown fox`.

use std::sync::Arc;

use quintet::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The arguments of both tools.
#[derive(Deserialize, JsonSchema)]
struct Text {
    /// The text to look at.
    text: String,
}

/// A tool as a type, here with a typed result.
struct CountWords;

#[derive(Serialize)]
struct Counted {
    words: usize,
}

#[async_trait]
impl TypedTool for CountWords {
    type Args = Text;
    type Output = Counted;

    const NAME: &'static str = "count_words";
    const DESCRIPTION: &'static str = "Counts the words of a text.";
    const IDEMPOTENT: bool = true;

    async fn call(&self, args: Text, _: &ToolContext) -> Result<Counted, ToolError> {
        Ok(Counted { words: args.text.split_whitespace().count() })
    }
}

/// A tool as a function. `?` works with every error; the user sees only those that are made for the user.
fn longest_word() -> impl Tool {
    tool("longest_word", "Finds the longest word of a text.", |args: Text, _| async move {
        match args.text.split_whitespace().max_by_key(|word| word.len()) {
            Some(word) => Ok(json!({"word": word})),
            None => Err(ToolError::user_facing("the text has no words")),
        }
    })
    .declared_idempotent()
}

/// What a model returns in a round.
enum Turn {
    Calls(Vec<(&'static str, Value)>),
    Answer(String),
}

/// Stands in for a language model: sees the message and all results so far.
fn model(message: &str, results: &[CallResult]) -> Turn {
    let text = message.split_once(':').map_or("", |(_, text)| text.trim());
    match results {
        [] => {
            Turn::Calls(vec![("count_words", json!({"text": text})), ("longest_word", json!({"text": text}))])
        }
        [counted, longest] if longest.status == CallStatus::Ok => Turn::Answer(format!(
            "{} words, the longest is {}.",
            counted.results.to_value()["words"],
            longest.results.to_value()["word"]
        )),
        _ => Turn::Answer("There is nothing to count.".to_owned()),
    }
}

struct Assistant {
    tools: [Arc<dyn Tool>; 2],
}

#[async_trait]
impl Agent for Assistant {
    fn name(&self) -> &str {
        "words"
    }

    fn description(&self) -> &str {
        "Answers questions about words."
    }

    /// The steps are the same for the same message, so a run continues after a crash where it was.
    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let mut run = run.think(ThoughtKind::Reasoning, "I ask the model.").await?;
        let mut results = Vec::new();
        for _ in 0..ROUNDS_MAX {
            match model(&task.text, &results) {
                Turn::Answer(answer) => return Ok(run.answer(answer).await?.complete().await?),
                Turn::Calls(calls) => {
                    let calls: Option<Vec<_>> =
                        calls.into_iter().map(|(name, args)| Some((self.tool(name)?, args))).collect();
                    let calls =
                        calls.ok_or_else(|| AgentError::internal("the model named an unknown tool"))?;
                    let more;
                    (run, more) = run.call_all(calls).await?;
                    results.extend(more);
                }
            }
        }
        Err(AgentError::user_facing("I did not find an answer."))
    }
}

impl Assistant {
    fn tool(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().map(|tool| &**tool).find(|tool| tool.name() == name)
    }
}

/// Greatest number of rounds of one run.
const ROUNDS_MAX: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let agent = Assistant { tools: [Arc::new(CountWords), Arc::new(longest_word())] };
    let running = Service::builder().agent(agent).sqlite("data").bind(address).dev().build()?.start().await?;
    println!("http://{}", running.listen);
    running.run_until(tokio::signal::ctrl_c()).await;
    Ok(())
}
