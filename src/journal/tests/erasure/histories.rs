//! Random histories: what was erased is in no file of the folder, and everything else is as it was.

use std::sync::Arc;

use proptest::prelude::*;
use quintet_journal::{Journal, Log, Retention};
use quintet_kernel::{
    ids::{Offset, Timestamp},
    user::EraseScope,
};

use crate::scribe::{EVERYTHING, Scribe, erase, files_with, open, texts, thread};

const USERS: [&str; 3] = ["ann", "bob", "cay"];
const THREADS: [&str; 3] = ["t0", "t1", "t2"];

#[derive(Clone, Debug)]
enum Action {
    Say { user: usize, thread: usize, bytes: usize, times: usize, together: bool },
    Title { user: usize, thread: usize },
    Trim { user_entries_max: u64 },
    Erase { user: usize, thread: Option<usize>, limit: usize },
    Reopen,
}

/// Texts of one page, of some pages, and of many; most are small, so that rows share pages and are moved.
fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 20..900usize, 3 => 900..12_000usize, 1 => 12_000..200_000usize]
}

fn action() -> impl Strategy<Value = Action> {
    let (user, thread) = (0..USERS.len(), 0..THREADS.len());
    prop_oneof![
        12 => (user.clone(), thread.clone(), bytes(), 1..6usize, any::<bool>()).prop_map(
            |(user, thread, bytes, times, together)| Action::Say { user, thread, bytes, times, together }),
        1 => (user.clone(), thread.clone()).prop_map(|(user, thread)| Action::Title { user, thread }),
        1 => (0..60u64).prop_map(|user_entries_max| Action::Trim { user_entries_max }),
        3 => (user, prop::option::weighted(0.8, thread), 1..40usize)
            .prop_map(|(user, thread, limit)| Action::Erase { user, thread, limit }),
        1 => Just(Action::Reopen),
    ]
}

/// Returns the mark in the texts of a thread, until the thread is erased.
fn mark(user: usize, thread: usize, generation: usize) -> String {
    format!("<{}/{}/{generation}>", USERS[user], THREADS[thread])
}

struct World {
    folder: tempfile::TempDir,
    journal: Arc<dyn Journal>,
    scribes: [Scribe; 3],
    generations: [[usize; 3]; 3],
    receipts: u128,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let journal = Arc::new(open(folder.path()));
        let (scribes, generations) = (USERS.map(Scribe::new), Default::default());
        Self { folder, journal, scribes, generations, receipts: 0 }
    }

    fn log(&self, user: usize) -> Arc<dyn Log> {
        self.journal.log(&self.scribes[user].user_id)
    }

    async fn apply(&mut self, action: &Action) {
        match *action {
            Action::Say { user, thread, bytes, times, together } => {
                let (log, mark) = (self.log(user), mark(user, thread, self.generations[user][thread]));
                let text = mark.repeat(bytes / mark.len() + 1);
                for _ in 0..times {
                    let scribe = &mut self.scribes[user];
                    scribe.say(THREADS[thread], &format!("{mark}{}", scribe.runs), &text);
                    if !together {
                        scribe.append(&log).await;
                    }
                }
                self.scribes[user].append(&log).await;
            }
            Action::Title { user, thread } => {
                let (log, mark) = (self.log(user), mark(user, thread, self.generations[user][thread]));
                self.scribes[user].title(THREADS[thread], &mark).append(&log).await;
            }
            Action::Trim { user_entries_max } => {
                let by_count = Retention { user_entries_max: Some(user_entries_max), ..Retention::default() };
                self.journal.trim(by_count, Timestamp(0)).await.unwrap();
            }
            Action::Erase { user, thread: number, limit } => self.erase(user, number, limit).await,
            Action::Reopen => {
                self.journal = Arc::new(quintet_journal::memory::MemoryJournal::default());
                self.journal = Arc::new(open(self.folder.path()));
            }
        }
    }

    async fn erase(&mut self, user: usize, number: Option<usize>, limit: usize) {
        let log = self.log(user);
        let scope = number.map_or(EraseScope::Log, |number| EraseScope::Thread(thread(THREADS[number])));
        self.receipts += 1;
        let erasure = self.scribes[user].intend(&log, scope, self.receipts).await;
        let gone = number.map_or(vec![0, 1, 2], |number| vec![number]);
        let marks: Vec<_> =
            gone.iter().map(|thread| mark(user, *thread, self.generations[user][*thread])).collect();
        gone.iter().for_each(|thread| self.generations[user][*thread] += 1);
        // A message of the same user that is accepted meanwhile is not erased.
        let later = Action::Say { user, thread: gone[0], bytes: 300, times: 1, together: true };
        Box::pin(self.apply(&later)).await;
        let record = erase(&log, erasure.receipt, limit).await;
        for mark in marks {
            assert_eq!(files_with(self.folder.path(), &mark), [""; 0], "{mark} is left behind");
        }
        assert!(record.completed_at.is_some() && record.through == erasure.through, "{record:?}");
        self.scribes[user].erased(&erasure);
        self.scribes[user].closing(&erasure).append(&log).await;
        self.check(user, true).await;
    }

    async fn check(&self, user: usize, none_open: bool) {
        let log = self.log(user);
        let trimmed = log.extent().await.unwrap().trimmed.0 as usize;
        let lines = texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap());
        assert_eq!(lines, self.scribes[user].lines[trimmed..]);
        assert_eq!(log.recovery(10).await.unwrap().erasures.is_empty(), none_open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn del_8_erased_text_is_in_no_file(actions in prop::collection::vec(action(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for action in &actions {
                world.apply(action).await;
            }
            for user in 0..USERS.len() {
                world.erase(user, None, 7).await;
                for other in 0..USERS.len() {
                    world.check(other, true).await;
                }
            }
        });
    }
}
