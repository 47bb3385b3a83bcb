//! The contract's verdict on one command to a log: derived from the log before it, the command and the
//! kernel's answer, without the kernel's state.

use quintet::kernel::{
    entry::{Body, CallOwner, CallStatus, Entry, Event, RunEntry, RunErrorCode, RunStatus},
    ids::Offset,
    limits::Limits,
    user::{Decision, OnBusy, Refusal, Reply, TakenMessage},
};

use crate::{
    ask::{After, Ask, CutBy, Deed},
    law::{self, Told},
    vocabulary::{call, message, run, thread},
};

/// The rule that a decision breaks, if it breaks one.
pub fn judge(
    log: &[Entry],
    ask: Ask,
    decided: &Result<Decision, Refusal>,
    limits: &Limits,
) -> Option<&'static str> {
    let case = Case { log, told: law::runs(log), decided, limits };
    let broken = match ask {
        Ask::Send { message, thread, on_busy, after } => case.send(message, thread, on_busy, after),
        Ask::Cancel { run } => case.cancel(run),
        Ask::Answer { run, call } => case.answer(run, call),
        Ask::Step { run, deed } => case.step(run, deed),
        Ask::Take { run } => case.take(run),
        Ask::Cut { run, cut } => case.cut(run, cut),
        Ask::CloseCall { run, call } => case.close_call(run, call),
        Ask::Resume { run, keep } => case.resume(run, keep),
        Ask::Exhaust { run } => case.exhaust(run),
    };
    broken.or_else(|| case.early_ends())
}

struct Case<'a> {
    log: &'a [Entry],
    told: Vec<Told<'a>>,
    decided: &'a Result<Decision, Refusal>,
    limits: &'a Limits,
}

