//! Exhaustive exploration, breadth first: every state once, kept whole (not as a hash), with a shortest path
//! to it. The number of states is compared with that of stateright's checker.

use std::{fmt, fmt::Debug, hash::Hash};

use indexmap::IndexSet;
use stateright::{Expectation, Model};

/// Everything that a model can reach.
pub struct Graph<S, A> {
    pub states: IndexSet<S, ahash::RandomState>,
    /// The steps out of each state that change it.
    pub steps: Vec<Vec<(A, u32)>>,
    /// The first step to each state: its predecessor, and the index of the step there.
    from: Vec<Option<(u32, u32)>>,
}

/// A shortest path to a state: the first state, then each action with the state that it led to.
#[derive(Clone, Debug)]
pub struct Path<S, A> {
    pub first: S,
    pub steps: Vec<(A, S)>,
}

/// The findings of an examination.
pub struct Findings<S, A> {
    pub states: usize,
    pub edges: usize,
    /// `always` properties that fail, with a shortest path to a state that they fail in.
    pub failed: Vec<(&'static str, Path<S, A>)>,
    /// `sometimes` properties without a witness.
    pub unwitnessed: Vec<&'static str>,
}

/// Returns the state that an action leads to: `Model::next_state`, or a defect in its place.
pub type Step<M> = fn(&M, &<M as Model>::State, <M as Model>::Action) -> Option<<M as Model>::State>;

/// Explores all of a model.
///
/// # Panics
/// If the model has a boundary: a truncated graph proves nothing about the rest.
pub fn explore<M: Model>(model: &M) -> Graph<M::State, M::Action>
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut graph = Graph::default();
    walk(model, M::next_state, &mut graph, |_| Onward::Expand);
    graph
}

/// The next action for a state that was just found.
enum Onward {
    Expand,
    /// It is kept, and not gone on from.
    Leave,
    Halt,
}

impl<S, A> Default for Graph<S, A> {
    fn default() -> Self {
        Graph { states: IndexSet::default(), steps: Vec::new(), from: Vec::new() }
    }
}

/// Finds every state; whether nothing halted it.
fn walk<M: Model>(
    model: &M,
    step: Step<M>,
    graph: &mut Graph<M::State, M::Action>,
    mut look: impl FnMut(&M::State) -> Onward,
) -> bool
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut left = Vec::new();
    for state in model.init_states() {
        let onward = look(&state);
        if graph.states.insert(state) {
            graph.from.push(None);
            left.push(matches!(onward, Onward::Leave));
        }
        if let Onward::Halt = onward {
            graph.steps.push(Vec::new());
            return false;
        }
    }
    let mut at = 0;
    let mut actions = Vec::new();
    while at < graph.states.len() {
        let state = graph.states[at].clone();
        if !left[at] {
            model.actions(&state, &mut actions);
        }
        let mut steps = Vec::new();
        for action in actions.drain(..) {
            let Some(next) = step(model, &state, action.clone()) else { continue };
            assert!(model.within_boundary(&next), "a boundary would cut the graph");
            if next == state {
                continue;
            }
            let (index, is_new) = graph.states.insert_full(next);
            steps.push((action, index as u32));
            if is_new {
                graph.from.push(Some((at as u32, steps.len() as u32 - 1)));
                let onward = look(&graph.states[index]);
                left.push(matches!(onward, Onward::Leave));
                if let Onward::Halt = onward {
                    graph.steps.push(steps);
                    return false;
                }
            }
        }
        graph.steps.push(steps);
        at += 1;
    }
    true
}

