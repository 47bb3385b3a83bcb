//! A server as a child process.
//!
//! Guarantees: the child gets the configured variables, `PATH`, `HOME`, `LANG` and `TMPDIR`, and no others (AUTH-6). It
//! and its descendants are one process group, which is killed when the connection ends, and also when the service is
//! killed.
//!
//! ```text
//!   service ──pipe──▶ watcher (leader of the group)
//!      └───stdio────▶ server ──▶ its children
//! ```
//!
//! The leader of the group is a watcher, a shell that waits for the end of a pipe from the service and then kills its
//! group. The kernel closes that pipe also when the service is killed. While the watcher is not reaped, the number of
//! the group is not reused. A process that leaves its group is not killed; it sees the end of its standard input.
//! `PR_SET_PDEATHSIG` would not reach it: it is not inherited, and setting it in a child needs `pre_exec`, which is unsafe.
//! Control groups, which reach it, belong to the operator: see `docs/operations.md`.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::config::Secrets;

/// A running server.
pub(crate) struct ChildServer {
    child: Child,
    group: Group,
}

/// The standard streams of a server.
pub(crate) struct ChildStreams {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

/// The reason for which a process was not started. Operator fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The watcher was not started.
    #[error("/bin/sh cannot be started: {0}")]
    Watcher(#[source] io::Error),
    /// The server was not started.
    #[error("the program cannot be started: {0}")]
    Program(#[source] io::Error),
}

impl ChildServer {
    /// Starts a server.
    pub(crate) fn spawn(
        command: &[String],
        folder: Option<&Path>,
        env: &BTreeMap<String, String>,
        secrets: &Secrets,
    ) -> Result<(Self, ChildStreams), SpawnError> {
        let group = Group::start().map_err(SpawnError::Watcher)?;
        let [program, arguments @ ..] = command else {
            return Err(SpawnError::Program(io::ErrorKind::InvalidInput.into()));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(env)
            .envs(secrets.env.iter().map(|(name, secret)| (name, secret.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(group.leader.as_raw_nonzero().get())
            .kill_on_drop(true);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn().map_err(SpawnError::Program)?;
        let streams = ChildStreams {
            stdin: child.stdin.take().expect("the standard input is piped"),
            stdout: child.stdout.take().expect("the standard output is piped"),
            stderr: child.stderr.take().expect("the standard error is piped"),
        };
        Ok((Self { child, group }, streams))
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Waits up to `grace` for the end of the process, whose input is closed, and kills what is left of its group.
    pub(crate) async fn stop(mut self, grace: Duration) {
        let _exited_by_itself = timeout(grace, self.child.wait()).await;
        self.group.kill();
        // Both are killed; a process that the kernel cannot end yet is left to the runtime to reap.
        let _reaped = timeout(grace, async {
            let _ = self.child.wait().await;
            let _ = self.group.watcher.wait().await;
        })
        .await;
    }
}

/// A process group that does not outlive this value, nor the service.
struct Group {
    watcher: Child,
    leader: Pid,
}

impl Group {
    fn start() -> io::Result<Self> {
        let watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let leader = watcher.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let leader = leader.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { watcher, leader })
    }

    fn kill(&self) {
        // Fails if the group is gone, which is what is wanted.
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The watcher may be reaped already, and its number reused; then the group was killed before.
        if self.watcher.id().is_some() {
            self.kill();
        }
    }
}

/// The variables that a child gets from the service.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// Ignores the signals of a terminal, waits for the end of its input, and kills its own group.
const WATCHER: &str = "trap '' HUP INT TERM; read -r _; kill -s KILL 0";
