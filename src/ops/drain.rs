//! Signals: the first drains the service, a second one stops it immediately.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | drain; during a drain: exit code 1 at once |
//! | SIGHUP | drain, unless the parent process had it ignored (`nohup`); nothing during a drain |
//! | SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ | ignored; a write to a closed pipe or beyond the file size limit returns an error |
//!
//! Guarantee: the second signal ends the process from within its signal handler, which needs no thread,
//! runtime, lock or log.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ},
    flag,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Installed signal handlers. Created before the runtime that waits for the signals.
#[derive(Debug)]
pub struct Caught {
    /// Set by the first signal that starts a drain.
    draining: Arc<AtomicBool>,
    hang_up: bool,
}

impl Caught {
    /// Installs the signal handlers. Must be called before any slow initialisation: process 1 of a container
    /// ignores signals without a handler.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        let draining = Arc::new(AtomicBool::new(false));
        for drains in [SIGTERM, SIGINT] {
            // Handlers run in registration order, so the first signal does not see the flag set.
            flag::register_conditional_shutdown(drains, STOPPED, draining.clone())?;
            flag::register(drains, draining.clone())?;
        }
        // A shell sends SIGHUP twice when its terminal closes, so it never stops immediately.
        let hang_up = !is_ignored(SIGHUP);
        if hang_up {
            flag::register(SIGHUP, draining.clone())?;
        }
        for ignored in [SIGUSR1, SIGUSR2, SIGXFSZ] {
            flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self { draining, hang_up })
    }

    /// Returns futures for the signals. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen(&self) -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: self.hang_up.then(|| signal(SignalKind::hangup())).transpose()?,
            draining: self.draining.clone(),
        })
    }
}

/// The signals that start a drain.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
    draining: Arc<AtomicBool>,
}

impl Signals {
    /// Resolves to the name of the signal that starts a drain. Cancel safe.
    pub async fn drain(&mut self) -> &'static str {
        if self.draining.load(Ordering::SeqCst) {
            return "signal during startup";
        }
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hang_up => "SIGHUP",
        }
    }
}

/// Returns whether the parent process had this signal ignored. False if the system does not expose it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Exit code after a second signal.
const STOPPED: i32 = 1;
