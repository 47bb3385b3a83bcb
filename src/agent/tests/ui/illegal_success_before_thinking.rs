//! RUN-3: a run succeeds only after a thought.

use quintet_agent::{AgentError, Completed, Run, Started};

async fn course(run: Run<Started>) -> Result<Run<Completed>, AgentError> {
    Ok(run.complete().await?)
}

fn main() {}
