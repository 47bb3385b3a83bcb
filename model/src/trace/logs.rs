//! The wide pass over users' logs: every decision is taken again by the kernel, and has to come out the
//! same; every recovery has to find what the records before it left.
//!
//! Hidden, and searched: whether an append that failed is in the log; what a killed process appended
//! after its last record.

use std::collections::HashMap;

use quintet::kernel::{
    entry::Entry,
    ids::{MessageId, Offset, RunId, ThreadId, UserId},
    limits::Limits,
    user::{OpenRun, Progress, Receipt, UserState},
};
use quintet_monitor::record::{
    self, AppendRecord, DecisionRecord, Outcome, Recovered, ReplyRecord, TracedCommand, TracedEntry, What,
};

use super::{Account, Refused, replay};

/// Every user's log, as far as the trace shows it.
#[derive(Debug, Default)]
pub struct Logs {
    users: HashMap<UserId, LogTrace>,
    /// Records are lost somewhere before.
    holed: bool,
}

/// One user's log.
#[derive(Debug, Default)]
pub struct LogTrace {
    knowledge: Knowledge,
    /// The durable head, as recorded by the journal itself; `None` while records are missing.
    durable: Option<Offset>,
    /// Messages that were accepted.
    messages: HashMap<MessageId, Receipt>,
    /// Every message after this is among them.
    whole_after: Option<Offset>,
    /// The input of the specifications: batches, and the cuts of the log.
    pub pieces: Vec<Piece>,
}

/// A part of a log, in order.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Entries that became durable together.
    Batch { line: usize, entries: Vec<TracedEntry> },
    /// Entries are missing here; runs that are open behind it, each with its thread, began before.
    Cut { open: Vec<(RunId, ThreadId)> },
}

/// A batch that may be in the log: its line, its entries, and where they stand.
#[derive(Clone, Debug)]
struct Batch {
    line: usize,
    entries: Vec<TracedEntry>,
    offsets: Vec<Offset>,
}

#[derive(Clone, Debug, Default)]
enum Knowledge {
    /// There is no record of this log, or records of it are lost.
    #[default]
    Nothing,
    /// The hub knows, and the trace does not.
    Unlearnt,
    /// The hub knows, and so does the trace.
    State(UserState),
    /// One of the two: the journal did not confirm the last batch.
    OneOf { without: UserState, with: Option<(UserState, Batch)> },
    /// The process ended: the state it was in, or a later one.
    Since(UserState),
}

impl Logs {
    pub fn of(&self, user: &UserId) -> Option<&LogTrace> {
        self.users.get(user)
    }

    pub fn users(&self) -> impl Iterator<Item = (&UserId, &LogTrace)> {
        self.users.iter()
    }

    /// The offset up to which a log is known to be durable; `None` if records are missing.
    pub fn durable(&self, user: &UserId) -> Option<Offset> {
        self.users.get(user).and_then(|log| log.durable)
    }

    pub fn head(&mut self, user: &UserId, head: Offset) {
        let log = self.log(user);
        log.durable = Some(log.durable.map_or(head, |durable| durable.max(head)));
    }

    fn log(&mut self, user: &UserId) -> &mut LogTrace {
        self.users
            .entry(user.clone())
            .or_insert_with(|| LogTrace { durable: Some(Offset::ZERO), ..LogTrace::default() })
    }

    /// A process has ended in any way.
    pub fn restart(&mut self) {
        for log in self.users.values_mut() {
            log.knowledge = match std::mem::take(&mut log.knowledge) {
                Knowledge::State(state) => Knowledge::Since(state),
                Knowledge::OneOf { without, .. } => Knowledge::Since(without),
                Knowledge::Unlearnt => Knowledge::Nothing,
                other => other,
            };
        }
    }

    /// Records are lost here.
    pub fn hole(&mut self) {
        self.holed = true;
        for log in self.users.values_mut() {
            log.knowledge = Knowledge::Nothing;
            log.durable = None;
            log.whole_after = None;
        }
    }

    pub fn unlearnt(&mut self, user: &UserId, head: Offset) {
        self.head(user, head);
        let log = self.log(user);
        (log.knowledge, log.whole_after) = (Knowledge::Unlearnt, None);
    }

    pub fn recovered(
        &mut self,
        line: usize,
        recovered: &Recovered,
        limits: &Limits,
        account: &mut Account,
    ) -> Result<(), Refused> {
        self.log(&recovered.user).recovered(line, recovered, limits, account)
    }

