//! Several erasures at a time, of one thread, of several, and of the whole log: their steps in any order, with appends,
//! trims and restarts between them, on both engines.

use std::sync::Arc;

use proptest::prelude::*;
use quintet_journal::{EraseProgress, Journal, Log, Retention, Side};
use quintet_kernel::{
    ids::{Offset, Timestamp},
    user::{EraseScope, Erasure},
};
use serde_json::Value;

use crate::scribe::{EVERYTHING, Scribe, engines, files_with, open, texts, thread};

const THREADS: [&str; 3] = ["t0", "t1", "t2"];

#[derive(Clone, Debug)]
enum Action {
    Say {
        thread: usize,
        together: bool,
    },
    Title {
        thread: usize,
    },
    Intend {
        thread: Option<usize>,
    },
    /// Makes one step of an erasure that is open.
    Step {
        which: usize,
        limit: usize,
    },
    Trim {
        user_entries_max: u64,
    },
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    let thread = 0..THREADS.len();
    prop_oneof![
        5 => (thread.clone(), any::<bool>()).prop_map(|(thread, together)| Action::Say { thread, together }),
        3 => thread.clone().prop_map(|thread| Action::Title { thread }),
        3 => prop::option::weighted(0.7, thread).prop_map(|thread| Action::Intend { thread }),
        6 => (0..8usize, 1..6usize).prop_map(|(which, limit)| Action::Step { which, limit }),
        1 => (0..40u64).prop_map(|user_entries_max| Action::Trim { user_entries_max }),
        1 => Just(Action::Reopen),
    ]
}

/// An erasure that is under way, with the marks in the texts that it covers.
struct Open {
    erasure: Erasure,
    marks: Vec<String>,
}

struct World {
    journal: Arc<dyn Journal>,
    folder: Option<tempfile::TempDir>,
    scribe: Scribe,
    open: Vec<Open>,
    /// For each thread, the number of the intents that cover it.
    generations: [usize; 3],
    receipts: u128,
    /// What the records of the ended erasures count.
    counted: u64,
    trimmed: bool,
}

impl World {
    fn log(&self) -> Arc<dyn Log> {
        self.journal.log(&self.scribe.user_id)
    }

    fn mark(&self, thread: usize, generation: usize) -> String {
        format!("<{}/{generation}>", THREADS[thread])
    }

    async fn apply(&mut self, action: &Action) {
        let log = self.log();
        match *action {
            Action::Say { thread, together } => {
                let mark = self.mark(thread, self.generations[thread]);
                let scribe = &mut self.scribe;
                scribe.say(THREADS[thread], &format!("{mark}{}", scribe.runs), &mark.repeat(20));
                if !together {
                    scribe.append(&log).await;
                }
            }
            Action::Title { thread } => {
                let mark = self.mark(thread, self.generations[thread]);
                self.scribe.title(THREADS[thread], &mark).append(&log).await;
            }
            // The kernel allows so many at a time by default.
            Action::Intend { .. } if self.open.len() == 8 => {}
            Action::Intend { thread: number } => {
                let scope =
                    number.map_or(EraseScope::Log, |number| EraseScope::Thread(thread(THREADS[number])));
                self.receipts += 1;
                let erasure = self.scribe.intend(&log, scope, self.receipts).await;
                let gone = number.map_or(vec![0, 1, 2], |number| vec![number]);
                let mut marks = vec![];
                for thread in gone {
                    marks.extend((0..=self.generations[thread]).map(|number| self.mark(thread, number)));
                    self.generations[thread] += 1;
                }
                self.open.push(Open { erasure, marks });
            }
            Action::Step { .. } if self.open.is_empty() => {}
            Action::Step { which, limit } => self.step(which % self.open.len(), limit).await,
            Action::Trim { user_entries_max } => {
                let by_count = Retention { user_entries_max: Some(user_entries_max), ..Retention::default() };
                self.trimmed |= self.journal.trim(by_count, Timestamp(0)).await.unwrap().entries > 0;
            }
            Action::Reopen => {
                self.scribe.append(&log).await;
                if let Some(folder) = &self.folder {
                    drop(log);
                    self.journal = Arc::new(quintet_journal::memory::MemoryJournal::default());
                    self.journal = Arc::new(open(folder.path()));
                }
            }
        }
    }

