//! Two nodes that race for one user's log, by compare-and-set on its head. Each node is a hub
//! (`src/user/hub.rs`): it decides on its own view, appends the decided entries as one batch, and answers
//! only after that. An append may be refused, fail, or succeed without the node learning of it; a node may
//! crash and come back at any time. Its specification is `Fence.tla`.
//!
//! - [`state`]: the nodes and their log; [`properties`]: the claims

mod properties;
mod state;

use std::sync::Arc;

use quintet::kernel::{
    entry::{Body, CallOwner, Entry, Event, RunEntry},
    ids::RunId,
    limits::Limits,
    user::{Command, OnBusy, Progress, Reply, Resumes, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::{After, Ask, CutBy, Deed},
    checks::Checked,
    law,
    machine::Machine,
    vocabulary::{call_number, message, run, run_number, without_words},
};

pub use self::state::{FenceAction, FenceState, Node};

#[derive(Clone, Debug)]
pub struct FenceModel {
    pub machine: &'static dyn Machine,
    pub nodes: u8,
    pub messages: u8,
    pub limits: Limits,
}

impl FenceModel {
    pub fn asks(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for message in 1..=self.messages {
            asks.push(Ask::Send { message, thread: 1, on_busy: OnBusy::Enqueue, after: After::Latest });
            let run = message;
            asks.push(Ask::Cancel { run });
            let deeds = [Deed::Think, Deed::Open(1, CallOwner::Agent), Deed::Close(1), Deed::Succeed];
            asks.extend(deeds.map(|deed| Ask::Step { run, deed }));
            asks.push(Ask::Cut { run, cut: CutBy::Deadline });
        }
        asks
    }

    /// Whether a node may decide this next: clients ask anything; agents and deadlines move only runs that
    /// this node carries out, which are those that have begun.
    fn may(view: &UserState, ask: Ask) -> bool {
        let drives = |number: u8| {
            view.open_runs().get(&run(number)).is_some_and(|open| matches!(open.progress, Progress::Begun(_)))
        };
        match ask {
            Ask::Step { run, .. } | Ask::Cut { run, .. } => drives(run),
            _ => true,
        }
    }

    pub(crate) fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        self.machine.recovered(log, &self.limits)
    }

    fn decide(
        &self,
        view: &mut UserState,
        command: Command,
    ) -> Result<(Vec<Entry>, Option<Reply>), &'static str> {
        let Ok(decision) = self.machine.decide(view, command, &self.limits) else {
            return Ok((vec![], None));
        };
        let entries: Vec<Entry> = decision.entries.into_iter().map(without_words).collect();
        for entry in &entries {
            self.machine.evolve(view, entry, &self.limits).map_err(|_| "FOLD")?;
        }
        Ok((entries, Some(decision.reply)))
    }

    /// Reads the log, and resumes the runs that have begun.
    fn know(&self, state: &mut FenceState, n: usize, armed: Vec<u8>) -> Result<(), &'static str> {
        let mut view = self.recovered(&state.log).ok_or("FOLD")?;
        let mut batch = Vec::new();
        for run_id in begun(&view) {
            let resume = Command::Resume { run_id, keep: vec![], resumes: Resumes::default() };
            batch.extend(self.decide(&mut view, resume)?.0);
        }
        Self::take_up(state, n, view, batch, armed)
    }

    /// The node goes on with this view. An agent's call that was open before is not (RUN-9).
    pub(crate) fn take_up(
        state: &mut FenceState,
        n: usize,
        view: UserState,
        batch: Vec<Entry>,
        armed: Vec<u8>,
    ) -> Result<(), &'static str> {
        if view.open_runs().values().any(|open| agents_calls(&open.progress) > 0) {
            return Err("RUN-9");
        }
        state.nodes[n] = Node::Knows { view, batch, promise: None, armed };
        Ok(())
    }

    fn write(&self, state: &mut FenceState, n: usize, heard: bool) -> Option<()> {
        let Node::Knows { view, batch, .. } = &state.nodes[n] else { return None };
        let fits = view.head().0 - batch.len() as u64 == state.log.len() as u64;
        if fits { Self::append(state, n, heard) } else { None }
    }

    /// Appends the node's batch, for any head of the log.
    pub(crate) fn append(state: &mut FenceState, n: usize, heard: bool) -> Option<()> {
        let Node::Knows { view, batch, promise, mut armed } = state.nodes[n].clone() else { return None };
        if batch.is_empty() {
            return None;
        }
        Arc::make_mut(&mut state.log).extend(batch.iter().cloned());
        if heard {
            armed.extend(opened(&batch));
            tell(state, promise);
            state.nodes[n] = Node::Knows { view, batch: vec![], promise: None, armed };
        } else {
            state.nodes[n] = Node::Lost { armed };
        }
        Some(())
    }

    fn lose(state: &mut FenceState, n: usize) -> Option<()> {
        let Node::Knows { batch, armed, .. } = state.nodes[n].clone() else { return None };
        if batch.is_empty() {
            return None;
        }
        state.nodes[n] = Node::Lost { armed };
        Some(())
    }

    /// Decides on the node's view, with what this journal knows of earlier messages.
    pub(crate) fn ask(&self, state: &mut FenceState, n: usize, ask: Ask, journal: &[Entry]) -> Option<()> {
        let Node::Knows { mut view, batch, armed, .. } = state.nodes[n].clone() else { return None };
        if !batch.is_empty() || !Self::may(&view, ask) {
            return None;
        }
        let fresh = if let Ask::Send { message, .. } = ask { run(message) } else { run(0) };
        let command = ask.command(journal, &view, fresh);
        match self.decide(&mut view, command) {
            Err(rule) => state.broken = state.broken.or(Some(rule)),
            Ok((batch, reply)) => {
                let promise = match (ask, reply) {
                    (Ask::Send { message, .. }, Some(Reply::Accepted { .. })) => Some(message),
                    _ => None,
                };
                if batch.is_empty() {
                    tell(state, promise);
                }
                let promise = promise.filter(|_| !batch.is_empty());
                state.nodes[n] = Node::Knows { view, batch, promise, armed };
            }
        }
        Some(())
    }

    fn invoke(state: &mut FenceState, n: usize, number: u8) -> Option<()> {
        let (Node::Knows { armed, .. } | Node::Lost { armed }) = &mut state.nodes[n] else { return None };
        let at = armed.iter().position(|armed| *armed == number)?;
        armed.remove(at);
        let durable = state.log.iter().any(|entry| {
            entry.run_id() == Some(run(number))
                && matches!(entry.body(), Some(Body::Event { event: Event::ToolExecuting(_), .. }))
        });
        match state.invoked.iter_mut().find(|(run, _)| *run == number) {
            Some((_, times)) => *times = 2,
            None => state.invoked.push((number, 1)),
        }
        state.invoked.sort();
        if !durable || state.invoked.iter().any(|(_, times)| *times > 1) {
            state.broken = state.broken.or(Some("RUN-9"));
        }
        Some(())
    }
}

