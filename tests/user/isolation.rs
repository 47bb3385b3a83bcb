//! ISO-1, ISO-2, ISO-3: users who choose the same ids for everything, and name each other's runs, in any
//! interleaving. Each gets the replies, and the log, of a world of its own, in which foreign runs do not
//! exist.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use quintet::{
    agent::host::Assignment,
    journal::memory::MemoryJournal,
    kernel::{
        entry::{Body, CallOwner, CallResult, RunEntry, ThoughtKind},
        ids::{Offset, RunId, ThreadId},
        json::Json,
        user::OnBusy,
    },
    user::{handle::User, scan::ScanLimit},
    wire,
};
use uuid::Uuid;

use crate::{
    cases::cases,
    manual_agents::{ALL, Node, call, close, log, message, open, succeed, thought},
};

const USERS: [&str; 3] = ["ann", "ben", "cyd"];

/// An action of one user; all users choose the same ids for messages, threads and calls.
#[derive(Clone, Debug)]
enum AgentAction {
    Send {
        message: u8,
        thread: u8,
        on_busy: OnBusy,
    },
    Cancel(Which),
    Answer(Which, u8),
    Fetch(Which),
    Thread(u8),
    /// The agent of the user's first active run makes a step.
    Step(Step),
}

/// A run that a client may name.
#[derive(Clone, Copy, Debug)]
enum Which {
    Own(u8),
    /// Of the next user.
    Foreign(u8),
    Nobodys,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Think,
    Open(u8, CallOwner),
    Close(u8),
    Succeed,
}

fn action() -> impl Strategy<Value = AgentAction> {
    let which = || {
        prop_oneof![
            4 => (0..4u8).prop_map(Which::Own),
            4 => (0..4u8).prop_map(Which::Foreign),
            1 => Just(Which::Nobodys),
        ]
    };
    let on_busy = prop_oneof![Just(OnBusy::Enqueue), Just(OnBusy::Reject), Just(OnBusy::Interrupt)];
    let by = prop_oneof![Just(CallOwner::Agent), Just(CallOwner::Client)];
    let step = prop_oneof![
        3 => Just(Step::Think),
        2 => (0..2u8, by).prop_map(|(id, by)| Step::Open(id, by)),
        1 => (0..2u8).prop_map(Step::Close),
        1 => Just(Step::Succeed),
    ];
    prop_oneof![
        4 => (0..4u8, 0..2u8, on_busy)
            .prop_map(|(message, thread, on_busy)| AgentAction::Send { message, thread, on_busy }),
        2 => which().prop_map(AgentAction::Cancel),
        3 => (which(), 0..2u8).prop_map(|(run, id)| AgentAction::Answer(run, id)),
        2 => which().prop_map(AgentAction::Fetch),
        1 => (0..3u8).prop_map(AgentAction::Thread),
        5 => step.prop_map(AgentAction::Step),
    ]
}

/// A process with some of the users, and the replies to each.
struct World {
    node: Node,
    users: Vec<(usize, User)>,
    runs: [Vec<RunId>; 3],
    at_work: [Vec<Assignment>; 3],
    told: [Vec<String>; 3],
}

impl World {
    fn of(users: &[usize]) -> Self {
        let journal = Arc::new(MemoryJournal::default());
        let node = Node::new(&journal);
        let users = users.iter().map(|at| (*at, node.user(USERS[*at]))).collect();
        Self { node, users, runs: Default::default(), at_work: Default::default(), told: Default::default() }
    }

    fn user(&self, at: usize) -> User {
        self.users.iter().find(|(user, _)| *user == at).expect("one of this world's").1.clone()
    }

    fn pick(&self, at: usize, which: Which) -> RunId {
        let runs = match which {
            Which::Own(run) => self.runs[at].get(usize::from(run)),
            Which::Foreign(run) => self.runs[(at + 1) % USERS.len()].get(usize::from(run)),
            Which::Nobodys => None,
        };
        runs.copied().unwrap_or_else(|| RunId(Uuid::now_v7()))
    }

