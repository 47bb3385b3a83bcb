//! The phases of a server, as a table without I/O.
//!
//! ```text
//!                    ┌──────────── Failed ──────────────┐
//!                    │                                  ▼
//!   start ──▶ Connecting ── Connected ──▶ Ready ── Lost ──▶ BackingOff
//!                    ▲                                  │
//!                    └──────────── PauseOver ───────────┘
//!   any ── Stopped ──▶ Stopped
//! ```
//!
//! The pause doubles with each failure in a row, up to a limit; a server that was ready for `stable_ms` begins anew. A
//! jitter keeps servers that failed together from starting together.

use std::time::Duration;

use crate::config::McpLimits;

/// The phase of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The process is started, or the handshake goes on.
    Connecting { failures: u32 },
    /// The tools are listed; calls are taken.
    Ready { failures: u32, since: Duration },
    /// The server failed, and is started again after the pause.
    BackingOff { failures: u32, pause: Duration },
    /// The service has stopped the server.
    Stopped,
}

/// An event in the life of a server. Times are since the start of its thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    /// The handshake is done and the tools are listed.
    Connected { now: Duration },
    /// A start failed; `jitter` is in 0 to 1.
    Failed { jitter: f64 },
    /// A connection ended.
    Lost { now: Duration, jitter: f64 },
    /// The pause is over.
    PauseOver,
    /// The service stops the server.
    Stopped,
}

/// An input that has no place in the phase.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{input:?} in {phase:?}")]
pub(crate) struct Misplaced {
    phase: Phase,
    input: Input,
}

impl Phase {
    pub(crate) fn start() -> Self {
        Phase::Connecting { failures: 0 }
    }

    pub(crate) fn handle(self, input: Input, limits: &McpLimits) -> Result<Phase, Misplaced> {
        match (self, input) {
            (_, Input::Stopped) => Ok(Phase::Stopped),
            (Phase::Connecting { failures }, Input::Connected { now }) => {
                Ok(Phase::Ready { failures, since: now })
            }
            (Phase::Connecting { failures }, Input::Failed { jitter }) => {
                Ok(backing_off(failures, jitter, limits))
            }
            (Phase::Ready { failures, since }, Input::Lost { now, jitter }) => {
                let is_stable = now.saturating_sub(since) >= Duration::from_millis(limits.stable_ms);
                Ok(backing_off(if is_stable { 0 } else { failures }, jitter, limits))
            }
            (Phase::BackingOff { failures, .. }, Input::PauseOver) => Ok(Phase::Connecting { failures }),
            (
                phase @ (Phase::Connecting { .. }
                | Phase::Ready { .. }
                | Phase::BackingOff { .. }
                | Phase::Stopped),
                input,
            ) => Err(Misplaced { phase, input }),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Connecting { .. } => "connecting",
            Phase::Ready { .. } => "ready",
            Phase::BackingOff { .. } => "backing_off",
            Phase::Stopped => "stopped",
        }
    }
}

fn backing_off(failures: u32, jitter: f64, limits: &McpLimits) -> Phase {
    let failures = failures.saturating_add(1);
    let factor = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
    let millis = limits.restart_pause_ms.saturating_mul(factor).min(limits.restart_pause_max_ms);
    // Between half of the pause and all of it.
    let pause = Duration::from_millis(millis).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
    Phase::BackingOff { failures, pause }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: McpLimits = McpLimits::DEFAULT;
    const PHASES: [Phase; 4] = [
        Phase::Connecting { failures: 1 },
        Phase::Ready { failures: 1, since: Duration::ZERO },
        Phase::BackingOff { failures: 1, pause: Duration::ZERO },
        Phase::Stopped,
    ];
    const INPUTS: [Input; 5] = [
        Input::Connected { now: Duration::ZERO },
        Input::Failed { jitter: 1.0 },
        Input::Lost { now: Duration::ZERO, jitter: 1.0 },
        Input::PauseOver,
        Input::Stopped,
    ];

    #[test]
    fn the_table_is_as_drawn() {
        let mut table = Vec::new();
        for phase in PHASES {
            let row = INPUTS.map(|input| phase.handle(input, &LIMITS).map_or("-", Phase::name));
            table.push((phase.name(), row));
        }
        assert_eq!(
            table,
            [
                ("connecting", ["ready", "backing_off", "-", "-", "stopped"]),
                ("ready", ["-", "-", "backing_off", "-", "stopped"]),
                ("backing_off", ["-", "-", "-", "connecting", "stopped"]),
                ("stopped", ["-", "-", "-", "-", "stopped"]),
            ]
        );
    }

    proptest! {
        #[test]
        fn pauses_grow_to_the_limit_and_a_stable_server_begins_anew(failures in 1_u32..200, jitter in 0.0..=1.0) {
            let mut phase = Phase::start();
            let mut last = Duration::ZERO;
            for count in 1..=failures {
                phase = phase.handle(Input::Failed { jitter }, &LIMITS).unwrap();
                let Phase::BackingOff { failures, pause } = phase else { panic!("{phase:?}") };
                prop_assert_eq!(failures, count);
                prop_assert!(pause >= last && pause <= Duration::from_millis(LIMITS.restart_pause_max_ms));
                last = pause;
                phase = phase.handle(Input::PauseOver, &LIMITS).unwrap();
            }
            let now = Duration::from_secs(1);
            let ready = phase.handle(Input::Connected { now }, &LIMITS).unwrap();
            let failures_after = |now| match ready.handle(Input::Lost { now, jitter }, &LIMITS) {
                Ok(Phase::BackingOff { failures, .. }) => failures,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(failures_after(now), failures + 1);
            prop_assert_eq!(failures_after(now + Duration::from_millis(LIMITS.stable_ms)), 1);
        }
    }
}