/// Reports to the sender of a message that it was accepted, and as which run: the one in the log, or else
/// the one that was decided. The properties judge whether the log justifies it.
pub(crate) fn tell(state: &mut FenceState, promise: Option<u8>) {
    let Some(number) = promise else { return };
    let runs = law::runs(&state.log);
    let durable = runs.iter().find(|told| *told.message_id == message(number));
    let promised = (number, durable.map_or(number, |told| run_number(told.run_id)));
    if !state.told.contains(&promised) {
        state.told.push(promised);
        state.told.sort();
    }
}

/// The runs that have begun.
pub(crate) fn begun(view: &UserState) -> Vec<RunId> {
    let begun = view.open_runs().iter().filter(|(_, open)| matches!(open.progress, Progress::Begun(_)));
    begun.map(|(run_id, _)| *run_id).collect()
}

/// How many calls of the agent itself are open.
pub(crate) fn agents_calls(progress: &Progress) -> usize {
    match progress {
        Progress::Begun(run) => run.open_calls().values().filter(|call| call.by == CallOwner::Agent).count(),
        Progress::Waiting => 0,
    }
}

/// The runs whose call an agent opens in this batch.
pub(crate) fn opened(batch: &[Entry]) -> Vec<u8> {
    let opens = |entry: &&RunEntry| {
        matches!(&entry.body, Body::Event { event: Event::ToolExecuting(call), .. }
            if call.by == CallOwner::Agent && call_number(&call.call_id) == 1)
    };
    batch.iter().filter_map(Entry::run).filter(opens).map(|entry| run_number(entry.run_id)).collect()
}

impl Model for FenceModel {
    type State = FenceState;
    type Action = FenceAction;

    fn init_states(&self) -> Vec<FenceState> {
        vec![FenceState {
            log: Arc::default(),
            nodes: vec![Node::Down; self.nodes.into()],
            told: vec![],
            invoked: vec![],
            broken: None,
        }]
    }

    fn actions(&self, _: &FenceState, actions: &mut Vec<FenceAction>) {
        use FenceAction as A;
        for n in 0..self.nodes {
            actions.extend([A::Start(n), A::Know(n), A::Write(n), A::WriteUnheard(n), A::WriteFails(n)]);
            actions.extend([A::Refused(n), A::Crash(n)]);
            actions.extend(self.asks().into_iter().map(|ask| A::Decide(n, ask)));
            actions.extend((1..=self.messages).map(|run| A::Invoke(n, run)));
        }
    }

    fn next_state(&self, state: &FenceState, action: FenceAction) -> Option<FenceState> {
        use FenceAction as A;
        if state.broken.is_some() {
            return None;
        }
        let mut next = state.clone();
        match action {
            A::Start(n) => match &state.nodes[usize::from(n)] {
                Node::Down => next.nodes[usize::from(n)] = Node::Lost { armed: vec![] },
                _ => return None,
            },
            A::Know(n) => {
                let Node::Lost { armed } = &state.nodes[usize::from(n)] else { return None };
                if let Err(rule) = self.know(&mut next, n.into(), armed.clone()) {
                    next.broken = Some(rule);
                }
            }
            A::Decide(n, ask) => self.ask(&mut next, n.into(), ask, &state.log)?,
            A::Write(n) => self.write(&mut next, n.into(), true)?,
            A::WriteUnheard(n) => self.write(&mut next, n.into(), false)?,
            A::WriteFails(n) => Self::lose(&mut next, n.into())?,
            A::Refused(n) => {
                let Node::Knows { view, batch, .. } = &state.nodes[usize::from(n)] else { return None };
                if view.head().0 - batch.len() as u64 == state.log.len() as u64 {
                    return None;
                }
                Self::lose(&mut next, n.into())?;
            }
            A::Invoke(n, run) => Self::invoke(&mut next, n.into(), run)?,
            A::Crash(n) => next.nodes[usize::from(n)] = Node::Down,
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}
