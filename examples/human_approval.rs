//! An agent that acts only after the user has agreed: `cargo run --example human_approval`, then send an amount.
//!
//! The question outlives reconnects and restarts of the service (RUN-11). A refusal is a variant of its own, and the
//! compiler asks for what happens then.

use std::sync::Arc;

use quintet::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Transfer {
    /// The amount, in cents.
    cents: u64,
}

/// The tool with the effect. It is not idempotent, so it is executed at most once per call (RUN-9).
fn transfer() -> impl Tool {
    tool("transfer", "Transfers money.", |transfer: Transfer, context: ToolContext| async move {
        // A bank would take the ids as its idempotency key.
        Ok(json!({"transferred": transfer.cents, "key": format!("{}/{}", context.run_id, context.call_id)}))
    })
}

struct Teller {
    tools: [Arc<dyn Tool>; 1],
}

#[async_trait]
impl Agent for Teller {
    fn name(&self) -> &str {
        "teller"
    }

    fn description(&self) -> &str {
        "Transfers money after your approval."
    }

    fn resumable(&self) -> bool {
        true
    }

    fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let Ok(cents) = task.text.trim().parse::<u64>() else {
            return Err(AgentError::user_facing("Please send an amount in cents."));
        };
        let run = run.think(ThoughtKind::Reasoning, "This needs an approval.").await?;
        let (run, answer) =
            run.ask("approve", json!({"question": format!("Transfer {cents} cents?")})).await?;
        let run = match answer {
            Answer::Given(_) => {
                let (run, result) = run.call(&*self.tools[0], json!({"cents": cents})).await?;
                match result.status {
                    CallStatus::Ok => run.answer("Done.").await?,
                    // After a crash it is unknown whether the money moved: report that, and do not try again.
                    _ => run.answer("The transfer did not finish. Please check your account.").await?,
                }
            }
            Answer::Declined { reason: Some(reason) } => {
                run.answer(format!("Not transferred: {reason}")).await?
            }
            Answer::Declined { reason: None } => run.answer("Not transferred.").await?,
            Answer::Failed { .. } | Answer::Unanswered { .. } => run.answer("I got no answer.").await?,
        };
        Ok(run.complete().await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let agent = Teller { tools: [Arc::new(transfer())] };
    let running = Service::builder().agent(agent).sqlite("data").bind(address).dev().build()?.start().await?;
    println!("http://{}", running.listen);
    running.run_until(tokio::signal::ctrl_c()).await;
    Ok(())
}
