//! The bound of loom's exploration.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Explores `model` with three preemptions, which finds every known bug here; `LOOM_MAX_PREEMPTIONS=N` sets
/// another bound, and 0 none. Prints the number of schedules.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound =
        match std::env::var("LOOM_MAX_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok()) {
            Some(0) => None,
            Some(bound) => Some(bound),
            None => Some(3),
        };
    let played = Arc::new(AtomicUsize::new(0));
    let counted = played.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} schedules", played.load(Ordering::Relaxed));
}

/// A deadlock under loom ends the process: so a mutant that deadlocks runs in another one.
#[allow(dead_code, reason = "not every primitive has a twin that deadlocks")]
pub fn deadlocks(mutant: &str) {
    let this = std::env::current_exe().expect("a test knows its own program");
    let played = std::process::Command::new(this)
        .args(["--exact", "--ignored", "--nocapture", mutant])
        .output()
        .expect("a test can play another");
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(!played.status.success() && said.contains("deadlock"), "{:?}: {said}", played.status);
}
