//! Several erasures of one user at a time, through the hub, over kills of the process: each ends once, and together they erase
//! what each of them covers (DEL-8).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use quintet::{
    journal::{Journal, memory::MemoryJournal},
    kernel::{
        entry::Entry,
        ids::{Offset, ReceiptId, ThreadId, Title},
        user::{EraseScope, Erasure, Refusal, ThreadUpdate},
    },
    user::handle::{RequestError, User},
};

use tokio::time::timeout;

use crate::{
    cases::cases,
    erasing::{Gated, ends, entries, erased, talk, thread, until_ended},
    manual_agents::Node,
};

/// Time limit for the end of all erasures.
const WAIT_MAX: Duration = Duration::from_secs(20);

const THREADS: [&str; 2] = ["t", "u"];

#[derive(Clone, Debug)]
enum Action {
    Talk(usize),
    Title(usize),
    /// A thread, or the whole log.
    Erase(Option<usize>),
    /// The steps of erasures wait from now on, or go on.
    Gate(bool),
    /// The process dies, and another one recovers.
    Kill,
}

fn action() -> impl Strategy<Value = Action> {
    let thread = 0..THREADS.len();
    prop_oneof![
        4 => thread.clone().prop_map(Action::Talk),
        2 => thread.clone().prop_map(Action::Title),
        4 => prop::option::weighted(0.7, thread).prop_map(Action::Erase),
        1 => any::<bool>().prop_map(Action::Gate),
        1 => Just(Action::Kill),
    ]
}

struct World {
    journal: MemoryJournal,
    gated: Arc<Gated>,
    node: Node,
    closed: bool,
    messages: usize,
    /// The thread of each entry that an erasure may cover.
    written: BTreeMap<Offset, ThreadId>,
    erasures: Vec<Erasure>,
}

impl World {
    fn new() -> Self {
        let journal = MemoryJournal::default();
        let gated = Gated::over(&journal);
        gated.close();
        let node = Node::new(&gated);
        Self { journal, gated, node, closed: true, messages: 0, written: BTreeMap::new(), erasures: vec![] }
    }

    fn ann(&self) -> User {
        self.node.user("ann")
    }

    /// Notes what is written. No later erasure has come to it, because its steps wait.
    async fn note(&mut self) {
        for entry in entries(&self.ann()).await {
            let thread_id = match &entry {
                Entry::Run(run) => run.thread_id.clone(),
                Entry::Thread(change) if !is_end(&entry) => change.thread_id.clone(),
                Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => continue,
            };
            self.written.insert(entry.offset(), thread_id);
        }
    }

    async fn apply(&mut self, action: &Action) {
        let ann = self.ann();
        match action {
            Action::Talk(number) => {
                self.messages += 1;
                let message_id = format!("m{}", self.messages);
                talk(&mut self.node, &ann, &message_id, THREADS[*number]).await;
            }
            Action::Title(number) => {
                let update = ThreadUpdate { title: Some(Title::parse("a title").ok()), archived: None };
                match ann.update_thread(thread(THREADS[*number]), update).await {
                    Ok(_) | Err(RequestError::Refused(Refusal::NotFound)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Action::Erase(number) => {
                self.gated.close();
                let scope =
                    number.map_or(EraseScope::Log, |number| EraseScope::Thread(thread(THREADS[number])));
                match ann.erase(scope).await {
                    Ok(erasure) => self.erasures.push(erasure),
                    Err(RequestError::Refused(Refusal::LimitReached("erasures_open_max"))) => {}
                    Err(other) => panic!("{other:?}"),
                }
                self.note().await;
                if !self.closed {
                    self.gated.open();
                }
            }
            Action::Gate(closed) => {
                self.closed = *closed;
                if *closed { self.gated.close() } else { self.gated.open() }
            }
            Action::Kill => {
                drop(ann);
                let gated = Gated::over(&self.journal);
                if self.closed {
                    gated.close();
                }
                self.node = Node::new(&gated);
                self.gated = gated;
                self.node.factory.recover().await.unwrap();
            }
        }
    }

    async fn finish(mut self) {
        self.note().await;
        self.apply(&Action::Gate(false)).await;
        let ann = self.ann();
        let all = until_ended(&ann, self.erasures.len());
        let log = timeout(WAIT_MAX, all).await.expect("DEL-8: each erasure ends");
        let mut ended: Vec<(ReceiptId, Offset)> = ends(&log);
        let mut begun: Vec<_> =
            self.erasures.iter().map(|erasure| (erasure.receipt, erasure.through)).collect();
        ended.sort();
        begun.sort();
        assert_eq!(ended, begun, "DEL-8: each erasure ends once");
        let covered = self.written.iter().filter(|(offset, thread_id)| {
            let covers = |erasure: &Erasure| erasure.scope.has(thread_id) && **offset <= erasure.through;
            self.erasures.iter().any(covers)
        });
        let covered: Vec<u64> = covered.map(|(offset, _)| offset.0).collect();
        assert_eq!(erased(&log), covered, "DEL-8: what is covered, and nothing else");
        assert_eq!(self.journal.unfinished().await.unwrap(), []);
    }
}

fn is_end(entry: &Entry) -> bool {
    !ends(std::slice::from_ref(entry)).is_empty()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn del_8_erasures_of_one_user_at_a_time_each_end_once(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for action in &actions {
                world.apply(action).await;
            }
            world.finish().await;
        });
    }
}