    async fn step(&mut self, which: usize, limit: usize) {
        let log = self.log();
        self.scribe.append(&log).await;
        let receipt = self.open[which].erasure.receipt;
        if let EraseProgress::Done(record) = log.erase_step(receipt, limit).await.unwrap() {
            let Open { erasure, marks } = self.open.remove(which);
            assert!(record.completed_at.is_some() && record.through == erasure.through, "{record:?}");
            self.counted += record.entries;
            for mark in marks {
                let folder = self.folder.as_ref();
                let found = folder.map_or(vec![], |folder| files_with(folder.path(), &mark));
                assert_eq!(found, [""; 0], "DEL-8: {mark} is left behind by {erasure:?}");
            }
            self.scribe.erased(&erasure);
            self.scribe.closing(&erasure).append(&log).await;
        }
        self.check().await;
    }

    /// Every line is as it was written, unless an erasure covers it; one that is under way may have come to it or not.
    async fn check(&self) {
        let log = self.log();
        let trimmed = log.extent().await.unwrap().trimmed;
        let lines = texts(&log.read(Offset::ZERO, EVERYTHING).await.unwrap());
        assert_eq!(lines.len() as u64 + trimmed.0, self.scribe.head, "DEL-2");
        let mut blank = Scribe::new("ann");
        blank.lines = self.scribe.lines.clone();
        self.open.iter().for_each(|open| blank.erased(&open.erasure));
        let kept = trimmed.0 as usize;
        for (number, line) in lines.iter().enumerate() {
            let (as_written, erased) = (&self.scribe.lines[kept + number], &blank.lines[kept + number]);
            assert!(
                line == as_written || line == erased,
                "DEL-8: {line} is neither {as_written} nor {erased}"
            );
        }
        let mut under_way: Vec<_> = self.open.iter().map(|open| open.erasure.receipt).collect();
        under_way.sort();
        let stored = log.recovery(9).await.unwrap().erasures;
        let mut stored: Vec<_> = stored.iter().map(|erasure| erasure.receipt).collect();
        stored.sort();
        assert_eq!(stored, under_way);
        // The index of the changes of a thread has those whose lines are there.
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        for name in THREADS {
            let of_thread = |line: &&Value| {
                line["thread_id"] == name && line["type"].as_str().unwrap().starts_with("thread_")
            };
            let expected =
                lines.iter().filter(of_thread).map(|line| Offset(line["offset"].as_u64().unwrap()));
            let found =
                log.thread_changes(&thread(name), Side::After(Offset::ZERO), usize::MAX).await.unwrap();
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
        }
    }

    async fn finish(&mut self) {
        self.apply(&Action::Reopen).await;
        while !self.open.is_empty() {
            self.step(self.open.len() - 1, 5).await;
        }
        let blank =
            self.scribe.lines.iter().filter(|line| line.contains(r#""type":"erased""#)).count() as u64;
        assert!(self.counted == blank || self.trimmed, "{} counted, {blank} erased", self.counted);
        self.check().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// DEL-8: each erasure takes what it covers and nothing else, and every line is counted by one of them.
    #[test]
    fn del_8_erasures_that_are_open_together_each_end_as_if_alone(
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (_, journal, folder) in engines().await {
                let mut world = World {
                    journal,
                    folder,
                    scribe: Scribe::new("ann"),
                    open: vec![],
                    generations: [0; 3],
                    receipts: 0,
                    counted: 0,
                    trimmed: false,
                };
                for action in &actions {
                    world.apply(action).await;
                }
                world.finish().await;
            }
        });
    }
}
