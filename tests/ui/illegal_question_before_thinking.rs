//! RUN-3: a question to the client needs an earlier thought.

use quintet::agent::{Run, Started, Unfinished};
use quintet::kernel::{ids::ToolName, json::Json};

async fn course(run: Run<Started>, tool: ToolName) -> Result<(), Unfinished> {
    let (_run, _answer) = run.ask(tool, Json::empty_object()).await?;
    Ok(())
}

fn main() {}
