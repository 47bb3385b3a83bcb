//! RUN-6: an agent returns a completed run, or an error.

use async_trait::async_trait;
use quintet::agent::{Agent, Completed, Run, Started, Task, Unfinished};
use quintet::kernel::{entry::ThoughtKind, ids::AgentName};

struct Unfinishing;

#[async_trait]
impl Agent for Unfinishing {
    fn name(&self) -> AgentName {
        AgentName::parse("unfinishing").expect("a valid name")
    }

    fn description(&self) -> &str {
        "Stops in the middle."
    }

    async fn run(&self, run: Run<Started>, _: Task) -> Result<Run<Completed>, Unfinished> {
        Ok(run.think(ThoughtKind::Reasoning, "hm").await?)
    }
}

fn main() {}
