//! Budgets of tokens: of a run, of a thread, and of a user a day (UTC).
//!
//! Counted are the `usage` of ended runs in the user's log, of all agents and however they ended, and what this process
//! has counted since. So budgets survive a restart, and hold on all nodes. The limits of that:
//!
//! - What runs on another node use while a run executes is not known to it; it is when the next run begins.
//! - What a run had used when its process died is estimated when it is resumed. A run that is not resumed ends without.
//! - The tokens of runs whose entries were erased are known to the process that counted them, and not after a restart.
//! - At most `usage_entries_max` of the newest entries of the log are read, and [`RUNS_MAX`] runs are
//!   remembered.
//! - A response whose service counts no tokens, or that broke off, is counted by an estimate
//!   ([`crate::context`]).
//!
//! A request is made only if its estimated tokens and at least one of the response fit into what is left, and the length
//! of the response is limited to the rest. So one run exceeds a budget only by what the service counts differently from
//! the estimate. Runs of one user side by side see each other's requests: with `output_tokens_max`, each reserves its
//! longest response; without, what has arrived is counted, and together they may exceed the budget of the day by what
//! their open responses still generate.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quintet_agent::{AgentError, History, Usage, host::Owner};
use quintet_kernel::{
    entry::{Body, Event},
    ids::{RunId, ThreadId, Timestamp},
};
use quintet_runtime::clock;
use quintet_wire as wire;

use crate::limits::ModelLimits;

/// The tokens that runs have used in this process. Agents with budgets share one, so that each counts the runs of the
/// others while they execute.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Spending>>);

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
    /// The tokens of the ended requests.
    tokens: u64,
    /// The tokens that are reserved for the open request.
    reserved: u64,
    /// The tokens of the open request so far.
    open: u64,
}

impl Spent {
    fn total(&self) -> u64 {
        self.tokens.saturating_add(self.reserved.max(self.open))
    }
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

    /// Admits a request of about `input_tokens`, and returns the longest response that it may have, in tokens; `None` if
    /// neither a budget nor the configuration limits it.
    ///
    /// # Errors
    ///
    /// Returns an error of code `limit_reached` if the request does not fit into what is left of a budget.
    pub(crate) fn admit(&self, input_tokens: u64) -> Result<Option<u64>, AgentError> {
        let spending = &mut *self.ledger.lock();
        let (run, thread, day) = self.spent(spending);
        let limits = &self.limits;
        let budgets = [
            (limits.run_tokens_max, run, RUN_SPENT, RUN_LOW),
            (limits.thread_tokens_max, thread, THREAD_SPENT, THREAD_LOW),
            (limits.user_tokens_per_day_max, day, DAY_SPENT, DAY_LOW),
        ];
        let configured = Some(limits.output_tokens_max).filter(|max| *max > 0);
        let mut output = configured;
        for (max, spent, is_spent, is_low) in budgets.into_iter().filter(|(max, ..)| *max > 0) {
            let left = max.saturating_sub(spent).saturating_sub(input_tokens);
            if left == 0 {
                return Err(AgentError::limit_reached(if spent >= max { is_spent } else { is_low }));
            }
            output = Some(output.map_or(left, |output| output.min(left)));
        }
        let reserved = configured.and(output).map_or(0, |output| input_tokens.saturating_add(output));
        self.entry(spending).reserved = reserved;
        Ok(output)
    }

    /// Sets the tokens of the open request so far.
    pub(crate) fn advance(&self, usage: Usage) {
        self.entry(&mut self.ledger.lock()).open = total(usage);
    }

    /// Adds the tokens of a request that has ended.
    pub(crate) fn charge(&self, usage: Usage) {
        let spending = &mut *self.ledger.lock();
        let spent = self.entry(spending);
        spent.tokens = spent.tokens.saturating_add(total(usage));
        (spent.reserved, spent.open) = (0, 0);
    }

    /// Returns the record of the run, which may be new.
    fn entry<'a>(&self, spending: &'a mut Spending) -> &'a mut Spent {
        let runs = spending.owners.get(&self.owner);
        let is_known = runs.is_some_and(|runs| runs.contains_key(&self.run_id));
        if !is_known {
            spending.order.push_back((self.owner, self.run_id));
            if spending.order.len() > RUNS_MAX {
                spending.forget_oldest();
            }
        }
        spending.owners.entry(self.owner).or_default().entry(self.run_id).or_insert_with(|| Spent {
            thread_id: self.thread_id.clone(),
            day: day(clock::now()),
            tokens: 0,
            reserved: 0,
            open: 0,
        })
    }

    /// Returns the tokens of the run, of its thread, and of its user today.
    fn spent(&self, spending: &Spending) -> (u64, u64, u64) {
        let today = day(clock::now());
        let (mut run, mut thread, mut all) = (0_u64, self.logged.thread, self.logged.day);
        for (run_id, spent) in spending.owners.get(&self.owner).into_iter().flatten() {
            let tokens = spent.total();
            if *run_id == self.run_id {
                run = tokens;
            }
            if self.logged.runs.contains(run_id) {
                continue;
            }
            if spent.thread_id == self.thread_id {
                thread = thread.saturating_add(tokens);
            }
            if spent.day == today {
                all = all.saturating_add(tokens);
            }
        }
        (run, thread, all)
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Spending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
                let tokens = total(usage);
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

/// Returns the tokens that were read and generated.
fn total(usage: Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens)
}

/// Returns the number of the day.
fn day(at: Timestamp) -> u64 {
    at.0 / 86_400_000
}

/// The part of the line of a completed run that others lack, so that they need not be decoded.
const COMPLETED: &[u8] = b"\"agent_completed\"";

/// Runs that a ledger remembers.
pub(crate) const RUNS_MAX: usize = 100_000;

const RUN_SPENT: &str = "This run has used all tokens that a run may use.";
const RUN_LOW: &str = "This run has fewer tokens left than its next request takes.";
const THREAD_SPENT: &str = "This conversation has used all of its tokens. A new one can be begun.";
const THREAD_LOW: &str =
    "This conversation has fewer tokens left than its next request takes. A new one can be begun.";
const DAY_SPENT: &str = "All tokens of today are used. The next day begins at 00:00 UTC.";
const DAY_LOW: &str =
    "Fewer tokens of today are left than the next request takes. The next day begins at 00:00 UTC.";
