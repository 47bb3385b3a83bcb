//! Seeds, one after the other, on all processors; and the same seed twice.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    context::setting,
    device::Stats,
    run::{Report, play},
    verdict::Tally,
};

#[derive(Default)]
struct Sum {
    tally: Tally,
    stats: Stats,
    simulated: Duration,
    /// Sum of all traces, in any order: equal seeds have equal sums, in every process.
    traces: u64,
    failed: Vec<(u64, String)>,
}

#[test]
fn seeds_lose_nothing_under_any_faults() {
    let first = setting("QUINTET_SIM_SEED").unwrap_or(1);
    let count = setting("QUINTET_SIM_SEEDS").unwrap_or(100);
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count as usize).max(1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || sum.lock().unwrap().failed.len() >= FAILURES_MAX {
                        return;
                    }
                    let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
                    sum.lock().unwrap().take(seed, played);
                }
            });
        }
    });
    let Sum { tally, stats, simulated, traces, failed } = sum.into_inner().unwrap();
    eprintln!(
        "{count} seeds from {first}, {simulated:?} simulated, traces {traces:016x}: {tally:?}\n{:?}",
        stats.counts
    );
    if !failed.is_empty() {
        let shown: Vec<_> = failed.iter().map(|(seed, why)| format!("seed {seed}: {why}")).collect();
        panic!("{} seeds failed\n{}", failed.len(), shown.join("\n\n"));
    }
    let counted = quintet::ops::metrics::recorder().unwrap().render();
    for line in counted.lines().filter(|line| line.starts_with("quintet_monitor_violations_total")) {
        assert!(line.ends_with(" 0"), "only the service's own monitor found a violation: {line}");
    }
    let rejected = counted.lines().find(|line| line.starts_with("quintet_connection_rejections_total"));
    assert_eq!(
        rejected,
        Some("quintet_connection_rejections_total 0"),
        "a machine got an input it does not expect"
    );
    if count >= 100 {
        for what in EVERYTHING {
            assert!(stats.of(what) > 0, "{count} seeds without a single {what:?} show nothing of it");
        }
        assert!(tally.unknown_calls > 0 && tally.answered > 0 && tally.timed_out > 0, "{tally:?}");
        assert_eq!(tally.interrupted, 0, "all agents here resume after a crash: {tally:?}");
    }
}

#[test]
fn same_seed_gives_the_same_trace() {
    for seed in 1..=4 {
        let (first, second) = (play(seed), play(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        // For comparing processes by hand.
        eprintln!("seed {seed}: trace {:016x}", first.trace);
    }
}

impl Sum {
    fn take(&mut self, seed: u64, played: std::thread::Result<Report>) {
        match played {
            Ok(report) => {
                self.tally.add(&report.tally);
                self.stats.add(&report.stats);
                self.simulated += report.simulated;
                self.traces ^= report.trace;
                // For comparing processes.
                eprintln!("seed {seed}: trace {:016x}", report.trace);
            }
            Err(panic) => {
                let why = panic.downcast_ref::<String>().cloned();
                self.failed.push((seed, why.unwrap_or_else(|| "a panic, shown above".to_owned())));
            }
        }
    }
}

/// Failed seeds after which no further one is played.
const FAILURES_MAX: usize = 5;

/// Events that a hundred seeds have to meet at least once.
const EVERYTHING: [&str; 24] = [
    "Crash",
    "PowerLoss",
    "Drain",
    "Partition",
    "HalfOpen",
    "Hold",
    "Loss",
    "Latency",
    "Reset",
    "Clock",
    "Journal",
    "opened",
    "broken",
    "silent",
    "reset",
    "closed 1012",
    "closed 4408",
    "closed 4400",
    "closed 4401",
    "error unavailable",
    "repeated",
    "nonsense",
    "races won",
    "drained at rest",
];
