//! The erasures of an account as its journal has them, and DEL-8 as a predicate.

use quintet_kernel::{
    entry::{Entry, LogErased, ThreadChange, ThreadEntry},
    ids::{Offset, ReceiptId, ThreadId},
    user::{Erasure, ThreadProperties, UserState},
};

use super::oracle::{self, LoggedRun};

/// Every erasure that was begun, in order.
#[derive(Default)]
pub struct Erasures(pub Vec<Erasure>);

impl Erasures {
    /// The erasures whose end is in the log.
    fn ended(&self, log: &[Entry]) -> impl Iterator<Item = &Erasure> {
        let ends: Vec<ReceiptId> = ends(log).into_iter().map(|(_, _, receipt)| receipt).collect();
        self.0.iter().filter(move |erasure| ends.contains(&erasure.receipt))
    }

    /// The erasures whose end is not in the log.
    pub fn open(&self, log: &[Entry]) -> Vec<Erasure> {
        let ended: Vec<ReceiptId> = self.ended(log).map(|erasure| erasure.receipt).collect();
        self.0.iter().filter(|erasure| !ended.contains(&erasure.receipt)).cloned().collect()
    }

    /// Returns true if the journal has nothing left of a run.
    pub fn is_gone(&self, log: &[Entry], run: &LoggedRun) -> bool {
        self.ended(log).any(|erasure| covers(erasure, &run.thread_id, run.receipt.offset))
    }

    /// Returns true if a run is erased, or will be.
    pub fn covers(&self, thread_id: &ThreadId, offset: Offset) -> bool {
        self.0.iter().any(|erasure| covers(erasure, thread_id, offset))
    }

    /// The properties of a thread in the journal; `None` if it has nothing of the thread.
    pub fn properties(&self, log: &[Entry], thread_id: &ThreadId) -> Option<ThreadProperties> {
        let is_kept = |offset| !self.ended(log).any(|erasure| covers(erasure, thread_id, offset));
        let updated = log.iter().rev().find_map(|entry| match entry {
            Entry::Thread(ThreadEntry { offset, thread_id: of, change, .. }) if of == thread_id => {
                match change {
                    ThreadChange::Updated { title, archived } => {
                        Some((*offset, ThreadProperties { title: title.clone(), archived: *archived }))
                    }
                    ThreadChange::Erased { .. } => None,
                }
            }
            Entry::Run(_) | Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => None,
        });
        if let Some((_, properties)) = updated.filter(|(offset, _)| is_kept(*offset)) {
            return Some(properties);
        }
        let runs = oracle::runs(log);
        let has_message = runs.iter().any(|run| run.thread_id == *thread_id && !self.is_gone(log, run));
        has_message.then(ThreadProperties::default)
    }

    /// Panics if an erasure does not keep to the contract.
    pub fn check(&self, log: &[Entry], state: &UserState) {
        let ends = ends(log);
        for (at, through, receipt) in &ends {
            let begun: Vec<_> = self.0.iter().filter(|erasure| erasure.receipt == *receipt).collect();
            assert!(
                matches!(begun[..], [erasure] if erasure.through == *through),
                "DEL-8: ends what has begun"
            );
            assert!(through < at, "DEL-8: an entry after the erased ones");
        }
        for (i, (.., receipt)) in ends.iter().enumerate() {
            assert!(ends[..i].iter().all(|(.., other)| other != receipt), "DEL-8: an erasure ends once");
        }
        let open = self.open(log);
        assert_eq!(state.erasures(), open, "DEL-8: under way in memory is under way in the journal");
        let runs = oracle::runs(log);
        for erasure in &self.0 {
            for run in runs.iter().filter(|run| covers(erasure, &run.thread_id, run.receipt.offset)) {
                assert!(run.ended(), "DEL-8: {run:?} is open, and its entries are being erased");
                let last = run.at.last().copied().unwrap_or_default();
                assert!(last <= erasure.through.0, "DEL-8: {run:?} outlives {erasure:?}");
            }
        }
        for recent in state.recent_messages() {
            let is_covered = self.covers(&recent.thread_id, recent.receipt.offset);
            assert!(!is_covered, "DEL-8: {recent:?} is kept in memory");
        }
        for (accepted, thread_id, parent) in oracle::parents(log) {
            let before = self.0.iter().filter(|erasure| erasure.through < accepted);
            for erasure in before {
                let is_erased = parent > Offset::ZERO && covers(erasure, &thread_id, parent);
                assert!(!is_erased, "DEL-8: {accepted} follows {parent}, which {erasure:?} erases");
            }
        }
    }
}

/// Folds a log with its erasures, from the beginning.
pub fn fold(log: &[Entry], erasures: &Erasures, limits: &quintet_kernel::limits::Limits) -> UserState {
    let mut state = UserState::default();
    let begins = |state: &mut UserState| {
        let now = erasures.0.iter().filter(|erasure| erasure.through == state.head());
        now.cloned().collect::<Vec<_>>().into_iter().for_each(|erasure| state.begin_erasure(erasure));
    };
    begins(&mut state);
    for entry in log {
        state.evolve(entry, limits).expect("the log fits");
        begins(&mut state);
    }
    state
}

/// Returns true if two states behave alike. Each remembers the latest messages that are not erased, and one may
/// remember fewer.
pub fn same(a: &UserState, b: &UserState) -> bool {
    let recent = |state: &UserState| state.recent_messages().cloned().collect::<Vec<_>>();
    let (ours, theirs) = (recent(a), recent(b));
    (a.head(), a.open_runs(), a.erasures()) == (b.head(), b.open_runs(), b.erasures())
        && (ours.ends_with(&theirs) || theirs.ends_with(&ours))
}

fn covers(erasure: &Erasure, thread_id: &ThreadId, offset: Offset) -> bool {
    erasure.scope.has(thread_id) && offset <= erasure.through
}

/// The ends of erasures in a log: the offset of the entry, the last erased offset, and the receipt.
fn ends(log: &[Entry]) -> Vec<(Offset, Offset, ReceiptId)> {
    let ends = log.iter().filter_map(|entry| match entry {
        Entry::Thread(ThreadEntry { offset, change: ThreadChange::Erased { through, receipt }, .. })
        | Entry::LogErased(LogErased { offset, through, receipt, .. }) => Some((*offset, *through, *receipt)),
        Entry::Thread(ThreadEntry { change: ThreadChange::Updated { .. }, .. })
        | Entry::Run(_)
        | Entry::Erased(_) => None,
    });
    ends.collect()
}
