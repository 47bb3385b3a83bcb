//! Defects of the hub and of the journal's fence: one step of the environment goes otherwise.

use quintet::kernel::{entry::Entry, user::UserState};
use stateright::Model;

use super::{
    Hunted, suites,
    user::{NothingIsIllegal, RunsSideBySide},
};
use crate::{
    ask::Ask,
    models::fence::{FenceAction as A, FenceModel, FenceState, Node, agents_calls, begun, opened, tell},
    mutants,
    vocabulary::run_number,
};

type Next = Option<FenceState>;

fn index(n: u8) -> usize {
    usize::from(n)
}

fn promise(state: &FenceState, n: u8) -> Option<u8> {
    if let Node::Knows { promise, .. } = &state.nodes[index(n)] { *promise } else { None }
}

fn batch(state: &FenceState, n: u8) -> &[Entry] {
    if let Node::Knows { batch, .. } = &state.nodes[index(n)] { batch } else { &[] }
}

fn armed(state: &mut FenceState, n: u8) -> Option<&mut Vec<u8>> {
    match &mut state.nodes[index(n)] {
        Node::Knows { armed, .. } | Node::Lost { armed } => Some(armed),
        Node::Down => None,
    }
}

/// The journal appends for any expected head.
fn appends_anyway(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let (A::Write(n) | A::WriteUnheard(n)) = action else { return m.next_state(s, action) };
    let mut next = s.clone();
    FenceModel::append(&mut next, index(n), action == A::Write(n))?;
    Some(next)
}

/// A refused or failed append is answered as if it had succeeded.
fn promises_anyway(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::WriteFails(n) | A::Refused(n) = action {
        tell(&mut next, promise(s, n));
    }
    Some(next)
}

/// The sender is answered before the append.
fn promises_early(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::Decide(n, _) = action {
        let promised = promise(&next, n);
        tell(&mut next, promised);
    }
    Some(next)
}

/// A tool is invoked when its call is decided.
fn invokes_early(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    match action {
        A::Decide(n, _) => {
            let calls = opened(batch(&next, n));
            armed(&mut next, n)?.extend(calls);
        }
        A::Write(n) => *armed(&mut next, n)? = armed(&mut s.clone(), n)?.clone(),
        _ => {}
    }
    Some(next)
}

/// A run that is resumed invokes its open calls again.
fn invokes_again(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let Some((n, armed)) = reads(s, action) else { return m.next_state(s, action) };
    let view = m.recovered(&s.log)?;
    let calls = begun(&view).into_iter().filter(|run| agents_calls(&view.open_runs()[run].progress) > 0);
    let again: Vec<u8> = calls.map(run_number).collect();
    if again.is_empty() {
        return m.next_state(s, action);
    }
    Some(take_up(s, n, view, [armed.to_vec(), again].concat()))
}

/// The runs that a crash left are not resumed.
fn takes_nothing_up(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let Some((n, armed)) = reads(s, action) else { return m.next_state(s, action) };
    Some(take_up(s, n, m.recovered(&s.log)?, armed.to_vec()))
}

/// The node that reads the log in this step, and the calls that it may invoke.
fn reads(s: &FenceState, action: A) -> Option<(u8, &[u8])> {
    let A::Know(n) = action else { return None };
    if let Node::Lost { armed } = &s.nodes[index(n)] { Some((n, armed)) } else { None }
}

fn take_up(s: &FenceState, n: u8, view: UserState, armed: Vec<u8>) -> FenceState {
    let mut next = s.clone();
    if let Err(rule) = FenceModel::take_up(&mut next, index(n), view, vec![], armed) {
        next.broken = Some(rule);
    }
    next
}

/// The view that an append did not confirm is kept.
fn keeps_view(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::WriteFails(n) | A::Refused(n) = action
        && let Node::Knows { view, armed, .. } = s.nodes[index(n)].clone()
    {
        next.nodes[index(n)] = Node::Knows { view, batch: vec![], promise: None, armed };
    }
    Some(next)
}

/// The journal is not asked about messages that memory has forgotten.
fn forgets_messages(m: &FenceModel, s: &FenceState, action: A) -> Next {
    let A::Decide(n, ask) = action else { return m.next_state(s, action) };
    let mut next = s.clone();
    m.ask(&mut next, index(n), ask, &[])?;
    Some(next)
}

/// A run that waits for its deadline never meets it.
fn no_deadline(m: &FenceModel, s: &FenceState, action: A) -> Next {
    if matches!(action, A::Decide(_, Ask::Cut { .. })) { None } else { m.next_state(s, action) }
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "no-fence" ["DEL-2"] None, "the journal appends whatever head is expected: two nodes write one log",
            "fence: DEL-2" => suites::fence(appends_anyway);
        "promises-what-failed" ["DEL-7", "DEL-5"] Some("success reported without delivery"),
            "an append that was refused or failed is answered as if it had succeeded",
            "fence: DEL-7" => suites::fence(promises_anyway);
        "promises-before-it-is-durable" ["DEL-5", "DEL-7"] Some("success reported without delivery"),
            "the sender is told before the append",
            "fence: DEL-5" => suites::fence(promises_early);
        "invokes-before-it-is-durable" ["RUN-9"] None, "a tool is invoked when its call is decided, not when it is durable",
            "fence: RUN-9" => suites::fence(invokes_early);
        "invokes-again" ["RUN-9"] None, "a run that is taken up invokes its open calls again",
            "fence: RUN-9" => suites::fence(invokes_again);
        "takes-nothing-up" ["RUN-9"] None, "nobody closes the calls that a crash left open",
            "fence: RUN-9" => suites::fence(takes_nothing_up);
        "keeps-an-unconfirmed-view" ["FOLD"] None, "what an append did not confirm is believed",
            "fence: FOLD" => suites::fence(keeps_view);
        "journal-is-not-asked" ["DEL-6"] None, "the journal is not asked for messages that memory has forgotten",
            "fence: DEL-6" => suites::fence(forgets_messages);
        "no-deadline" ["RUN-6"] Some("retry that never runs"), "a run that waits for its deadline never meets it",
            "fence: RUN-6" => suites::fence(no_deadline);
        "two-nodes-let-everything-pass" ["RUN-3", "RUN-4", "RUN-5"] Some("guard that does not guard"),
            "what is illegal is decided, and the fold takes it for a thought",
            "fence: RUN-3" => suites::fence_of(&NothingIsIllegal);
        "two-nodes-run-side-by-side" ["RUN-8"] None, "a message to a busy thread runs at once, whichever node was asked",
            "fence: RUN-8" => suites::fence_of(&RunsSideBySide);
    ]
}
