//! RUN-3: a tool is called only after a thought.

use quintet_agent::{AgentError, Run, Started};
use quintet_kernel::json::Json;

async fn course(run: Run<Started>, tool: &str) -> Result<(), AgentError> {
    let (_run, _call) = run.open(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
