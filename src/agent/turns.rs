//! Whose agent is polled next: a round robin over users.
//!
//! A *turn* is the permission to poll one agent once. Guarantees (ISO-6): at most `turns_max` turns are taken
//! at a time, at most `user_turns_max` of them by one user; a job waits only while one of these bounds is
//! reached; between two turns of one user, every other user that waits and may take a turn takes one; the
//! jobs of one user take their turns in the order in which they asked.
//!
//! Pure: no clock, no lock, no waker. [`super::gate`] is its asynchronous side.

use std::collections::{BTreeMap, VecDeque};

/// A request for one turn, named by whoever makes it.
pub type Job = u64;

/// The turns that are taken and the jobs that wait for one, by user.
#[derive(Debug)]
pub struct Turns<U> {
    turns_max: usize,
    user_turns_max: usize,
    taken: usize,
    /// Users that take or wait for a turn, and no others.
    users: BTreeMap<U, Share>,
    /// Users that wait and are below their bound, the next one first. Empty unless all turns are taken.
    ready: VecDeque<U>,
}

#[derive(Debug, Default)]
struct Share {
    taken: usize,
    waiting: VecDeque<Job>,
}

/// The answer to a request for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a turn that is taken has to be finished"]
pub enum Asked {
    /// The turn is taken: end it with [`Turns::finish`].
    Taken,
    /// The job waits: [`Turns::finish`] returns it when its turn is taken, or it leaves with [`Turns::leave`].
    Waits,
}

