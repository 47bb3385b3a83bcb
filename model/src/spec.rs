//! The TLA+ specifications, explored in-process by the checker of the crate `tla-checker`, and
//! compared with what the shipped kernel does in the same environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use indexmap::IndexSet;
use tla_checker::{
    ast::{State, Value},
    checker::{CheckResult, check, format_value, prepare_spec},
    eval::{init_states, make_primed_names, next_states, set_symbolic_integers},
    liveness::LivenessViolation,
    load::{Prepared, prepare_from_path},
};

use crate::graph::Graph;

/// A specification with the constants of one configuration.
pub struct Spec {
    prepared: Prepared,
}

/// The result of a check of invariants and temporal properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Holds {
        states: usize,
        transitions: usize,
        properties: Vec<String>,
    },
    /// The name of what does not hold, and a trace.
    Violated {
        what: String,
        trace: Vec<String>,
    },
}

/// A specification's states and edges.
pub struct SpecGraph {
    pub vars: Vec<Arc<str>>,
    pub states: IndexSet<State>,
    /// From, action, to; steps that change nothing left out.
    pub edges: BTreeSet<(u32, Arc<str>, u32)>,
}

/// The difference of two graphs, or their size if they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal { states: usize, edges: usize },
    Different(Difference),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub only_in_code: usize,
    pub only_in_spec: usize,
    /// The first of them, as text.
    pub example: String,
}

impl Spec {
    /// Loads `module` (a file of this crate's folder) under a configuration of that folder, with
    /// some of its constants replaced.
    pub fn load(module: &str, config: &str, constants: &[(&str, Value)]) -> Result<Spec, String> {
        Spec::load_from(
            &folder().join(format!("{module}.tla")),
            &folder().join(format!("{config}.cfg")),
            constants,
        )
    }

    pub fn load_from(module: &Path, config: &Path, constants: &[(&str, Value)]) -> Result<Spec, String> {
        let constants: Vec<(Arc<str>, Value)> =
            constants.iter().map(|(n, v)| (Arc::from(*n), v.clone())).collect();
        let mut prepared = prepare_from_path(module, Some(config), &constants).map_err(|e| e.to_string())?;
        // Never cut a search in silence: both limits end a check as neither success nor violation.
        prepared.checker_config.max_states = STATES_MAX;
        prepared.checker_config.max_depth = DEPTH_MAX;
        // `Nat` is the set of all natural numbers, as in TLC, and not 0..100.
        prepared.checker_config.symbolic_integers = true;
        if let Some(warning) = prepared.warnings.first() {
            return Err(format!("{}: {}", module.display(), warning.value));
        }
        Ok(Spec { prepared })
    }

    /// Checks what the configuration names.
    pub fn check(&self) -> Result<Outcome, String> {
        let Prepared { spec, domains, checker_config, .. } = &self.prepared;
        let trace = |states: &[State], actions: &[Option<Arc<str>>]| {
            let steps = states.iter().enumerate().map(|(i, state)| {
                let action = actions.get(i).and_then(Option::as_deref).unwrap_or("");
                format!("{action} {}", show(&spec.vars, state))
            });
            steps.collect()
        };
        match check(spec, domains, checker_config) {
            CheckResult::Ok(stats) => Ok(Outcome::Holds {
                states: stats.states_explored,
                transitions: stats.transitions,
                properties: stats.properties_checked.iter().map(|name| name.to_string()).collect(),
            }),
            CheckResult::InvariantViolation(example, _) => {
                let name = spec.invariant_names.get(example.violated_invariant).cloned().flatten();
                let what = name.map_or_else(|| "an invariant".to_owned(), |name| name.to_string());
                Ok(Outcome::Violated { what, trace: trace(&example.trace, &example.actions) })
            }
            CheckResult::PropertyViolation(violation, _) => Ok(Outcome::Violated {
                what: violation.property.to_string(),
                trace: trace(&violation.trace, &violation.actions),
            }),
            CheckResult::LivenessViolation(violation, _) => Ok(Outcome::Violated {
                what: violation.property.to_string(),
                trace: lasso(&spec.vars, &violation),
            }),
            other => Err(format!("the check did not end: {other:?}")),
        }
    }

    /// Every state and every edge.
    pub fn explore(&self) -> Result<SpecGraph, String> {
        let mut edges = BTreeSet::new();
        let states = self.walk(|_, from, steps| {
            edges.extend(steps.iter().filter(|(_, to)| *to != from).map(|(a, to)| (from, a.clone(), *to)));
            ControlFlow::Continue(())
        })?;
        Ok(SpecGraph { vars: self.prepared.spec.vars.clone(), states, edges })
    }