    async fn play(&mut self, at: usize, action: &AgentAction) {
        let user = self.user(at);
        let told = match action {
            AgentAction::Send { message: number, thread, on_busy } => {
                let mut message = message(&format!("m{number}"), &format!("t{thread}"));
                message.on_busy = *on_busy;
                let answer = user.send(message).await;
                if let Ok(accepted) = &answer
                    && !accepted.duplicate
                {
                    self.runs[at].push(accepted.receipt.run_id);
                }
                format!("{answer:?}")
            }
            AgentAction::Cancel(which) => format!("{:?}", user.cancel(self.pick(at, *which)).await),
            AgentAction::Answer(which, id) => {
                let (run_id, call_id) = (self.pick(at, *which), call(&format!("c{id}")));
                format!("{:?}", user.answer(run_id, call_id, CallResult::ok(Json::null())).await)
            }
            AgentAction::Fetch(which) => {
                let run = user.run(self.pick(at, *which)).await.unwrap();
                format!("{:?}", run.map(|run| (run.run_id, run.message_id, run.accepted, run.completed)))
            }
            AgentAction::Thread(thread) => {
                let thread_id = ThreadId::parse(&format!("t{thread}")).unwrap();
                let limit = ScanLimit { page: ALL, chunk: ALL };
                let entries = match user.scan(Some(&thread_id), Offset::ZERO, limit).await.unwrap() {
                    Some(mut scan) => scan.next().await.unwrap(),
                    None => Vec::new(),
                };
                let offset = |line: &Bytes| wire::entry::decode(line).unwrap().1.offset();
                format!("{:?}", entries.iter().map(offset).collect::<Vec<_>>())
            }
            AgentAction::Step(step) => self.step(at, *step).await,
        };
        self.told[at].push(told);
        // All consequences happen before the next act, in every world alike.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        while let Ok(assignment) = self.node.stage.try_recv() {
            let owner = self.runs.iter().position(|runs| runs.contains(&assignment.run_id));
            self.at_work[owner.expect("ISO-4: every run has an owner")].push(assignment);
        }
    }

    async fn step(&mut self, at: usize, step: Step) -> String {
        let Some(assignment) = self.at_work[at].first() else { return "no agent is active".to_owned() };
        let name = |id: u8| format!("c{id}");
        let handle = assignment.handle.clone();
        let taken = match step {
            Step::Think => handle.take(thought(ThoughtKind::Answer, "x")).await,
            Step::Open(id, by) => handle.take(open(&name(id), "tool", by)).await,
            Step::Close(id) => handle.take(close(&name(id))).await,
            Step::Succeed => handle.take(succeed()).await,
        };
        if taken.is_err() || matches!(step, Step::Succeed) {
            self.at_work[at].remove(0);
        }
        format!("{taken:?}")
    }

    /// Everything that a user received and can read, with its runs numbered.
    async fn seen_by(&self, at: usize) -> Vec<String> {
        let user = self.user(at);
        let mut seen = self.told[at].clone();
        for RunEntry { offset, thread_id, run_id, body, .. } in log(&user).await {
            let body = match body {
                // The duration depends on the clock.
                Body::Event { seq, event } => format!("{seq:?} {:?}", crate::oracle::Letter::of(&event)),
                message => format!("{message:?}"),
            };
            seen.push(format!("{offset} {thread_id} {run_id} {body}"));
        }
        for text in &mut seen {
            for (number, run_id) in self.runs[at].iter().enumerate() {
                *text = text.replace(&run_id.to_string(), &format!("run {number}"));
            }
        }
        seen
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn iso_2_iso_3_each_user_gets_the_same_as_alone(
        actions in prop::collection::vec((0..USERS.len(), action()), 1..60)
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut together = World::of(&[0, 1, 2]);
            for (at, action) in &actions {
                together.play(*at, action).await;
            }
            for (at, name) in USERS.iter().enumerate() {
                let mut alone = World::of(&[at]);
                for (_, action) in actions.iter().filter(|(other, _)| *other == at) {
                    alone.play(at, action).await;
                }
                assert_eq!(together.seen_by(at).await, alone.seen_by(at).await, "{name}");
            }
        });
    }
}
