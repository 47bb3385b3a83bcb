//! The checks for a mutant: every check of the models that contain its machine, the claims of liveness, and
//! the comparison with the specification. The original passes all of them.

use std::{fmt::Debug, hash::Hash, sync::LazyLock};

use quintet::kernel::rules::Rule;
use stateright::Model;

use crate::{
    checks::{Checked, OWN_TERMS},
    fair::Verdict,
    graph::{Graph, Step, explore, hunt},
    instances,
    liveness::{self, Fairness},
    machine::Machine,
    models::{
        connection::{ConnectionMachine, ConnectionModel},
        delivery::DeliveryModel,
        erasure::ErasureModel,
        fence::FenceModel,
        isolation::IsolationModel,
        run::RunModel,
        ticket::{TicketMachine, TicketModel},
        user::UserModel,
    },
    planted::Defect,
    spec::{Refines, Spec, SpecGraph, folder, leaves},
};

/// A check that is red.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The model, and the name of its check.
    pub check: String,
    /// The length of the shortest counterexample.
    pub steps: usize,
    /// Step by step, and where it leads.
    pub example: String,
}

impl Catch {
    /// The rules and own terms that its name cites.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let is_one =
            |word: &&str| Rule::find(word).is_some() || OWN_TERMS.iter().any(|(term, _)| term == word);
        self.check.split(' ').filter(is_one)
    }
}

/// No suite has a model with as many states; a mutant that leads further is cut off there.
const STATES_MAX: usize = 60_000;

/// A liveness property, judged over a graph.
type Judge<M> = fn(&Graph<<M as Model>::State, <M as Model>::Action>, Fairness) -> Vec<Verdict>;

/// The findings of a hunt through one model.
struct Found<M: Checked> {
    red: Vec<Catch>,
    graph: Graph<M::State, M::Action>,
    ends: Vec<usize>,
}

impl<M> Found<M>
where
    M: Checked,
    M::State: Clone + Debug + Eq + Hash,
    M::Action: Clone + Debug,
{
    fn of(model: &M) -> Self {
        Self::by(model, M::next_state)
    }

    /// With a defect in the place of the environment's step.
    fn by(model: &M, step: Step<M>) -> Self {
        let found = hunt(model, step, STATES_MAX);
        let red = found.failed.iter().map(|(name, at)| {
            let path = found.graph.path(*at);
            let check = format!("{}: {name}", M::NAME);
            Catch { check, steps: path.steps.len(), example: path.to_string() }
        });
        Found { red: red.collect(), graph: found.graph, ends: found.ends }
    }

    /// Red if the model leaves its specification.
    fn and_graph(mut self, name: &str, spec: &SpecGraph, map: &M) -> Self
    where
        M: Refines<M::State, M::Action>,
    {
        if let Some((at, how)) = leaves(&self.graph, &self.ends, spec, map) {
            let path = self.graph.path(at);
            let example = format!("{path}\n  {how}");
            self.red.push(Catch { check: graph_check(name), steps: path.steps.len(), example });
        }
        self
    }

    /// Adds a liveness property, which is conclusive only for a complete graph.
    fn and_ending(mut self, check: &str, judge: Judge<M>, fairness: Fairness) -> Self {
        if !self.ends.is_empty() {
            return self;
        }
        for verdict in judge(&self.graph, fairness) {
            let Verdict::Fails { on_cycle, cycle_states } = verdict else { continue };
            let path = self.graph.path(on_cycle);
            let example = format!("{path}\n  and then for ever among {cycle_states} state(s)");
            self.red.push(Catch { check: check.to_owned(), steps: path.steps.len(), example });
        }
        self
    }
}

fn graph_check(name: &str) -> String {
    format!("{name}.tla: the graph of the code")
}

