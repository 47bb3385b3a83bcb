//! The whole user shell (factory, registry, hub, tail, cursor) under any behaviour of clients, agents, a
//! failing journal and dying processes, against a reference of ten lines.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{prelude::*, sample::Index};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use quintet::{
    agent::host::Assignment,
    journal::{
        Journal,
        memory::{AppendFault, MemoryJournal},
    },
    kernel::{
        entry::{Body, CallOwner, CallResult, Entry, RunEntry, ThoughtKind},
        ids::{Offset, RunId},
        json::Json,
        user::{OnBusy, Refusal},
    },
    user::{
        cursor::Cursor,
        handle::{RequestError, User},
        limits::UserLimits,
        tail::TailLimits,
    },
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    cases::cases,
    manual_agents::{Node, call, close, decode, log, message, open, succeed, thought},
    oracle,
};

#[derive(Clone, Debug)]
enum Transition {
    Send {
        user: usize,
        message: u8,
        thread: u8,
        interrupt: bool,
    },
    /// An active agent makes a step, legal or not.
    Step(Index, AgentAction),
    Cancel(usize, Index),
    Answer(usize, Index, u8),
    Fault(AppendFault),
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum AgentAction {
    Think,
    Open(u8, CallOwner),
    Close(u8),
    Succeed,
    /// Leaves without completing its run.
    GiveUp,
}

const USERS: [&str; 2] = ["ann", "ben"];

/// The reference: each user's messages, in the order of their first sending. Each of them has to be in that
/// user's log once, in this order, with one run that ends once (RUN-6, DEL-5, DEL-6); and readers get the log
/// (DEL-2).
#[derive(Clone, Debug, Default)]
struct Accepted([Vec<u8>; 2]);

impl ReferenceStateMachine for Accepted {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        if let Transition::Send { user, message, .. } = transition
            && !state.0[*user].contains(message)
        {
            state.0[*user].push(*message);
        }
        state
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let (user, by) = (|| 0..USERS.len(), prop_oneof![Just(CallOwner::Agent), Just(CallOwner::Client)]);
        let action = prop_oneof![
            3 => Just(AgentAction::Think),
            2 => (0..3u8, by).prop_map(|(id, by)| AgentAction::Open(id, by)),
            2 => (0..3u8).prop_map(AgentAction::Close),
            2 => Just(AgentAction::Succeed),
            1 => Just(AgentAction::GiveUp),
        ];
        prop_oneof![
            6 => (user(), 0..12u8, 0..2u8, prop::bool::weighted(0.2)).prop_map(
                |(user, message, thread, interrupt)| Transition::Send { user, message, thread, interrupt }
            ),
            9 => (any::<Index>(), action).prop_map(|(agent, action)| Transition::Step(agent, action)),
            1 => (user(), any::<Index>()).prop_map(|(user, run)| Transition::Cancel(user, run)),
            2 => (user(), any::<Index>(), 0..3u8).prop_map(|(user, run, id)| Transition::Answer(user, run, id)),
            1 => prop_oneof![Just(AppendFault::Lost), Just(AppendFault::Applied)].prop_map(Transition::Fault),
            1 => Just(Transition::Crash),
        ]
        .boxed()
    }
}

/// A process that can die, over a journal that stays.
struct Shell {
    journal: Arc<MemoryJournal>,
    process: Option<Process>,
    /// The entries that a reader of each user has read so far, across all its connections.
    read: [Vec<RunEntry>; 2],
    /// The thread that each accepted message named, by user and number.
    threads: BTreeMap<(usize, u8), u8>,
}

struct Process {
    // Before its runtime: dropped while its tasks still run, except after a crash.
    node: Node,
    at_work: Vec<Assignment>,
    readers: Vec<Cursor>,
    runtime: Runtime,
}

