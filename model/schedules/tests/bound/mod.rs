//! The bound of loom's exploration.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Explores `model` with three preemptions, which finds every known bug here; `LOOM_MAX_PREEMPTIONS=N` sets
/// another bound, and 0 none. Prints the number of schedules.
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
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
