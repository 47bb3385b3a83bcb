//! What a mutant is put before: every check of the models that it can be in, the claims of liveness, and
//! the comparison with the specification. The original passes all of it.

use std::{fmt::Debug, hash::Hash, sync::LazyLock};

use quintet::kernel::rules::Rule;
use stateright::Model;
use tempfile::TempDir;

use crate::{
    checks::{Checked, OWN_TERMS},
    fair::Verdict,
    graph::{Graph, explore, hunt},
    instances,
    liveness::{self, Fairness},
    machine::Machine,
    models::{
        connection::{ConnectionMachine, ConnectionModel},
        delivery::{DeliveryModel, Slip},
        fence::{FenceModel, Flaw},
        isolation::{IsolationModel, Leak},
        run::RunModel,
        ticket::{TicketMachine, TicketModel},
        user::UserModel,
    },
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

/// What has to happen in the end, judged over a graph.
type Judge<M> = fn(&Graph<<M as Model>::State, <M as Model>::Action>, Fairness) -> Vec<Verdict>;

/// What a hunt through one model found.
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
        let found = hunt(model, STATES_MAX);
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

    /// Red if what has to happen in the end does not. Says something only where nothing was cut off.
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
fn users() -> [UserModel; 6] {
    [
        instances::user(2, 1, 1, 2),
        instances::user(1, 1, 2, 4),
        instances::crowded(),
        instances::no_line(),
        instances::two_calls(1, 2),
        instances::two_calls(2, 1),
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

pub fn fence(flaw: Flaw) -> Vec<Catch> {
    static SPECS: LazyLock<Vec<SpecGraph>> =
        LazyLock::new(|| fences().iter().map(|model| graph_of("Fence", &model.constants())).collect());
    let red = fences().into_iter().zip(&*SPECS).flat_map(|(model, spec)| {
        let model = FenceModel { flaw, ..model };
        let ends = "fence: RUN-6 every accepted run ends, however often nodes crash";
        let found = Found::of(&model).and_graph("Fence", spec, &model);
        found.and_ending(ends, liveness::every_run_ends_somewhere, Fairness::Strong).red
    });
    shortest(red.collect())
}

fn deliveries() -> [DeliveryModel; 2] {
    [DeliveryModel { trims: true, ..instances::delivery(1) }, instances::drain()]
}

pub fn delivery(slip: Slip) -> Vec<Catch> {
    static SPECS: LazyLock<Vec<SpecGraph>> =
        LazyLock::new(|| deliveries().iter().map(|model| graph_of("Delivery", &model.constants())).collect());
    let [trims, drains] = deliveries().map(|model| DeliveryModel { slip, ..model });
    let catches_up = "delivery: DEL-3 an open cursor catches up, however often links drop";
    let found = Found::of(&trims).and_graph("Delivery", &SPECS[0], &trims);
    let mut red = found.and_ending(catches_up, liveness::cursor_catches_up, Fairness::Strong).red;
    let ends = "delivery: CONN-6 a drain ends with every connection closed, whoever reads";
    let found = Found::of(&drains).and_graph("Delivery", &SPECS[1], &drains);
    red.extend(found.and_ending(ends, liveness::drain_ends, Fairness::Strong).red);
    shortest(red)
}

pub fn isolation(leak: Leak) -> Vec<Catch> {
    let model = IsolationModel { leak, fails: true, ..instances::isolation(1, 2) };
    let go = "isolation: ISO-5 machines go when nobody needs them";
    shortest(Found::of(&model).and_ending(go, liveness::machines_go, Fairness::Weak).red)
}

pub fn connection(machine: &'static dyn ConnectionMachine) -> Vec<Catch> {
    shortest(Found::of(&ConnectionModel { machine, ..instances::connection(true, 1) }).red)
}

pub fn ticket(machine: &'static dyn TicketMachine) -> Vec<Catch> {
    static SPEC: LazyLock<SpecGraph> =
        LazyLock::new(|| graph_of("Ticket", &instances::ticket(2, 4).constants()));
    let model = TicketModel { machine, ..instances::ticket(2, 4) };
    Found::of(&model).and_graph("Ticket", &SPEC, &model).red
}

/// A model that nobody asks anything of: every rule holds, and the witnesses are missing.
pub fn unasked(model: &UserModel) -> Vec<Catch> {
    let found = hunt(model, STATES_MAX);
    let missing = found.unwitnessed.iter().map(|name| Catch {
        check: format!("user: a witness of {name}"),
        steps: 0,
        example: format!("  {} state(s), and in none of them: {name}", found.graph.states.len()),
    });
    missing.collect()
}

/// A specification with one place in its text replaced, against the graph of the shipped code.
pub fn spec(name: &'static str, edit: Edit) -> Vec<Catch> {
    match name {
        "Run" => loosened(name, edit, &instances::run(2, 5), &instances::run(2, 5).constants()),
        "User" => loosened_in_one(name, edit, users(), UserModel::constants),
        "Fence" => loosened_in_one(name, edit, fences(), FenceModel::constants),
        "Delivery" => loosened_in_one(name, edit, deliveries(), DeliveryModel::constants),
        "Ticket" => {
            let model = instances::ticket(2, 3);
            loosened(name, edit, &model, &model.constants())
        }
        _ => panic!("no specification is called {name}"),
    }
}

/// A place in the text of a specification that stands there once, and what is put in its place.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    pub file: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

/// What is found in the first instance that it shows in.
fn loosened_in_one<M, const N: usize>(
    name: &str,
    edit: Edit,
    models: [M; N],
    constants: impl Fn(&M) -> Vec<(&'static str, tla_checker::ast::Value)>,
) -> Vec<Catch>
where
    M: Model + Refines<M::State, M::Action>,
    M::State: Clone + Debug + Eq + Hash,
    M::Action: Clone + Debug,
{
    let red = models.iter().map(|model| loosened(name, edit, model, &constants(model)));
    red.into_iter().find(|red| !red.is_empty()).unwrap_or_default()
}

fn loosened<M>(name: &str, edit: Edit, model: &M, constants: &[(&str, tla_checker::ast::Value)]) -> Vec<Catch>
where
    M: Model + Refines<M::State, M::Action>,
    M::State: Clone + Debug + Eq + Hash,
    M::Action: Clone + Debug,
{
    let scratch = edit.plant();
    let spec = Spec::load_from(
        &scratch.path().join(format!("{name}.tla")),
        &folder().join(format!("{name}.cfg")),
        constants,
    );
    let graph = explore(model);
    match spec.and_then(|spec| spec.first_difference(&graph, model)) {
        Ok(None) => vec![],
        Ok(Some((at, how))) => {
            let path = at.map(|at| graph.path(at));
            let steps = path.as_ref().map_or(0, |path| path.steps.len());
            let way = path.map_or(String::new(), |path| path.to_string());
            vec![Catch { check: graph_check(name), steps, example: format!("{way}\n  {how}") }]
        }
        // A specification that fails in some state without its guard has another graph as well.
        Err(error) => vec![Catch {
            check: graph_check(name),
            steps: 0,
            example: format!("  with `{}` it cannot be explored: {error}", edit.replace),
        }],
    }
}

impl Edit {
    /// Nothing is replaced.
    pub(crate) const NONE: Edit = Edit { file: "", find: "", replace: "" };

    /// Copies the specifications, with this edit in one of them, to a folder that is gone when it is dropped.
    pub(crate) fn plant(self) -> TempDir {
        let planted = || -> std::io::Result<TempDir> {
            let scratch = tempfile::tempdir()?;
            for file in std::fs::read_dir(folder())? {
                let file = file?;
                let name = file.file_name().to_string_lossy().into_owned();
                if !name.ends_with(".tla") {
                    continue;
                }
                let mut text = std::fs::read_to_string(file.path())?;
                if name == self.file {
                    assert_eq!(text.matches(self.find).count(), 1, "{name} has one `{}`", self.find);
                    text = text.replacen(self.find, self.replace, 1);
                }
                std::fs::write(scratch.path().join(name), text)?;
            }
            Ok(scratch)
        };
        planted().unwrap_or_else(|error| panic!("the specifications are copied: {error}"))
    }
}

/// Of catches by the same check, the one with the shortest example.
fn shortest(mut red: Vec<Catch>) -> Vec<Catch> {
    red.sort_by(|a, b| (&a.check, a.steps).cmp(&(&b.check, b.steps)));
    red.dedup_by(|later, first| later.check == first.check);
    red
}
