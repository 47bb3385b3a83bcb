//! RUN-5: a run completes with no call open.

use quintet_agent::{AgentError, Completed, ExecutingTools, Run};

async fn course(run: Run<ExecutingTools>) -> Result<Run<Completed>, AgentError> {
    Ok(run.complete().await?)
}

fn main() {}
