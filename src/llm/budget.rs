//! Budgets of tokens: of a run, of a thread, and of a user a day (UTC).
//!
//! Counted are the `usage` of ended runs in the user's log, of all agents and however they ended, and what this process
//! has counted since. So budgets survive a restart, and hold on all nodes. The limits of that:
//!
//! - What a run had used when its process died is estimated when it is resumed. A run that is not resumed ends without.
//! - The tokens of runs whose entries were erased are known to the process that counted them, and not after a restart.
//! - At most `usage_entries_max` of the newest entries of the log are read, and [`RUNS_MAX`] runs are
//!   remembered.
//! - A response whose service counts no tokens, or that broke off, is counted by an estimate
//!   ([`crate::context`]).
//! - A budget is checked before each request, which can exceed it by the tokens that the request itself reads.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use quintet_agent::{AgentError, History, Usage, host::Owner};
use quintet_kernel::{
    entry::{Body, Event},
    ids::{RunId, ThreadId, Timestamp},
};
use quintet_runtime::clock;
use quintet_wire as wire;

use crate::limits::ModelLimits;

/// The tokens that the runs of one agent have used in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Spending>>);

#[derive(Debug, Default)]
struct Spending {
    owners: HashMap<Owner, HashMap<RunId, Spent>>,
    /// The runs in the order of their beginning, of which the oldest are forgotten first.
    order: VecDeque<(Owner, RunId)>,
}

#[derive(Clone, Debug)]
struct Spent {
    thread_id: ThreadId,
    day: u64,
    tokens: u64,
}

/// The account of one run.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    ledger: Ledger,
    owner: Owner,
    run_id: RunId,
    thread_id: ThreadId,
    limits: ModelLimits,
    logged: Logged,
}

/// The tokens in the user's log.
#[derive(Clone, Debug, Default)]
struct Logged {
    thread: u64,
    day: u64,
    /// The runs that are counted in the log, which the ledger may know too.
    runs: BTreeSet<RunId>,
}

impl Account {
    /// Opens the account of a run. Reads the log if a budget needs it.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read: a budget that cannot be checked is not assumed to be free.
    pub(crate) async fn open(
        ledger: &Ledger,
        history: &History,
        run_id: RunId,
        thread_id: &ThreadId,
        limits: ModelLimits,
    ) -> Result<Self, AgentError> {
        let mut logged = Logged::default();
        if limits.thread_tokens_max > 0 || limits.user_tokens_per_day_max > 0 {
            logged.read(history, thread_id, &limits).await?;
        }
        let (ledger, owner, thread_id) = (ledger.clone(), history.owner(), thread_id.clone());
        Ok(Self { ledger, owner, run_id, thread_id, limits, logged })
    }

    /// Returns the tokens that the run may still use, or `None` if it has no budget.
    ///
    /// # Errors
    ///
    /// Returns an error of code `limit_reached` if a budget is used up.
    pub(crate) fn left(&self) -> Result<Option<u64>, AgentError> {
        let (run, thread, day) = self.spent();
        let budgets = [
            (self.limits.run_tokens_max, run, "This run has used all tokens that a run may use."),
            (
                self.limits.thread_tokens_max,
                thread,
                "This conversation has used all of its tokens. A new one can be begun.",
            ),
            (
                self.limits.user_tokens_per_day_max,
                day,
                "All tokens of today are used. The next day begins at 00:00 UTC.",
            ),
        ];
        let mut left = None;
        for (max, spent, message) in budgets.into_iter().filter(|(max, ..)| *max > 0) {
            let free = max.saturating_sub(spent);
            if free == 0 {
                return Err(AgentError::limit_reached(message));
            }
            left = Some(left.map_or(free, |left: u64| left.min(free)));
        }
        Ok(left)
    }

    /// Adds tokens to the run.
    pub(crate) fn charge(&self, usage: Usage) {
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        let spending = &mut *self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = spending.owners.entry(self.owner).or_default();
        let is_new = !runs.contains_key(&self.run_id);
        let spent = runs.entry(self.run_id).or_insert_with(|| Spent {
            thread_id: self.thread_id.clone(),
            day: day(clock::now()),
            tokens: 0,
        });
        spent.tokens = spent.tokens.saturating_add(tokens);
        if is_new {
            spending.order.push_back((self.owner, self.run_id));
            if spending.order.len() > RUNS_MAX {
                spending.forget_oldest();
            }
        }
    }

    /// Returns the tokens of the run, of its thread, and of its user today.
    fn spent(&self) -> (u64, u64, u64) {
        let spending = self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        let today = day(clock::now());
        let (mut run, mut thread, mut all) = (0_u64, self.logged.thread, self.logged.day);
        for (run_id, spent) in spending.owners.get(&self.owner).into_iter().flatten() {
            if *run_id == self.run_id {
                run = spent.tokens;
            }
            if self.logged.runs.contains(run_id) {
                continue;
            }
            if spent.thread_id == self.thread_id {
                thread = thread.saturating_add(spent.tokens);
            }
            if spent.day == today {
                all = all.saturating_add(spent.tokens);
            }
        }
        (run, thread, all)
    }
}

impl Spending {
    fn forget_oldest(&mut self) {
        let Some((owner, run_id)) = self.order.pop_front() else { return };
        if let Some(runs) = self.owners.get_mut(&owner) {
            runs.remove(&run_id);
            if runs.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }
}

impl Logged {
    async fn read(
        &mut self,
        history: &History,
        thread_id: &ThreadId,
        limits: &ModelLimits,
    ) -> Result<(), AgentError> {
        let today = day(clock::now());
        let mut page = Some(history.newest());
        let mut entries_left = limits.usage_entries_max;
        while let Some(at) = page.take() {
            let (entries, earlier) = history.before(at).await?;
            page = earlier;
            for (_, line) in entries {
                let Some(left) = entries_left.checked_sub(1) else { return Ok(()) };
                entries_left = left;
                if !line.windows(COMPLETED.len()).any(|window| window == COMPLETED) {
                    continue;
                }
                let (_, entry) = wire::entry::decode(&line)?;
                let Some(entry) = entry.into_run() else { continue };
                let is_today = day(entry.timestamp) == today;
                if !is_today && limits.thread_tokens_max == 0 {
                    return Ok(());
                }
                let Body::Event { event: Event::Completed(completion), .. } = entry.body else { continue };
                let Some(usage) = completion.usage else { continue };
                let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
                self.runs.insert(entry.run_id);
                if is_today {
                    self.day = self.day.saturating_add(tokens);
                }
                if entry.thread_id == *thread_id {
                    self.thread = self.thread.saturating_add(tokens);
                }
            }
        }
        Ok(())
    }
}

/// Returns the number of the day.
fn day(at: Timestamp) -> u64 {
    at.0 / 86_400_000
}

/// The part of the line of a completed run that others lack, so that they need not be decoded.
const COMPLETED: &[u8] = b"\"agent_completed\"";

/// Runs that a ledger remembers.
pub(crate) const RUNS_MAX: usize = 100_000;