    pub fn append(
        &mut self,
        line: usize,
        append: &AppendRecord,
        limits: &Limits,
        account: &mut Account,
    ) -> Result<(), Refused> {
        self.log(&append.user).append(line, append, limits, account)
    }

    /// Checks the reply to a client that its message is accepted (DEL-5).
    pub fn told_accepted(
        &self,
        line: usize,
        user: &UserId,
        run: RunId,
        offset: Offset,
    ) -> Result<(), Refused> {
        let log = match self.users.get(user) {
            Some(log) => log,
            None if self.holed => return Ok(()),
            None => return Err(Refused::at(line, "accepted by a log that was never heard of")),
        };
        let known = log.messages.values().any(|receipt| *receipt == Receipt { run_id: run, offset });
        let must_be = log.whole_after.is_some_and(|after| offset > after);
        if must_be && !known || log.durable.is_some_and(|durable| offset > durable) {
            return Err(Refused::at(
                line,
                format!("entry {offset} of run {run} is told to be accepted, and is not"),
            ));
        }
        Ok(())
    }
}

impl LogTrace {
    fn recovered(
        &mut self,
        line: usize,
        recovered: &Recovered,
        limits: &Limits,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let refused = |why: String| Err(Refused::at(line, why));
        let head = recovered.head;
        let mut unfinished = Vec::new();
        for record::OpenRunRecord { accepted, entries } in &recovered.open {
            let of_run = replay::spread(entries);
            unfinished.extend((0..).zip(&of_run).map(|(i, e)| replay::entry(e, Offset(accepted.0 + i))));
        }
        let state = match UserState::recover(
            head,
            [],
            &unfinished,
            recovered.erasures.iter().map(replay::erasure),
            limits,
        ) {
            Ok(state) => state,
            Err(misfit) => return refused(format!("an open run is not a legal word: {misfit}")),
        };
        if self.durable.is_some_and(|durable| head < durable) {
            return refused(format!(
                "the log ends at {head}, and reached to {}",
                self.durable.unwrap_or_default()
            ));
        }
        let open = || state.open_runs().iter().map(|(run, open)| (*run, open.thread_id.clone())).collect();
        match std::mem::take(&mut self.knowledge) {
            Knowledge::State(before) => {
                if !same(&before, &state) {
                    return refused(format!(
                        "the hub learns another log than it left: {}",
                        differ(&before, &state)
                    ));
                }
            }
            Knowledge::OneOf { without, with } => {
                account.searched_appends += 1;
                match with {
                    _ if same(&without, &state) => {}
                    Some((with, batch)) if same(&with, &state) => self.note(batch, account),
                    _ => {
                        let why = "neither with the append that failed nor without it is the log this one";
                        return refused(why.to_owned());
                    }
                }
            }
            Knowledge::Since(before) => {
                if let Err(why) = grown(&before, &state) {
                    return refused(why);
                }
                if !same(&before, &state) {
                    account.hidden_restarts += 1;
                    account.hidden_entries += head.0 - before.head().0;
                    self.pieces.push(Piece::Cut { open: open() });
                    self.whole_after = Some(head);
                }
            }
            Knowledge::Nothing | Knowledge::Unlearnt => {
                if head > Offset::ZERO {
                    self.pieces.push(Piece::Cut { open: open() });
                }
                self.whole_after = Some(head);
            }
        }
        self.durable = Some(self.durable.map_or(head, |durable| durable.max(head)));
        self.knowledge = Knowledge::State(state);
        Ok(())
    }

