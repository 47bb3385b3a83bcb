//! The common parts of campaigns: a seed, the last log lines of the service, findings, and waits with a time
//! limit.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};

/// Time limit for everything that a campaign waits for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Findings that are shown; the first one is what matters.
const FINDINGS_SHOWN_MAX: usize = 12;

/// Lines of the service's log that are shown.
const LINES_MAX: usize = 40;

/// One campaign; clones share its state.
#[derive(Clone)]
pub struct CampaignContext {
    pub seed: u64,
    /// Instructions to repeat it.
    again: Rc<str>,
    /// The disk fails now and then: `unavailable` is an answer.
    pub faulty: bool,
    lines: StderrLines,
    findings: Rc<RefCell<Vec<String>>>,
}

/// The last lines that the service wrote to stderr, and those in which it reports a broken rule.
#[derive(Clone, Default)]
pub struct StderrLines(Arc<Mutex<VecDeque<String>>>, Arc<Mutex<Vec<String>>>);

impl CampaignContext {
    /// Takes the seed from `QUINTET_CAMPAIGN_SEED`, or a random one.
    pub fn new(what: &str) -> Self {
        let seed = setting("QUINTET_CAMPAIGN_SEED").unwrap_or_else(rand::random);
        eprintln!("{what}: QUINTET_CAMPAIGN_SEED={seed}");
        Self::of(seed, &format!("QUINTET_CAMPAIGN_SEED={seed}"))
    }

    /// A campaign whose seed was drawn elsewhere; `again` repeats it.
    pub fn of(seed: u64, again: &str) -> Self {
        Self {
            seed,
            again: again.into(),
            faulty: false,
            lines: StderrLines::default(),
            findings: Rc::default(),
        }
    }

    /// The same, with a disk that fails now and then.
    pub fn with_faults(self) -> Self {
        Self { faulty: true, ..self }
    }

    /// Random numbers for one part, independent of the other parts.
    pub fn rng(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn lines(&self) -> StderrLines {
        self.lines.clone()
    }

    /// Returns whether the last log lines contain this text.
    pub fn was_said(&self, what: &str) -> bool {
        self.lines.0.lock().unwrap().iter().any(|line| line.contains(what))
    }

    /// Records a violation of the contract. The campaign ends at its next check.
    pub fn found(&self, what: String) {
        self.findings.borrow_mut().push(what);
    }

    pub fn count(&self) -> usize {
        self.findings.borrow().len()
    }

    /// Ends the test if anything was found.
    pub fn look(&self) {
        for line in std::mem::take(&mut *self.lines.1.lock().unwrap()) {
            self.found(format!("the service's own monitor found a broken rule: {line}"));
        }
        if self.count() > 0 {
            self.fail("the contract is broken");
        }
    }

    /// Ends the test with a full report.
    pub fn fail(&self, why: &str) -> ! {
        let findings = self.findings.borrow();
        let shown: Vec<_> = findings.iter().take(FINDINGS_SHOWN_MAX).map(|f| format!("  - {f}")).collect();
        let lines: Vec<String> = self.lines.0.lock().unwrap().iter().cloned().collect();
        panic!(
            "{why}\n{}\n{} findings:\n{}\nthe last lines of the service:\n{}",
            self.again,
            findings.len(),
            shown.join("\n"),
            lines.join("\n")
        )
    }

    /// Waits for a future, with a time limit.
    pub async fn within<T>(&self, what: &str, wait: Duration, future: impl Future<Output = T>) -> T {
        match tokio::time::timeout(wait, future).await {
            Ok(done) => done,
            Err(_) => self.fail(&format!("{what}: not within {wait:?}")),
        }
    }

    pub async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        self.within(what, PATIENCE, future).await
    }
}

impl StderrLines {
    pub fn push(&self, line: String) {
        if line.contains("monitor: a ") || line.contains("a hub panicked") {
            self.1.lock().unwrap().push(line.clone());
        }
        let mut lines = self.0.lock().unwrap();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Reads a number from the environment. A malformed one is an error, not the default.
pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}