impl Case<'_> {
    fn run(&self, number: u8) -> Option<&Told<'_>> {
        self.told.iter().find(|told| told.run_id == run(number))
    }

    fn begun(&self, number: u8) -> Option<&Told<'_>> {
        self.run(number).filter(|told| told.begun() && told.ended().is_none())
    }

    fn batch(&self) -> &[Entry] {
        self.decided.as_ref().map_or(&[], |decision| &decision.entries)
    }

    /// The batch's events of one run.
    fn events(&self, number: u8) -> Vec<&Event> {
        let of_run = self.batch().iter().filter_map(Entry::run).filter(|entry| entry.run_id == run(number));
        of_run
            .filter_map(|e| if let Body::Event { event, .. } = &e.body { Some(event) } else { None })
            .collect()
    }

    fn expect(&self, rule: &'static str, holds: bool) -> Option<&'static str> {
        (!holds).then_some(rule)
    }

    fn refused(&self, refusal: Refusal) -> bool {
        self.decided.as_ref().err() == Some(&refusal)
    }

    fn replied(&self, reply: Reply) -> bool {
        self.decided.as_ref().is_ok_and(|decision| decision.reply == reply)
    }

    fn ends(&self, number: u8, status: RunStatus, code: Option<RunErrorCode>) -> bool {
        matches!(self.events(number).last(), Some(Event::Completed(completion))
            if completion.status == status && completion.error.as_ref().map(|e| e.code) == code)
    }

    /// The offset of the parent; `None` if the thread has no such message.
    fn parent(&self, line: u8, after: After) -> Option<Offset> {
        let mut of_thread = self.told.iter().rev().filter(|told| *told.thread_id == thread(line));
        match after {
            After::Latest => Some(of_thread.next().map_or(Offset::ZERO, |told| told.accepted)),
            After::Root => Some(Offset::ZERO),
            After::Message(named) => {
                of_thread.find(|told| *told.message_id == message(named)).map(|told| told.accepted)
            }
        }
    }

    fn send(&self, number: u8, line: u8, on_busy: OnBusy, after: After) -> Option<&'static str> {
        if let Some(told) = self.told.iter().find(|told| *told.message_id == message(number)) {
            let same = self.replied(Reply::Accepted { receipt: told.receipt(), duplicate: true });
            return self.expect("DEL-6", same && self.batch().is_empty());
        }
        let Some(parent) = self.parent(line, after) else {
            return self.expect("ISO-3", self.refused(Refusal::NotFound));
        };
        let open: Vec<&Told> = self.told.iter().filter(|told| told.ended().is_none()).collect();
        let waiting: Vec<&&Told> = open.iter().filter(|told| *told.thread_id == thread(line)).collect();
        let (busy, interrupts) = (!waiting.is_empty(), !waiting.is_empty() && on_busy == OnBusy::Interrupt);
        if busy && on_busy == OnBusy::Reject {
            return self.expect("RUN-8", self.refused(Refusal::ThreadBusy));
        }
        if !interrupts && waiting.len() > self.limits.queued_messages_max {
            return self.expect("LIMIT", self.refused(Refusal::LimitReached("queued_messages_max")));
        }
        if !interrupts && open.len() >= self.limits.open_runs_max {
            return self.expect("LIMIT", self.refused(Refusal::LimitReached("open_runs_max")));
        }
        let messages: Vec<&RunEntry> = self
            .batch()
            .iter()
            .filter_map(Entry::run)
            .filter(|entry| matches!(entry.body, Body::UserMessage { .. }))
            .collect();
        let [accepted] = messages[..] else { return Some("DEL-5") };
        let follows =
            matches!(accepted.body, Body::UserMessage { parent: found, .. } if found == Some(parent));
        let steers = matches!(accepted.body, Body::UserMessage { steers: true, .. });
        let promised = match self.decided {
            Ok(Decision { reply: Reply::Accepted { receipt, duplicate: false }, .. }) => {
                (receipt.run_id, receipt.offset) == (accepted.run_id, accepted.offset)
            }
            _ => false,
        };
        let after: Vec<Entry> = self.log.iter().chain(self.batch()).cloned().collect();
        let left: Vec<_> = law::runs(&after)
            .into_iter()
            .filter(|told| *told.thread_id == thread(line) && told.ended().is_none())
            .map(|told| (told.run_id, told.begun()))
            .collect();
        let mut expected: Vec<_> =
            waiting.iter().filter(|_| !interrupts).map(|t| (t.run_id, t.begun())).collect();
        expected.push((accepted.run_id, !busy || interrupts));
        let cancelled = |told: &&&Told| {
            law::runs(&after)
                .iter()
                .any(|t| t.run_id == told.run_id && t.ended() == Some(RunStatus::Cancelled))
        };
        self.expect("DEL-5", promised)
            .or_else(|| self.expect("TREE", follows))
            .or_else(|| self.expect("RUN-12", steers == (busy && on_busy == OnBusy::Steer)))
            .or_else(|| self.expect("RUN-8", left == expected))
            .or_else(|| self.expect("RUN-8", !interrupts || waiting.iter().all(cancelled)))
    }

    fn cancel(&self, number: u8) -> Option<&'static str> {
        match self.run(number).map(Told::ended) {
            None => self.expect("ISO-3", self.refused(Refusal::NotFound)),
            Some(Some(_)) => self.expect("RUN-5", self.refused(Refusal::RunEnded)),
            Some(None) => {
                let ends = self.replied(Reply::Done) && self.ends(number, RunStatus::Cancelled, None);
                self.expect("RUN-6", ends)
            }
        }
    }

    fn answer(&self, number: u8, call_number: u8) -> Option<&'static str> {
        let told = self.run(number);
        let by = told.and_then(|told| told.opened(&call(call_number)));
        let open = told
            .is_some_and(|t| t.open_calls(t.events.len()).iter().any(|(id, _)| **id == call(call_number)));
        let closes = matches!(self.events(number)[..], [Event::ToolCompleted { call_id, result, .. }]
            if *call_id == call(call_number) && result.status == CallStatus::Ok);
        let holds = match (by, open) {
            (Some(CallOwner::Client), true) => self.replied(Reply::Done) && closes && self.batch().len() == 1,
            (Some(CallOwner::Client), false) => self.refused(Refusal::CallClosed),
            (Some(CallOwner::Agent) | None, _) => self.refused(Refusal::NotFound),
        };
        self.expect("RUN-11", holds)
    }

    fn step(&self, number: u8, deed: Deed) -> Option<&'static str> {
        let Some(told) = self.begun(number) else {
            return self.expect("RUN-5", self.refused(Refusal::RunEnded));
        };
        let open = told.open_calls(told.events.len());
        let thought = told.events.iter().any(|(.., event)| matches!(event, Event::Thinking(_)));
        let legal = match deed {
            Deed::Think => true,
            Deed::Open(id, _) => thought && told.opened(&call(id)).is_none(),
            Deed::Close(id) => open.contains(&(&call(id), CallOwner::Agent)),
            Deed::Succeed => thought && open.is_empty(),
            Deed::Fail => open.is_empty(),
        };
        let calls = told.events.iter().filter(|(.., e)| matches!(e, Event::ToolExecuting(_))).count();
        let opens = matches!(deed, Deed::Open(..));
        let over = (opens || deed == Deed::Think) && told.events.len() as u64 >= self.limits.run_events_max
            || opens && (open.len() >= self.limits.open_calls_max || calls >= self.limits.run_calls_max);
        if !legal {
            let named = matches!(self.decided, Ok(Decision { reply: Reply::Violated(_), .. }));
            let ends = self.ends(number, RunStatus::Failed, Some(RunErrorCode::Violation));
            return self.expect("RUN-10", named && ends && self.only_closes(number));
        }
        if over {
            let named = matches!(self.decided, Ok(Decision { reply: Reply::LimitReached(_), .. }));
            let ends = self.ends(number, RunStatus::Failed, Some(RunErrorCode::LimitReached));
            return self.expect("LIMIT", named && ends && self.only_closes(number));
        }
        let taken = match (deed, &self.events(number)[..]) {
            (Deed::Think, [Event::Thinking(_)]) => true,
            (Deed::Open(id, by), [Event::ToolExecuting(opened)]) => {
                (&opened.call_id, opened.by) == (&call(id), by)
            }
            (Deed::Close(id), [Event::ToolCompleted { call_id, .. }]) => *call_id == call(id),
            (Deed::Succeed, [Event::Completed(completion)]) => completion.status == RunStatus::Succeeded,
            (Deed::Fail, [Event::Completed(completion)]) => completion.status == RunStatus::Failed,
            _ => false,
        };
        self.expect("RUN-4", taken && self.replied(Reply::Done))
    }

    /// Whether the batch only closes calls of the run and ends it.
    fn only_closes(&self, number: u8) -> bool {
        let events = self.events(number);
        let (last, rest) = events.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
        matches!(last, Some(Event::Completed(_)))
            && rest.iter().all(|e| matches!(e, Event::ToolCompleted { .. }))
    }

    /// RUN-12: the messages of the thread that steer, in order, and no other: each run starts and is merged.
    fn take(&self, number: u8) -> Option<&'static str> {
        let Some(taker) = self.begun(number) else {
            return self.expect("RUN-12", self.refused(Refusal::RunEnded));
        };
        let waits = |told: &&Told| told.thread_id == taker.thread_id && !told.begun() && told.steers;
        let waiting: Vec<&Told> = self.told.iter().filter(waits).collect();
        let taken = waiting
            .iter()
            .map(|told| TakenMessage { message_id: told.message_id.clone(), offset: told.accepted });
        let pairs = self.batch().chunks(2).zip(&waiting).all(|(pair, told)| {
            matches!(pair, [
                Entry::Run(RunEntry { run_id: first, body: Body::Event { event: Event::Started { .. }, .. }, .. }),
                Entry::Run(RunEntry { run_id: second, body: Body::Event { event: Event::Completed(end), .. }, .. }),
            ] if [*first, *second] == [told.run_id; 2]
                && end.status == RunStatus::Merged
                && end.merged_into == Some(taker.run_id))
        });
        let all = self.batch().len() == 2 * waiting.len();
        self.expect("RUN-12", all && pairs && self.replied(Reply::Taken(taken.collect())))
    }

    fn cut(&self, number: u8, cut: CutBy) -> Option<&'static str> {
        if self.run(number).is_none_or(|told| told.ended().is_some()) {
            return self.expect("RUN-5", self.refused(Refusal::RunEnded));
        }
        let (status, code) = match cut {
            CutBy::Agent => (RunStatus::Failed, RunErrorCode::AgentError),
            CutBy::Deadline => (RunStatus::TimedOut, RunErrorCode::RunTimeout),
            CutBy::LostNode => (RunStatus::Interrupted, RunErrorCode::NodeLost),
        };
        self.expect("RUN-6", self.replied(Reply::Done) && self.ends(number, status, Some(code)))
    }

    fn close_call(&self, number: u8, call_number: u8) -> Option<&'static str> {
        let Some(told) = self.begun(number) else {
            return self.expect("RUN-5", self.refused(Refusal::RunEnded));
        };
        if told.open_calls(told.events.len()).iter().all(|(id, _)| **id != call(call_number)) {
            return self.expect("RUN-4", self.refused(Refusal::CallClosed));
        }
        let closes = matches!(self.events(number)[..], [Event::ToolCompleted { result, .. }]
            if result.status == CallStatus::TimedOut);
        self.expect("RUN-7", closes && self.batch().len() == 1)
    }

    /// RUN-9: exactly the agent's own open calls close as `unknown`, but for the idempotent one.
    fn resume(&self, number: u8, keep: Option<u8>) -> Option<&'static str> {
        let Some(told) = self.begun(number) else {
            return self.expect("RUN-9", self.refused(Refusal::RunEnded));
        };
        let open = told.open_calls(told.events.len());
        let mut orphaned: Vec<_> = open
            .iter()
            .filter(|(id, by)| *by == CallOwner::Agent && Some(*id) != keep.map(call).as_ref())
            .collect();
        orphaned.sort();
        let closed = self.events(number);
        let matches = closed.len() == orphaned.len()
            && closed.iter().zip(&orphaned).all(|(event, (id, _))| {
                matches!(event, Event::ToolCompleted { call_id, result, .. }
                    if call_id == *id && result.status == CallStatus::Unknown)
            });
        self.expect("RUN-9", matches && self.batch().len() == closed.len())
    }

    /// RUN-6: a run that was resumed as often as is allowed fails.
    fn exhaust(&self, number: u8) -> Option<&'static str> {
        if self.begun(number).is_none() {
            return self.expect("RUN-6", self.refused(Refusal::RunEnded));
        }
        let named = matches!(self.decided, Ok(Decision { reply: Reply::ResumeLimit("run_resumes_max"), .. }));
        let ends = self.ends(number, RunStatus::Failed, Some(RunErrorCode::ResumeLimit));
        self.expect("RUN-6", named && ends && self.only_closes(number))
    }

    /// RUN-7: a run that this batch ends early had each open call closed first, and as it should be.
    fn early_ends(&self) -> Option<&'static str> {
        let holds = self.told.iter().all(|told| {
            let of_run =
                self.batch().iter().filter_map(Entry::run).filter(|entry| entry.run_id == told.run_id);
            let events: Vec<&Event> = of_run
                .filter_map(|e| if let Body::Event { event, .. } = &e.body { Some(event) } else { None })
                .collect();
            let Some(Event::Completed(completion)) = events.last() else { return true };
            let status = match completion.status {
                RunStatus::Succeeded | RunStatus::Merged => return true,
                RunStatus::Failed | RunStatus::Cancelled => CallStatus::Cancelled,
                RunStatus::TimedOut => CallStatus::TimedOut,
                RunStatus::Interrupted => CallStatus::Unknown,
            };
            let exhausted =
                completion.error.as_ref().is_some_and(|error| error.code == RunErrorCode::ResumeLimit);
            told.open_calls(told.events.len()).iter().all(|(id, by)| {
                // RUN-9: a crash came between, so the outcome of the agent's own call is not known.
                let status = if exhausted && *by == CallOwner::Agent { CallStatus::Unknown } else { status };
                events.iter().any(|event| {
                    matches!(event, Event::ToolCompleted { call_id, result, .. }
                        if call_id == *id && result.status == status)
                })
            })
        });
        self.expect("RUN-7", holds)
    }
}
