//! The service as a process that a test kills: a test of its own that is run alone, with agents of the test.

use std::{path::Path, process::Command, sync::Arc};

use quintet::{
    agent::AgentRegistry,
    journal::sqlite::{SqliteJournal, SqliteOptions},
    ops::{config::Settings, drain::Caught},
    service::{CheckedSettings, Parts, Service},
};
use serde_json::json;

/// Returns settings for a process that is killed far more often than any crash loop, as in `process::dev`.
pub fn often_killed() -> Settings {
    let mut settings = Settings::default();
    (settings.kernel.run_resumes_max, settings.kernel.run_resumes_total_max) = (1_000_000, 1_000_000);
    (settings.hub.resume_trial_timeout_ms, settings.hub.resume_settle_timeout_ms) = (200, 20);
    settings
}

/// Serves the journal in `folder` on any port, prints the addresses, and returns after a drain.
pub fn serve(folder: &Path, settings: Settings, agents: impl FnOnce() -> AgentRegistry) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut signals = Caught::new().unwrap().listen().unwrap();
        let journal = SqliteJournal::open(folder, SqliteOptions::default()).unwrap();
        let parts =
            Parts { journal: Arc::new(journal.clone()), agents: Arc::new(agents()), described: Vec::new() };
        let any_port = "127.0.0.1:0".parse().unwrap();
        let settings = Settings { listen: any_port, admin_listen: any_port, ..settings };
        let service = Service::new(CheckedSettings::dev(settings).unwrap(), parts);
        let running = service.with_prometheus().unwrap().start().await.unwrap();
        println!("{}", json!({"listen": running.listen, "admin_listen": running.admin_listen}));
        signals.drain().await;
        running.drain().await;
        journal.close().await.unwrap();
    });
    runtime.shutdown_background();
}

/// Returns the command that runs the ignored test `name`, which finds its folder in a variable.
pub fn command(name: &str, variable: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).env(variable, folder);
    command
}
