//! Signals: the first one drains the service, a second one stops it at once.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | drain; during a drain: exit code 1 at once |
//! | SIGHUP | drain, unless the parent process had it ignored (`nohup`); nothing during a drain |
//! | SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ | ignored; a write to a closed pipe or beyond the file size limit returns an error |
//!
//! Guarantee: the second signal ends the process from within its signal handler. It needs no thread, no
//! runtime, no lock and no log.

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

/// The signals of this process, caught, before there is a runtime to wait for them.
#[derive(Debug)]
pub struct Caught {
    /// Set by the first signal that drains.
    draining: Arc<AtomicBool>,
    hang_up: bool,
}

impl Caught {
    /// Catches the signals. Call it before anything that takes time: process 1 of a container ignores
    /// signals that it does not catch.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn new() -> io::Result<Self> {
        let draining = Arc::new(AtomicBool::new(false));
        for drains in [SIGTERM, SIGINT] {
            // Handlers run in the order of registration: the first signal finds the flag not set.
            flag::register_conditional_shutdown(drains, STOPPED, draining.clone())?;
            flag::register(drains, draining.clone())?;
        }
        // A shell sends it twice when its terminal goes away, so it never stops at once.
        let hang_up = !is_ignored(SIGHUP);
        if hang_up {
            flag::register(SIGHUP, draining.clone())?;
        }
        for ignored in [SIGUSR1, SIGUSR2, SIGXFSZ] {
            flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self { draining, hang_up })
    }

    /// Makes the first signal something to wait for. Must be called within a runtime.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn listen(&self) -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: self.hang_up.then(|| signal(SignalKind::hangup())).transpose()?,
            draining: self.draining.clone(),
        })
    }
}

/// The signals that drain.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
    draining: Arc<AtomicBool>,
}

impl Signals {
    /// Resolves once a signal orders a drain, with its name. Cancel safe.
    pub async fn drain(&mut self) -> &'static str {
        if self.draining.load(Ordering::SeqCst) {
            return "a signal during the start";
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

/// Whether this process ignores a signal, as its parent decided. Where the system does not show it, no.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The exit code of a process that a second signal stopped.
const STOPPED: i32 = 1;
