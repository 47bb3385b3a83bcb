//! Round-robin scheduling of agents over users.
//!
//! A *turn* is a permit to poll one agent once. Guarantees (ISO-6): at most `turns_max` turns are held at a
//! time, at most `user_turns_max` of them by one user. A job waits only while one of these limits is reached.
//! Between two turns of one user, every other waiting user that is below its limit gets a turn. The jobs of
//! one user get their turns in the order of their requests.
//!
//! Pure: no clock, no lock, no waker. [`super::gate`] connects it to futures.

use std::collections::{BTreeMap, VecDeque};

/// The id of a request for one turn, chosen by the caller.
pub type TurnId = u64;

/// The turns in use and the waiting jobs, by user.
#[derive(Debug)]
pub struct Turns<U> {
    turns_max: usize,
    user_turns_max: usize,
    taken: usize,
    /// The users that hold or wait for a turn.
    users: BTreeMap<U, Share>,
    /// Waiting users below their limit, in order. Empty unless all turns are in use.
    ready: VecDeque<U>,
}

#[derive(Debug, Default)]
struct Share {
    taken: usize,
    waiting: VecDeque<TurnId>,
}

/// The answer to a request for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a turn that is taken has to be finished"]
pub enum TurnRequest {
    /// The turn is granted and ends with [`Turns::finish`].
    Granted,
    /// The job waits: [`Turns::finish`] returns it once its turn is granted, or [`Turns::leave`] removes it.
    Queued,
}

impl<U: Copy + Ord> Turns<U> {
    /// Creates a schedule with no turns in use. Each limit is at least 1.
    pub fn new(turns_max: usize, user_turns_max: usize) -> Self {
        Self {
            turns_max: turns_max.max(1),
            user_turns_max: user_turns_max.max(1),
            taken: 0,
            users: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Requests a turn. Each `job` id is used once.
    pub fn ask(&mut self, user: U, job: TurnId) -> TurnRequest {
        let share = self.users.entry(user).or_default();
        let free = share.taken < self.user_turns_max && share.waiting.is_empty();
        if free && self.taken < self.turns_max {
            share.taken += 1;
            self.taken += 1;
            return TurnRequest::Granted;
        }
        share.waiting.push_back(job);
        if free {
            self.ready.push_back(user);
        }
        TurnRequest::Queued
    }

    /// Ends a turn of `user`. Returns the job that gets the turn, if any.
    #[must_use = "the job that is returned has taken a turn"]
    pub fn finish(&mut self, user: U) -> Option<(U, TurnId)> {
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

    /// Removes a waiting job.
    pub fn leave(&mut self, user: U, job: TurnId) {
        let Some(share) = self.users.get_mut(&user) else { return };
        share.waiting.retain(|waiting| *waiting != job);
        if share.waiting.is_empty() {
            self.ready.retain(|ready| *ready != user);
        }
        self.forget_if_idle(user);
    }

    fn take_next(&mut self) -> Option<(U, TurnId)> {
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

    /// One user requests 200 turns; users who come later get theirs at once, and then every other one.
    #[test]
    fn iso_6_turns_rotate_over_the_users() {
        let mut turns = Turns::new(2, 1);
        assert_eq!(turns.ask('a', 0), TurnRequest::Granted);
        for job in 1..200 {
            assert_eq!(turns.ask('a', job), TurnRequest::Queued, "one user takes one turn at a time");
        }
        assert_eq!(turns.ask('b', 200), TurnRequest::Granted, "the other thread is free");
        assert_eq!([turns.ask('b', 201), turns.ask('c', 300)], [TurnRequest::Queued, TurnRequest::Queued]);
        // Each pair is the user whose turn ends and the job that gets it.
        for (ends, begins) in [('a', ('c', 300)), ('c', ('a', 1)), ('b', ('b', 201)), ('b', ('a', 2))] {
            if begins.1 == 2 {
                // `a` is at its limit, so the turn of `b` goes to no one.
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

    /// The reference for a schedule: the waiting jobs and those with a turn.
    #[derive(Default)]
    struct Seen {
        taken: Vec<(u8, TurnId)>,
        waiting: Vec<(u8, TurnId)>,
        /// The users that got a turn since each waiting user could have had one.
        passed: BTreeMap<u8, Vec<u8>>,
    }

    impl Seen {
        fn taken_by(&self, user: u8) -> usize {
            self.taken.iter().filter(|(other, _)| *other == user).count()
        }

        fn may_take(&self, user: u8, user_turns_max: usize) -> bool {
            self.taken_by(user) < user_turns_max && self.waiting.iter().any(|(other, _)| *other == user)
        }

        /// Moves a waiting job to a turn.
        fn take(&mut self, user: u8, job: TurnId, user_turns_max: usize) {
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
        /// ISO-6: for any sequence of requests, ends and removals, the limits hold, no turn is free while a
        /// job may have it, no user is overtaken twice by another, and nothing is left at the end.
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
                        TurnRequest::Granted => seen.taken.push((user, job)),
                        TurnRequest::Queued => seen.waiting.push((user, job)),
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