/// The findings of a hunt: each `always` property that fails, with the first state in which it fails.
pub struct Hunt<S, A> {
    pub graph: Graph<S, A>,
    pub failed: Vec<(&'static str, usize)>,
    pub unwitnessed: Vec<&'static str>,
    /// The states that were not gone on from, by number: a property fails in them, or the hunt gave up.
    pub ends: Vec<usize>,
}

/// Checks every property in every state, with this step in place of the model's own. Does not go on from a
/// state in which a property fails, and gives up after `states_max` states.
pub fn hunt<M: Model>(model: &M, step: Step<M>, states_max: usize) -> Hunt<M::State, M::Action>
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut graph = Graph::default();
    let (claims, mut unseen): (Vec<_>, Vec<_>) =
        model.properties().into_iter().partition(|p| p.expectation == Expectation::Always);
    let mut failed: Vec<(&'static str, M::State)> = Vec::new();
    let (mut states, mut ends) = (0, Vec::new());
    let is_whole = walk(model, step, &mut graph, |state| {
        states += 1;
        unseen.retain(|property| !(property.condition)(model, state));
        let mut fails = false;
        for property in claims.iter().filter(|property| !(property.condition)(model, state)) {
            fails = true;
            if failed.iter().all(|(name, _)| *name != property.name) {
                failed.push((property.name, state.clone()));
            }
        }
        if fails {
            ends.push(states - 1);
        }
        match (states > states_max, fails) {
            (true, _) => Onward::Halt,
            (false, true) => Onward::Leave,
            (false, false) => Onward::Expand,
        }
    });
    // At the limit, the current state was only partly expanded.
    let expanded = if is_whole { graph.steps.len() } else { graph.steps.len() - 1 };
    graph.steps.resize_with(graph.states.len(), Vec::new);
    ends.extend(expanded..graph.states.len());
    let at = |state| graph.states.get_index_of(state).expect("it was inserted before it was judged");
    let failed = failed.iter().map(|(name, state)| (*name, at(state))).collect();
    let unwitnessed = unseen.iter().map(|property| property.name).collect();
    Hunt { graph, failed, unwitnessed, ends }
}

/// Checks every property in every state.
pub fn examine<M: Model>(model: &M) -> Findings<M::State, M::Action>
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut pending = model.properties();
    let mut failed: Vec<(&'static str, M::State)> = Vec::new();
    let mut graph = Graph::default();
    walk(model, M::next_state, &mut graph, |state| {
        pending.retain(|property| {
            let holds = (property.condition)(model, state);
            match property.expectation {
                Expectation::Always if !holds => {
                    failed.push((property.name, state.clone()));
                    false
                }
                Expectation::Always => true,
                Expectation::Sometimes => !holds,
                Expectation::Eventually => panic!("`eventually` is unsound: use `fair`"),
            }
        });
        Onward::Expand
    });
    let unwitnessed =
        pending.iter().filter(|p| p.expectation == Expectation::Sometimes).map(|p| p.name).collect();
    let failed = failed
        .into_iter()
        .map(|(name, state)| {
            let index = graph.states.get_index_of(&state).expect("it was inserted before it was judged");
            (name, graph.path(index))
        })
        .collect();
    Findings { states: graph.states.len(), edges: graph.edges(), failed, unwitnessed }
}

impl<S: Clone, A: Clone> Graph<S, A> {
    pub fn edges(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// The shortest way to a state.
    pub fn path(&self, mut index: usize) -> Path<S, A> {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.from[index] {
            let (action, _) = &self.steps[from as usize][step as usize];
            steps.push((action.clone(), self.states[index].clone()));
            index = from as usize;
        }
        steps.reverse();
        Path { first: self.states[index].clone(), steps }
    }

    /// The number of steps to the most distant state.
    pub fn depth(&self) -> usize {
        let mut depth = vec![0; self.from.len()];
        for (index, from) in self.from.iter().enumerate() {
            if let Some((from, _)) = from {
                depth[index] = depth[*from as usize] + 1;
            }
        }
        depth.into_iter().max().unwrap_or(0)
    }
}

impl<S, A> Findings<S, A> {
    /// Panics unless every property holds, every witness was found but those named in `but`, and the
    /// numbers of states and steps are these: a search that is cut short, a model that has shrunk, a
    /// property that has become vacuous, shows.
    pub fn assert_all(&self, states: usize, edges: usize, but: &[&str])
    where
        S: Debug,
        A: Debug,
    {
        if let Some((name, path)) = self.failed.first() {
            panic!("{name} fails ({} in all):\n{path}", self.failed.len());
        }
        assert_eq!(self.unwitnessed, but, "no witness");
        assert_eq!((self.states, self.edges), (states, edges), "states and steps");
    }
}

impl<S: Debug, A: Debug> fmt::Display for Path<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (action, _)) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {action:?}", number + 1)?;
        }
        let last = self.steps.last().map_or(&self.first, |(_, state)| state);
        write!(f, "  ⇒ {last:?}")
    }
}
