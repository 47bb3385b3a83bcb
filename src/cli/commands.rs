//! The commands. Each assembles the parts of the library that it needs.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use super::{
    args::{CliCommand, Flags, JournalFlags},
    erase, inspect,
    journal::{OpenJournal, SHUTDOWN_WAIT_MAX, journal_folder},
};
use crate::{
    ops::{
        config::{CONFIG_VARIABLE, ConfigError, Given, LoadedSettings, Source},
        drain::Caught,
        notify,
        telemetry::{self, LogHandle, Output},
    },
    service::{AgentSet, CheckedSettings, Mode, Parts, Service, agents::described},
};

/// Runs a command. `agents` are those of a service.
pub fn run(command: CliCommand, agents: AgentSet) -> anyhow::Result<ExitCode> {
    match command {
        CliCommand::Dev(flags) => {
            run_service(CheckedSettings::dev(load(flags.config(), flags.flags())?)?, agents)
        }
        CliCommand::Serve(flags) => {
            run_service(CheckedSettings::production(load(flags.config(), flags.flags())?)?, agents)
        }
        CliCommand::CheckConfig(flags) => inspect::check_config(&load(flags.config(), flags.flags())?),
        CliCommand::Audit(flags) => match &flags.verify {
            Some(evidence) => inspect::verify(evidence, flags.json),
            None => inspect::audit(&folder_of(&flags.journal)?, &flags),
        },
        CliCommand::Backup(flags) => inspect::backup(&folder_of(&flags.journal)?, &flags.to),
        CliCommand::Erase(flags) => {
            let settings = load(flags.journal.config(), flags.journal.flags())?.settings;
            erase::erase(&journal_folder(&settings)?, &settings, &flags)
        }
    }
}

fn load(config: Option<&PathBuf>, flags: Flags) -> Result<LoadedSettings, ConfigError> {
    let named = config.cloned().or_else(|| {
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty());
        variable.map(PathBuf::from)
    });
    let file = named.map(|path| read(&path).map(|text| (path, text))).transpose()?;
    // Names and values of settings are UTF-8, so a variable with another name is not a setting.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect();
    LoadedSettings::load(Given { flags, variables, file })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Syntax {
        source_: Source::File(path.to_owned()),
        why: format!("cannot be read: {error}"),
    })
}

fn folder_of(flags: &JournalFlags) -> Result<PathBuf, ConfigError> {
    journal_folder(&load(flags.config(), flags.flags())?.settings)
}

fn run_service(checked: CheckedSettings, agents: AgentSet) -> anyhow::Result<ExitCode> {
    let settings = checked.settings();
    let log = telemetry::start(&settings.log, settings.log_format, settings.log_limits)?;
    let _flushed = log.flushed();
    serve_until_drained(checked, agents, &log)
}

fn serve_until_drained(
    checked: CheckedSettings,
    agents: AgentSet,
    log: &LogHandle,
) -> anyhow::Result<ExitCode> {
    let settings = checked.settings();
    let caught = Caught::new().context("signal handlers cannot be installed")?;
    allow_sockets(settings.gateway.sockets_max as u64);

    let runtime = Runtime::new().context("the runtime cannot be started")?;
    let journal = OpenJournal::open(settings, &runtime)?;
    let served = runtime.block_on(serve(checked, agents, &journal, &caught, log));
    match served {
        Ok(()) => journal.close(runtime)?,
        // No clean end: the resumes of this process stay counted (RUN-6).
        Err(error) => {
            runtime.shutdown_timeout(SHUTDOWN_WAIT_MAX);
            return Err(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal has drained the service. A second signal ends the process from its handler.
async fn serve(
    checked: CheckedSettings,
    agents: AgentSet,
    opened: &OpenJournal,
    caught: &Caught,
    log: &LogHandle,
) -> anyhow::Result<()> {
    let mut signals = caught.listen().context("signal handlers cannot be installed")?;
    let (mode, keys, settings) = (checked.mode(), checked.key_source(), checked.settings());
    let agents = agents.registry(mode == Mode::Dev, settings)?;
    let described = described(&agents);
    let journal = opened.journal();
    let service = Service::new(checked, Parts { journal, agents: Arc::new(agents), described });
    #[cfg(feature = "prometheus")]
    let service = service.with_prometheus()?;
    let running = tokio::select! {
        running = service.start() => running?,
        signal = signals.drain() => {
            tracing::info!(signal, "stopped before the service was ready");
            return Ok(());
        }
    };

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %mode,
        listen = %running.listen,
        admin_listen = running.admin_listen.map(tracing::field::display),
        journal = opened.place(),
        keys,
        "service started"
    );
    notify::ready();
    notify::watch();
    let ready = serde_json::json!({
        "listen": running.listen,
        "admin_listen": running.admin_listen,
        "version": env!("CARGO_PKG_VERSION"),
    });
    announce(format!("{ready}\n")).await;
    if mode == Mode::Dev {
        log.print(&format!(
            "\n  Quintet is ready. Open http://{}/ and log in as anyone. Ctrl-C ends it.\n\n",
            running.listen
        ));
    }

    let signal = signals.drain().await;
    notify::stopping();
    tracing::info!(signal, "draining after a signal; a second SIGTERM or SIGINT stops at once");
    if !running.drain().await.runs_quiesced {
        tracing::info!("the next process resumes the runs that are still open");
    }
    Ok(())
}

/// Prints the ready line. The service does not depend on it: errors are logged, and after
/// [`READY_LINE_TIMEOUT`] a blocked stdout is no longer awaited.
async fn announce(line: String) {
    let (done, printed) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name("ready".to_owned()).spawn(move || {
        // The receiver is dropped after the timeout.
        let _late = done.send(Output::stdout().and_then(|mut stdout| stdout.write_lines(line.as_bytes())));
    });
    let printed = async { printed.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())) };
    match (started, tokio::time::timeout(READY_LINE_TIMEOUT, printed).await) {
        (Ok(_), Ok(Ok(()))) => {}
        (Err(error), _) | (Ok(_), Ok(Err(error))) => {
            tracing::error!(%error, "the ready line cannot be written to stdout; the service continues");
        }
        (Ok(_), Err(_)) => {
            tracing::warn!("the ready line was not read from stdout in time; the service continues")
        }
    }
}

/// Returns the folder of the embedded journal, the only engine so far.
/// Raises the limit on open files to what `sockets_max` needs, as far as the system allows.
fn allow_sockets(sockets_max: u64) {
    let limit = getrlimit(Resource::Nofile);
    let needed = sockets_max.saturating_add(FILES_BESIDE_SOCKETS);
    let (Some(current), maximum) = (limit.current, limit.maximum) else { return };
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
    if wanted > current {
        let raised = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(wanted), maximum });
        if let Err(error) = raised {
            tracing::warn!(error = %error, "the limit of open files cannot be raised");
        }
    }
    if wanted < sockets_max {
        tracing::warn!(
            open_files_max = wanted,
            sockets_max,
            "the system allows fewer open files than sockets_max"
        );
    }
}

/// Open files beside sockets: database, readers, log, listeners.
const FILES_BESIDE_SOCKETS: u64 = 256;

/// Timeout for writing the ready line to stdout.
const READY_LINE_TIMEOUT: Duration = Duration::from_secs(1);
