//! Two nodes that race for one user's log, by compare-and-set on its head: what fences a node that
//! was thought dead, and what keeps a promise through a crash. Each node is a hub (`src/user/hub.rs`):
//! it decides on its own view, appends what it decided as one batch, and tells only after that. An
//! append may be refused, fail, or succeed without the node hearing of it; a node may crash and come
//! back at every instant. Its specification is `Fence.tla`.
//!
//! - [`properties`]: what is claimed of them

mod properties;

use std::sync::Arc;

use quintet::kernel::{
    entry::{Body, By, Entry, Event},
    ids::Offset,
    limits::Limits,
    user::{Command, OnBusy, Progress, Reply, Resumes, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::{Ask, CutBy, Deed},
    checks::Checked,
    law,
    machine::Machine,
    vocabulary::{brief, call_number, message, run, run_number, without_words},
};

/// A small named defect of the shell around the kernel; `None` is what the hub does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The journal appends whatever head is expected: no fence.
    AppendsAnyway,
    /// A refused or failed append is answered as if it had succeeded (DEL-7).
    PromisesAnyway,
    /// The sender is told before the append (DEL-1, DEL-5).
    PromisesEarly,
    /// A tool is invoked when its call is decided, not when it is durable (RUN-9).
    InvokesEarly,
    /// A run that is taken up invokes its open calls again (RUN-9).
    InvokesAgain,
    /// The view that an append did not confirm is kept (DEL-7).
    KeepsView,
    /// Nobody takes up the runs that a crash left (RUN-6).
    TakesNothingUp,
    /// The journal is not asked about messages that memory forgot (DEL-6).
    ForgetsMessages,
    /// A run that waits for its deadline never meets it: the retry that never runs (RUN-6).
    NoDeadline,
}

#[derive(Clone, Debug)]
pub struct FenceModel {
    pub machine: &'static dyn Machine,
    pub flaw: Flaw,
    pub nodes: u8,
    pub messages: u8,
    pub limits: Limits,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FenceState {
    pub log: Arc<Vec<Entry>>,
    pub nodes: Vec<Node>,
    /// Messages whose acceptance was told, each with its run: what senders rely on.
    pub told: Vec<(u8, u8)>,
    /// How often the tool of each run's call was invoked, never counted past two.
    pub invoked: Vec<(u8, u8)>,
    pub broken: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Down,
    /// Up, but what the log says has to be read first.
    Lost {
        armed: Vec<u8>,
    },
    Knows {
        view: UserState,
        batch: Vec<Entry>,
        promise: Option<u8>,
        armed: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceAction {
    Start(u8),
    /// Reads the log and takes up what is open.
    Know(u8),
    Decide(u8, Ask),
    /// The append succeeds, and the node hears of it.
    Write(u8),
    /// The append succeeds, and the node does not hear of it.
    WriteUnheard(u8),
    /// The append fails without a trace.
    WriteFails(u8),
    /// Somebody was first.
    Refused(u8),
    /// A tool acts, for the open call of this run.
    Invoke(u8, u8),
    Crash(u8),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Node::Down => f.write_str("down"),
            Node::Lost { .. } => f.write_str("lost"),
            Node::Knows { view, batch, .. } => {
                let batch: Vec<String> = batch.iter().map(brief).collect();
                write!(f, "at {} with {batch:?}", view.head())
            }
        }
    }
}

impl std::fmt::Debug for FenceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log: Vec<String> = self.log.iter().map(brief).collect();
        write!(f, "log {log:?}, nodes {:?}, told {:?}, invoked {:?}", self.nodes, self.told, self.invoked)?;
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}

impl FenceModel {
    pub fn asks(&self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for message in 1..=self.messages {
            asks.push(Ask::Send { message, thread: 1, on_busy: OnBusy::Enqueue });
            let run = message;
            asks.push(Ask::Cancel { run });
            let deeds = [Deed::Think, Deed::Open(1, By::Agent), Deed::Close(1), Deed::Succeed];
            asks.extend(deeds.map(|deed| Ask::Step { run, deed }));
            asks.push(Ask::Cut { run, cut: CutBy::Deadline });
        }
        asks
    }

    /// What a node may decide next: clients ask anything; agents and deadlines move only runs that
    /// this node carries out, which are those that have begun.
    fn may(&self, view: &UserState, ask: Ask) -> bool {
        let drives = |number: u8| {
            view.open_runs().get(&run(number)).is_some_and(|open| matches!(open.progress, Progress::Begun(_)))
        };
        match ask {
            Ask::Step { run, .. } => drives(run),
            Ask::Cut { run, .. } => drives(run) && self.flaw != Flaw::NoDeadline,
            _ => true,
        }
    }

    fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        let told = law::runs(log);
        let is_open = |entry: &&Entry| told.iter().any(|t| t.run_id == entry.run_id && t.ended().is_none());
        let unfinished: Vec<&Entry> = log.iter().filter(is_open).collect();
        let recent = told.iter().map(|told| (told.message_id.clone(), told.receipt())).collect();
        self.machine.recover(Offset(log.len() as u64), recent, &unfinished, &self.limits).ok()
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