    /// The first state, in the order of exploration, in which this specification leaves a model that was
    /// explored to its end: the code does not reach it, or takes other steps out of it. `None`: equal, as far
    /// as the specification goes. The state of the code is named by its number if it has one.
    pub fn first_difference<S: Clone, A: Clone>(
        &self,
        model: &Graph<S, A>,
        map: &impl Refines<S, A>,
    ) -> Result<Option<(Option<usize>, String)>, String> {
        let vars = &self.prepared.spec.vars;
        let code: IndexSet<State> = model.states.iter().map(|state| in_order(vars, map, state)).collect();
        let mut difference = None;
        self.walk(|states, from, steps| {
            let state = &states[from as usize];
            let Some(at) = code.get_index_of(state) else {
                difference = Some((None, format!("only the specification reaches {}", show(vars, state))));
                return ControlFlow::Break(());
            };
            let to_of = |to: &u32| code.get_index_of(&states[*to as usize]);
            let specified: BTreeSet<(&str, Option<usize>)> =
                steps.iter().map(|(a, to)| (&**a, to_of(to))).filter(|(_, to)| *to != Some(at)).collect();
            let taken: BTreeSet<(&str, Option<usize>)> = model.steps[at]
                .iter()
                .map(|(a, to)| (map.action(a, &model.states[*to as usize]), Some(*to as usize)))
                .collect();
            let first = |side, step: Option<&(&str, Option<usize>)>| {
                step.map(|(action, _)| {
                    (Some(at), format!("only the {side} steps {action} from {}", show(vars, state)))
                })
            };
            difference = first("specification", specified.difference(&taken).next())
                .or_else(|| first("code", taken.difference(&specified).next()));
            if difference.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(difference)
    }

    /// Explores, and shows every state with its steps, in order.
    fn walk(
        &self,
        mut look: impl FnMut(&IndexSet<State>, u32, &[(Arc<str>, u32)]) -> ControlFlow<()>,
    ) -> Result<IndexSet<State>, String> {
        let Prepared { spec, domains, spec_path, checker_config, .. } = &self.prepared;
        set_symbolic_integers(checker_config.symbolic_integers);
        let (mut env, definitions) =
            prepare_spec(spec, domains, Some(spec_path), true).map_err(|e| format!("{e:?}"))?;
        let init = spec.init.as_ref().ok_or("the specification has no Init")?;
        let next = spec.next.as_ref().ok_or("the specification has no Next")?;
        let primed = make_primed_names(&spec.vars);
        let mut states: IndexSet<State> = IndexSet::new();
        states.extend(init_states(init, &spec.vars, &env, &definitions).map_err(|e| format!("{e:?}"))?);
        let mut at = 0;
        while at < states.len() {
            let state = states[at].clone();
            let found = next_states(next, &state, &spec.vars, &primed, &mut env, &definitions)
                .map_err(|e| format!("{e:?} after {}", show(&spec.vars, &state)))?;
            let steps: Vec<(Arc<str>, u32)> = found
                .into_iter()
                .map(|step| {
                    let action = step.action.unwrap_or_else(|| Arc::from(""));
                    (action, states.insert_full(step.state).0 as u32)
                })
                .collect();
            if look(&states, at as u32, &steps).is_break() {
                break;
            }
            at += 1;
        }
        Ok(states)
    }
}

/// The folder of the specifications.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A way to a cycle, and the cycle.
fn lasso(vars: &[Arc<str>], violation: &LivenessViolation) -> Vec<String> {
    let steps = |states: &[State], part: &str| -> Vec<String> {
        states.iter().map(|state| format!("{part} {}", show(vars, state))).collect()
    };
    let fairness = violation.fairness_info.iter().map(|(what, taken)| format!("{what}: {taken}"));
    [steps(&violation.prefix, "then"), steps(&violation.cycle, "again"), fairness.collect()].concat()
}

fn show(vars: &[Arc<str>], state: &State) -> String {
    let shown: Vec<String> = vars
        .iter()
        .zip(&state.values)
        .map(|(var, value)| format!("{var} = {}", format_value(value)))
        .collect();
    shown.join(", ")
}

/// Writes a state and an action of a model in the form of its specification.
pub trait Refines<S, A> {
    /// The values of the specification's variables, by name.
    fn state(&self, state: &S) -> Vec<(&'static str, Value)>;

    /// The name of the specification's action that takes this step.
    fn action(&self, action: &A, to: &S) -> &'static str;
}

/// Compares a model's graph with its specification's: states, and edges with their actions.
pub fn compare<S: Clone, A: Clone>(
    model: &Graph<S, A>,
    spec: &SpecGraph,
    map: &impl Refines<S, A>,
) -> Comparison {
    let code_states: Vec<State> = model.states.iter().map(|state| in_order(&spec.vars, map, state)).collect();
    // The number that each state of the code has in the specification.
    let numbers: Vec<Option<u32>> =
        code_states.iter().map(|state| spec.states.get_index_of(state).map(|i| i as u32)).collect();
    let known: BTreeSet<u32> = numbers.iter().flatten().copied().collect();
    let strange: Vec<usize> = (0..numbers.len()).filter(|i| numbers[*i].is_none()).collect();
    if !strange.is_empty() || known.len() != spec.states.len() {
        let example = match strange.first() {
            Some(state) => format!("only the code reaches {}", show(&spec.vars, &code_states[*state])),
            None => {
                let missing =
                    (0..spec.states.len()).find(|i| !known.contains(&(*i as u32))).expect("one is missing");
                format!("only the specification reaches {}", show(&spec.vars, &spec.states[missing]))
            }
        };
        let only_in_spec = spec.states.len() - known.len();
        let only_in_code = strange.len();
        return Comparison::Different(Difference { only_in_code, only_in_spec, example });
    }
    if known.len() != code_states.len() {
        let only_in_code = code_states.len() - known.len();
        let example = "states of the code that the specification cannot tell apart".to_owned();
        return Comparison::Different(Difference { only_in_code, only_in_spec: 0, example });
    }
    let number = |i: usize| numbers[i].expect("every state is known");
    let edges: BTreeSet<(u32, Arc<str>, u32)> = model
        .steps
        .iter()
        .enumerate()
        .flat_map(|(from, steps)| {
            steps.iter().map(move |(a, to)| {
                (number(from), Arc::from(map.action(a, &model.states[*to as usize])), number(*to as usize))
            })
        })
        .collect();
    let describe = |(from, action, to): &(u32, Arc<str>, u32)| {
        let state = |i: &u32| show(&spec.vars, &spec.states[*i as usize]);
        format!("{action} from {} to {}", state(from), state(to))
    };
    let only_code: Vec<_> = edges.difference(&spec.edges).collect();
    let only_spec: Vec<_> = spec.edges.difference(&edges).collect();
    let example = match (only_code.first(), only_spec.first()) {
        (Some(edge), _) => format!("only the code steps {}", describe(edge)),
        (None, Some(edge)) => format!("only the specification steps {}", describe(edge)),
        (None, None) => return Comparison::Equal { states: known.len(), edges: edges.len() },
    };
    let (only_in_code, only_in_spec) = (only_code.len(), only_spec.len());
    Comparison::Different(Difference { only_in_code, only_in_spec, example })
}

/// The first state, in the order of exploration, in which a model that was explored in part leaves its
/// specification: it is none of the specification's, or other steps lead out of it. From the states in
/// `ends` nothing is compared, since the model was not gone on from there.
pub fn leaves<S: Clone, A: Clone>(
    model: &Graph<S, A>,
    ends: &[usize],
    spec: &SpecGraph,
    map: &impl Refines<S, A>,
) -> Option<(usize, String)> {
    let ends: BTreeSet<usize> = ends.iter().copied().collect();
    let written: Vec<State> = model.states.iter().map(|state| in_order(&spec.vars, map, state)).collect();
    let numbers: Vec<Option<u32>> =
        written.iter().map(|state| spec.states.get_index_of(state).map(|i| i as u32)).collect();
    let mut steps: BTreeMap<u32, BTreeSet<(&str, u32)>> = BTreeMap::new();
    for (from, action, to) in &spec.edges {
        steps.entry(*from).or_default().insert((action, *to));
    }
    (0..numbers.len()).find_map(|at| {
        let Some(number) = numbers[at] else {
            return Some((at, format!("only the code reaches {}", show(&spec.vars, &written[at]))));
        };
        if ends.contains(&at) {
            return None;
        }
        let taken: BTreeSet<(&str, Option<u32>)> = model.steps[at]
            .iter()
            .map(|(action, to)| (map.action(action, &model.states[*to as usize]), numbers[*to as usize]))
            .filter(|(_, to)| *to != Some(number))
            .collect();
        let known: BTreeSet<(&str, Option<u32>)> =
            steps.get(&number).into_iter().flatten().map(|(action, to)| (*action, Some(*to))).collect();
        let whose = |side: &str, step: Option<&(&str, Option<u32>)>| {
            let (action, _) = step?;
            Some((at, format!("only the {side} steps {action} from {}", show(&spec.vars, &written[at]))))
        };
        whose("code", taken.difference(&known).next())
            .or_else(|| whose("specification", known.difference(&taken).next()))
    })
}

/// A state of a model as its specification writes it.
fn in_order<S, A>(vars: &[Arc<str>], map: &impl Refines<S, A>, state: &S) -> State {
    let mut values: BTreeMap<&str, Value> = map.state(state).into_iter().collect();
    let values = vars
        .iter()
        .map(|var| values.remove(&**var).unwrap_or_else(|| panic!("the model says nothing of `{var}`")));
    State { values: values.collect() }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Comparison::Equal { states, edges } => write!(f, "equal: {states} states, {edges} edges"),
            Comparison::Different(Difference { only_in_code, only_in_spec, example, .. }) => {
                write!(
                    f,
                    "different: {only_in_code} only in the code, {only_in_spec} only in the specification; {example}"
                )
            }
        }
    }
}

const STATES_MAX: usize = 10_000_000;
const DEPTH_MAX: usize = 10_000;