impl Process {
    fn start(journal: &Arc<MemoryJournal>, read: &[Vec<RunEntry>; 2]) -> Self {
        // A paused clock: time advances when there is nothing else to do.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let tail = TailLimits { tail_entries_max: 5, ..TailLimits::DEFAULT };
        let (node, readers) = runtime.block_on(async {
            let node = Node::with(journal, UserLimits { tail, ..UserLimits::DEFAULT }, true);
            while node.factory.recover().await.is_err() {}
            let mut readers = Vec::new();
            for (name, read) in USERS.iter().zip(read) {
                readers.push(node.user(name).cursor(Offset(read.len() as u64)).await.unwrap());
            }
            (node, readers)
        });
        Self { node, at_work: Vec::new(), readers, runtime }
    }

    /// As `kill -9`: no destructor reaches the hub.
    fn crash(self) {
        self.runtime.shutdown_background();
    }
}

impl Shell {
    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a process runs between two crashes")
    }

    /// Lets all tasks finish their work, and reads the results.
    fn settle(&mut self) {
        let process = self.process.as_mut().expect("a process runs between two crashes");
        process.runtime.block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
        while let Ok(assignment) = process.node.stage.try_recv() {
            process.at_work.push(assignment);
        }
        for ((reader, read), name) in process.readers.iter_mut().zip(&mut self.read).zip(USERS) {
            let user = process.node.user(name);
            process.runtime.block_on(async {
                while reader.head() > reader.after() {
                    let lines = reader.read(Offset(u64::MAX), SOME).await.unwrap();
                    read.extend(decode(&user, &lines));
                }
            });
        }
    }

    fn runs(&self, user: usize) -> Vec<RunId> {
        oracle::runs(&entries(&self.read[user])).iter().map(|run| run.run_id).collect()
    }

    fn send(&mut self, user: usize, number: u8, thread: u8, interrupt: bool) {
        let first_thread = *self.threads.entry((user, number)).or_insert(thread);
        let known = self.read[user].iter().find_map(|entry| match &entry.body {
            Body::UserMessage { message_id, .. } if message_id.as_str() == format!("m{number}") => {
                Some(entry.run_id)
            }
            _ => None,
        });
        let process = self.process();
        let user = process.node.user(USERS[user]);
        let mut message = message(&format!("m{number}"), &format!("t{thread}"));
        message.on_busy = if interrupt { OnBusy::Interrupt } else { OnBusy::Enqueue };
        let accepted = process.runtime.block_on(async {
            loop {
                match user.send(message.clone()).await {
                    Err(RequestError::Unavailable) => {}
                    answered => return answered,
                }
            }
        });
        if first_thread != thread {
            assert_eq!(accepted, Err(RequestError::Refused(Refusal::MessageIdReused)), "DEL-6");
            return;
        }
        let accepted = accepted.unwrap();
        if let Some(run_id) = known {
            assert_eq!((accepted.receipt.run_id, accepted.duplicate), (run_id, true), "DEL-6");
        }
    }

    fn step(&mut self, agent: &Index, action: AgentAction) {
        let process = self.process();
        if process.at_work.is_empty() {
            return;
        }
        let at = agent.index(process.at_work.len());
        let handle = process.at_work[at].handle.clone();
        let name = |id: u8| format!("c{id}");
        let taken = process.runtime.block_on(async {
            match action {
                AgentAction::Think => handle.take(thought(ThoughtKind::Answer, "x")).await.is_ok(),
                AgentAction::Open(id, by) => handle.take(open(&name(id), "tool", by)).await.is_ok(),
                AgentAction::Close(id) => handle.take(close(&name(id))).await.is_ok(),
                AgentAction::Succeed => handle.take(succeed()).await.is_err(),
                AgentAction::GiveUp => false,
            }
        });
        drop(handle);
        if !taken {
            // The run has ended, or another agent has it by now.
            process.at_work.swap_remove(at);
        }
    }

    fn user(&self, user: usize) -> User {
        self.process.as_ref().expect("a process runs between two crashes").node.user(USERS[user])
    }
}

