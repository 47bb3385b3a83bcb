//! RUN-3: a run succeeds only after a thought.

use quintet::agent::{Completed, Run, Started, Unfinished};

async fn course(run: Run<Started>) -> Result<Run<Completed>, Unfinished> {
    Ok(run.complete().await?)
}

fn main() {}
