//! Defects of the user machine: what it decides, how it folds, what it recovers.

use std::collections::BTreeSet;

use quintet::kernel::{
    entry::{Body, CallStatus, Entry, Event, RunEntry},
    ids::{Offset, RunId, Seq},
    limits::Limits,
    run::AnyRun,
    user::{
        AgentStep, Command, Decision, Erasure, InvalidEntry, OnBusy, Progress, RecentMessage, RecentParent,
        Refusal, Reply, Resumes, UserState,
    },
};

use super::{Hunted, run::succeeded, suites};
use crate::{
    instances,
    machine::Machine,
    models::user::UserModel,
    mutants,
    vocabulary::{AT, cut_result, message, thought, tool},
};

/// A machine with one defect; everything else is as shipped.
macro_rules! defect {
    ($name:ident { $($body:tt)* }) => {
        #[derive(Debug)]
        pub(super) struct $name;
        impl Machine for $name { $($body)* }
    };
}

fn shipped(state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
    state.decide(command, limits, AT)
}

fn event(entry: &Entry) -> Option<&Event> {
    match entry.body()? {
        Body::Event { event, .. } => Some(event),
        Body::UserMessage { .. } => None,
    }
}

/// Numbers the entries of a batch anew, after some were added or taken away.
fn renumbered(state: &UserState, mut decision: Decision) -> Decision {
    for (entry, offset) in decision.entries.iter_mut().zip(state.head().0 + 1..) {
        *entry = entry.clone().at(Offset(offset));
    }
    decision
}

fn begun(state: &UserState, run_id: RunId) -> Option<&AnyRun> {
    match &state.open_runs().get(&run_id)?.progress {
        Progress::Begun(run) => Some(run),
        Progress::Waiting => None,
    }
}

/// An entry with `event` for an open run, next in order.
fn says(state: &UserState, run_id: RunId, event: Event) -> Option<Entry> {
    let open = state.open_runs().get(&run_id)?;
    let seq = begun(state, run_id).map_or(Seq(1), |run| run.seq().next());
    Some(Entry::Run(RunEntry {
        offset: state.head().next(),
        thread_id: open.thread_id.clone(),
        run_id,
        timestamp: AT,
        agent_name: open.agent_name.clone(),
        body: Body::Event { seq, event },
    }))
}

defect!(StartsTwice {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        if let Some(start) = decision.entries.iter().find(|e| matches!(event(e), Some(Event::Started { .. }))) {
            let again = start.clone();
            decision.entries.push(again);
        }
        Ok(renumbered(state, decision))
    }
});

defect!(SkipsNumbers {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        for entry in decision.entries.iter_mut().filter_map(Entry::run_mut) {
            if let Body::Event { seq, event: Event::ToolExecuting(_) } = &mut entry.body {
                *seq = seq.next();
            }
        }
        Ok(decision)
    }
});

defect!(ClosesAsOk {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        for entry in decision.entries.iter_mut().filter_map(Entry::run_mut) {
            if let Body::Event { event: Event::ToolCompleted { result, .. }, .. } = &mut entry.body {
                *result = cut_result(CallStatus::Ok);
            }
        }
        Ok(decision)
    }
});