    fn append(
        &mut self,
        line: usize,
        append: &AppendRecord,
        limits: &Limits,
        account: &mut Account,
    ) -> Result<(), Refused> {
        let refused = |why: String| Err(Refused::at(line, why));
        let before = match &self.knowledge {
            Knowledge::State(state) => state.clone(),
            Knowledge::Unlearnt => {
                account.unjudged += 1;
                if append.outcome == Outcome::Appended {
                    let count: u64 =
                        append.decided.iter().map(|decided| decided.entries * decided.times).sum();
                    let reached = Offset(append.expected.0 + count);
                    self.durable = self.durable.map(|durable| durable.max(reached));
                }
                return Ok(());
            }
            Knowledge::Nothing if self.durable.is_none() => {
                account.unjudged += 1;
                return Ok(());
            }
            _ => return refused("a hub decides on a log that it has not learnt".into()),
        };
        if append.expected != before.head() {
            return refused(format!(
                "the batch follows {}, and the head is {}",
                append.expected,
                before.head()
            ));
        }
        let mut after = before.clone();
        let (mut made, mut offsets, mut begins) = (Vec::new(), Vec::new(), false);
        for decided in &append.decided {
            let limits = replay::limits_for(decided, limits);
            for _ in 0..decided.times {
                account.commands += 1;
                let known = self.known(&after, decided).map_err(|why| Refused::at(line, why))?;
                let command = replay::command(decided, known);
                let decision = after.decide(command, &limits, replay::AT);
                let answer = ReplyRecord::of(&decision);
                if answer != decided.answer {
                    return refused(format!(
                        "{:?} is answered {:?}, and should be {answer:?}",
                        decided.command, decided.answer
                    ));
                }
                let (entries, erasure) = decision
                    .map_or_else(|_| Default::default(), |decision| (decision.entries, decision.erasure));
                if entries.len() as u64 != decided.entries {
                    return refused(format!(
                        "{:?} adds {} entries, and should add {}",
                        decided.command,
                        decided.entries,
                        entries.len()
                    ));
                }
                for entry in &entries {
                    if let Err(misfit) = after.evolve(entry, &limits) {
                        return refused(format!("the kernel does not take its own entry: {misfit}"));
                    }
                }
                begins |= erasure.is_some();
                erasure.into_iter().for_each(|erasure| after.begin_erasure(erasure));
                let start = made.len();
                let of_runs = entries.iter().filter_map(Entry::run);
                offsets.extend(of_runs.clone().map(|entry| entry.offset));
                made.extend(of_runs.map(replay::traced));
                replay::in_order(&mut made[start..]);
            }
        }
        match append.outcome {
            // The batch holds the intent of an erasure, and no entry.
            Outcome::Nothing if begins && after.head() == before.head() => {
                self.knowledge = Knowledge::State(after);
                return Ok(());
            }
            Outcome::Nothing if made.is_empty() && append.entries.is_empty() && same(&before, &after) => {
                return Ok(());
            }
            Outcome::Nothing => return refused("decisions that add entries, and nothing is appended".into()),
            Outcome::Forgotten => {
                self.knowledge = Knowledge::OneOf { without: before, with: None };
                return Ok(());
            }
            Outcome::Appended | Outcome::Refused | Outcome::Unknown => {}
        }
        let told = told(append);
        if made != told {
            let first = made.iter().zip(&told).position(|(made, told)| made != told);
            let at = first.unwrap_or(made.len().min(told.len()));
            return refused(format!(
                "entry {at} of the batch is {:?}, and should be {:?}",
                told.get(at),
                made.get(at)
            ));
        }
        let batch = Batch { line, entries: told, offsets };
        match append.outcome {
            Outcome::Appended => {
                self.durable = Some(self.durable.unwrap_or_default().max(after.head()));
                self.note(batch, account);
                self.knowledge = Knowledge::State(after);
            }
            Outcome::Unknown => {
                self.knowledge = Knowledge::OneOf { without: before, with: Some((after, batch)) };
            }
            // Another author was first; its entries are not recorded here.
            _ => self.knowledge = Knowledge::Since(before),
        }
        Ok(())
    }

    /// The journal's knowledge of a duplicate message, if the record does not contain it.
    fn known(&self, state: &UserState, decided: &DecisionRecord) -> Result<Option<Receipt>, String> {
        let TracedCommand::Send { message, earlier, .. } = &decided.command else { return Ok(None) };
        let heard = self.messages.get(message).copied();
        match (&decided.answer, heard) {
            (ReplyRecord::Accepted { run, offset, duplicate: true }, heard) => {
                let told = Receipt { run_id: *run, offset: *offset };
                match heard.or_else(|| state.recent(message)) {
                    Some(heard) if heard != told => Err("the same message is answered as another run".into()),
                    None if self.whole_after.is_some_and(|after| told.offset > after) => {
                        Err("a message is a duplicate that was never accepted".into())
                    }
                    _ => Ok(Some(told)),
                }
            }
            (ReplyRecord::Accepted { duplicate: false, .. }, Some(_)) => {
                Err("a message is accepted twice".into())
            }
            _ => Ok(earlier.map(|(run_id, offset)| Receipt { run_id, offset })),
        }
    }

