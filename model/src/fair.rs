//! *P leads to Q* under fairness, over everything that a model can reach. Sound and complete on a
//! finite graph: the property fails exactly if some reachable P-state begins a path without Q into a
//! cycle without Q that is fair. Standing still for ever in one state is a cycle too.
//!
//! A class of actions is taken fairly on a cycle if one of its steps is on the cycle, or else
//! - weakly: it is disabled somewhere on the cycle;
//! - strongly: it is disabled everywhere on the cycle.
//!
//! Cycles are searched as strongly connected parts of the graph. A part that a strongly fair class is
//! enabled in but never taken in may still hold a fair cycle that avoids those states, so they are
//! cut out and what remains is searched again.

use crate::graph::Graph;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fairness {
    /// An action that stays enabled is taken in the end.
    Weak,
    /// An action that is enabled again and again is taken in the end.
    Strong,
}

/// Actions that are assumed to be taken fairly.
pub struct Class<S, A> {
    pub name: &'static str,
    pub fairness: Fairness,
    /// Returns whether this action, taken in this state, is of the class.
    pub contains: fn(&S, &A) -> bool,
}

pub fn weak<S, A>(name: &'static str, contains: fn(&S, &A) -> bool) -> Class<S, A> {
    Class { name, fairness: Fairness::Weak, contains }
}

pub fn strong<S, A>(name: &'static str, contains: fn(&S, &A) -> bool) -> Class<S, A> {
    Class { name, fairness: Fairness::Strong, contains }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// So many states where P holds and Q does not yet.
    Holds { owed: usize },
    /// A state of a fair cycle without Q that is reached from a P-state without Q, and how many
    /// states the cycle's part of the graph has.
    Fails { on_cycle: usize, cycle_states: usize },
}

impl Verdict {
    pub fn holds(&self) -> bool {
        matches!(self, Verdict::Holds { .. })
    }
}

/// Returns whether, on every fair path, a state with `p` is followed by one with `q` (or is one).
pub fn leads_to<S: Clone, A: Clone>(
    graph: &Graph<S, A>,
    p: impl Fn(&S) -> bool,
    q: impl Fn(&S) -> bool,
    classes: &[Class<S, A>],
) -> Verdict {
    let without_q: Vec<bool> = graph.states.iter().map(|state| !q(state)).collect();
    let owing: Vec<u32> =
        (0..without_q.len()).filter(|i| without_q[*i] && p(&graph.states[*i])).map(|i| i as u32).collect();
    let owed = owing.len();
    let mut open = vec![reachable(graph, owing, &without_q)];
    let mut parts = Parts::new(graph.states.len());
    while let Some(region) = open.pop() {
        for part in parts.of(graph, &region) {
            match judge(graph, &part, classes) {
                Judgement::Fair => {
                    return Verdict::Fails { on_cycle: part[0] as usize, cycle_states: part.len() };
                }
                Judgement::Unfair => {}
                Judgement::Without(rest) => open.push(rest),
            }
        }
    }
    Verdict::Holds { owed }
}

/// All states of `within` that paths through `within` reach from `starts`.
fn reachable<S: Clone, A: Clone>(graph: &Graph<S, A>, starts: Vec<u32>, within: &[bool]) -> Vec<u32> {
    let mut seen = vec![false; within.len()];
    let mut found = Vec::new();
    let mut todo = starts;
    while let Some(state) = todo.pop() {
        if std::mem::replace(&mut seen[state as usize], true) {
            continue;
        }
        found.push(state);
        todo.extend(graph.steps[state as usize].iter().map(|(_, to)| *to).filter(|to| within[*to as usize]));
    }
    found
}

enum Judgement {
    /// Going round this part for ever is fair.
    Fair,
    /// No cycle inside this part is fair.
    Unfair,
    /// A fair cycle can only be among these states.
    Without(Vec<u32>),
}