fn graph_of(name: &str, constants: &[(&str, tla_checker::ast::Value)]) -> SpecGraph {
    Spec::load(name, name, constants)
        .and_then(|spec| spec.explore())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn run(machine: &'static dyn Machine) -> Vec<Catch> {
    static SPEC: LazyLock<SpecGraph> = LazyLock::new(|| graph_of("Run", &instances::run(2, 5).constants()));
    let model = RunModel { machine, ..instances::run(2, 5) };
    let ends = "run: RUN-6 a run ends, if those who close calls and cut runs do not rest";
    let found = Found::of(&model).and_graph("Run", &SPEC, &model);
    found.and_ending(ends, liveness::run_ends, Fairness::Weak).red
}

/// Small instances, in which each limit decides alone somewhere.
fn users() -> [UserModel; 7] {
    [
        instances::user(2, 1, 1, 2),
        instances::user(1, 1, 2, 4),
        instances::crowded(),
        instances::no_line(),
        instances::two_calls(1, 2),
        instances::two_calls(2, 1),
        instances::forgetful(),
    ]
}

pub fn user(machine: &'static dyn Machine) -> Vec<Catch> {
    static SPECS: LazyLock<Vec<SpecGraph>> =
        LazyLock::new(|| users().iter().map(|model| graph_of("User", &model.constants())).collect());
    let red = users().into_iter().zip(&*SPECS).flat_map(|(model, spec)| {
        let model = UserModel { machine, ..model };
        let ends = "user: RUN-6 every accepted run ends, if deadlines do not rest";
        let found = Found::of(&model).and_graph("User", spec, &model);
        found.and_ending(ends, liveness::every_run_ends, Fairness::Weak).red
    });
    shortest(red.collect())
}

/// The last with two messages, so that one waits, and memory has one to forget.
fn fences() -> [FenceModel; 3] {
    [instances::fence(1, 1, 3), instances::fence(2, 1, 2), instances::fence(1, 2, 1)]
}

/// A defect of the machine, in the hands of nodes that race.
pub fn fence_of(machine: &'static dyn Machine) -> Vec<Catch> {
    let red = fences().into_iter().flat_map(|model| Found::of(&FenceModel { machine, ..model }).red);
    shortest(red.collect())
}

/// A step of the nodes' environment, `FenceModel::next_state` or a defect.
pub fn fence(step: Step<FenceModel>) -> Vec<Catch> {
    static SPECS: LazyLock<Vec<SpecGraph>> =
        LazyLock::new(|| fences().iter().map(|model| graph_of("Fence", &model.constants())).collect());
    let red = fences().into_iter().zip(&*SPECS).flat_map(|(model, spec)| {
        let ends = "fence: RUN-6 every accepted run ends, however often nodes crash";
        let found = Found::by(&model, step).and_graph("Fence", spec, &model);
        found.and_ending(ends, liveness::every_run_ends_somewhere, Fairness::Strong).red
    });
    shortest(red.collect())
}

fn deliveries() -> [DeliveryModel; 2] {
    [DeliveryModel { trims: true, head_starts: true, ..instances::delivery(1) }, instances::drain()]
}

pub fn delivery(step: Step<DeliveryModel>) -> Vec<Catch> {
    static SPECS: LazyLock<Vec<SpecGraph>> =
        LazyLock::new(|| deliveries().iter().map(|model| graph_of("Delivery", &model.constants())).collect());
    let [trims, drains] = deliveries();
    let catches_up = "delivery: DEL-3 an open cursor catches up, however often links drop";
    let found = Found::by(&trims, step).and_graph("Delivery", &SPECS[0], &trims);
    let mut red = found.and_ending(catches_up, liveness::cursor_catches_up, Fairness::Strong).red;
    let ends = "delivery: CONN-6 a drain ends with every connection closed, whoever reads";
    let found = Found::by(&drains, step).and_graph("Delivery", &SPECS[1], &drains);
    red.extend(found.and_ending(ends, liveness::drain_ends, Fairness::Strong).red);
    shortest(red)
}

pub fn isolation(step: Step<IsolationModel>) -> Vec<Catch> {
    let model = IsolationModel { fails: true, ..instances::isolation(1, 2) };
    let go = "isolation: ISO-5 machines go when nobody needs them";
    shortest(Found::by(&model, step).and_ending(go, liveness::machines_go, Fairness::Weak).red)
}

pub fn connection(machine: &'static dyn ConnectionMachine) -> Vec<Catch> {
    shortest(Found::of(&ConnectionModel { machine, ..instances::connection(true, 1) }).red)
}

pub fn ticket(machine: &'static dyn TicketMachine) -> Vec<Catch> {
    tickets(&TicketModel { machine, ..instances::ticket(2, 4) }, TicketModel::next_state)
}

/// A step of the store around the tickets.
pub fn ticket_store(step: Step<TicketModel>) -> Vec<Catch> {
    tickets(&instances::ticket(2, 4), step)
}

fn tickets(model: &TicketModel, step: Step<TicketModel>) -> Vec<Catch> {
    static SPEC: LazyLock<SpecGraph> =
        LazyLock::new(|| graph_of("Ticket", &instances::ticket(2, 4).constants()));
    Found::by(model, step).and_graph("Ticket", &SPEC, model).red
}

pub fn erasure(machine: &'static dyn Machine) -> Vec<Catch> {
    erasures(&instances::erasure_with(machine, 2, 1, 1), ErasureModel::next_state)
}

/// A step of the journal or of the process around the machine.
pub fn erasure_step(step: Step<ErasureModel>) -> Vec<Catch> {
    erasures(&instances::erasure(2, 1, 1), step)
}

fn erasures(model: &ErasureModel, step: Step<ErasureModel>) -> Vec<Catch> {
    static SPEC: LazyLock<SpecGraph> =
        LazyLock::new(|| graph_of("Erasure", &instances::erasure(2, 1, 1).constants()));
    Found::by(model, step).and_graph("Erasure", &SPEC, model).red
}

/// A model without any command: every rule holds, and the witnesses are missing.
pub fn unasked(model: &UserModel) -> Vec<Catch> {
    let found = hunt(model, UserModel::next_state, STATES_MAX);
    let missing = found.unwitnessed.iter().map(|name| Catch {
        check: format!("user: a witness of {name}"),
        steps: 0,
        example: format!("  {} state(s), and in none of them: {name}", found.graph.states.len()),
    });
    missing.collect()
}

/// A specification with a defect, against the graph of the shipped code.
pub fn spec(name: &'static str, defect: &Defect) -> Vec<Catch> {
    match name {
        "Run" => differences(name, defect, [instances::run(2, 5)], RunModel::constants),
        "User" => differences(name, defect, users(), UserModel::constants),
        "Fence" => differences(name, defect, fences(), FenceModel::constants),
        "Delivery" => differences(name, defect, deliveries(), DeliveryModel::constants),
        "Erasure" => differences(name, defect, [instances::erasure(2, 1, 1)], ErasureModel::constants),
        "Ticket" => differences(name, defect, [instances::ticket(2, 3)], TicketModel::constants),
        _ => panic!("no specification is called {name}"),
    }
}

/// The difference in the first instance that has one.
fn differences<M, const N: usize>(
    name: &str,
    defect: &Defect,
    models: [M; N],
    constants: impl Fn(&M) -> Vec<(&'static str, tla_checker::ast::Value)>,
) -> Vec<Catch>
where
    M: Model + Refines<M::State, M::Action>,
    M::State: Clone + Debug + Eq + Hash,
    M::Action: Clone + Debug,
{
    let scratch = defect.specifications().unwrap_or_else(|error| panic!("{error}"));
    let module = scratch.path().join(format!("{name}.tla"));
    let config = folder().join(format!("{name}.cfg"));
    let red = models.iter().find_map(|model| {
        let graph = explore(model);
        let spec = Spec::load_from(&module, &config, &constants(model));
        let (steps, example) = match spec.and_then(|spec| spec.first_difference(&graph, model)) {
            Ok(None) => return None,
            Ok(Some((at, how))) => {
                let path = at.map(|at| graph.path(at));
                let steps = path.as_ref().map_or(0, |path| path.steps.len());
                (steps, format!("{}\n  {how}", path.map_or(String::new(), |path| path.to_string())))
            }
            // A specification that fails in some state without its guard has another graph as well.
            Err(error) => (0, format!("  with `{}` it cannot be explored: {error}", defect.replace)),
        };
        Some(Catch { check: graph_check(name), steps, example })
    });
    red.into_iter().collect()
}

/// Of catches by the same check, the one with the shortest example.
fn shortest(mut red: Vec<Catch>) -> Vec<Catch> {
    red.sort_by(|a, b| (&a.check, a.steps).cmp(&(&b.check, b.steps)));
    red.dedup_by(|later, first| later.check == first.check);
    red
}