impl<U: Copy + Ord> Turns<U> {
    /// Returns a schedule without turns taken. Each bound is at least 1.
    pub fn new(turns_max: usize, user_turns_max: usize) -> Self {
        Self {
            turns_max: turns_max.max(1),
            user_turns_max: user_turns_max.max(1),
            taken: 0,
            users: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Asks for a turn. `job` is used once.
    pub fn ask(&mut self, user: U, job: Job) -> Asked {
        let share = self.users.entry(user).or_default();
        let free = share.taken < self.user_turns_max && share.waiting.is_empty();
        if free && self.taken < self.turns_max {
            share.taken += 1;
            self.taken += 1;
            return Asked::Taken;
        }
        share.waiting.push_back(job);
        if free {
            self.ready.push_back(user);
        }
        Asked::Waits
    }

    /// Ends a turn of `user`. Returns the job whose turn is taken in its place, if one may.
    #[must_use = "the job that is returned has taken a turn"]
    pub fn finish(&mut self, user: U) -> Option<(U, Job)> {
        let share = self.users.get_mut(&user)?;
        let was_at_bound = share.taken == self.user_turns_max;
        share.taken -= 1;
        self.taken -= 1;
        if was_at_bound && !share.waiting.is_empty() {
            self.ready.push_back(user);
        }
        self.forget_if_idle(user);
        self.take_next()
    }

    /// Takes a job that waits out of the line.
    pub fn leave(&mut self, user: U, job: Job) {
        let Some(share) = self.users.get_mut(&user) else { return };
        share.waiting.retain(|waiting| *waiting != job);
        if share.waiting.is_empty() {
            self.ready.retain(|ready| *ready != user);
        }
        self.forget_if_idle(user);
    }

    fn take_next(&mut self) -> Option<(U, Job)> {
        let user = self.ready.pop_front()?;
        let share = self.users.get_mut(&user)?;
        let job = share.waiting.pop_front()?;
        share.taken += 1;
        self.taken += 1;
        if share.taken < self.user_turns_max && !share.waiting.is_empty() {
            self.ready.push_back(user);
        }
        Some((user, job))
    }

    fn forget_if_idle(&mut self, user: U) {
        if self.users.get(&user).is_some_and(|share| share.taken == 0 && share.waiting.is_empty()) {
            self.users.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// One user asks 200 times; others who come later take their turns at once, and then every other one.
    #[test]
    fn iso_6_turns_go_round_the_users() {
        let mut turns = Turns::new(2, 1);
        assert_eq!(turns.ask('a', 0), Asked::Taken);
        for job in 1..200 {
            assert_eq!(turns.ask('a', job), Asked::Waits, "one user takes one turn at a time");
        }
        assert_eq!(turns.ask('b', 200), Asked::Taken, "the other thread is free");
        assert_eq!([turns.ask('b', 201), turns.ask('c', 300)], [Asked::Waits, Asked::Waits]);
        // Each line names whose turn ends, and whose begins.
        for (ends, begins) in [('a', ('c', 300)), ('c', ('a', 1)), ('b', ('b', 201)), ('b', ('a', 2))] {
            if begins.1 == 2 {
                // `a` is at its bound: nobody may take the turn of `b`.
                assert_eq!(turns.finish(ends), None);
                assert_eq!(turns.finish('a'), Some(begins));
            } else {
                assert_eq!(turns.finish(ends), Some(begins));
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Ask(u8),
        Finish(usize),
        Leave(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..4u8).prop_map(Op::Ask),
            2 => any::<usize>().prop_map(Op::Finish),
            1 => any::<usize>().prop_map(Op::Leave),
        ]
    }

    /// What a schedule is held against: the jobs that wait and those that have a turn.
    #[derive(Default)]
    struct Seen {
        taken: Vec<(u8, Job)>,
        waiting: Vec<(u8, Job)>,
        /// Users that took a turn since each waiting user could last have taken one.
        passed: BTreeMap<u8, Vec<u8>>,
    }

    impl Seen {
        fn taken_by(&self, user: u8) -> usize {
            self.taken.iter().filter(|(other, _)| *other == user).count()
        }

        fn may_take(&self, user: u8, user_turns_max: usize) -> bool {
            self.taken_by(user) < user_turns_max && self.waiting.iter().any(|(other, _)| *other == user)
        }

        /// A waiting job takes a turn.
        fn take(&mut self, user: u8, job: Job, user_turns_max: usize) {
            let first = self.waiting.iter().position(|(other, _)| *other == user).unwrap();
            assert_eq!(self.waiting.remove(first), (user, job), "the jobs of one user keep their order");
            self.passed.remove(&user);
            let others: Vec<u8> =
                (0..4).filter(|other| *other != user && self.may_take(*other, user_turns_max)).collect();
            for other in others {
                let passed = self.passed.entry(other).or_default();
                assert!(!passed.contains(&user), "{user} took two turns while {other} could take none");
                passed.push(user);
            }
            self.taken.push((user, job));
        }
    }

    proptest! {
        /// ISO-6: whatever is asked, finished and left, the bounds hold, no turn is free while a job may take
        /// it, nobody is passed twice by the same user, and at the end nothing is left.
        #[test]
        fn iso_6_no_job_starves_and_no_turn_leaks(
            turns_max in 1..5usize,
            user_turns_max in 1..4usize,
            ops in proptest::collection::vec(op(), 1..200),
        ) {
            let mut turns = Turns::new(turns_max, user_turns_max);
            let mut seen = Seen::default();
            let end = std::iter::repeat_n(Op::Finish(0), 400);
            for (job, op) in (0..).zip(ops.into_iter().chain(end)) {
                match op {
                    Op::Ask(user) => match turns.ask(user, job) {
                        Asked::Taken => seen.taken.push((user, job)),
                        Asked::Waits => seen.waiting.push((user, job)),
                    },
                    Op::Finish(at) if !seen.taken.is_empty() => {
                        let (user, _) = seen.taken.swap_remove(at % seen.taken.len());
                        if let Some((user, job)) = turns.finish(user) {
                            seen.take(user, job, user_turns_max);
                        }
                    }
                    Op::Leave(at) if !seen.waiting.is_empty() => {
                        let (user, job) = seen.waiting.remove(at % seen.waiting.len());
                        turns.leave(user, job);
                    }
                    Op::Finish(_) | Op::Leave(_) => {}
                }
                for user in 0..4 {
                    if !seen.may_take(user, user_turns_max) {
                        seen.passed.remove(&user);
                    }
                    prop_assert!(seen.taken_by(user) <= user_turns_max);
                }
                prop_assert!(seen.taken.len() <= turns_max);
                let may = (0..4).any(|user| seen.may_take(user, user_turns_max));
                prop_assert!(!may || seen.taken.len() == turns_max, "a turn is free and a job waits");
                let users: BTreeSet<_> = seen.taken.iter().chain(&seen.waiting).map(|(user, _)| *user).collect();
                prop_assert_eq!(turns.users.keys().copied().collect::<BTreeSet<_>>(), users);
            }
            prop_assert!(turns.users.is_empty() && turns.ready.is_empty() && turns.taken == 0);
        }
    }
}