fn judge<S: Clone, A: Clone>(graph: &Graph<S, A>, part: &[u32], classes: &[Class<S, A>]) -> Judgement {
    let inside: std::collections::HashSet<u32, ahash::RandomState> = part.iter().copied().collect();
    let steps = |state: &u32| graph.steps[*state as usize].iter();
    let of = |class: &Class<S, A>, state: &u32, action: &A| {
        (class.contains)(&graph.states[*state as usize], action)
    };
    let enabled = |class: &Class<S, A>, state: &u32| steps(state).any(|(action, _)| of(class, state, action));
    let mut avoid: Vec<&Class<S, A>> = Vec::new();
    for class in classes {
        let taken =
            |state: &u32| steps(state).any(|(action, to)| of(class, state, action) && inside.contains(to));
        if part.iter().any(taken) {
            continue;
        }
        match class.fairness {
            Fairness::Weak if part.iter().all(|state| enabled(class, state)) => return Judgement::Unfair,
            Fairness::Strong if part.iter().any(|state| enabled(class, state)) => avoid.push(class),
            Fairness::Weak | Fairness::Strong => {}
        }
    }
    if avoid.is_empty() {
        return Judgement::Fair;
    }
    let rest = part.iter().filter(|state| !avoid.iter().any(|class| enabled(class, state)));
    Judgement::Without(rest.copied().collect())
}

/// Tarjan's algorithm, restricted to a set of states, without recursion.
struct Parts {
    /// Which region each state was last put in.
    region: Vec<u32>,
    regions: u32,
    order: Vec<u32>,
    low: Vec<u32>,
    on_stack: Vec<bool>,
}

const UNSEEN: u32 = u32::MAX;

impl Parts {
    fn new(states: usize) -> Self {
        Self {
            region: vec![0; states],
            regions: 0,
            order: vec![UNSEEN; states],
            low: vec![0; states],
            on_stack: vec![false; states],
        }
    }

    /// The strongly connected parts of `region`; single states count, since one may stand still.
    fn of<S, A>(&mut self, graph: &Graph<S, A>, region: &[u32]) -> Vec<Vec<u32>> {
        self.regions += 1;
        for state in region {
            self.region[*state as usize] = self.regions;
            self.order[*state as usize] = UNSEEN;
        }
        let (mut parts, mut stack, mut next) = (Vec::new(), Vec::new(), 0);
        for root in region {
            if self.order[*root as usize] != UNSEEN {
                continue;
            }
            let mut path: Vec<(u32, usize)> = Vec::new();
            self.visit(*root, &mut next, &mut stack, &mut path);
            while let Some((state, step)) = path.last_mut() {
                let (from, at) = (*state as usize, *step);
                *step += 1;
                match graph.steps[from].get(at) {
                    Some((_, to)) if self.region[*to as usize] != self.regions => {}
                    Some((_, to)) if self.order[*to as usize] == UNSEEN => {
                        self.visit(*to, &mut next, &mut stack, &mut path);
                    }
                    Some((_, to)) => {
                        if self.on_stack[*to as usize] {
                            self.low[from] = self.low[from].min(self.order[*to as usize]);
                        }
                    }
                    None => {
                        path.pop();
                        if let Some((parent, _)) = path.last() {
                            self.low[*parent as usize] = self.low[*parent as usize].min(self.low[from]);
                        }
                        if self.low[from] == self.order[from] {
                            parts.push(self.unstack(&mut stack, from as u32));
                        }
                    }
                }
            }
        }
        parts
    }

    fn visit(&mut self, state: u32, next: &mut u32, stack: &mut Vec<u32>, path: &mut Vec<(u32, usize)>) {
        let index = state as usize;
        (self.order[index], self.low[index], self.on_stack[index]) = (*next, *next, true);
        *next += 1;
        stack.push(state);
        path.push((state, 0));
    }

    fn unstack(&mut self, stack: &mut Vec<u32>, root: u32) -> Vec<u32> {
        let start = stack.iter().rposition(|state| *state == root).expect("a root is on the stack until now");
        let part = stack.split_off(start);
        part.iter().for_each(|state| self.on_stack[*state as usize] = false);
        part
    }
}

#[cfg(test)]
mod tests {
    use stateright::{Model, Property};