    fn know(&self, state: &mut FenceState, n: usize, mut armed: Vec<u8>) -> Result<(), &'static str> {
        let mut view = self.recovered(&state.log).ok_or("FOLD")?;
        let mut batch = Vec::new();
        let begun: Vec<_> = view
            .open_runs()
            .iter()
            .filter(|(_, open)| matches!(open.progress, Progress::Begun(_)))
            .map(|(run_id, open)| (*run_id, open.clone()))
            .collect();
        for (run_id, open) in begun {
            if self.flaw == Flaw::TakesNothingUp {
                continue;
            }
            if let (Flaw::InvokesAgain, Progress::Begun(run)) = (self.flaw, &open.progress)
                && !run.open_calls().is_empty()
            {
                armed.push(run_number(run_id));
                continue;
            }
            let (entries, _) = self
                .decide(&mut view, Command::Resume { run_id, keep: vec![], resumes: Resumes::default() })?;
            batch.extend(entries);
        }
        // RUN-9: no call of an agent that was open before is open behind this.
        let orphaned = view.open_runs().values().any(|open| match &open.progress {
            Progress::Begun(run) => run.open_calls().values().any(|call| call.by == By::Agent),
            Progress::Waiting => false,
        });
        if orphaned {
            return Err("RUN-9");
        }
        state.nodes[n] = Node::Knows { view, batch, promise: None, armed };
        Ok(())
    }

    fn write(&self, state: &mut FenceState, n: usize, heard: bool) -> Option<()> {
        let Node::Knows { view, batch, promise, armed } = state.nodes[n].clone() else { return None };
        let fits = view.head().0 - batch.len() as u64 == state.log.len() as u64;
        if batch.is_empty() || !fits && self.flaw != Flaw::AppendsAnyway {
            return None;
        }
        Arc::make_mut(&mut state.log).extend(batch.iter().cloned());
        if !heard {
            state.nodes[n] = Node::Lost { armed };
            return Some(());
        }
        let mut armed = armed;
        if self.flaw != Flaw::InvokesEarly {
            armed.extend(opened(&batch));
        }
        tell(state, promise);
        state.nodes[n] = Node::Knows { view, batch: vec![], promise: None, armed };
        Some(())
    }

    fn lose(&self, state: &mut FenceState, n: usize) -> Option<()> {
        let Node::Knows { view, batch, promise, armed } = state.nodes[n].clone() else { return None };
        if batch.is_empty() {
            return None;
        }
        if self.flaw == Flaw::PromisesAnyway {
            tell(state, promise);
        }
        state.nodes[n] = match self.flaw {
            Flaw::KeepsView => Node::Knows { view, batch: vec![], promise: None, armed },
            _ => Node::Lost { armed },
        };
        Some(())
    }

    fn ask(&self, state: &mut FenceState, n: usize, ask: Ask) -> Option<()> {
        let Node::Knows { view, batch, armed, .. } = state.nodes[n].clone() else { return None };
        if !batch.is_empty() || !self.may(&view, ask) {
            return None;
        }
        let fresh = if let Ask::Send { message, .. } = ask { run(message) } else { run(0) };
        let journal = if self.flaw == Flaw::ForgetsMessages { &[][..] } else { &state.log[..] };
        let command = ask.command(journal, &view, fresh);
        let (mut view, mut armed) = (view, armed);
        match self.decide(&mut view, command) {
            Err(rule) => state.broken = state.broken.or(Some(rule)),
            Ok((batch, reply)) => {
                let promise = match (ask, reply) {
                    (Ask::Send { message, .. }, Some(Reply::Accepted { .. })) => Some(message),
                    _ => None,
                };
                if batch.is_empty() || self.flaw == Flaw::PromisesEarly {
                    tell(state, promise);
                }
                if self.flaw == Flaw::InvokesEarly {
                    armed.extend(opened(&batch));
                }
                let promise = promise.filter(|_| !batch.is_empty());
                state.nodes[n] = Node::Knows { view, batch, promise, armed };
            }
        }
        Some(())
    }

    fn invoke(&self, state: &mut FenceState, n: usize, number: u8) -> Option<()> {
        let (Node::Knows { armed, .. } | Node::Lost { armed }) = &mut state.nodes[n] else { return None };
        let at = armed.iter().position(|armed| *armed == number)?;
        armed.remove(at);
        let durable = state.log.iter().any(|entry| {
            entry.run_id == run(number)
                && matches!(&entry.body, Body::Event { event: Event::ToolExecuting(_), .. })
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

/// The sender of a message is told that it is accepted, and as which run: the one that the log has for
/// it, or else the one that was decided. Whether anything justifies that is for the properties to say.
fn tell(state: &mut FenceState, promise: Option<u8>) {
    let Some(number) = promise else { return };
    let runs = law::runs(&state.log);
    let durable = runs.iter().find(|told| *told.message_id == message(number));
    let promised = (number, durable.map_or(number, |told| run_number(told.run_id)));
    if !state.told.contains(&promised) {
        state.told.push(promised);
        state.told.sort();
    }
}

/// The runs whose call an agent opens in this batch.
fn opened(batch: &[Entry]) -> Vec<u8> {
    let opens = |entry: &&Entry| {
        matches!(&entry.body, Body::Event { event: Event::ToolExecuting(call), .. }
            if call.by == By::Agent && call_number(&call.call_id) == 1)
    };
    batch.iter().filter(opens).map(|entry| run_number(entry.run_id)).collect()
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
            A::Decide(n, ask) => self.ask(&mut next, n.into(), ask)?,
            A::Write(n) => self.write(&mut next, n.into(), true)?,
            A::WriteUnheard(n) => self.write(&mut next, n.into(), false)?,
            A::WriteFails(n) => self.lose(&mut next, n.into())?,
            A::Refused(n) => {
                let Node::Knows { view, batch, .. } = &state.nodes[usize::from(n)] else { return None };
                if view.head().0 - batch.len() as u64 == state.log.len() as u64 {
                    return None;
                }
                self.lose(&mut next, n.into())?;
            }
            A::Invoke(n, run) => self.invoke(&mut next, n.into(), run)?,
            A::Crash(n) => next.nodes[usize::from(n)] = Node::Down,
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}
