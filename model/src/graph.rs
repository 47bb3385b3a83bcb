//! Exhaustive exploration, breadth first: every state once, kept whole (not as a hash), with the
//! shortest path to it. What stateright's checker counts is compared with what is counted here.

use std::{fmt, fmt::Debug, hash::Hash};

use indexmap::IndexSet;
use stateright::{Expectation, Model};

/// Everything that a model can reach.
pub struct Graph<S, A> {
    pub states: IndexSet<S, ahash::RandomState>,
    /// The steps out of each state that change it.
    pub steps: Vec<Vec<(A, u32)>>,
    /// How each state was first reached: from which, by which of its steps.
    from: Vec<Option<(u32, u32)>>,
}

/// A shortest path to a state: the first state, then each action with the state that it led to.
#[derive(Clone, Debug)]
pub struct Path<S, A> {
    pub first: S,
    pub steps: Vec<(A, S)>,
}

/// What an examination found.
pub struct Findings<S, A> {
    pub states: usize,
    pub edges: usize,
    /// `always` properties that fail, with a shortest path to a state that they fail in.
    pub failed: Vec<(&'static str, Path<S, A>)>,
    /// `sometimes` properties without a witness.
    pub unwitnessed: Vec<&'static str>,
}

/// When to stop an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Every state has been seen.
    Exhausted,
    /// A property with this prefix in its name has failed, or every state has been seen.
    Fails(&'static str),
}

/// Explores all of a model.
///
/// # Panics
/// If the model has a boundary: a graph that is cut says nothing about what is behind the cut.
pub fn explore<M: Model>(model: &M) -> Graph<M::State, M::Action>
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut graph = Graph { states: IndexSet::default(), steps: Vec::new(), from: Vec::new() };
    walk(model, &mut graph, |_| false);
    graph
}

fn walk<M: Model>(model: &M, graph: &mut Graph<M::State, M::Action>, mut stop: impl FnMut(&M::State) -> bool)
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    for state in model.init_states() {
        let halt = stop(&state);
        if graph.states.insert(state) {
            graph.from.push(None);
        }
        if halt {
            return;
        }
    }
    let mut at = 0;
    let mut actions = Vec::new();
    while at < graph.states.len() {
        let state = graph.states[at].clone();
        model.actions(&state, &mut actions);
        let mut steps = Vec::new();
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action.clone()) else { continue };
            assert!(model.within_boundary(&next), "a boundary would cut the graph");
            if next == state {
                continue;
            }
            let (index, is_new) = graph.states.insert_full(next);
            if is_new {
                graph.from.push(Some((at as u32, steps.len() as u32)));
            }
            steps.push((action, index as u32));
            if is_new && stop(&graph.states[index]) {
                graph.steps.push(steps);
                return;
            }
        }
        graph.steps.push(steps);
        at += 1;
    }
}

/// Checks every property in every state.
pub fn examine<M: Model>(model: &M, until: Until) -> Findings<M::State, M::Action>
where
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let mut pending = model.properties();
    let mut failed: Vec<(&'static str, M::State)> = Vec::new();
    let mut graph = Graph { states: IndexSet::default(), steps: Vec::new(), from: Vec::new() };
    walk(model, &mut graph, |state| {
        let mut stop = false;
        pending.retain(|property| {
            let holds = (property.condition)(model, state);
            match property.expectation {
                Expectation::Always if !holds => {
                    failed.push((property.name, state.clone()));
                    stop |= matches!(until, Until::Fails(prefix) if property.name.starts_with(prefix));
                    false
                }
                Expectation::Always => true,
                Expectation::Sometimes => !holds,
                Expectation::Eventually => panic!("`eventually` is unsound: use `fair`"),
            }
        });
        stop
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

    /// How many steps lead to the state that lies farthest away.
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
    /// The first failure whose property's name starts with `prefix`.
    pub fn failure(&self, prefix: &str) -> Option<&(&'static str, Path<S, A>)> {
        self.failed.iter().find(|(name, _)| name.starts_with(prefix))
    }

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
