//! The commands: each builds what it needs of the library and reports in its own words.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use quintet::{
    agent::{Directory, Floor},
    journal::{Journal, sqlite::SqliteJournal},
    ops::{
        config::{CONFIG_VARIABLE, ConfigError, Given, Loaded, Settings, Source},
        drain::Caught,
        service::{self, Mode, Parts},
        telemetry::{self, Log, Output},
    },
    user::agents::Agents,
    wire::http::AgentInfo,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::{
    cli::{Command, Flags, JournalFlags},
    inspect,
};

pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dev(flags) => run_service(Mode::Dev, &load(flags.config(), flags.flags())?),
        Command::Serve(flags) => run_service(Mode::Serve, &load(flags.config(), flags.flags())?),
        Command::CheckConfig(flags) => inspect::check_config(&load(flags.config(), flags.flags())?),
        Command::Audit(flags) => match &flags.verify {
            Some(evidence) => inspect::verify(evidence, flags.json),
            None => inspect::audit(&folder_of(&flags.journal)?, &flags),
        },
        Command::Backup(flags) => inspect::backup(&folder_of(&flags.journal)?, &flags.to),
    }
}

fn load(config: Option<&PathBuf>, flags: Flags) -> Result<Loaded, ConfigError> {
    let named = config.cloned().or_else(|| {
        let variable = std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty());
        variable.map(PathBuf::from)
    });
    let file = named.map(|path| read(&path).map(|text| (path, text))).transpose()?;
    // What is not UTF-8 cannot be a setting of ours: their names and values are.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect();
    Loaded::load(Given { flags, variables, file })
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

fn run_service(mode: Mode, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    service::check(mode, loaded)?;
    let settings = &loaded.settings;
    let folder = journal_folder(settings)?;
    let log = telemetry::start(&settings.log, settings.log_format, settings.log_limits)?;
    let _flushed = log.flushed();
    service::warn_of_settings(loaded);
    serve_until_drained(mode, settings, &folder, &log)
}

fn serve_until_drained(
    mode: Mode,
    settings: &Settings,
    folder: &Path,
    log: &Log,
) -> anyhow::Result<ExitCode> {
    let caught = Caught::new().context("signals cannot be caught")?;
    allow_sockets(settings.gateway.sockets_max as u64);

    let journal = SqliteJournal::open(folder, settings.sqlite)?;
    let runtime = Runtime::new().context("the runtime cannot be started")?;
    let served = runtime.block_on(serve(mode, settings, (folder, Arc::new(journal.clone())), &caught, log));
    // What is still running is not waited for: acknowledged messages are on disk.
    runtime.shutdown_timeout(SHUTDOWN_WAIT_MAX);
    served?;
    close(&journal)?;
    Ok(ExitCode::SUCCESS)
}

/// Agents that wait or never yield may hold the journal for longer than this process is to last.
fn close(journal: &SqliteJournal) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    match runtime.block_on(async { tokio::time::timeout(CLOSE_WAIT_MAX, journal.close()).await }) {
        Ok(closed) => closed?,
        // What was acknowledged is durable all the same; the next start finds it in the write-ahead log.
        Err(_) => tracing::warn!("the journal's disk does not answer: it is left as after a crash"),
    }
    Ok(())
}

/// Serves until a signal has drained the service. A second signal does not come back from its handler.
async fn serve(
    mode: Mode,
    settings: &Settings,
    (folder, journal): (&Path, Arc<dyn Journal>),
    caught: &Caught,
    log: &Log,
) -> anyhow::Result<()> {
    let mut signals = caught.listen().context("signals cannot be listened to")?;
    let rehearsal = mode == Mode::Dev || settings.names_rehearsal();
    let agents = Directory::built_in(rehearsal, Floor::threads_within(settings.agents)?);
    let described = described(&agents);
    let parts = Parts { journal, agents: Arc::new(agents), described };
    let running = tokio::select! {
        running = service::start(mode, settings, parts) => running?,
        signal = signals.drain() => {
            tracing::info!(signal, "stopped before the service was ready");
            return Ok(());
        }
    };

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %mode,
        listen = %running.listen,
        admin_listen = %running.admin_listen,
        journal = %format_args!("sqlite:{}", folder.display()),
        keys = settings.key_source(mode == Mode::Dev),
        "service started"
    );
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
    tracing::info!(signal, "draining after a signal; a second SIGTERM or SIGINT stops at once");
    if !running.drain().await.runs_at_rest {
        tracing::info!("runs that are still open are resumed by the next process");
    }
    Ok(())
}

/// Prints the ready line. The service does not depend on it: a stdout that is closed or full is logged, and
/// one that does not take the line within [`READY_LINE_TIMEOUT`] is not waited for any longer.
async fn announce(line: String) {
    let (done, printed) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name("ready".to_owned()).spawn(move || {
        // The receiver is gone if the line was not taken in time.
        let _late = done.send(Output::stdout().and_then(|mut stdout| stdout.write_lines(line.as_bytes())));
    });
    let printed = async { printed.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())) };
    match (started, tokio::time::timeout(READY_LINE_TIMEOUT, printed).await) {
        (Ok(_), Ok(Ok(()))) => {}
        (Err(error), _) | (Ok(_), Ok(Err(error))) => {
            tracing::error!(%error, "the ready line cannot be printed to stdout; the service goes on");
        }
        (Ok(_), Err(_)) => tracing::warn!("stdout does not take the ready line; the service goes on"),
    }
}

fn described(agents: &Directory) -> Vec<AgentInfo> {
    let default = agents.default_agent();
    let describe = |agent: &dyn quintet::agent::Agent| AgentInfo {
        agent_name: agent.name(),
        description: agent.description().to_owned(),
        default: agent.name() == default,
    };
    agents.agents().map(describe).collect()
}

/// The folder of the embedded journal; there is no other engine yet.
fn journal_folder(settings: &Settings) -> Result<PathBuf, ConfigError> {
    match settings.journal.as_deref() {
        None => Ok(settings.data_dir.clone()),
        Some(url) => match url.strip_prefix("sqlite:") {
            Some(folder) if !folder.is_empty() => Ok(PathBuf::from(folder)),
            _ => Err(ConfigError::Missing(
                "journal: leave it out for the embedded one in the data folder, or write sqlite:FOLDER"
                    .to_owned(),
            )),
        },
    }
}

/// Lets this process open as many sockets as it is to serve, if the system allows.
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

/// Writes the result of a command to stdout, and waits for its reader.
///
/// # Errors
/// [`StdoutClosed`] if the reader is gone, as `head` once it has its lines.
pub fn print(text: &str) -> anyhow::Result<()> {
    match Output::stdout().and_then(|mut stdout| stdout.write_lines(text.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        written => written.context("stdout cannot be written to"),
    }
}

/// The reader of stdout is gone. The exit code says so, a message does not: pipelines end this way.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the reader of stdout is gone")]
pub struct StdoutClosed;

/// Files that a service has open beside its sockets: database, readers, log, listeners.
const FILES_BESIDE_SOCKETS: u64 = 256;

/// How long tasks may take to notice that the process ends.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long the write-ahead log may take to be moved into the database.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long stdout may take to accept the ready line before the service goes on without it.
const READY_LINE_TIMEOUT: Duration = Duration::from_secs(1);
