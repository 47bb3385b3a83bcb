//! RUN-3: a tool is called only after a thought.

use quintet::agent::{Run, Started, Unfinished};
use quintet::kernel::{ids::ToolName, json::Json};

async fn course(run: Run<Started>, tool: ToolName) -> Result<(), Unfinished> {
    let (_run, _call) = run.open(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