impl StateMachineTest for Shell {
    type SystemUnderTest = Self;
    type Reference = Accepted;

    fn init_test(_: &Accepted) -> Self {
        let (journal, read) = (Arc::new(MemoryJournal::default()), Default::default());
        let process = Some(Process::start(&journal, &read));
        Self { journal, process, read, threads: BTreeMap::new() }
    }

    fn apply(mut shell: Self, _: &Accepted, transition: Transition) -> Self {
        match transition {
            Transition::Send { user, message, thread, interrupt } => {
                shell.send(user, message, thread, interrupt)
            }
            Transition::Step(agent, action) => shell.step(&agent, action),
            Transition::Cancel(user, run) => {
                if let runs @ [_, ..] = &shell.runs(user)[..] {
                    let (user, run_id) = (shell.user(user), *run.get(runs));
                    // Cancelled, ended before, or unknown: the log shows it.
                    let _ = shell.process().runtime.block_on(user.cancel(run_id));
                }
            }
            Transition::Answer(user, run, id) => {
                if let runs @ [_, ..] = &shell.runs(user)[..] {
                    let (user, run_id) = (shell.user(user), *run.get(runs));
                    let answer = user.answer(run_id, call(&format!("c{id}")), CallResult::ok(Json::null()));
                    let _ = shell.process().runtime.block_on(answer);
                }
            }
            Transition::Fault(fault) => shell.journal.fail_next_append(fault),
            Transition::Crash => {
                shell.process.take().expect("a process runs between two crashes").crash();
                shell.process = Some(Process::start(&shell.journal, &shell.read));
            }
        }
        shell.settle();
        shell
    }

    fn check_invariants(shell: &Self, accepted: &Accepted) {
        for (user, name) in USERS.iter().enumerate() {
            let process = shell.process.as_ref().expect("a process runs between two crashes");
            let whole = process.runtime.block_on(log(&process.node.user(name)));
            assert_eq!(shell.read[user], whole, "DEL-2: a reader reads the log");
            oracle::check(&entries(&whole));
            let told = oracle::runs(&entries(&whole));
            let sent: Vec<String> = accepted.0[user].iter().map(|number| format!("m{number}")).collect();
            let in_log: Vec<&str> = told.iter().map(|run| run.message_id.as_str()).collect();
            assert_eq!(in_log, sent, "DEL-5, DEL-6: accepted messages, once, in order");
        }
    }

    /// No client answers any more and every agent gives up: every run ends, and nothing is left (RUN-6,
    /// ISO-5).
    fn teardown(mut shell: Self, accepted: Accepted) {
        for _ in 0..200 {
            shell.process().at_work.clear();
            shell.settle();
            let journal = shell.journal.clone();
            let process = shell.process();
            if process.at_work.is_empty()
                && process.runtime.block_on(journal.unfinished()).unwrap().is_empty()
            {
                break;
            }
        }
        Self::check_invariants(&shell, &accepted);
        for user in 0..USERS.len() {
            let told = oracle::runs(&entries(&shell.read[user]));
            assert!(told.iter().all(oracle::LoggedRun::ended), "RUN-6: {told:?}");
        }
        let process = shell.process();
        process.readers.clear();
        process.runtime.block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
        assert_eq!(process.node.factory.live_users(), 0, "ISO-5");
    }
}

const SOME: quintet::journal::ReadLimit = quintet::journal::ReadLimit { entries_max: 3, bytes_max: 1 << 20 };

prop_state_machine! {
    #![proptest_config(cases(60))]

    /// RUN-6, DEL-2, DEL-5, DEL-6, DEL-7 and ISO-5, under any sequence of transitions.
    #[test]
    fn accepted_messages_run_once_and_are_read_unchanged(sequential 1..40 => Shell);
}

/// Returns the entries of runs as those of a log.
fn entries(log: &[RunEntry]) -> Vec<Entry> {
    log.iter().cloned().map(Entry::Run).collect()
}
