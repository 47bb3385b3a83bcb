//! The result of an audit, as text and as JSON.

use std::fmt;

use quintet_journal::sqlite::epochs::EpochRecord;
use serde::{Deserialize, Serialize};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRule {
    /// A rule of the contract, or `CHAIN` (the hash chain), `STORAGE` (the stored rows), `INDEX` (the
    /// comparison with the index), `ENTRY` (the form of an entry).
    pub rule: String,
    /// The owner of the log; `None` for a finding about the whole journal.
    pub user_id: Option<String>,
    /// The entry; `None` for a finding about the whole log.
    pub offset: Option<u64>,
    /// The run; `None` for a finding that concerns no single run.
    pub run_id: Option<String>,
    /// A description, in one sentence.
    pub what: String,
}

/// A run that is accepted and not completed. Not a violation: a crash leaves such runs, and the next start
/// resumes them (RUN-6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedRun {
    /// The owner of the run.
    pub user_id: String,
    /// The id of the run.
    pub run_id: String,
    /// The conversation of the run.
    pub thread_id: String,
    /// The offset of its `user_message`.
    pub accepted: u64,
    /// The offset of its `agent_started`; `None` while it is queued.
    pub started: Option<u64>,
    /// The number of open calls, including those of the client.
    pub open_calls: u64,
    /// The number of open calls of the client (RUN-11).
    pub open_client_calls: u64,
}

/// The receipt of an erasure (DEL-8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The owner of the log.
    pub user_id: String,
    /// The id of the receipt.
    pub receipt: String,
    /// The erased thread; `None` if the whole log was erased.
    pub thread_id: Option<String>,
    /// The last offset that the erasure covers.
    pub through: u64,
    /// The chain hash after that entry, in hexadecimal.
    pub chain_head: String,
    /// The time at which it was decided, in Unix milliseconds.
    pub requested_at: u64,
    /// The time at which nothing was left to erase; `None` while it is under way. Not a violation: a crash leaves such
    /// erasures, and the next start goes on with them.
    pub completed_at: Option<u64>,
    /// The number of entries that were erased.
    pub entries: u64,
    /// The offset of its `thread_erased` or `log_erased`.
    pub closed: Option<u64>,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The current epoch of the journal.
    pub epoch: String,
    /// The epoch under which the journal was created; every opening has another one.
    pub origin: String,
    /// The recorded epochs of the journal, oldest first, each with its reason.
    #[serde(default)]
    pub epochs: Vec<EpochRecord>,
    /// The number of users that were audited.
    pub users: u64,
    /// The number of entries that were read.
    pub entries: u64,
    /// The number of trimmed entries.
    pub trimmed: u64,
    /// The number of stored entries that were erased (DEL-8).
    #[serde(default)]
    pub erased: u64,
    /// The first receipts of erasures, in order; the report lists a bounded number.
    #[serde(default)]
    pub receipts: Vec<Receipt>,
    /// The number of all receipts.
    #[serde(default)]
    pub receipts_total: u64,
    /// The number of runs whose `user_message` is stored.
    pub runs: u64,
    /// The number of entries with an earlier timestamp than their predecessor: a clock was set back.
    pub clock_steps_back: u64,
    /// The first open runs, in order; the report lists a bounded number.
    pub unfinished: Vec<UnfinishedRun>,
    /// The number of all open runs.
    pub unfinished_total: u64,
    /// The first violations of each user, in order.
    violations: Vec<BrokenRule>,
    /// The number of all violations.
    pub violations_total: u64,
}

impl Report {
    /// Returns the first violations of each user, in order.
    pub fn violations(&self) -> &[BrokenRule] {
        &self.violations
    }

    pub(super) fn take_violations(self) -> Vec<BrokenRule> {
        self.violations
    }