    type Make = fn(&'static str, fn(&u8, &char) -> bool) -> Class<u8, char>;

    use super::*;
    use crate::graph::explore;

    /// A graph given by its labelled edges; starts in 0.
    struct Drawn(&'static [(u8, char, u8)]);

    impl Model for Drawn {
        type State = u8;
        type Action = char;
        fn init_states(&self) -> Vec<u8> {
            vec![0]
        }
        fn actions(&self, state: &u8, actions: &mut Vec<char>) {
            actions.extend(self.0.iter().filter(|(from, ..)| from == state).map(|(_, action, _)| *action));
        }
        fn next_state(&self, state: &u8, action: char) -> Option<u8> {
            self.0.iter().find(|(from, a, _)| (from, a) == (state, &action)).map(|(.., to)| *to)
        }
        fn properties(&self) -> Vec<Property<Self>> {
            vec![]
        }
    }

    /// Returns whether 0 leads to 9 in `edges` under each fairness of action `g`: none, weak, strong.
    fn verdicts(edges: &'static [(u8, char, u8)]) -> [bool; 3] {
        let graph = explore(&Drawn(edges));
        let g = |_: &u8, action: &char| *action == 'g';
        [vec![], vec![weak("g", g)], vec![strong("g", g)]]
            .map(|classes| leads_to(&graph, |s| *s == 0, |s| *s == 9, &classes).holds())
    }

    #[test]
    fn standing_still_is_a_path_unless_fairness_forbids_it() {
        assert_eq!(verdicts(&[(0, 'g', 9)]), [false, true, true]);
    }

    #[test]
    fn what_is_enabled_again_and_again_needs_strong_fairness() {
        // Up and down for ever: g is enabled in 1 only.
        assert_eq!(verdicts(&[(0, 'u', 1), (1, 'd', 0), (1, 'g', 9)]), [false, false, false]);
        let graph = explore(&Drawn(&[(0, 'u', 1), (1, 'd', 0), (1, 'g', 9)]));
        let classes =
            |g: Make| [weak("u", |_: &u8, a: &char| *a == 'u'), g("g", |_: &u8, a: &char| *a == 'g')];
        assert!(!leads_to(&graph, |s| *s == 0, |s| *s == 9, &classes(weak)).holds());
        assert!(leads_to(&graph, |s| *s == 0, |s| *s == 9, &classes(strong)).holds());
    }

    #[test]
    fn a_fair_cycle_may_hide_inside_an_unfair_part() {
        // The part {0, 1, 2} enables g in 2 only; the cycle 0, 1 avoids it and is strongly fair.
        let edges = &[(0, 'a', 1), (1, 'b', 0), (1, 'c', 2), (2, 'd', 0), (2, 'g', 9)];
        assert_eq!(verdicts(edges), [false, false, false]);
    }

    #[test]
    fn strong_fairness_forbids_the_cycle_when_no_way_avoids_it() {
        // Every cycle passes 1; standing still is forbidden by the fairness of a and b.
        let graph = explore(&Drawn(&[(0, 'a', 1), (1, 'b', 0), (1, 'g', 9)]));
        let ab = |fairness: Make| {
            [
                weak("a", |_: &u8, a: &char| *a == 'a'),
                weak("b", |_: &u8, a: &char| *a == 'b'),
                fairness("g", |_: &u8, a: &char| *a == 'g'),
            ]
        };
        assert!(!leads_to(&graph, |s| *s == 0, |s| *s == 9, &ab(weak)).holds());
        assert!(leads_to(&graph, |s| *s == 0, |s| *s == 9, &ab(strong)).holds());
    }

    #[test]
    fn a_dead_end_without_q_fails_whatever_is_fair() {
        assert_eq!(verdicts(&[(0, 'g', 9), (0, 'x', 5)]), [false, false, false]);
    }

    #[test]
    fn weak_fairness_is_enough_where_nothing_takes_the_action_away() {
        // Going round 0, 1, g stays enabled.
        assert_eq!(verdicts(&[(0, 'a', 1), (1, 'b', 0), (0, 'g', 9), (1, 'g', 9)]), [false, true, true]);
    }

    #[test]
    fn p_may_come_after_q_again() {
        // 9 leads back to 0: each visit of 0 owes a 9.
        assert_eq!(verdicts(&[(0, 'g', 9), (9, 'r', 0)]), [false, true, true]);
    }

    #[test]
    fn only_states_after_p_are_owed() {
        let graph = explore(&Drawn(&[(0, 'x', 5), (5, 'y', 0), (0, 'p', 1), (1, 'g', 9)]));
        let fair = [weak("g", |_: &u8, a: &char| *a == 'g')];
        assert_eq!(leads_to(&graph, |s| *s == 1, |s| *s == 9, &fair), Verdict::Holds { owed: 1 });
        assert!(!leads_to(&graph, |s| *s == 0, |s| *s == 9, &fair).holds());
    }
}
