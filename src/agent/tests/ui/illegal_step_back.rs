//! A step consumes its run: an earlier phase cannot be reached again.

use quintet_agent::{AgentError, Run, Started};
use quintet_kernel::entry::ThoughtKind;

async fn course(run: Run<Started>) -> Result<(), AgentError> {
    let _once = run.think(ThoughtKind::Reasoning, "a").await?;
    let _twice = run.think(ThoughtKind::Reasoning, "b").await?;
    Ok(())
}

fn main() {}
