//! RUN-5: nothing follows the completion.

use quintet::agent::{Completed, Run, Unfinished};

async fn course(run: Run<Completed>) -> Result<(), Unfinished> {
    let _run = run.answer("one more thing").await?;
    Ok(())
}

fn main() {}