defect!(StopStopsNothing {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Cancel { run_id, .. } if state.open_runs().contains_key(&run_id) => {
                Ok(Decision::new(vec![], Reply::Done))
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(ForgetsTheNext {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let ends = !matches!(command, Command::Send(_));
        let mut decision = shipped(state, command, limits)?;
        if ends && decision.entries.len() > 1 {
            decision.entries.pop_if(|last| matches!(event(last), Some(Event::Started { .. })));
        }
        Ok(decision)
    }
});

defect!(RunsSideBySide {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        if let [Entry::Run(message @ RunEntry { body: Body::UserMessage { message_id, .. }, .. })] = &decision.entries[..] {
            let mut start = message.clone();
            let event = Event::Started { message_id: message_id.clone() };
            start.body = Body::Event { seq: Seq(1), event };
            decision.entries.push(start.into());
        }
        Ok(renumbered(state, decision))
    }
});

defect!(NeverRejects {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                if send.message.on_busy == OnBusy::Reject {
                    send.message.on_busy = OnBusy::Enqueue;
                }
                shipped(state, Command::Send(send), limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(NeverSteers {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                if send.message.on_busy == OnBusy::Steer {
                    send.message.on_busy = OnBusy::Enqueue;
                }
                shipped(state, Command::Send(send), limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(TakesAndRunsToo {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        if let Reply::Taken(_) = decision.reply {
            decision.entries.clear();
        }
        Ok(decision)
    }
});

defect!(KeepsOrphans {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Resume { run_id, resumes, .. } => {
                let keep = begun(state, run_id).map_or(vec![], |run| run.open_calls().keys().cloned().collect());
                shipped(state, Command::Resume { run_id, keep, resumes }, limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(ResumesForEver {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Resume { run_id, keep, .. } => {
                shipped(state, Command::Resume { run_id, keep, resumes: Resumes::default() }, limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(ClosesQuestions {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let Command::Resume { run_id, .. } = command else { return shipped(state, command, limits) };
        let open = begun(state, run_id).and_then(|run| run.open_calls().keys().next().cloned());
        match open {
            Some(call_id) => {
                shipped(state, Command::CloseCall { run_id, call_id, status: CallStatus::Unknown }, limits)
            }
            None => shipped(state, command, limits),
        }
    }
});

defect!(IllegalStepsPass {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let opens = match &command {
            Command::Step { run_id, step: AgentStep::Open(call) } => Some((*run_id, call.clone())),
            _ => None,
        };
        let decision = shipped(state, command, limits)?;
        match (opens, &decision.reply) {
            (Some((run_id, call)), Reply::Violated(_)) => {
                let entries = says(state, run_id, Event::ToolExecuting(call)).into_iter().collect();
                Ok(Decision::new(entries, Reply::Done))
            }
            _ => Ok(decision),
        }
    }
});

defect!(NothingIsIllegal {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let tried = match &command {
            Command::Step { run_id, step } => Some((*run_id, step.clone())),
            _ => None,
        };
        let decision = shipped(state, command, limits)?;
        let (Some((run_id, step)), Reply::Violated(_)) = (tried, &decision.reply) else { return Ok(decision) };
        let event = match step {
            AgentStep::Think(thought) => Event::Thinking(thought),
            AgentStep::Open(call) => Event::ToolExecuting(call),
            AgentStep::Close { call_id, result } => {
                Event::ToolCompleted { call_id, tool_name: tool(), result, duration_ms: 0 }
            }
            AgentStep::Complete(_) => succeeded(),
        };
        let entries = says(state, run_id, event).into_iter().collect();
        Ok(Decision::new(entries, Reply::Done))
    }

    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        state.evolve(entry, limits).or_else(|misfit| match (&misfit, entry) {
            (InvalidEntry::Violation(_), Entry::Run(entry @ RunEntry { body: Body::Event { seq, .. }, .. })) => {
                let body = Body::Event { seq: *seq, event: Event::Thinking(thought()) };
                state.evolve(&RunEntry { body, ..entry.clone() }.into(), limits)
            }
            _ => Err(misfit),
        })
    }
});

defect!(IllegalStepsVanish {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let decision = shipped(state, command, limits)?;
        match decision.reply {
            Reply::Violated(_) => Ok(Decision::new(vec![], Reply::Done)),
            _ => Ok(decision),
        }
    }
});

defect!(AnswersTwice {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let asked = match &command {
            Command::Answer { run_id, call_id, .. } => Some((*run_id, call_id.clone())),
            _ => None,
        };
        match (asked, shipped(state, command, limits)) {
            (Some((run_id, call_id)), Err(Refusal::CallClosed)) => {
                let tool_name = tool();
                let result = cut_result(CallStatus::Ok);
                let event = Event::ToolCompleted { call_id, tool_name, result, duration_ms: 0 };
                match says(state, run_id, event) {
                    Some(entry) => Ok(Decision::new(vec![entry], Reply::Done)),
                    None => Err(Refusal::CallClosed),
                }
            }
            (_, decided) => decided,
        }
    }
});

defect!(ForgetsMessages {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let Command::Send(send) = &command else { return shipped(state, command, limits) };
        let (id, mut fresh) = (send.message.message_id.clone(), send.clone());
        (fresh.message.message_id, fresh.earlier) = (message(9), None);
        let mut decision = shipped(state, Command::Send(fresh), limits)?;
        for entry in decision.entries.iter_mut().filter_map(Entry::run_mut) {
            match &mut entry.body {
                Body::UserMessage { message_id, .. }
                | Body::Event { event: Event::Started { message_id }, .. } => message_id.clone_from(&id),
                Body::Event { .. } => {}
            }
        }
        Ok(decision)
    }
});

defect!(AsksMemoryOnly {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                send.earlier = None;
                shipped(state, Command::Send(send), limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(FollowsAnything {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                let named = send.message.parent.filter(|parent| *parent <= state.head());
                send.older_parent = named.or(send.older_parent);
                if let (RecentParent::None, Some(_)) = (state.recent_parent(&send.message.thread_id, send.message.parent), named) {
                    send.message.parent = Some(Offset::ZERO);
                }
                let mut decision = shipped(state, Command::Send(send), limits)?;
                for entry in decision.entries.iter_mut().filter_map(Entry::run_mut) {
                    if let Body::UserMessage { parent, .. } = &mut entry.body {
                        *parent = named.or(*parent);
                    }
                }
                Ok(decision)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(ForgetsOlderParents {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                send.older_parent = None;
                shipped(state, Command::Send(send), limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(KnowsEveryRun {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        shipped(state, command, limits).map_err(|refusal| match refusal {
            Refusal::NotFound => Refusal::RunEnded,
            refusal => refusal,
        })
    }
});

defect!(LimitsNothing {
    fn decide(&self, state: &UserState, command: Command, _: &Limits) -> Result<Decision, Refusal> {
        shipped(state, command, &Limits::DEFAULT)
    }
});

defect!(RecoversTheActiveOnly {
    fn recover(
        &self,
        head: Offset,
        recent: Vec<RecentMessage>,
        unfinished: &[&RunEntry],
        erasures: Vec<Erasure>,
        limits: &Limits,
    ) -> Result<UserState, InvalidEntry> {
        let begun: BTreeSet<RunId> =
            unfinished.iter().filter(|entry| matches!(entry.body, Body::Event { .. })).map(|entry| entry.run_id).collect();
        let active = unfinished.iter().copied().filter(|entry| begun.contains(&entry.run_id));
        UserState::recover(head, recent, active, erasures, limits)
    }
});

defect!(RecoversNoMessages {
    fn recover(
        &self,
        head: Offset,
        _: Vec<RecentMessage>,
        unfinished: &[&RunEntry],
        erasures: Vec<Erasure>,
        limits: &Limits,
    ) -> Result<UserState, InvalidEntry> {
        UserState::recover(head, [], unfinished.iter().copied(), erasures, limits)
    }
});

defect!(FoldsAhead {
    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        if state.head() == Offset(1) && matches!(event(entry), Some(Event::Started { .. })) {
            return entry.run_id().map_or(Ok(()), |run_id| Err(InvalidEntry::NotStarted(run_id)));
        }
        state.evolve(entry, limits)
    }
});

defect!(InterruptsNobody {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                if send.message.on_busy == OnBusy::Interrupt {
                    send.message.on_busy = OnBusy::Enqueue;
                }
                shipped(state, Command::Send(send), limits)
            }
            command => shipped(state, command, limits),
        }
    }
});

defect!(FullRunsCannotEnd {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let full = |run_id| begun(state, run_id).is_some_and(|run| run.seq().0 >= limits.run_events_max);
        match &command {
            Command::Step { run_id, step: AgentStep::Complete(_) } if full(*run_id) => {
                Err(Refusal::LimitReached("run_events_max"))
            }
            Command::Step { run_id, step: AgentStep::Think(_) } if full(*run_id) => {
                shipped(state, command, &Limits::DEFAULT)
            }
            _ => shipped(state, command, limits),
        }
    }
});

defect!(LeavesHolesInTheLog {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        if let [_, .., last] = &mut decision.entries[..] {
            *last = last.clone().at(last.offset().next());
        }
        Ok(decision)
    }
});

defect!(AcceptsWithoutTrace {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = shipped(state, command, limits)?;
        if let Reply::Accepted { .. } = decision.reply {
            decision.entries.clear();
        }
        Ok(decision)
    }
});

defect!(HalfAppliesMisfits {
    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        let evolved = state.evolve(entry, limits);
        if evolved.is_err() && state.head() != Offset(0) {
            *state = UserState::default();
        }
        evolved
    }
});

/// Behaves as the shipped machine with different code: no check can fail. The tests check that the hunt finds
/// nothing.
#[derive(Debug)]
pub struct Equivalent;

impl Machine for Equivalent {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let copy = state.clone();
        let decision = shipped(&copy, command, limits)?;
        Ok(renumbered(state, decision))
    }
}

/// A suite without any command to the machine: every rule holds, and only the missing witnesses fail.
fn nobody_asks() -> UserModel {
    UserModel { messages: 0, calls: 0, ..instances::user(1, 1, 1, 3) }
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "starts-twice" ["RUN-1"] Some("duplicate lifecycle events"), "two layers each say that the run has started",
            "user: RUN-1" => suites::user(&StartsTwice);
        "skips-numbers" ["RUN-2"] None, "a number is left out in front of each call",
            "user: RUN-2" => suites::user(&SkipsNumbers);
        "stop-stops-nothing" ["RUN-6"] Some("missing terminal event"), "cancelling answers \"done\", and the run goes on",
            "user: RUN-6" => suites::user(&StopStopsNothing);
        "next-in-line-never-starts" ["RUN-6"] Some("flush that never runs"),
            "whoever waits in line waits for a callback that nobody calls",
            "user: RUN-6" => suites::user(&ForgetsTheNext);
        "resumes-for-ever" ["RUN-6"] None, "a run is resumed however often the process died of it",
            "user: RUN-6" => suites::user(&ResumesForEver);
        "cut-calls-close-as-ok" ["RUN-7"] Some("success reported without delivery"),
            "a call that was cut off is told as if it had worked",
            "user: RUN-7" => suites::user(&ClosesAsOk);
        "runs-side-by-side" ["RUN-8"] None, "a message to a busy thread runs at once, beside the one that is running",
            "user: RUN-8" => suites::user(&RunsSideBySide);
        "reject-is-enqueue" ["RUN-8"] None, "`reject` is taken for `enqueue`",
            "user: RUN-8" => suites::user(&NeverRejects);
        "interrupt-is-enqueue" ["RUN-8"] None, "`interrupt` is taken for `enqueue`",
            "user: RUN-8" => suites::user(&InterruptsNobody);
        "steer-is-enqueue" ["RUN-12"] None, "`steer` is taken for `enqueue`",
            "user: RUN-12" => suites::user(&NeverSteers);
        "taken-messages-run-too" ["RUN-12"] Some("success reported without delivery"),
            "a run takes a message, and the message still has its own run",
            "user: RUN-12" => suites::user(&TakesAndRunsToo);
        "orphans-stay-open" ["RUN-9"] None, "a run that is taken up keeps the calls open that a crash orphaned",
            "user: RUN-9" => suites::user(&KeepsOrphans);
        "questions-close-as-orphans" ["RUN-9"] None, "a run that is taken up closes the client's question too",
            "user: RUN-9" => suites::user(&ClosesQuestions);
        "illegal-steps-pass" ["RUN-10"] Some("guard that does not guard"), "an agent's illegal call reaches the clients",
            "user: RUN-10" => suites::user(&IllegalStepsPass);
        "illegal-steps-vanish" ["RUN-10"] None, "an agent's illegal step is dropped without a word, and its run goes on",
            "user: RUN-10" => suites::user(&IllegalStepsVanish);
        "second-answer-counts" ["RUN-11"] None, "a second answer to a question counts as well",
            "user: RUN-11" => suites::user(&AnswersTwice);
        "holes-in-the-log" ["DEL-2"] None, "the last entry of a batch is put one place too far",
            "user: DEL-2" => suites::user(&LeavesHolesInTheLog);
        "accepted-without-trace" ["DEL-5"] Some("success reported without delivery"),
            "a message is accepted, and nothing is added to the log",
            "user: DEL-5" => suites::user(&AcceptsWithoutTrace);
        "same-message-twice" ["DEL-6"] None, "a message that was sent before is a new one",
            "user: DEL-6" => suites::user(&ForgetsMessages);
        "asks-memory-only" ["DEL-6"] None, "what memory has forgotten is not asked of the journal",
            "user: DEL-6" => suites::user(&AsksMemoryOnly);
        "any-message-is-a-parent" ["ISO-3"] None, "a message follows one of another thread",
            "user: ISO-3" => suites::user(&FollowsAnything);
        "parents-are-of-memory-only" ["TREE"] None, "the journal is not asked for a parent that memory has forgotten",
            "user: TREE" => suites::user(&ForgetsOlderParents);
        "every-run-is-known" ["ISO-3"] Some("acknowledged but ignored"),
            "a run that does not exist is answered for as if it did",
            "user: ISO-3" => suites::user(&KnowsEveryRun);
        "limits-nothing" ["LIMIT"] Some("limits that do not limit"), "a new limiter for every call",
            "user: LIMIT" => suites::user(&LimitsNothing);
        "full-runs-cannot-end" ["LIMIT"] Some("priority inversion"),
            "a full run drops its critical event, the end, and takes a further thought",
            "user: LIMIT" => suites::user(&FullRunsCannotEnd);
        "recovers-the-active-only" ["RECOVERY"] None, "a restart loses the messages that wait",
            "user: RECOVERY" => suites::user(&RecoversTheActiveOnly);
        "recovers-no-messages" ["RECOVERY"] None, "a restart forgets which messages it has had",
            "user: RECOVERY" => suites::user(&RecoversNoMessages);
        "fold-refuses-a-start" ["FOLD"] None, "the fold refuses what was decided",
            "user: FOLD" => suites::user(&FoldsAhead);
        "misfits-are-half-applied" ["UNCHANGED"] None, "an entry that does not fit is refused, and the state is lost with it",
            "user: UNCHANGED" => suites::user(&HalfAppliesMisfits);
        "asks-nothing" ["RUN-1"] Some("vacuous verification"),
            "the suite records what it did itself: nothing is asked of the machine, and every rule holds",
            "user: a witness of RUN-1" => suites::unasked(&nobody_asks());
    ]
}
