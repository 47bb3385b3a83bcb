//! The service as a library: what its builder refuses, how it lives in a host's process, and in a host's router.

mod host;
mod mounted;
mod refused;

use quintet::prelude::*;

/// Answers every message with its length.
struct Counter;

#[async_trait]
impl Agent for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    fn description(&self) -> &str {
        "Counts."
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        Ok(run.answer(task.text.len().to_string()).await?.complete().await?)
    }
}