    /// Returns true if no violation was found.
    pub fn is_clean(&self) -> bool {
        self.violations_total == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal {}", self.epoch)?;
        if self.origin != self.epoch {
            write!(f, " (created as {})", self.origin)?;
        }
        writeln!(f)?;
        for cut in self.epochs.iter().filter(|record| !["created", "opened"].contains(&&*record.reason)) {
            writeln!(
                f,
                "  epoch {}: {}; cursors of earlier epochs are not continued",
                cut.epoch, cut.reason
            )?;
        }
        writeln!(f, "  users {}, entries {}, runs {}", self.users, self.entries, self.runs)?;
        if self.trimmed > 0 {
            writeln!(f, "  entries removed by retention: {}", self.trimmed)?;
        }
        if self.erased > 0 {
            writeln!(f, "  entries erased: {}", self.erased)?;
        }
        if self.receipts_total > 0 {
            writeln!(f, "erasures: {}", self.receipts_total)?;
            for receipt in &self.receipts {
                writeln!(f, "  {receipt}")?;
            }
            more(f, self.receipts_total, self.receipts.len())?;
        }
        if self.clock_steps_back > 0 {
            writeln!(f, "  the clock was set back {} times", self.clock_steps_back)?;
        }
        writeln!(f, "unfinished runs: {}", self.unfinished_total)?;
        for run in &self.unfinished {
            writeln!(f, "  {run}")?;
        }
        more(f, self.unfinished_total, self.unfinished.len())?;
        writeln!(f, "violations: {}", self.violations_total)?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        more(f, self.violations_total, self.violations.len())
    }
}

fn more(f: &mut fmt::Formatter<'_>, total: u64, shown: usize) -> fmt::Result {
    match total - shown as u64 {
        0 => Ok(()),
        rest => writeln!(f, "  and {rest} more"),
    }
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7}", self.rule)?;
        if let Some(user_id) = &self.user_id {
            write!(f, " user {user_id:?}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " entry {offset}")?;
        }
        if let Some(run_id) = &self.run_id {
            write!(f, " run {run_id}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id, receipt, through, chain_head, entries, .. } = self;
        write!(f, "user {user_id:?} receipt {receipt}: ")?;
        match &self.thread_id {
            Some(thread_id) => write!(f, "thread {thread_id}")?,
            None => write!(f, "the whole log")?,
        }
        write!(f, " through {through}, chain {chain_head}, {entries} entries")?;
        match self.completed_at {
            Some(at) => write!(f, ", complete at {at}"),
            None => write!(f, ", under way"),
        }
    }
}

impl fmt::Display for UnfinishedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id, run_id, thread_id, accepted, .. } = self;
        write!(f, "user {user_id:?} run {run_id} in thread {thread_id}, accepted at {accepted}, ")?;
        match self.started {
            None => write!(f, "waiting for its turn"),
            Some(started) => write!(f, "started at {started}"),
        }?;
        match (self.open_calls, self.open_client_calls) {
            (0, _) => Ok(()),
            (open, 0) => write!(f, ", {open} calls open"),
            (open, client) => write!(f, ", {open} calls open, {client} of them for the client to answer"),
        }
    }
}

/// Collects findings: counts all of them, keeps up to the limits.
#[derive(Debug)]
pub(super) struct Findings {
    pub report: Report,
    user_id: Option<String>,
    of_user: usize,
    violations_max: usize,
}

/// Greatest number of listed violations of one user; further ones are only counted.
const USER_VIOLATIONS_MAX: usize = 100;
/// Greatest number of listed receipts; further ones are only counted.
const RECEIPTS_MAX: usize = 1000;
/// Greatest number of listed unfinished runs; further ones are only counted.
const UNFINISHED_MAX: usize = 1000;

impl Findings {
    pub(super) fn new(violations_max: usize) -> Self {
        Self { report: Report::default(), user_id: None, of_user: 0, violations_max }
    }

    /// Sets the user of the following findings.
    pub(super) fn of_user(&mut self, user_id: Option<&str>) {
        self.user_id = user_id.map(str::to_owned);
        self.of_user = 0;
    }

    pub(super) fn violation(
        &mut self,
        rule: &'static str,
        offset: impl Into<Option<u64>>,
        run_id: Option<&str>,
        what: impl Into<String>,
    ) {
        self.report.violations_total += 1;
        self.of_user += 1;
        if self.report.violations.len() < self.violations_max && self.of_user <= USER_VIOLATIONS_MAX {
            self.report.violations.push(BrokenRule {
                rule: rule.into(),
                user_id: self.user_id.clone(),
                offset: offset.into(),
                run_id: run_id.map(str::to_owned),
                what: what.into(),
            });
        }
    }

    pub(super) fn receipt(&mut self, receipt: Receipt) {
        self.report.receipts_total += 1;
        if self.report.receipts.len() < RECEIPTS_MAX {
            self.report.receipts.push(receipt);
        }
    }

    pub(super) fn unfinished(&mut self, run: UnfinishedRun) {
        self.report.unfinished_total += 1;
        if self.report.unfinished.len() < UNFINISHED_MAX {
            self.report.unfinished.push(run);
        }
    }
}
