//! RUN-5: a run fails with no call open; giving up closes them.

use quintet::agent::{Completed, ExecutingTools, Run, Unfinished};

async fn course(run: Run<ExecutingTools>) -> Result<Run<Completed>, Unfinished> {
    Ok(run.fail("no").await?)
}

fn main() {}
