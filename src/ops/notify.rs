//! Reports to a service manager, as `sd_notify(3)` of systemd describes them: readiness, the beginning of a drain, and
//! the watchdog.
//!
//! Without `NOTIFY_SOCKET` in the environment, nothing is sent. The watchdog is on if the manager sets `WATCHDOG_USEC`
//! for this process. It reports that the runtime still runs tasks: a process whose threads are all stuck is killed by the
//! manager and started again, and the next one resumes its runs (RUN-6). A disk that hangs is no reason for that:
//! `/readyz` reports it, and the service continues by itself.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use crate::runtime::tasks::Tasks;

/// Reports that clients are served.
pub fn ready() {
    drop(report(NotifyState::Ready));
}

/// Reports that a drain has begun.
pub fn stopping() {
    drop(report(NotifyState::Stopping));
}

/// Starts to report to the watchdog of the manager, if it has one, until the runtime ends.
pub fn watch() {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    tracing::info!(
        timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        "watchdog of the service manager"
    );
    Tasks::default().spawn(async move {
        let mut reports = tokio::time::interval((timeout / REPORTS_IN_TIMEOUT).max(INTERVAL_MIN));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            reports.tick().await;
            if report(NotifyState::Watchdog).await.is_err() {
                return;
            }
        }
    });
}

/// Sends a report on a thread of its own: a manager that does not read its socket holds nothing else up.
fn report(state: NotifyState<'static>) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = sd_notify::notify(&[state]) {
            tracing::warn!(%error, "a report to the service manager was not sent");
        }
    })
}

/// Reports within the watchdog's timeout.
const REPORTS_IN_TIMEOUT: u32 = 3;

/// Shortest interval between reports.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
