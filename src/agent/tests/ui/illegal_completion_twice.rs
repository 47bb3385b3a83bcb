//! RUN-5: a run completes once.

use quintet_agent::{AgentError, Completed, Run, Thinking};

async fn course(run: Run<Thinking>) -> Result<Run<Completed>, AgentError> {
    let _first = run.complete().await?;
    Ok(run.complete().await?)
}

fn main() {}
