//! RUN-6: an agent returns a completed run, or an error.

use async_trait::async_trait;
use quintet_agent::{Agent, AgentError, Completed, Run, Started, Task};
use quintet_kernel::entry::ThoughtKind;

struct Unfinishing;

#[async_trait]
impl Agent for Unfinishing {
    fn name(&self) -> &str {
        "unfinishing"
    }

    fn description(&self) -> &str {
        "Stops in the middle."
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, AgentError> {
        Ok(run.think(ThoughtKind::Reasoning, "hm").await?)
    }
}

fn main() {}
