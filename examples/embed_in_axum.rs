//! Mounts Quintet in an axum application that has routes, a log, a metrics recorder and a listener of its own.
//!
//! ```text
//! cargo run --example embed_in_axum -- ./chat-data 127.0.0.1:3000
//! ```
//!
//! Then open http://127.0.0.1:3000/ for the chat page, and /hello and /metrics for the routes of the host.
//! Ctrl-C drains the service first and stops the server then.

use std::{error::Error, net::SocketAddr};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use quintet::prelude::*;
use tokio::net::TcpListener;

/// Greets every user.
struct Greeter;

#[async_trait]
impl Agent for Greeter {
    fn name(&self) -> &str {
        "greeter"
    }

    fn description(&self) -> &str {
        "Greets."
    }

    async fn run(&self, run: Run<Started>, task: Task) -> Result<Run<Completed>, AgentError> {
        Ok(run.answer(format!("You wrote {} characters.", task.text.len())).await?.complete().await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "./quintet-data".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    // The host's own log and metrics. Quintet installs neither; its events and metrics go to these.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let listener = TcpListener::bind(address).await?;
    let listen = listener.local_addr()?;

    let service = Service::builder().agent(Greeter).sqlite(folder).dev().build()?;
    let (chat, running) = service.mount(listen).await?;
    let app = Router::new()
        .route("/hello", get(async || "Hello from the host.\n"))
        .route("/metrics", get(async move || metrics.render()))
        .merge(chat);
    println!("http://{listen}");

    // Quintet needs the address of each peer.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(running.closing());
    let (served, drained) = tokio::join!(server.into_future(), running.run_until(tokio::signal::ctrl_c()));
    served?;
    println!("{drained:?}");
    Ok(())
}
