//! The service as a process: it starts, prints its ready line, receives signals, and ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::watch;

use crate::context::{CampaignContext, StderrLines};

pub struct Process {
    pid: Pid,
    ready: watch::Receiver<Option<Addresses>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
}

/// Returns the path of the program under test. Cargo builds it for every test of the package `quintet` and puts
/// it beside the folder of the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let deps = test.parent().expect("a program lies in a folder");
    deps.with_file_name(format!("quintet{}", std::env::consts::EXE_SUFFIX))
}

/// The command that serves from `folder`, on free ports.
pub fn dev(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(folder);
    // A campaign kills far more often than any crash loop: every run has to end as its wish expects, after
    // any number of kills. Trials stay, in a shorter time.
    command.env("QUINTET_RUN_RESUMES_MAX", "1000000").env("QUINTET_RUN_RESUMES_TOTAL_MAX", "1000000");
    command.env("QUINTET_RESUME_TRIAL_TIMEOUT_MS", "200").env("QUINTET_RESUME_SETTLE_TIMEOUT_MS", "20");
    command
}

/// The same with the monitor on. Transitions go into `TRACE_FOLDER`, if that is set, even when the process is
/// killed: see `docs/model/traces.md`.
pub fn watched(folder: &Path) -> Command {
    let mut command = dev(folder);
    command.arg("--monitor");
    if let Some(traces) = std::env::var_os("TRACE_FOLDER") {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        command.arg("--trace").arg(Path::new(&traces).join(format!("crash-{name}.jsonl")));
    }
    command
}

impl Process {
    pub fn start(mut command: Command, lines: StderrLines) -> Self {
        // The service refuses unknown settings, and the campaign's are not the service's.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QUINTET_CAMPAIGN") {
                command.env_remove(name);
            }
        }
        Self::start_as_it_is(command, lines)
    }

    /// Starts a command without removing the campaign's own settings.
    pub fn start_as_it_is(mut command: Command, lines: StderrLines) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (to_ready, ready) = watch::channel(None);
        let (to_ended, ended) = watch::channel(None);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(addresses) = addresses(&line) {
                    to_ready.send_replace(Some(addresses));
                }
            }
        });
        let log = thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| lines.push(line));
        });
        thread::spawn(move || {
            let status = child.wait().unwrap();
            log.join().unwrap();
            to_ended.send_replace(Some(status));
        });
        Self { pid, ready, ended }
    }

    pub async fn ready(&self, context: &CampaignContext) -> Addresses {
        match self.ready_or_ended(context).await {
            Some(addresses) => addresses,
            None => context.fail("the service ended before it was ready"),
        }
    }

    /// Returns whether the service became ready before it ended.
    pub async fn becomes_ready(&self, context: &CampaignContext) -> bool {
        self.ready_or_ended(context).await.is_some()
    }

    async fn ready_or_ended(&self, context: &CampaignContext) -> Option<Addresses> {
        let mut ready = self.ready.clone();
        let ready = async { ready.wait_for(Option::is_some).await.ok().and_then(|ready| *ready) };
        context.soon("the ready line", ready).await
    }

    pub fn signal(&self, signal: Signal) {
        // Once the process is reaped, its id may belong to another one.
        if self.ended.borrow().is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    pub async fn ended(&self, context: &CampaignContext) -> ExitStatus {
        let mut ended = self.ended.clone();
        let ended = async { *ended.wait_for(Option::is_some).await.unwrap() };
        context.soon("the end of the service", ended).await.unwrap()
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&self, context: &CampaignContext) {
        self.signal(Signal::KILL);
        self.ended(context).await;
    }

    /// The resident memory of the process.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The peak resident memory of the process.
    pub fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads the addresses of a ready line, which may follow other text on its line.
fn addresses(line: &str) -> Option<Addresses> {
    let ready: Value = serde_json::from_str(&line[line.find('{')?..]).ok()?;
    let address = |name: &str| ready[name].as_str()?.parse().ok();
    Some(Addresses { listen: address("listen")?, admin: address("admin_listen")? })
}
