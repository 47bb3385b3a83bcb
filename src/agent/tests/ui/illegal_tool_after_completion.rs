//! RUN-5: nothing follows the completion.

use quintet_agent::{AgentError, Completed, Run};
use quintet_kernel::json::Json;

async fn course(run: Run<Completed>, tool: &str) -> Result<(), AgentError> {
    let (_run, _call) = run.open(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
