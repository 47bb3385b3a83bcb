//! Defects of the erasure of a thread: of the machine, of the journal, and of the process around it (DEL-8).

use quintet::kernel::{
    entry::{Body, Entry, RunEntry},
    ids::Offset,
    limits::Limits,
    user::{Command, Decision, Erasure, InvalidEntry, RecentMessage, Refusal, UserState},
};
use stateright::Model;

use super::{Hunted, suites};
use crate::{
    machine::Machine,
    models::erasure::{ErasureAction, ErasureModel, ErasureState, ends},
    mutants,
    vocabulary::AT,
};

/// The open runs of the scope go on.
#[derive(Debug)]
struct LeavesRunsOpen;

impl Machine for LeavesRunsOpen {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let mut decision = state.decide(command, limits, AT)?;
        if let Some(erasure) = &mut decision.erasure {
            decision.entries.clear();
            erasure.through = state.head();
        }
        Ok(decision)
    }
}

/// A message follows what the journal names, also if it is being erased.
#[derive(Debug)]
struct FollowsTheErased;

impl Machine for FollowsTheErased {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        let older = match &command {
            Command::Send(send) => send.older_parent,
            _ => None,
        };
        let mut decision = state.decide(command, limits, AT)?;
        for entry in decision.entries.iter_mut().filter_map(Entry::run_mut) {
            if let Body::UserMessage { parent, .. } = &mut entry.body {
                *parent = older.or(*parent);
            }
        }
        Ok(decision)
    }
}

/// The intent is stored, and the machine does not know it.
#[derive(Debug)]
struct ForgetsTheIntent;

impl Machine for ForgetsTheIntent {
    fn begin_erasure(&self, _: &mut UserState, _: Erasure) {}
}

/// A restart does not resume the erasures.
#[derive(Debug)]
struct ResumesNoErasure;

impl Machine for ResumesNoErasure {
    fn recover(
        &self,
        head: Offset,
        recent: Vec<RecentMessage>,
        unfinished: &[&RunEntry],
        _: Vec<Erasure>,
        limits: &Limits,
    ) -> Result<UserState, InvalidEntry> {
        UserState::recover(head, recent, unfinished.iter().copied(), [], limits)
    }
}

/// The journal is not asked for a message that memory does not have.
#[derive(Debug)]
struct AcceptsErasedMessagesAgain;

impl Machine for AcceptsErasedMessagesAgain {
    fn decide(&self, state: &UserState, command: Command, limits: &Limits) -> Result<Decision, Refusal> {
        match command {
            Command::Send(mut send) => {
                send.earlier = None;
                state.decide(Command::Send(send), limits, AT)
            }
            command => state.decide(command, limits, AT),
        }
    }
}

/// The fold knows no end of an erasure.
#[derive(Debug)]
struct RefusesTheEnd;

impl Machine for RefusesTheEnd {
    fn evolve(&self, state: &mut UserState, entry: &Entry, limits: &Limits) -> Result<(), InvalidEntry> {
        match ends(entry) {
            Some(receipt) => Err(InvalidEntry::NoSuchErasure(receipt)),
            None => state.evolve(entry, limits),
        }
    }
}

/// The end is reported although entries are left.
fn ends_early(model: &ErasureModel, state: &ErasureState, action: ErasureAction) -> Option<ErasureState> {
    let first = state.user.as_ref().and_then(|user| user.erasures().first());
    match (action, first) {
        (ErasureAction::End, Some(first)) => {
            let mut done = state.clone();
            done.gone = (1..=first.through.0).map(Offset).collect();
            let mut next = model.next_state(&done, action)?;
            next.gone.clone_from(&state.gone);
            Some(next)
        }
        _ => model.next_state(state, action),
    }
}

/// The journal erases what came last.
fn erases_the_last(
    model: &ErasureModel,
    state: &ErasureState,
    action: ErasureAction,
) -> Option<ErasureState> {
    let mut next = model.next_state(state, action)?;
    if action == ErasureAction::Step {
        next.gone.clone_from(&state.gone);
        next.gone.insert(Offset(state.log.len() as u64));
    }
    (next != *state).then_some(next)
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "erasure-leaves-runs-open" ["DEL-8"] None, "a thread is erased while its run goes on",
            "erasure: DEL-8 no run is open" => suites::erasure(&LeavesRunsOpen);
        "message-follows-the-erased" ["DEL-8"] None, "a message follows one that is being erased",
            "erasure: DEL-8 a message follows none" => suites::erasure(&FollowsTheErased);
        "intent-is-forgotten" ["RECOVERY"] Some("flush that never runs"), "the machine does not know of an intent that is stored",
            "erasure: RECOVERY" => suites::erasure(&ForgetsTheIntent);
        "restart-resumes-no-erasure" ["RECOVERY"] Some("retry that never runs"), "an erasure that a crash interrupted is never completed",
            "erasure: RECOVERY" => suites::erasure(&ResumesNoErasure);
        "erased-message-is-new" ["DEL-6"] None, "a message is a new one once memory has dropped it for an erasure",
            "erasure: DEL-6" => suites::erasure(&AcceptsErasedMessagesAgain);
        "fold-refuses-an-erasure-s-end" ["FOLD"] None, "the fold refuses the end of an erasure that was decided",
            "erasure: FOLD" => suites::erasure(&RefusesTheEnd);
        "erasure-ends-early" ["DEL-8"] Some("success reported without delivery"), "an erasure is reported as complete while entries are left",
            "erasure: DEL-8 an erasure ends once" => suites::erasure_step(ends_early);
        "erases-later-entries" ["DEL-8"] None, "an entry after the intent is erased",
            "erasure: DEL-8 nothing but the scope" => suites::erasure_step(erases_the_last);
    ]
}
