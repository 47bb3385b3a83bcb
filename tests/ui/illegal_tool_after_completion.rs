//! RUN-5: nothing follows the completion.

use quintet::agent::{Completed, Run, Unfinished};
use quintet::kernel::{ids::ToolName, json::Json};

async fn course(run: Run<Completed>, tool: ToolName) -> Result<(), Unfinished> {
    let (_run, _call) = run.open(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