    fn note(&mut self, batch: Batch, account: &mut Account) {
        let Batch { line, entries, offsets } = batch;
        account.entries += entries.len() as u64;
        for (offset, entry) in offsets.into_iter().zip(&entries) {
            if let What::UserMessage { message, .. } = &entry.what {
                let receipt = Receipt { run_id: entry.run, offset };
                self.messages.insert(message.clone(), receipt);
            }
        }
        self.pieces.push(Piece::Batch { line, entries });
    }
}

/// The appended entries, one by one; calls that one decision closed together are in the order of their names
/// here.
fn told(append: &AppendRecord) -> Vec<TracedEntry> {
    let mut told = replay::spread(&append.entries);
    let mut start = 0;
    for decided in append.decided.iter().flat_map(|d| std::iter::repeat_n(d, d.times as usize)) {
        // Entries that belong to no run are counted and not recorded.
        let of_runs = match decided.command {
            TracedCommand::UpdateThread { .. } | TracedCommand::Erased { .. } => 0,
            _ => decided.entries as usize,
        };
        let end = (start + of_runs).min(told.len());
        replay::in_order(&mut told[start..end]);
        start = end;
    }
    told
}

/// Returns whether two states of a log behave alike. Their memory of old messages may differ: a trace does
/// not record it for a restarted hub.
fn same(a: &UserState, b: &UserState) -> bool {
    let erasing = |state: &UserState| -> Vec<_> {
        state.erasures().iter().map(|erasure| (erasure.receipt, erasure.through)).collect()
    };
    a.head() == b.head() && a.open_runs() == b.open_runs() && erasing(a) == erasing(b)
}

fn differ(a: &UserState, b: &UserState) -> String {
    let runs = |state: &UserState| state.open_runs().keys().map(ToString::to_string).collect::<Vec<_>>();
    format!("head {} and open {:?}, or {} and {:?}", a.head(), runs(a), b.head(), runs(b))
}

/// Checks that a log can have become `after` by unrecorded entries.
fn grown(before: &UserState, after: &UserState) -> Result<(), String> {
    let Some(hidden) = after.head().0.checked_sub(before.head().0) else {
        return Err(format!("the log ends at {}, and reached to {}", after.head(), before.head()));
    };
    if hidden == 0 {
        return if same(before, after) {
            Ok(())
        } else {
            Err(format!("nothing was added, and the log is another: {}", differ(before, after)))
        };
    }
    let mut needed = 0;
    for (run_id, open) in before.open_runs() {
        needed += match after.open_runs().get(run_id) {
            Some(later) => went_on(*run_id, open, later)?,
            None => least_to_end(open),
        };
    }
    for (run_id, open) in after.open_runs() {
        if !before.open_runs().contains_key(run_id) {
            if open.accepted <= before.head() {
                return Err(format!("run {run_id} is open that was not"));
            }
            needed += 1 + seq(open);
        }
    }
    if needed > hidden {
        return Err(format!("{needed} entries came to be, and the log grew by {hidden}"));
    }
    Ok(())
}

fn seq(open: &OpenRun) -> u64 {
    match &open.progress {
        Progress::Waiting => 0,
        Progress::Begun(run) => run.seq().0,
    }
}

/// Returns the number of further events of a run; an error if it is not the same run any more.
fn went_on(run_id: RunId, before: &OpenRun, after: &OpenRun) -> Result<u64, String> {
    let is_same = (&before.thread_id, &before.message_id, before.accepted)
        == (&after.thread_id, &after.message_id, after.accepted);
    let opened_before = match (&before.progress, &after.progress) {
        (Progress::Begun(before), Progress::Begun(after)) => {
            before.open_calls().keys().all(|call_id| after.has_opened(call_id))
        }
        _ => true,
    };
    match seq(after).checked_sub(seq(before)) {
        Some(more) if is_same && opened_before && (more > 0 || before == after) => Ok(more),
        _ => Err(format!("run {run_id} is not what it was")),
    }
}

/// The fewest entries that end a run: its start if it waits, the close of each open call, its end.
fn least_to_end(open: &OpenRun) -> u64 {
    match &open.progress {
        Progress::Waiting => 2,
        Progress::Begun(run) => run.open_calls().len() as u64 + 1,
    }
}
