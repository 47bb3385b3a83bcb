//! A service with one agent of its own: `cargo run --example minimal_agent`, then open the printed address.

use quintet::prelude::*;

struct Echo;

#[async_trait]
impl Agent for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn description(&self) -> &str {
        "Repeats the message."
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        let run = run.think(ThoughtKind::Reasoning, "I repeat the message.").await?;
        Ok(run.answer(task.text).await?.complete().await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let running = Service::builder().agent(Echo).sqlite("data").bind(address).dev().build()?.start().await?;
    println!("http://{}", running.listen);
    running.run_until(tokio::signal::ctrl_c()).await;
    Ok(())
}
